//! The shops of `examples/`, captured where their dependencies are and replayed where nothing is but loopback.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::free_port;
use crate::harness::{Capture, Netns, Replay};
use crate::shops::{Dependencies, command, customer, url};

fn replays_ten_times(shop: &str) {
    let dependencies = Dependencies::start();
    let mut variables = dependencies.variables();
    variables.push(format!("PORT={}", free_port()));
    let words = command(shop, &variables);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let running = Capture::of(&words).start().ready();
    customer(&url(&running.stdout.line(&format!("{shop}: listening on "))));
    kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
    let finished = running.finish();
    finished.recording();
    drop(dependencies);
    let elsewhere = Netns::new();
    let replay = || Replay::of(&finished.incident).against(&words).within(&elsewhere);
    let kept = replay().run();
    let fingerprint = kept.assert_passed(10);
    assert!(kept.result.contains("PASS_STRONG"), "{}", kept.all());
    let anew = replay().option(&["--fresh", "--runs", "3", "--time-scale", "0"]).run();
    assert_eq!(anew.assert_passed(3), fingerprint, "{}", anew.all());
}

#[test]
fn a_shop_in_python_replays() {
    replays_ten_times("shop-python");
}

#[test]
fn a_shop_in_node_replays() {
    replays_ten_times("shop-node");
}

#[test]
fn a_shop_in_go_replays() {
    replays_ten_times("shop-go");
}

#[test]
fn a_shop_in_rust_replays() {
    replays_ten_times("shop-rust");
}
