//! How a capture ends: in order, by a signal, or killed.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::programs::capture;
use crate::harness::{Capture, INFERNOSIM, PYTHON, Recording, Running, Tally, eventually, program, text};

/// The kernel programs that this process holds, by program or by link.
fn programs_of(pid: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = entries.flatten().map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default());
    let ids = texts.flat_map(|text| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
        lines.filter_map(|id| id.trim().parse().ok()).collect::<Vec<u32>>()
    });
    ids.collect()
}

/// All that are loaded on this machine.
fn loaded_programs() -> BTreeSet<u32> {
    // One that vanishes while it is looked at is no error of ours.
    aya::programs::loaded_programs().flatten().map(|program| program.id()).collect()
}

fn start(tally: &Tally) -> Running {
    let running = capture("connections", &json!({ "addr": tally.addr })).start().ready();
    running.stdout.line("READY");
    running
}

#[test]
fn killed_it_leaves_no_program_behind_and_the_target_goes_on() {
    let tally = Tally::start(1000);
    let mut running = start(&tally);
    assert_eq!(running.ask("open 10", "RESULT"), "RESULT 10 answered ");
    let programs = programs_of(running.pid());
    assert!(programs.len() >= 5, "{programs:?}");
    assert!(programs.is_subset(&loaded_programs()), "{programs:?}");
    // What is a second old is on disk.
    std::thread::sleep(std::time::Duration::from_secs(1));

    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait_for_death(), 137);
    eventually("the kernel programs are gone", || programs.is_disjoint(&loaded_programs()));
    assert_eq!(running.ask("new", "RESULT"), "RESULT 1 answered ");
    // What went through the dead is reset, not left to hang.
    let kept = running.ask("ask", "RESULT");
    let errors: Vec<&str> = kept.strip_prefix("RESULT 0 answered ").unwrap().split_whitespace().collect();
    assert_eq!(errors.len(), 10);
    assert!(
        errors.iter().all(|error| ["ConnectionReset", "BrokenPipe", "UnexpectedEof"].contains(error)),
        "{kept}"
    );

    let recording = Recording::read(&running.incident);
    assert_eq!(recording.calls().len(), 10);
    assert_eq!(recording.manifest["closed"], false, "{:#}", recording.manifest);
    let inspect =
        std::process::Command::new(INFERNOSIM).arg("inspect").arg(&running.incident).output().unwrap();
    assert!(String::from_utf8_lossy(&inspect.stdout).contains("/n/9"), "{inspect:?}");
}

#[test]
fn the_next_run_removes_the_cgroup_that_a_killed_one_left() {
    let tally = Tally::start(10);
    let mut running = start(&tally);
    let target = running.target_pid();
    let membership = std::fs::read_to_string(format!("/proc/{target}/cgroup")).unwrap();
    let name = format!("infernosim-{}", running.pid());
    assert!(membership.contains(&name), "{membership}");
    running.signal(Signal::SIGKILL);
    running.wait_for_death();
    // Ends the target, by its end of input.
    drop(running.stdin.take());
    eventually("the target ends", || !std::path::Path::new(&format!("/proc/{target}")).exists());
    assert_eq!(Capture::of(&["true"]).run().code, 0);
    let find = std::process::Command::new("find").args(["/sys/fs/cgroup", "-name", &name]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&find.stdout), "");
}

#[test]
fn terminated_it_closes_the_incident_and_terminates_the_command() {
    let tally = Tally::start(100);
    let mut running = start(&tally);
    assert_eq!(running.ask("open 3", "RESULT"), "RESULT 3 answered ");
    let (target, programs) = (running.target_pid(), programs_of(running.pid()));
    running.signal(Signal::SIGTERM);
    let finished = running.wait_for_end();
    assert_eq!(finished.code, 143, "{}", finished.stderr);
    assert!(!std::path::Path::new(&format!("/proc/{target}")).exists());
    let recording = finished.recording();
    assert_eq!(recording.calls().len(), 3);
    // The kernel frees those of tracepoints a moment after the last descriptor is closed.
    eventually("the kernel programs are gone", || programs.is_disjoint(&loaded_programs()));
}

/// A command that has its own idea of SIGTERM keeps it: its status is the status, and its last words are heard.
#[test]
fn a_command_that_handles_the_signal_ends_as_it_likes() {
    let script = r#"
import signal, sys, time
def end(*_):
    print("last words")
    sys.exit(9)
signal.signal(signal.SIGTERM, end)
print("READY", flush=True)
while True:
    time.sleep(0.1)
"#;
    let running = Capture::python(script, &[]).start().ready();
    running.stdout.line("READY");
    running.signal(Signal::SIGTERM);
    let finished = running.wait_for_end();
    assert_eq!((finished.code, finished.stdout.as_str()), (9, "READY\nlast words\n"), "{}", finished.stderr);
    finished.recording();
}

/// A second signal ends what the first could not.
#[test]
fn a_second_signal_forces() {
    let script = "trap '' TERM; echo READY; while true; do sleep 0.1; done";
    let running = Capture::of(&["sh", "-c", script]).start().ready();
    running.stdout.line("READY");
    running.signal(Signal::SIGTERM);
    std::thread::sleep(std::time::Duration::from_millis(500));
    running.signal(Signal::SIGTERM);
    let incident = running.incident.clone();
    let target = running.target_pid();
    let finished = running.wait_for_end();
    assert_eq!(finished.code, 143, "{}", finished.stderr);
    assert_eq!(Recording::read_manifest(&incident)["closed"], true);
    // It was told twice and would not go: it is the user's own again.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(target as i32), Signal::SIGKILL);
}

/// An interrupt from a terminal goes to the whole foreground group, so CMD has it already.
#[test]
fn an_interrupt_from_a_terminal_reaches_the_command_once() {
    let driver = r#"
import os, pty, select, sys, time
command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen, sent = b"", False
deadline = time.time() + 60
while time.time() < deadline:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    if b"READY True True\r\n" in seen and not sent:
        sent = True
        os.write(terminal, b"\x03")
_, status = os.waitpid(pid, 0)
sys.stdout.write(seen.decode())
print("STATUS", os.waitstatus_to_exitcode(status))
"#;
    let target = r#"
import os, signal, sys, time
count = 0
def interrupted(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, interrupted)
print(f"READY {os.isatty(0)} {os.isatty(1)}", flush=True)
end = time.time() + 2
while time.time() < end:
    time.sleep(0.05)
print("INTERRUPTS", count)
"#;
    let place = tempfile::tempdir().unwrap();
    let incident = place.path().join("incident");
    let output = std::process::Command::new(program(PYTHON))
        .args(["-c", driver, INFERNOSIM, "capture", "--incident"])
        .arg(&incident)
        .args(["--", PYTHON, "-c", target])
        .env_remove("SUDO_UID")
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(seen.contains("READY True True"), "{seen}");
    assert!(seen.contains("INTERRUPTS 1\r"), "{seen}");
    assert!(seen.contains("STATUS 0\n"), "{seen}");
    assert_eq!(Recording::read_manifest(&incident)["closed"], true);
}

/// A connection that never ends does not keep the capture open for longer than it was told.
#[test]
fn what_is_open_at_the_end_is_relayed_for_a_while_and_then_closed() {
    let tally = Tally::start(10);
    let script = r#"
import os, socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"GET /n/1 HTTP/1.1\r\nHost: x\r\n\r\n")
s.recv(1000)
if os.fork() == 0:
    os.closerange(0, 3)
    time.sleep(5)
    os._exit(0)
"#;
    let started = std::time::Instant::now();
    let finished =
        Capture::python(script, &[&tally.addr.port().to_string()]).option(&["--drain", "1s"]).run();
    assert!(started.elapsed() >= std::time::Duration::from_secs(1), "nothing was waited for");
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    assert_eq!(text(&recording.call()["responseBody"]), "1");
    assert!(finished.stderr.contains("open"), "{}", finished.stderr);
}
