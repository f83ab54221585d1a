//! What cannot be attached to: one sentence, the right status, and nothing left behind.

use crate::harness::{Capture, Cgroup, Finished, Service, program};

/// Refused, with what the user gave in the sentence and no incident.
fn refused(target: &[&str]) -> Finished {
    let finished = Capture::attached(target).run();
    let said = &finished.stderr;
    assert!([2, 3].contains(&finished.code), "{target:?}: {} {said}", finished.code);
    assert!(!finished.incident.exists(), "{target:?} left an incident");
    assert!(!said.contains("panicked") && said.lines().count() <= 4, "{target:?}: {said}");
    assert!(!said.contains("capturing into"), "{target:?}: {said}");
    let given = target[target.len() - 1];
    assert!(said.contains(given.rsplit('=').next().unwrap()), "{target:?} is not named: {said}");
    finished
}

#[test]
fn a_process_that_is_not_there() {
    // Above what pid_max may be (proc_sys_kernel(5): 2^22).
    refused(&["--pid", "4194999"]);
    refused(&["--pid", "0"]);
    let mut gone = std::process::Command::new(program("true")).spawn().unwrap();
    gone.wait().unwrap();
    refused(&["--pid", &gone.id().to_string()]);
    // Of two, the one that is not there.
    let service = Service::start();
    refused(&["--pid", &service.pid_text("main"), "--pid", "4194999"]);
}

#[test]
fn a_process_that_has_ended_and_is_not_waited_for() {
    let mut zombie = std::process::Command::new(program("true")).spawn().unwrap();
    let stat = format!("/proc/{}/stat", zombie.id());
    crate::harness::eventually("it is a zombie", || std::fs::read_to_string(&stat).unwrap().contains(") Z "));
    refused(&["--pid", &zombie.id().to_string()]);
    zombie.wait().unwrap();
}

#[test]
fn a_kernel_thread() {
    // kthreadd, the parent of them all.
    assert_eq!(
        std::fs::read_to_string("/proc/2/comm").unwrap(),
        "kthreadd\n",
        "the test needs the host's /proc"
    );
    refused(&["--pid", "2"]);
}

/// A thread's number is in /proc, too, but no process has it.
#[test]
fn a_thread_that_is_not_its_process() {
    let mut service = Service::start();
    // Now its threads have started.
    service.ask("main", "kept", "http://127.0.0.1:1/");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap();
    let names = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    let thread = names.into_iter().find(|name| *name != service.pid_text("main")).unwrap();
    let finished = refused(&["--pid", &thread]);
    assert!(
        finished.stderr.contains(&service.pid_text("main")),
        "its process is not named: {}",
        finished.stderr
    );
}

#[test]
fn numbers_that_are_none() {
    for number in ["-1", "x", "", "99999999999", "1.5"] {
        refused(&[&format!("--pid={number}")]);
    }
}

#[test]
fn targets_that_exclude_each_other() {
    let cgroup = Cgroup::new();
    let name = cgroup.name();
    for words in [
        &["--pid", "1", "--cgroup", &name][..],
        &["--pid", "1", "--", "true"],
        &["--cgroup", &name, "--", "true"],
        &[],
    ] {
        let finished = Capture::attached(words).run();
        assert_eq!(finished.code, 2, "{words:?}: {}", finished.stderr);
        assert!(!finished.incident.exists());
    }
}

#[test]
fn a_cgroup_that_is_not_there_or_is_none() {
    let cgroup = Cgroup::new();
    let (near, plain) = (format!("{}x", cgroup.name()), format!("{}/cgroup.procs", cgroup.name()));
    let outside = tempfile::tempdir().unwrap();
    for path in ["/no/such/cgroup-at-all", &near, &plain, outside.path().to_str().unwrap()] {
        refused(&["--cgroup", path]);
    }
}

/// It has nothing to do with which processes there are.
#[test]
fn an_incident_that_is_there_already() {
    let service = Service::start();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("outbound.log"), "kept\n").unwrap();
    let finished = Capture::attached(&["--pid", &service.pid_text("main")]).into(place.path()).run();
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert_eq!(std::fs::read_to_string(place.path().join("outbound.log")).unwrap(), "kept\n");
}

/// Nothing that the refused left keeps the next one from working.
#[test]
fn after_a_refusal_the_next_capture_works() {
    let mut service = Service::start();
    refused(&["--pid", "4194999"]);
    let origin = crate::harness::Origin::start();
    let capture = Capture::attached(&["--pid", &service.pid_text("main")]).start().ready();
    assert_eq!(service.ask("main", "ask", &origin.url("/works")).text, "/works");
    service.end();
    capture.wait_for_end().recording().assert_paths(&["/works"]);
}
