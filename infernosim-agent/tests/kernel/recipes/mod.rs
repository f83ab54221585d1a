//! The recipes of the original's README, word for word: three terminals of an ordinary user, in a checkout of ours.
//!
//! They name ports and worldtimeapi.org, so that each has a network namespace and an /etc/hosts of its own; only for
//! these root is needed.

mod scenarios;

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::harness::{INFERNOSIM, Netns, Origin, Output, Recording, eventually, program, text};

/// A user that every Debian has; its numbers are fixed by policy.
const NOBODY: u32 = 65534;

/// What becomes an ordinary user's shell, where /etc/hosts is the folder's. Like one in a terminal it outlives Ctrl-C,
/// and then says what the command came to.
const LOGIN: &str = r#"
mount --bind "$1/hosts" /etc/hosts && cd "$1" &&
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
    env -i PATH="$PATH" HOME="$1/home" sh -c "trap : INT; $2"
"#;

const PROXY: &str = "./infernosim --mode=proxy --listen=:9000 --log=outbound.log";
const GO: &str = "HTTP_PROXY=http://localhost:9000 HTTPS_PROXY=http://localhost:9000 PORT=8084 \
                  go run examples/goapp-deterministic/main.go";
const NODE: &str = "PORT=8083 OUTBOUND_PROXY_PORT=9000 node examples/nodeapp-deterministic/app.js";
const INBOUND: &str =
    "./infernosim --mode=inbound --listen=:18080 --forward=localhost:PORT --log=inbound.log";
const CURL: &str = "curl http://localhost:18080/api/demo";
const TIME: &str = "http://worldtimeapi.org/api/timezone/Etc/UTC";

/// A checkout in which somebody has built, and where it is.
struct Desk {
    place: TempDir,
    netns: Netns,
}

/// A terminal in which a command runs.
struct Terminal {
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Desk {
    /// With `hosts` in /etc/hosts besides localhost.
    fn new(hosts: &str) -> Self {
        let desk = Self { place: TempDir::with_prefix("infernosim-test-").unwrap(), netns: Netns::new() };
        let root = desk.place.path();
        std::fs::copy(INFERNOSIM, root.join("infernosim")).unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for app in ["goapp-deterministic/main.go", "nodeapp-deterministic/app.js"] {
            let to = root.join("examples").join(app);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(examples.join(app), to).unwrap();
        }
        std::fs::write(root.join("hosts"), format!("127.0.0.1 localhost\n::1 localhost\n{hosts}\n")).unwrap();
        std::fs::create_dir(root.join("home")).unwrap();
        for mine in [root, &root.join("home")] {
            std::fs::set_permissions(mine, std::fs::Permissions::from_mode(0o755)).unwrap();
            chown(mine, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        desk
    }

    /// Types a line into a new terminal.
    fn terminal(&self, line: &str) -> Terminal {
        let mut words = self.netns.prefix();
        words.extend(["unshare", "--mount", "sh", "-c", LOGIN, "sh"].map(str::to_owned));
        words.extend([self.place.path().to_str().unwrap().to_owned(), line.to_owned()]);
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Terminal { child, stdout, stderr }
    }

    /// The same, and waits for its end.
    fn run(&self, line: &str) -> String {
        let (code, said, errors) = self.terminal(line).wait();
        assert_eq!(code, 0, "{line}: {errors}");
        said
    }
}

impl Terminal {
    /// Ctrl-C: a terminal tells all that run in it.
    fn interrupt(self) -> (i32, String, String) {
        killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        self.wait()
    }

    fn wait(mut self) -> (i32, String, String) {
        let mut status = None;
        eventually("a command ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        let [said, errors] = [&self.stdout, &self.stderr].map(|it| String::from_utf8(it.all()).unwrap());
        (code, said, errors)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The recipe: three terminals, one request, the proxies ended, and what is then in the folder.
fn follow(desk: &Desk, app: &str, port: &str, answer: &str) -> Recording {
    let proxy = desk.terminal(PROXY);
    assert!(proxy.stderr.line("infernosim: capturing").contains("127.0.0.1:9000"));
    let app = desk.terminal(app);
    app.stdout.line(if port == "8084" {
        "goapp-deterministic: listening"
    } else {
        "nodeapp-deterministic: listening"
    });
    let inbound = desk.terminal(&INBOUND.replace("PORT", port));
    inbound.stderr.line("infernosim: capturing");
    assert_eq!(desk.run(CURL), answer);
    for ours in [inbound, proxy] {
        let (code, said, errors) = ours.interrupt();
        assert_eq!((code, said.as_str()), (0, ""), "{errors}");
        assert!(errors.contains("next: infernosim inspect"), "{errors}");
    }
    drop(app);
    let recording = Recording::read(desk.place.path());
    recording.assert_whole();
    let kinds: Vec<&str> = recording.events.iter().map(|event| text(&event["type"])).collect();
    assert_eq!(kinds, ["InboundRequest", "OutboundCall", "InboundResponse"], "{:#?}", recording.events);
    let [request, call, response] = [0, 1, 2].map(|at| &recording.events[at]);
    assert_eq!(text(&request["url"]), "http://localhost:18080/api/demo");
    assert_eq!(text(&request["service"]), format!("localhost:{port}"));
    assert_eq!((response["status"].as_u64(), text(&response["body"])), (Some(200), answer));
    assert_eq!(response["traceId"], request["id"]);
    assert_eq!((text(&call["method"]), text(&call["url"])), ("GET", TIME));
    assert_eq!(text(&call["service"]), "worldtimeapi.org");
    let shown = desk.run("./infernosim inspect .");
    let [inbound, outbound] =
        ["/api/demo", "/api/timezone/Etc/UTC"].map(|path| shown.find(path).expect(&shown));
    assert!(inbound < outbound, "{shown}");
    recording
}

/// With somebody who answers for worldtimeapi.org.
fn with_the_time(app: &str, port: &str, answer: &str) {
    let desk = Desk::new("127.0.0.1 worldtimeapi.org");
    let origin = Origin::at(&desk.netns, 80);
    let recording = follow(&desk, app, port, answer);
    let call = recording.calls()[0];
    assert_eq!((call["status"].as_u64(), text(&call["peer"])), (Some(200), "127.0.0.1:80"), "{call:#}");
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path(), "/api/timezone/Etc/UTC");
    assert!(seen[0].fields().contains(&("Host", "worldtimeapi.org")), "{}", seen[0].head);
}

/// With nobody: there is no such name here.
fn without_the_time(app: &str, port: &str, answer: &str) {
    let recording = follow(&Desk::new(""), app, port, answer);
    let call = recording.calls()[0];
    assert_eq!(call["status"], 502, "{call:#}");
    assert!(text(&call["error"]).contains("worldtimeapi.org"), "{call:#}");
    assert_eq!(recording.manifest["dependencies"][0]["failed"], 1, "{:#}", recording.manifest);
}

#[test]
fn go() {
    with_the_time(GO, "8084", "deterministic-go: ok\n");
}

#[test]
fn go_without_the_dependency() {
    without_the_time(GO, "8084", "deterministic-go: ok\n");
}

#[test]
fn node() {
    with_the_time(NODE, "8083", "deterministic-node: ok\n");
}

#[test]
fn node_without_the_dependency() {
    without_the_time(NODE, "8083", "deterministic-node: ok\n");
}

/// Through sudo: the files are the caller's, whose folder it is.
#[test]
fn as_root_the_files_are_those_of_who_called_sudo() {
    use std::os::unix::fs::MetadataExt as _;
    let desk = Desk::new("");
    let origin = Origin::at(&desk.netns, 80);
    let root = desk.place.path();
    let mut words = desk.netns.prefix();
    words.extend([INFERNOSIM, "proxy", "--log", "outbound.log"].map(str::to_owned));
    let mut command = Command::new(program(&words[0]));
    command.args(&words[1..]).current_dir(root).env("SUDO_UID", "65534").env("SUDO_GID", "65534");
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let stderr = Output::of(child.stderr.take().unwrap());
    let proxy = Terminal { stdout: Output::of(child.stdout.take().unwrap()), stderr, child };
    proxy.stderr.line("infernosim: capturing");
    let header = "-H 'Authorization: Bearer x'";
    desk.run(&format!("curl -sS {header} -x localhost:9000 http://127.0.0.1/bytes/100000 -o /dev/null"));
    assert_eq!(origin.seen().len(), 1);
    assert_eq!(proxy.interrupt().0, 0);
    let mut files = vec![root.join("bodies")];
    files.extend(std::fs::read_dir(root.join("bodies")).unwrap().map(|entry| entry.unwrap().path()));
    files.extend(["outbound.log", "incident.json", "secrets.json"].map(|name| root.join(name)));
    assert_eq!(files.len(), 5);
    for file in files {
        let found = std::fs::metadata(&file).unwrap();
        assert_eq!((found.uid(), found.gid()), (NOBODY, NOBODY), "{}", file.display());
        let mode = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.mode() & 0o777, mode, "{}", file.display());
    }
}

/// Another host is served only where it is allowed, whatever it asks for.
#[test]
fn another_host_needs_to_be_allowed() {
    let (desk, lab) = (Desk::new(""), crate::harness::Lab::new());
    let origin = Origin::at(&lab.server, 0);
    let place = desk.place.path();
    for (allow, is_served) in [("10.99.0.0/16", false), ("10.77.0.0/24,fd77::/64", true)] {
        let mut words = lab.server.prefix();
        let ours = [INFERNOSIM, "proxy", "--listen", "[::]:9000", "--allow", allow, "--log", "/dev/null"];
        words.extend(ours.map(str::to_owned));
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).current_dir(place).process_group(0);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stderr = Output::of(child.stderr.take().unwrap());
        let proxy = Terminal { stdout: Output::of(child.stdout.take().unwrap()), stderr, child };
        proxy.stderr.line("infernosim: capturing");
        for at in ["10.77.0.2:9000", "[fd77::2]:9000"] {
            let url = format!("http://10.77.0.2:{}/n/1", origin.port());
            let mut words = lab.client.prefix();
            words.extend(["curl", "-sS", "-g", "-w", "%{http_code}", "-x", at, &url].map(str::to_owned));
            let output = Command::new(program(&words[0])).args(&words[1..]).env_clear().output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said.ends_with("200"), is_served, "{at} {allow}: {said}");
            assert_eq!(said.ends_with("403"), !is_served, "{at} {allow}: {said}");
        }
        let said = proxy.interrupt().2;
        assert_eq!(said.contains("2 not allowed (403)"), !is_served, "{said}");
    }
    assert_eq!(origin.seen().len(), 2);
}
