//! `--pid`: a service that runs already is captured from the ready line on, by process, and notices nothing.

use crate::harness::{Capture, Origin, PYTHON, PidNs, Running, Service, membership};
use crate::harness::{is_alive, long, text};

/// Ways in which a process of [`Service`] asks, itself or through a process that it makes.
const VERBS: [&str; 7] = ["ask", "kept", "thread", "fork", "fork-twice", "daemon", "curl"];

fn attached(pids: &[&str]) -> Running {
    let options: Vec<&str> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    Capture::attached(&options).start().ready()
}

/// Asks, and checks the answer; gives who asked.
fn ask(service: &mut Service, origin: &Origin, who: &str, verb: &str, path: &str) -> u32 {
    let said = service.ask(who, verb, &origin.url(path));
    assert_eq!(said.text, path, "{who} {verb}");
    said.pid
}

#[test]
fn every_process_of_a_running_service_is_captured_and_nobody_else() {
    let origin = Origin::start();
    let (mut service, mut stranger) = (Service::start(), Service::start());
    let pids: Vec<u32> = service.pids.values().copied().collect();
    let before: Vec<String> = pids.iter().map(|pid| membership(*pid)).collect();
    assert_eq!(membership(stranger.pid()), membership(service.pid()), "the test needs one cgroup");
    // What was before is not missed.
    ask(&mut service, &origin, "main", "ask", "/before");
    let capture = attached(&[&service.pid_text("main")]);

    let mut asked = Vec::new();
    for who in ["main", "child", "grandchild"] {
        for verb in VERBS {
            let path = format!("/{who}/{verb}");
            asked.push((ask(&mut service, &origin, who, verb, &path), path));
            ask(&mut stranger, &origin, who, verb, &format!("/stranger/{who}/{verb}"));
        }
    }
    // It left its parents before: no child of theirs any more.
    ask(&mut service, &origin, "daemon", "ask", "/daemon");
    let after: Vec<String> = pids.iter().map(|pid| membership(*pid)).collect();
    assert_eq!(before, after, "somebody was moved");

    // The capture ends with the last process, by itself.
    service.end();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let recording = finished.recording();
    recording.assert_paths(&asked.iter().map(|(_, path)| path.as_str()).collect::<Vec<_>>());
    for (pid, path) in asked {
        let url = origin.url(&path);
        let call = recording.calls().into_iter().find(|call| text(&call["url"]) == url).unwrap().clone();
        assert_eq!((&call["pid"], text(&call["peer"])), (&pid.into(), &*origin.addr.to_string()), "{call:#}");
        assert!(call.get("ownPid").is_none(), "{call:#}");
    }
    assert_eq!(
        recording.manifest["target"]["pids"],
        serde_json::json!([pids[3]]),
        "{:#}",
        recording.manifest
    );
}

/// Execution keeps the process, also from a thread that is not its first, and so does the end of the first.
#[test]
fn processes_that_execute_or_lose_their_first_thread_stay_captured() {
    let origin = Origin::start();
    for verb in ["become", "become-from-thread", "headless"] {
        let mut service = Service::start();
        let capture = attached(&[&service.pid_text("main")]);
        let child = service.pids["child"];
        assert_eq!(ask(&mut service, &origin, "child", verb, "/changed"), child, "{verb}");
        assert_eq!(ask(&mut service, &origin, "main", verb, "/main"), service.pids["main"], "{verb}");
        service.end();
        capture.wait_for_end().recording().assert_paths(&["/changed", "/main"]);
    }
}

/// As Go's runtime or pthread_exit(3) in main may leave it: the process's number is that of a thread that has ended.
#[test]
fn a_process_that_has_lost_its_first_thread_before_is_captured() {
    let script = r#"
import ctypes, os, sys, threading, time, urllib.request
def rest():
    while not open(f"/proc/{os.getpid()}/stat").read().rpartition(") ")[2].startswith("Z"):
        time.sleep(0.01)
    print(f"READY main={os.getpid()}", flush=True)
    for line in sys.stdin:
        print("GOT", urllib.request.urlopen(line.strip()).read().decode(), flush=True)
    os._exit(0)
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall(60, 0)
"#;
    let origin = Origin::start();
    let mut service = Service::run(&[], &[PYTHON, "-c", script]);
    let capture = attached(&[&service.pid_text("main")]);
    assert_eq!(service.line(&origin.url("/1"), "GOT"), "GOT /1");
    service.end();
    capture.wait_for_end().recording().assert_paths(&["/1"]);
}

#[test]
fn several_targets_are_one_incident() {
    let origin = Origin::start();
    let (mut one, mut other, mut third) = (Service::start(), Service::start(), Service::start());
    let capture = attached(&[&one.pid_text("main"), &one.pid_text("daemon"), &other.pid_text("grandchild")]);
    ask(&mut one, &origin, "child", "ask", "/child");
    ask(&mut one, &origin, "daemon", "fork", "/daemon");
    ask(&mut other, &origin, "grandchild", "curl", "/grandchild");
    // Parents of a target are none.
    ask(&mut other, &origin, "main", "ask", "/not");
    ask(&mut other, &origin, "child", "ask", "/not");
    ask(&mut third, &origin, "main", "fork", "/not");
    one.end();
    ask(&mut other, &origin, "grandchild", "ask", "/still");
    other.end();
    let recording = capture.wait_for_end().recording();
    recording.assert_paths(&["/child", "/daemon", "/grandchild", "/still"]);
}

/// Named twice, or with its own child, a process is one target.
#[test]
fn a_target_named_twice_is_recorded_once() {
    let origin = Origin::start();
    let mut service = Service::start();
    let main = service.pid_text("main");
    let capture = attached(&[&main, &service.pid_text("child"), &main]);
    ask(&mut service, &origin, "child", "ask", "/child");
    ask(&mut service, &origin, "main", "ask", "/main");
    service.end();
    capture.wait_for_end().recording().assert_paths(&["/child", "/main"]);
}

/// It is attached in the middle of a storm of forks, executions and connections.
#[test]
fn nothing_that_begins_after_the_ready_line_is_missed() {
    let counts =
        |line: &str| -> Vec<u64> { line.split(' ').skip(1).map(|count| count.parse().unwrap()).collect() };
    for _ in 0..if long() { 20 } else { 3 } {
        let origin = Origin::start();
        let mut storm = Service::storm(&origin.url(""), &["fork", "loop", "exec", "fork"]);
        let capture = attached(&[&storm.pid_text("main")]);
        let mark = counts(&storm.line("mark", "MARK"));
        crate::harness::eventually("the storm goes on", || {
            let now = counts(&storm.line("mark", "MARK"));
            now.iter().zip(&mark).all(|(now, mark)| *now > mark + 20)
        });
        let end = counts(&storm.line("stop", "STOPPED"));
        assert_eq!(storm.line("", "FAILED"), "FAILED 0");
        storm.end();
        let finished = capture.wait_for_end();
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let paths = finished.recording().paths();
        for (worker, (mark, end)) in mark.iter().zip(end).enumerate() {
            for number in *mark..end {
                let path = format!("/{worker}/{number}");
                assert_eq!(paths.get(&path), Some(&1), "{path} of {mark}..{end}");
            }
        }
        assert!(paths.values().all(|count| *count == 1), "recorded twice: {paths:?}");
    }
}

/// The named process may go: its children are the target still.
#[test]
fn the_capture_ends_with_the_last_process_not_with_the_first() {
    let script = r#"
import os, subprocess, sys
print(f"READY main={os.getpid()}", flush=True)
reading, writing = os.pipe()
sys.stdin.readline()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)
    subprocess.run(["curl", "-sS", "-o", "/dev/null", sys.argv[1]])
    sys.stdin.readline()
    subprocess.run(["curl", "-sS", "-o", "/dev/null", sys.argv[2]])
"#;
    let origin = Origin::start();
    let mut service =
        Service::run(&[], &[PYTHON, "-c", script, &origin.url("/orphan"), &origin.url("/late")]);
    let capture = attached(&[&service.pid_text("main")]);
    service.say("go");
    crate::harness::eventually("the child asks", || origin.seen().len() == 1);
    assert!(!is_alive(service.pid()), "the test is wrong");
    std::thread::sleep(std::time::Duration::from_millis(500));
    service.say("on");
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.recording().assert_paths(&["/orphan", "/late"]);
}

/// A process that gets the number of one of the target's that has ended is a stranger.
#[test]
fn a_number_that_is_used_again_is_not_the_targets() {
    // clone3 (linux/sched.h) with set_tid makes a child of this very number.
    let script = r#"
import ctypes, os, struct, sys, subprocess
libc = ctypes.CDLL(None, use_errno=True)
number = ctypes.c_int32(int(sys.argv[1]))
arguments = struct.pack("8Q", 0, 0, 0, 0, 17, 0, 0, 0) + struct.pack("3Q", ctypes.addressof(number), 1, 0)
pid = libc.syscall(435, arguments, len(arguments))
if pid == 0:
    os.execvp("curl", ["curl", "-sS", sys.argv[2]])
assert pid == number.value, (pid, ctypes.get_errno())
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"#;
    let origin = Origin::start();
    let mut service = Service::start();
    let capture = attached(&[&service.pid_text("main")]);
    let mut paths = Vec::new();
    let verbs = ["fork", "fork-twice", "curl", "daemon"].iter().cycle();
    for (number, verb) in verbs.take(if long() { 60 } else { 8 }).enumerate() {
        let path = format!("/target/{number}");
        let pid = ask(&mut service, &origin, "main", verb, &path);
        paths.push(path);
        crate::harness::eventually("the number is free", || {
            !std::path::Path::new(&format!("/proc/{pid}")).exists()
        });
        let words = [PYTHON, "-c", script, &pid.to_string(), &origin.url("/stranger")];
        let output = std::process::Command::new(words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    service.end();
    let finished = capture.wait_for_end();
    finished.recording().assert_paths(&paths.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn in_a_pid_namespace_numbers_are_those_seen_there() {
    let origin = Origin::start();
    let namespace = PidNs::new();
    let prefix = namespace.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let (mut service, mut stranger) = (Service::through(&prefix), Service::through(&prefix));
    assert!(service.pids["main"] < 1000, "the test is wrong: {:?}", service.pids);
    let capture = Capture::attached(&["--pid", &service.pid_text("main")]).through(&prefix).start().ready();
    let mut paths = Vec::new();
    for who in ["main", "child", "grandchild"] {
        for verb in VERBS {
            paths.push(format!("/{who}/{verb}"));
            ask(&mut service, &origin, who, verb, &paths[paths.len() - 1]);
            ask(&mut stranger, &origin, who, verb, "/stranger");
        }
    }
    service.end();
    let finished = capture.wait_for_end();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.recording().assert_paths(&paths.iter().map(String::as_str).collect::<Vec<_>>());
}

/// From outside, a process in a pid namespace has two numbers.
#[test]
fn a_target_in_an_inner_pid_namespace_is_recorded_with_both_its_numbers() {
    let origin = Origin::start();
    let namespace = PidNs::new();
    let prefix = namespace.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let mut service = Service::through(&prefix);
    // nsenter has forked.
    let capture = attached(&[&service.pid().to_string()]);
    let mut own = Vec::new();
    for (who, verb) in [("main", "ask"), ("main", "kept"), ("child", "ask"), ("child", "fork")] {
        own.push(ask(&mut service, &origin, who, verb, &format!("/{who}/{verb}")));
    }
    service.end();
    let finished = capture.wait_for_end();
    let recording = finished.recording();
    recording.assert_paths(&["/main/ask", "/main/kept", "/child/ask", "/child/fork"]);
    let calls = recording.calls();
    for (call, own) in calls.iter().zip(own) {
        assert_eq!(call["ownPid"], own, "{call:#}");
        assert_ne!(call["pid"], call["ownPid"], "{call:#}");
    }
    // The host's numbers belong together, too; a thread has another in both.
    assert_eq!(calls[0]["pid"], calls[1]["pid"]);
    assert_eq!((&calls[0]["tid"], &calls[0]["ownTid"]), (&calls[0]["pid"], &calls[0]["ownPid"]));
    assert_ne!(calls[1]["tid"], calls[1]["pid"]);
    assert_ne!(calls[1]["ownTid"], calls[1]["ownPid"]);
    assert_ne!(calls[1]["ownTid"], calls[1]["tid"]);
}
