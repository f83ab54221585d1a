//! `--cgroup`: everything in it and below, whoever joins, until it is empty.

use crate::harness::{Capture, Cgroup, Finished, Origin, Running, Service, cgroup_mount, membership};

fn attached(options: &[&str]) -> Running {
    Capture::attached(options).start().ready()
}

/// A service that lives in there.
fn inside(cgroup: &Cgroup) -> Service {
    let prefix = cgroup.prefix();
    Service::through(&prefix.iter().map(String::as_str).collect::<Vec<_>>())
}

fn assert_paths(finished: &Finished, paths: &[&str]) {
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.recording().assert_paths(paths);
}

fn ask(service: &mut Service, origin: &Origin, who: &str, verb: &str, path: &str) {
    assert_eq!(service.ask(who, verb, &origin.url(path)).text, path, "{who} {verb}");
}

#[test]
fn everything_in_it_and_below_is_captured_and_nothing_beside_it() {
    let (origin, cgroup, sibling) = (Origin::start(), Cgroup::new(), Cgroup::new());
    let below = cgroup.inner("a");
    let deep = below.inner("b");
    let services = [&cgroup, &below, &deep].map(inside);
    let (mut beside, mut above) = (inside(&sibling), Service::start());
    let pids: Vec<u32> = services.iter().map(Service::pid).collect();
    let before: Vec<String> = pids.iter().map(|pid| membership(*pid)).collect();
    assert!(before[2].contains("/a/b\n"), "the test is wrong: {before:?}");
    let capture = attached(&["--cgroup", &cgroup.name()]);
    let mut paths = Vec::new();
    let mut services = services;
    for (depth, service) in services.iter_mut().enumerate() {
        for (who, verb) in [("main", "ask"), ("child", "fork"), ("grandchild", "curl"), ("daemon", "kept")] {
            paths.push(format!("/{depth}/{who}"));
            ask(service, &origin, who, verb, &paths[paths.len() - 1]);
            ask(&mut beside, &origin, who, verb, "/beside");
            ask(&mut above, &origin, who, verb, "/above");
        }
    }
    assert_eq!(before, pids.iter().map(|pid| membership(*pid)).collect::<Vec<_>>(), "somebody was moved");
    services.iter_mut().for_each(Service::end);
    assert_paths(&capture.wait_for_end(), &paths.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A process joins and leaves; a cgroup is made, and one is removed.
#[test]
fn what_joins_later_is_captured_and_what_leaves_is_not() {
    let (origin, cgroup, elsewhere) = (Origin::start(), Cgroup::new(), Cgroup::new());
    let mut resident = inside(&cgroup);
    let mut guest = Service::start();
    let capture = attached(&["--cgroup", &cgroup.name()]);
    ask(&mut guest, &origin, "main", "ask", "/outside");
    cgroup.add(guest.pid());
    ask(&mut guest, &origin, "main", "ask", "/joined");
    ask(&mut guest, &origin, "main", "fork", "/joined/child");
    // Only that process was moved.
    ask(&mut guest, &origin, "child", "ask", "/outside");
    let later = cgroup.inner("later");
    later.add(guest.pid());
    ask(&mut guest, &origin, "main", "curl", "/later");
    elsewhere.add(guest.pid());
    ask(&mut guest, &origin, "main", "ask", "/outside");
    drop(later);
    ask(&mut resident, &origin, "daemon", "ask", "/resident");
    resident.end();
    assert_paths(&capture.wait_for_end(), &["/joined", "/joined/child", "/later", "/resident"]);
}

/// As a unit that is started after its capture.
#[test]
fn an_empty_one_is_waited_for() {
    let (origin, cgroup) = (Origin::start(), Cgroup::new());
    let capture = attached(&["--cgroup", &cgroup.name()]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut service = inside(&cgroup);
    ask(&mut service, &origin, "main", "ask", "/1");
    service.end();
    assert_paths(&capture.wait_for_end(), &["/1"]);
}

/// Then nothing can ever be in it any more.
#[test]
fn one_that_is_removed_ends_the_capture() {
    let cgroup = Cgroup::new();
    let capture = attached(&["--cgroup", &cgroup.name()]);
    drop(cgroup);
    let finished = capture.wait_for_end();
    assert_paths(&finished, &[]);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

/// Two, of which one contains the other or not, are one target, and what is in both is recorded once.
#[test]
fn several_are_one_incident() {
    let (origin, cgroup, other) = (Origin::start(), Cgroup::new(), Cgroup::new());
    let below = cgroup.inner("below");
    let mut services = [&cgroup, &below, &other].map(inside);
    let names = [&cgroup, &below, &other].map(Cgroup::name);
    let capture = attached(&["--cgroup", &names[1], "--cgroup", &names[0], "--cgroup", &names[2]]);
    for (number, service) in services.iter_mut().enumerate() {
        ask(service, &origin, "child", "fork", &format!("/{number}"));
    }
    services[0].end();
    services[1].end();
    ask(&mut services[2], &origin, "main", "ask", "/last");
    services[2].end();
    assert_paths(&capture.wait_for_end(), &["/0", "/1", "/2", "/last"]);
}

/// All names of the same cgroup.
#[test]
fn it_is_named_from_the_root_or_by_its_directory() {
    let (origin, cgroup) = (Origin::start(), Cgroup::new());
    let name = cgroup.name();
    let directory = cgroup_mount().join(&name[1..]).display().to_string();
    assert_eq!(directory, cgroup.path().display().to_string());
    for given in [&name, &name[1..], &directory, &format!("{name}/")] {
        let mut service = inside(&cgroup);
        let capture = attached(&["--cgroup", given]);
        ask(&mut service, &origin, "main", "ask", "/named");
        service.end();
        assert_paths(&capture.wait_for_end(), &["/named"]);
    }
}

/// `--duration` ends it while the target goes on.
#[test]
fn it_ends_after_its_time_and_the_target_goes_on() {
    let (origin, cgroup) = (Origin::start(), Cgroup::new());
    let mut service = inside(&cgroup);
    let capture = attached(&["--cgroup", &cgroup.name(), "--duration", "1s"]);
    ask(&mut service, &origin, "main", "ask", "/1");
    assert_paths(&capture.wait_for_end(), &["/1"]);
    ask(&mut service, &origin, "main", "ask", "/2");
    service.end();
}
