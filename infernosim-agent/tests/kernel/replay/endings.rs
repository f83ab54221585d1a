//! Replays that end otherwise than with their last run, and targets that are not ours to start.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Shop, command};
use crate::harness::{Output, Replay, cgroup_mount, eventually, is_alive, program};

#[test]
fn an_interrupted_replay_tells_what_there_is_and_leaves_nobody() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let running = shop.replay("hang").option(&["--max-idle-time", "100s"]).start().ready();
    let log = shop.incident().join("target.log");
    eventually("the target is asked", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"))
    });
    running.signal(Signal::SIGINT);
    let replayed = running.finish();
    assert!(replayed.result.starts_with("REPLAY: INCONCLUSIVE\n"), "{}", replayed.all());
    assert_eq!(replayed.code, 4, "{}", replayed.all());
    let port = shop.variables.iter().find_map(|it| it.strip_prefix("PORT=")).unwrap().to_owned();
    let taken = shop.netns.enter(move || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    assert!(!taken, "the target outlived its replay");
}

/// Wherever it is: in a run, or between two; the run that was cut is no sign that the target differs from run to run.
#[test]
fn a_replay_that_is_interrupted_between_good_runs_is_inconclusive() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    for wait_ms in [0, 300, 650] {
        let running = shop.replay("").option(&["--runs", "50000"]).start().ready();
        let log = shop.incident().join("target.log");
        eventually("the target is there", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"))
        });
        std::thread::sleep(Duration::from_millis(wait_ms));
        running.signal(Signal::SIGINT);
        let replayed = running.finish();
        assert!(replayed.result.starts_with("REPLAY: INCONCLUSIVE\n"), "{wait_ms}: {}", replayed.all());
        assert_eq!(
            (replayed.code, &replayed.report["divergencesFound"]),
            (4, &0.into()),
            "{}",
            replayed.all()
        );
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn who_interrupts_a_later_run_learns_nothing_bad_of_the_target() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let running = shop.replay("").option(&["--runs", "1000", "--fresh"]).start().ready();
    let log = shop.incident().join("target.log");
    eventually("the third run begins", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("--- run 3"))
    });
    running.signal(Signal::SIGINT);
    let replayed = running.finish();
    assert!(replayed.result.starts_with("REPLAY: INCONCLUSIVE\n"), "{}", replayed.all());
    assert_eq!((replayed.code, &replayed.report["divergences"]), (4, &serde_json::json!([])));
    assert!(!shop.incident().join("volatile.toml").exists(), "not all runs had their say");
}

#[test]
fn a_replay_whose_terminal_is_full_keeps_its_report() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let replayed = shop
        .replay("")
        .option(&["--runs", "1", "--time-scale", "0"])
        .through(&["sh", "-c", "exec \"$@\" > /dev/full", "sh"])
        .run();
    assert_eq!(replayed.code, 3, "{}", replayed.all());
    assert!(replayed.stderr.contains("stdout cannot be written to"), "{}", replayed.all());
    assert!(replayed.result.starts_with("REPLAY: PASS\n"), "{}", replayed.all());
}

#[test]
fn where_the_cgroup_file_system_is_read_only_cmd_is_found_all_the_same() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let script = format!("mount -o remount,ro,bind {} && exec \"$@\"", cgroup_mount().display());
    let replayed = shop
        .replay("")
        .option(&["--runs", "2", "--fresh"])
        .through(&["unshare", "--mount", "sh", "-c", &script, "sh"])
        .run();
    replayed.assert_passed(2);
}

#[test]
fn a_running_service_is_replayed_against_and_goes_on() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let mut service = serve(&shop, "");
    let pid = service.id().to_string();
    let replayed =
        Replay::of(shop.incident()).option(&["--pid", &pid, "--runs", "3"]).within(&shop.netns).run();
    let alive = is_alive(service.id());
    kill(Pid::from_raw(service.id() as i32), Signal::SIGKILL).unwrap();
    service.wait().unwrap();
    replayed.assert_passed(3);
    assert!(alive, "a service that is not ours was ended");
}

/// Its processes are followed, and others live in their cgroup.
#[test]
fn a_running_service_that_is_killed_has_exited() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let mut service = serve(&shop, "hang");
    let pid = service.id().to_string();
    let running = Replay::of(shop.incident())
        .option(&["--pid", &pid, "--max-idle-time", "100s", "--max-wall-time", "100s"])
        .within(&shop.netns)
        .start()
        .ready();
    // It has asked for whatever it asks for before it hangs, or not yet: it is gone in any case.
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(service.id() as i32), Signal::SIGKILL).unwrap();
    service.wait().unwrap();
    let replayed = running.finish();
    let said = replayed.all();
    assert_eq!(replayed.code, 1, "{said}");
    assert!(said.contains("reason=target_exited") || said.contains("the target ended before"), "{said}");
}

/// The shop with this change, started by somebody else and listening.
fn serve(shop: &Shop, change: &str) -> Child {
    let mut words = shop.netns.prefix();
    words.extend(command(&shop.variables, change));
    let mut service =
        Command::new(program(&words[0])).args(&words[1..]).stdout(Stdio::piped()).spawn().unwrap();
    Output::of(service.stdout.take().unwrap()).line("listening on ");
    service
}

#[test]
fn a_target_whose_sockets_end_before_it_does_has_exited() {
    let shop = Shop::captured();
    let replayed = shop.replay("leave").option(&["--runs", "3", "--time-scale", "0"]).run();
    replayed.assert_diverged("inbound event index=1", "target_exited");
}

#[test]
fn a_replay_of_the_first_requests_has_all_its_runs_with_one_target() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let replayed = shop.replay("").option(&["--runs", "5", "--max-events", "2"]).run();
    replayed.assert_passed(5);
    let (_, untested) = replayed.result.split_once("WHAT THIS RUN DID NOT TEST\n").unwrap();
    assert!(untested.contains(" left out by --request or --max-events"), "{}", replayed.all());
    let log = fs::read_to_string(shop.incident().join("target.log")).unwrap();
    assert_eq!(log.matches("listening on").count(), 1, "it was started anew: {log}");
}

#[test]
fn through_sudo_a_report_goes_where_everybody_may_write() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let place = tempfile::TempDir::with_prefix("infernosim-test-").unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
    let report = place.path().join("replay.html");
    let incident = shop.copy("incident-of-nobody");
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(&incident).status().unwrap();
    assert!(owned.success());
    let replayed = shop
        .replay_of(&incident, "")
        .option(&["--runs", "1", "--report", &format!("html={}", report.display())])
        .environment("SUDO_UID", "65534")
        .environment("SUDO_GID", "65534")
        .run();
    replayed.assert_passed(1);
    let made = fs::metadata(report).unwrap();
    assert_eq!((made.uid(), made.permissions().mode() & 0o777), (65534, 0o600));
}
