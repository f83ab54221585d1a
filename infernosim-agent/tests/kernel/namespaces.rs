//! Targets in network namespaces of their own, as containers' are; those that appear later too.

use crate::harness::{
    Capture, Cgroup, Lab, Netns, Origin, Recording, Running, Service, eventually, text, threads,
};

/// A shell that does what it reads.
const SHELL: [&str; 3] =
    ["sh", "-c", "echo READY main=$$; while read line; do eval \"$line\"; echo DONE; done"];

/// Where a service is and how it is named to the capture.
enum By {
    Pid,
    Cgroup,
}

/// A service in a namespace and its capture from outside.
fn captured(netns: &Netns, by: &By, cgroup: &Cgroup) -> (Service, Running) {
    let mut prefix = cgroup.prefix();
    prefix.extend(netns.prefix());
    let service = Service::through(&prefix.iter().map(String::as_str).collect::<Vec<_>>());
    let capture = match by {
        By::Pid => Capture::attached(&["--pid", &service.pid_text("main")]),
        By::Cgroup => Capture::attached(&["--cgroup", &cgroup.name()]),
    };
    (service, capture.start().ready())
}

fn refusals(recording: &Recording) -> Vec<String> {
    let connections = recording.of_type("Connection");
    connections.iter().map(|event| format!("{} {}", text(&event["peer"]), text(&event["errno"]))).collect()
}

/// Everything that a target does in the first namespace works in another.
#[test]
fn a_target_in_another_namespace_is_captured_by_pid() {
    everything_works(&By::Pid);
}

#[test]
fn a_target_in_another_namespace_is_captured_by_cgroup() {
    everything_works(&By::Cgroup);
}

fn everything_works(by: &By) {
    let (lab, cgroup) = (Lab::new(), Cgroup::new());
    let (remote, inner) = (Origin::within(&lab.server), Origin::within(&lab.client));
    let (mut service, capture) = captured(&lab.client, by, &cgroup);
    let bases = [
        (&remote, format!("http://10.77.0.2:{}", remote.port()), "10.77.0.1"),
        (&remote, format!("http://[fd77::2]:{}", remote.port()), "fd77::1"),
        (&inner, format!("http://127.0.0.1:{}", inner.port()), "127.0.0.1"),
        (&inner, format!("http://[::1]:{}", inner.port()), "::1"),
        (&inner, format!("http://10.77.0.1:{}", inner.port()), "10.77.0.1"),
    ];
    let mut paths = Vec::new();
    for (number, (origin, base, own)) in bases.iter().enumerate() {
        for verb in ["ask", "fork", "curl"] {
            let path = format!("/{number}/{verb}");
            // The service compares getpeername with what it asked for.
            assert_eq!(service.ask("child", verb, &format!("{base}{path}")).text, path, "{base}");
            let seen = origin.seen();
            let seen = seen.last().unwrap();
            assert_eq!((seen.path(), seen.peer.as_str()), (path.as_str(), *own), "{base}");
            paths.push(path);
        }
    }
    let mut refused = Vec::new();
    // Nobody listens on port 1, neither on the namespace's own addresses, where that must be native, nor beyond.
    for address in ["127.0.0.1", "[::1]", "10.77.0.1", "[fd77::1]"] {
        let said = service.ask("main", "ask", &format!("http://{address}:1/closed"));
        assert_eq!(said.text, "ConnectionRefusedError 111", "{address}");
        refused.push(format!("{address}:1 ECONNREFUSED"));
    }
    let beyond = service.ask("main", "ask", "http://10.77.0.2:1/closed").text;
    assert!(beyond.starts_with("Connection"), "{beyond}");
    refused.push("10.77.0.2:1 ECONNREFUSED".to_owned());
    service.end();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    recording.assert_paths(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(refusals(&recording), refused);
    assert_eq!(recording.unmediated("other-network-namespace"), 0, "{:#}", recording.manifest);
}

/// The same address is another server in each namespace.
#[test]
fn two_namespaces_with_the_same_addresses_are_kept_apart() {
    let cgroup = Cgroup::new();
    let labs = [Lab::new(), Lab::new()];
    // The same port in both, too.
    let origins = labs.each_ref().map(|lab| Origin::at(&lab.server, 7070));
    let prefix = cgroup.prefix();
    let mut services = labs.each_ref().map(|lab| {
        let prefix: Vec<String> = prefix.iter().cloned().chain(lab.client.prefix()).collect();
        Service::through(&prefix.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let capture = Capture::attached(&["--cgroup", &cgroup.name()]).start().ready();
    for number in 0..10 {
        for (which, service) in services.iter_mut().enumerate() {
            let path = format!("/{which}/{number}");
            assert_eq!(service.ask("main", "fork", &format!("http://10.77.0.2:7070{path}")).text, path);
        }
    }
    for (which, origin) in origins.iter().enumerate() {
        let seen = origin.seen();
        assert_eq!(seen.len(), 10);
        assert!(seen.iter().all(|seen| seen.path().starts_with(&format!("/{which}/"))), "crossed");
    }
    services.iter_mut().for_each(Service::end);
    let recording = capture.wait_for_end().recording();
    assert_eq!(recording.calls().len(), 20);
    assert!(recording.paths().values().all(|count| *count == 1));
}

/// The namespace is made after the attach, and the program in it connects once, as soon as it runs.
#[test]
fn the_first_connection_in_a_new_namespace_is_captured() {
    for by in [By::Pid, By::Cgroup] {
        let cgroup = Cgroup::new();
        let prefix = cgroup.prefix();
        let mut shell = Service::run(&prefix.iter().map(String::as_str).collect::<Vec<_>>(), &SHELL);
        let (pid, name) = (shell.pid_text("main"), cgroup.name());
        let options = match by {
            By::Pid => ["--pid", &pid],
            By::Cgroup => ["--cgroup", &name],
        };
        let capture = Capture::attached(&options).start().ready();
        let mut paths = Vec::new();
        for number in 0..if crate::harness::long() { 50 } else { 5 } {
            let lab = Lab::new();
            let origin = Origin::within(&lab.server);
            let path = format!("/{number}");
            let url = format!("http://10.77.0.2:{}{path}", origin.port());
            let command = format!("ip netns exec {} curl -sS -m 20 -o /dev/null {url}", lab.client.name());
            shell.line(&command, "DONE");
            assert_eq!(origin.seen().len(), 1, "{command}");
            paths.push(path);
        }
        shell.end();
        let finished = capture.wait_for_end();
        let recording = finished.recording();
        assert_eq!(recording.unmediated("other-network-namespace"), 0, "{}", finished.stderr);
        recording.assert_paths(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// As container runtimes do it: the namespace is entered first, and its loopback comes up afterwards.
#[test]
fn a_namespace_whose_loopback_comes_up_is_captured_from_then_on() {
    let cgroup = Cgroup::new();
    let lab = Lab::new();
    let origin = Origin::within(&lab.server);
    lab.client.ip("link set lo down");
    let prefix = cgroup.prefix();
    let mut shell = Service::run(&prefix.iter().map(String::as_str).collect::<Vec<_>>(), &SHELL);
    let capture = Capture::attached(&["--pid", &shell.pid_text("main")]).start().ready();
    let url = format!("http://10.77.0.2:{}", origin.port());
    let inside =
        format!("curl -sS -o /dev/null {url}/down; ip link set lo up; curl -sS -o /dev/null {url}/up");
    shell.line(&format!("ip netns exec {} sh -c '{inside}'", lab.client.name()), "DONE");
    assert_eq!(origin.seen().len(), 2);
    shell.end();
    let recording = capture.wait_for_end().recording();
    recording.assert_paths(&["/up"]);
    assert_eq!(recording.unmediated("other-network-namespace"), 1, "{:#}", recording.manifest);
}

#[test]
fn a_namespace_without_loopback_is_left_alone_counted_and_said() {
    for by in [By::Pid, By::Cgroup] {
        let (lab, cgroup) = (Lab::new(), Cgroup::new());
        let origin = Origin::within(&lab.server);
        lab.client.ip("link set lo down");
        let (mut service, capture) = captured(&lab.client, &by, &cgroup);
        for number in 0..3 {
            let url = format!("http://10.77.0.2:{}/{number}", origin.port());
            assert_eq!(service.ask("main", "fork", &url).text, format!("/{number}"));
        }
        let peers: Vec<String> = origin.seen().iter().map(|seen| seen.peer.clone()).collect();
        assert_eq!(peers, ["10.77.0.1"; 3]);
        service.end();
        let finished = capture.wait_for_end();
        let recording = finished.recording();
        recording.assert_paths(&[]);
        assert_eq!(recording.unmediated("other-network-namespace"), 3, "{:#}", recording.manifest);
        let said = finished.stderr.lines().find(|line| line.contains("left alone")).unwrap_or_default();
        assert!(said.contains("loopback") || said.contains("127.0.0.1"), "{}", finished.stderr);
        assert!(finished.stderr.contains("other-network-namespace 3"), "{}", finished.stderr);
    }
}

/// We hold sockets and threads in it, and let go of them when the last process has.
#[test]
fn a_namespace_that_is_removed_goes_away_while_the_capture_runs_on() {
    let (lab, cgroup) = (Lab::new(), Cgroup::new());
    let origin = Origin::within(&lab.server);
    let (mut service, capture) = captured(&lab.client, &By::Cgroup, &cgroup);
    // Somebody stays, in our own namespace.
    let prefix = cgroup.prefix();
    let mut other = Service::through(&prefix.iter().map(String::as_str).collect::<Vec<_>>());
    let url = format!("http://10.77.0.2:{}/inside", origin.port());
    assert_eq!(service.ask("main", "ask", &url).text, "/inside");
    let relays = || threads(capture.pid()).iter().filter(|(_, name)| name.starts_with("relay-")).count();
    let inside = relays();
    service.end();
    let Lab { client, server } = lab;
    assert!(server.has_link("cable"), "the test is wrong");
    drop(client);
    eventually("the namespace and its end of the cable go away", || !server.has_link("cable"));
    eventually("its relay ends", || relays() < inside);
    let here = Origin::start();
    assert_eq!(other.ask("main", "ask", &here.url("/here")).text, "/here");
    other.end();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.recording().assert_paths(&["/inside", "/here"]);
}
