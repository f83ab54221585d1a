//! What a replay finds, and what it does not take for a finding.

use super::Shop;

/// Deliberate changes to the shop: where each is found, and as what. Its calls, in causal order: 0 stock and 1 price for
/// the first quote, 2 stock, 3 price and 4 charge for the order, 5 stock and 6 price for the second quote.
const CHANGES: [(&str, &str, &str); 10] = [
    ("extra", "outbound event index=4", "unexpected_outbound_call"),
    ("missing", "outbound event index=4", "missing_outbound_call"),
    ("order", "outbound event index=2", "order_changed"),
    ("query", "outbound event index=1", "request_mismatch"),
    ("field", "outbound event index=4", "request_mismatch"),
    ("status", "inbound event index=1", "response_mismatch"),
    ("answer", "inbound event index=1", "response_mismatch"),
    ("retry", "outbound event index=5", "unexpected_outbound_call"),
    ("crash", "inbound event index=1", "target_exited"),
    ("hang", "inbound event index=1", "timed_out"),
];

/// What makes no difference. The shop makes a new uuid, a date and an epoch for each order anyway, and each run has
/// another pid and other local ports.
const NEUTRAL: [&str; 7] = ["", "log", "headers", "chunking", "answer-chunking", "reuse", "slower"];

#[test]
fn each_change_is_found_where_it_is() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    for (change, place, reason) in CHANGES {
        let incident = shop.copy(change);
        // In order, so that no request overtakes one that a busy machine is slow to answer.
        let options = ["--runs", "3", "--max-idle-time", "1s", "--time-scale", "0"];
        let replay = shop.replay_of(&incident, change).option(&options);
        let replayed = replay.run();
        println!("{change}:\n{}", replayed.stdout);
        replayed.assert_diverged(place, reason);
    }
}

#[test]
fn what_makes_no_difference_passes() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let mut fingerprints = std::collections::BTreeSet::new();
    for change in NEUTRAL {
        let incident = shop.copy(&format!("neutral-{change}"));
        let options = ["--runs", "3", "--time-scale", "0"];
        let replayed = shop.replay_of(&incident, change).option(&options).run();
        println!("{change}:\n{}", replayed.stdout);
        fingerprints.insert(replayed.assert_passed(3));
    }
    assert_eq!(fingerprints.len(), 1, "what makes no difference does not change the fingerprint");
}

#[test]
fn ten_runs_are_equal_with_the_dependencies_stopped_and_running() {
    let mut shop = Shop::captured();
    let asked = shop.dependencies.as_mut().unwrap().asked();
    let running = shop.replay("").run();
    let first = running.assert_passed(10);
    assert_eq!(shop.dependencies.as_mut().unwrap().asked(), asked, "{}", running.all());
    shop.dependencies = None;
    let second = shop.replay("").option(&["--fresh"]).run();
    assert_eq!(second.assert_passed(10), first);
    assert!(second.result.contains("PASS_STRONG"), "{}", second.all());
}
