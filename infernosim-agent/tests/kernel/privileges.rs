//! What the running agent may still do, who can reach it, and whose its files are.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Capture, Lab, Origin, PYTHON, Recording, Running, Service, eventually, program};

/// linux/capability.h
const DAC_OVERRIDE: u64 = 1 << 1;
const KILL: u64 = 1 << 5;
const NET_ADMIN: u64 = 1 << 12;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;

/// The threads of a process: name, and what their status says.
fn threads(pid: u32) -> Vec<(String, BTreeMap<String, String>)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let read = |path: &Path| {
        let status = std::fs::read_to_string(path.join("status")).unwrap();
        let pairs = status.lines().filter_map(|line| line.split_once(":\t"));
        let status: BTreeMap<_, _> =
            pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        (status["Name"].clone(), status)
    };
    tasks.map(|task| read(&task.unwrap().path())).collect()
}

/// No thread may more than it must, from the ready line on; `main` is what the first one keeps.
fn assert_least_privilege(pid: u32, main: u64, relays: usize) {
    let mut threads = threads(pid);
    // Where nothing is redirected no namespace needs a listener.
    let once: &[&str] = match relays {
        0 => &["recorder", "writer", "heartbeat"],
        _ => &["recorder", "writer", "heartbeat", "namespaces"],
    };
    // A new thread has its parent's name until it gives itself one.
    crate::harness::eventually("each thread has its name", || {
        threads = self::threads(pid);
        once.iter().all(|name| threads.iter().filter(|(it, _)| it == name).count() == 1)
    });
    let names: Vec<&str> = threads.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().filter(|name| name.starts_with("relay-")).count() >= relays, "{names:?}");
    for (name, status) in threads {
        assert_eq!(status["NoNewPrivs"], "1", "{name}");
        let allowed = match name.as_str() {
            "infernosim" => main,
            "namespaces" => SYS_ADMIN | SYS_PTRACE | NET_ADMIN,
            _ => 0,
        };
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            let has = u64::from_str_radix(&status[set], 16).unwrap();
            assert_eq!(has & !allowed, 0, "{name}: {set} {has:#x}, allowed {allowed:#x}");
        }
    }
}

#[test]
fn attached_no_thread_has_privileges_that_it_does_not_need() {
    let service = Service::start();
    let capture = attached(&service);
    assert_least_privilege(capture.pid(), 0, 1);
    let target = ["--pid", &service.pid_text("main")];
    let capture = Capture::attached(&target).option(&["--via", "tap"]).start().ready();
    assert_least_privilege(capture.pid(), 0, 0);
}

#[test]
fn launched_no_thread_has_privileges_that_it_does_not_need() {
    let capture = Capture::of(&["sleep", "60"]).start().ready();
    // CMD may be another user's: it is sent signals, and its cgroup is removed.
    assert_least_privilege(capture.pid(), KILL | DAC_OVERRIDE, 1);
    capture.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(capture.wait_for_end().code, 143);
}

/// Threads that are started later, for another namespace, are no different, and they work.
#[test]
fn threads_for_other_namespaces_have_none_either() {
    let lab = Lab::new();
    let origin = Origin::within(&lab.server);
    let mut shell = Service::run(
        &[],
        &["sh", "-c", "echo READY main=$$; while read line; do eval \"$line\"; echo DONE; done"],
    );
    let capture = attached(&shell);
    let url = format!("http://10.77.0.2:{}/inside", origin.port());
    let command =
        format!("ip netns exec {} sh -c 'curl -sS -o /dev/null {url}; sleep 2' &", lab.client.name());
    shell.line(&command, "DONE");
    eventually("the call is made", || origin.seen().len() == 1);
    eventually("the thread that was started for it may gain no privilege", || {
        threads(capture.pid()).iter().all(|(_, status)| status["NoNewPrivs"] == "1")
    });
    assert_least_privilege(capture.pid(), 0, 2);
    shell.end();
    capture.wait_for_end().recording().assert_paths(&["/inside"]);
}

fn attached(service: &Service) -> Running {
    Capture::attached(&["--pid", &service.pid_text("main")]).start().ready()
}

/// Where a process listens: TCP, in this thread's network namespace.
fn listeners(pid: u32) -> Vec<SocketAddr> {
    let output = std::process::Command::new(program("ss")).args(["-Hltnp"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let own = text.lines().filter(|line| line.contains(&format!("pid={pid},")));
    own.map(|line| line.split_whitespace().nth(3).unwrap().parse().unwrap()).collect()
}

#[test]
fn it_listens_on_loopback_only() {
    let lab = Lab::new();
    let prefix = lab.client.prefix();
    let service = Service::through(&prefix.iter().map(String::as_str).collect::<Vec<_>>());
    let capture = attached(&service);
    let pid = capture.pid();
    for listeners in [listeners(pid), lab.client.enter(move || listeners(pid))] {
        assert_eq!(listeners.len(), 2, "{listeners:?}");
        assert!(listeners.iter().all(|addr| addr.ip().is_loopback()), "{listeners:?}");
    }
    let others = std::process::Command::new(program("ss")).args(["-Hlunxp"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&others.stdout).contains(&format!("pid={pid},")), "UDP or UNIX sockets");
}

/// Anybody on the host can connect to loopback.
#[test]
fn a_stranger_at_the_proxys_port_is_reset_and_not_recorded() {
    let origin = Origin::start();
    let mut service = Service::start();
    let capture = attached(&service);
    for addr in listeners(capture.pid()) {
        for words in
            [&b""[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n"]
        {
            let mut stream = TcpStream::connect(addr).unwrap();
            let mut answer = Vec::new();
            // Whichever call comes first after the reset tells of it, and only that.
            let told = stream.write_all(words).and_then(|()| stream.read_to_end(&mut answer));
            let kind = told.expect_err("a stranger was not reset").kind();
            assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&kind), "{kind:?}");
            assert!(answer.is_empty(), "{answer:?}");
        }
    }
    assert_eq!(service.ask("main", "ask", &origin.url("/works")).text, "/works");
    service.end();
    let recording = capture.wait_for_end().recording();
    recording.assert_paths(&["/works"]);
    assert_eq!(recording.events.len(), 1, "{:#?}", recording.events);
}

/// Also the target itself, to which the port is one as any other.
#[test]
fn the_target_that_connects_to_the_proxys_port_makes_no_loop() {
    let mut service = Service::start();
    let capture = attached(&service);
    let addr = listeners(capture.pid())[0];
    let said = service.ask("main", "ask", &format!("http://{addr}/")).text;
    assert!(said.starts_with("ConnectionResetError"), "{said}");
    service.end();
    assert_eq!(capture.wait_for_end().recording().calls().len(), 0);
}

/// What a process has open; a descriptor that is closed while we look is passed over.
fn open_files(pid: u32) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name(), std::fs::read_link(entry.path()).ok()?)));
    named.map(|(name, file)| (name.to_string_lossy().into_owned(), file.display().to_string())).collect()
}

#[test]
fn nobody_has_a_descriptor_of_ours() {
    let capture = Capture::of(&["sleep", "60"]).start().ready();
    let target = capture.target_pid();
    eventually("CMD runs", || std::fs::read_to_string(format!("/proc/{target}/comm")).unwrap() == "sleep\n");
    // What the runner of these tests leaves open is everybody's.
    let mut command = std::process::Command::new(program("sleep"));
    command.arg("60").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut native = command.spawn().unwrap();
    // Libraries are open for a moment.
    eventually("CMD has what it would have without us", || {
        open_files(target).keys().eq(open_files(native.id()).keys())
    });
    let _ = (native.kill(), native.wait());
    let files = open_files(target);
    assert!(["0", "1", "2"].iter().all(|number| files[*number].starts_with("pipe:")), "{files:?}");
    // The other way round: we hold none of the target's but its standard streams, which were given to us first.
    let service = Service::start();
    let before = open_files(service.pid());
    let attached = attached(&service);
    assert_eq!(before, open_files(service.pid()));
    drop(attached);
    capture.signal(nix::sys::signal::Signal::SIGTERM);
    capture.wait_for_end();
}

/// A user that every Debian has; its numbers are fixed by policy.
const NOBODY: (u32, u32) = (65534, 65534);

fn assert_owned(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), NOBODY, "{}", path.display());
    let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(metadata.mode() & 0o7777, mode, "{}", path.display());
    if metadata.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| assert_owned(&entry.unwrap().path()));
    }
}

/// The real sudo, called by nobody, whom a sudoers file of this mount namespace allows it.
const SUDO: &str = r#"
printf 'nobody ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults !requiretty\n' > "$PWD/sudoers" && chmod 440 "$PWD/sudoers" &&
mount --bind "$PWD/sudoers" /etc/sudoers && exec setpriv --reuid=65534 --regid=65534 --clear-groups sudo -n "$@"
"#;

#[test]
fn through_the_real_sudo_the_incident_belongs_to_the_caller() {
    let origin = Origin::start();
    let mut service = Service::run(
        &[],
        &[
            PYTHON,
            "-c",
            "import os, sys, subprocess\nprint(f'READY main={os.getpid()}', flush=True)\nfor line in sys.stdin:\n  print('GOT', len(subprocess.run(['curl', '-sS', line.strip()], stdout=-1).stdout), flush=True)",
        ],
    );
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (unshare, incident) = (program("unshare"), place.path().join("incident"));
    let capture = Capture::attached(&["--pid", &service.pid_text("main")])
        .through(&[unshare.to_str().unwrap(), "--mount", "sh", "-c", SUDO, "sh"])
        .into(&incident)
        .start()
        .ready();
    // Long enough for a file of its own.
    assert_eq!(service.line(&origin.url("/bytes/100000"), "GOT"), "GOT 100000");
    // While it runs, too.
    assert_owned(&incident);
    service.end();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = Recording::read(&incident);
    recording.assert_whole();
    assert_eq!(recording.body_files().len(), 1);
    assert_owned(&incident);
}
