//! What a service had open before it is captured.

use crate::harness::{Capture, Finished, Origin, PYTHON, Service};

/// Keeps a connection, and one over a UNIX socket; asks on the former what it is told, on a new one if it broke.
const POOL: &str = r#"
import http.client, os, socket, sys
port = int(sys.argv[1])
unix = socket.socket(socket.AF_UNIX)
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0infernosim-test-%d" % os.getpid())
listener.listen()
unix.connect(listener.getsockname())
accepted = listener.accept()
pool = http.client.HTTPConnection("127.0.0.1", port)
def ask(path):
    pool.request("GET", path)
    return pool.getresponse().read().decode().strip()
ask("/before")
print(f"READY main={os.getpid()}", flush=True)
for line in sys.stdin:
    try:
        print("SAID kept", ask(line.strip()), flush=True)
    except OSError as error:
        pool.close()
        print("SAID", type(error).__name__, ask(line.strip()), flush=True)
"#;

/// The service asks once while it is captured; what it said, and what was recorded.
fn asked_on_an_older_connection(options: &[&str]) -> (String, Finished) {
    let origin = Origin::start();
    let mut service = Service::run(&[], &[PYTHON, "-c", POOL, &origin.port().to_string()]);
    let capture = Capture::attached(&["--pid", &service.pid_text("main")]).option(options).start().ready();
    let said = service.line("/during", "SAID");
    service.end();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(origin.seen().len(), 2, "asked twice, or not at all");
    (said, finished)
}

#[test]
fn it_goes_on_as_it_was_and_is_counted() {
    let (said, finished) = asked_on_an_older_connection(&[]);
    assert!(said.starts_with("SAID kept "), "{said}");
    let recording = finished.recording();
    assert_eq!(recording.events.len(), 0, "{:#?}", recording.events);
    assert_eq!(recording.unmediated("older-connections"), 1, "{:#}", recording.manifest);
    assert_eq!(recording.unmediated("unix-sockets"), 1, "{:#}", recording.manifest);
}

#[test]
fn recycled_it_is_reset_and_the_next_one_is_captured() {
    let (said, finished) = asked_on_an_older_connection(&["--recycle"]);
    assert!(said.starts_with("SAID ConnectionAbortedError "), "{said}");
    assert!(finished.stderr.contains("1 older connections were reset"), "{}", finished.stderr);
    let recording = finished.recording();
    recording.assert_paths(&["/during"]);
    assert_eq!(recording.unmediated("older-connections"), 0, "{:#}", recording.manifest);
}
