//! `infernosim verify` as a user runs it.

use std::path::Path;

use super::Shop;
use crate::harness::{Netns, Recording, Replay, Tmpfs, text};

/// An incident's shop with this change, to be verified.
fn verify(shop: &Shop, change: &str) -> Replay {
    shop.replay_of(&shop.copy(&format!("verified-{change}")), change).verified()
}

/// What was printed: the lines of the checks, and the last one.
fn lines(stdout: &str) -> (Vec<&str>, &str) {
    let mut lines: Vec<&str> = stdout.lines().collect();
    let last = lines.pop().unwrap_or_default();
    (lines, last)
}

#[test]
fn the_shop_is_verified() {
    let mut shop = Shop::captured();
    let asked = shop.dependencies.as_mut().unwrap().asked();
    let again = shop.incident().with_file_name("again");
    let verified = verify(&shop, "").option(&["--keep", again.to_str().unwrap()]).run();
    assert_eq!(verified.code, 0, "{}", verified.all());
    let (checks, last) = lines(&verified.stdout);
    assert_eq!(last, "VERIFY: PASS (deterministic, isolated, time-controlled)", "{}", verified.all());
    let names: Vec<&str> = checks.iter().map(|check| check.split(':').next().unwrap()).collect();
    assert_eq!(names, ["replayed", "captured", "deterministic", "isolated", "time-controlled"]);
    assert_eq!(shop.dependencies.as_mut().unwrap().asked(), asked, "{}", verified.all());
    // What the shop really asked, as if it had reached whom it meant: three runs, two of them to learn what is volatile.
    let (recorded, seen) = (Recording::read(shop.incident()), Recording::read(&again));
    let peers = |recording: &Recording| -> Vec<(String, String)> {
        let call = |it: &&serde_json::Value| (text(&it["url"]).to_owned(), text(&it["peer"]).to_owned());
        // Requests may overlap in a replay that did not in the recording.
        let mut peers: Vec<_> = recording.calls().iter().map(call).collect();
        peers.sort();
        peers
    };
    let recorded = peers(&recorded);
    let three: Vec<_> = recorded.iter().flat_map(|it| [it.clone(), it.clone(), it.clone()]).collect();
    assert_eq!(peers(&seen), three, "{}", verified.all());
}

#[test]
fn a_full_disk_for_temporary_files_is_said() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let disk = Tmpfs::new(16);
    std::fs::write(disk.path().join("full"), [0; 64 << 10]).unwrap_err();
    let verified = verify(&shop, "").environment("TMPDIR", disk.path().to_str().unwrap()).run();
    assert_eq!(verified.code, 4, "{}", verified.all());
    assert!(verified.stderr.contains("No space left on device"), "{}", verified.all());
}

#[test]
fn what_is_wrong_is_named() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    shop.variables.push("LEAK=9".to_owned());
    for (change, failed, detail) in [
        ("extra", "VERIFY: FAIL (replayed, captured)", "unexpected_outbound_call"),
        ("udp", "VERIFY: FAIL (replayed, isolated)", "by udp"),
        ("missing", "VERIFY: FAIL (replayed, captured)", "missing_outbound_call"),
    ] {
        let temporary = tempfile::tempdir().unwrap();
        let verified = verify(&shop, change).environment("TMPDIR", temporary.path().to_str().unwrap()).run();
        println!("{change}:\n{}", verified.stdout);
        assert_eq!(verified.code, 1, "{}", verified.all());
        let (checks, last) = lines(&verified.stdout);
        assert_eq!(last, failed, "{}", verified.all());
        assert!(checks.iter().any(|check| check.contains(detail)), "{}", verified.all());
        assert!(checks.contains(&"time-controlled: not checked: what was captured is not what is recorded"));
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "{change}: something is left");
    }
}

#[test]
fn one_request_has_no_pace_to_keep() {
    let mut shop = Shop::captured_with(|base| {
        super::ask(base, "/quote/apple", None);
    });
    shop.dependencies = None;
    let incident = shop.copy("one");
    // Nothing is to be learned: one run, one request.
    std::fs::write(incident.join("volatile.toml"), "").unwrap();
    let verified = shop.replay_of(&incident, "").verified().option(&["--json"]).run();
    assert_eq!(verified.code, 4, "{}", verified.all());
    let json: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(json["verify"], "INCONCLUSIVE", "{}", verified.all());
    assert_eq!(json["checks"][4]["verdict"], "notChecked", "{json:#}");
    assert_eq!(json["checks"][3]["verdict"], "passed", "{json:#}");
}

#[test]
fn a_command_that_is_not_there_is_said() {
    let shop = Shop::captured();
    let incident = shop.copy("absent");
    let netns = Netns::new();
    let verified = Replay::of(&incident).against(&["sh"]).within(&netns).verified();
    let verified = verified.option(&["--user", "no-such-user-here"]).run();
    assert_eq!(verified.code, 2, "{}", verified.all());
    let verified = Replay::of(Path::new("/nonexistent")).against(&["sh"]).verified().run();
    assert_eq!(verified.code, 4, "{}", verified.all());
    let early = Replay::of(&incident).against(&["false"]).within(&netns).verified().run();
    assert_eq!(early.code, 1, "{}", early.all());
    assert!(early.stderr.contains("before it listened"), "{}", early.all());
    // As who puts itself into the background ends.
    let forked = Replay::of(&incident).against(&["true"]).within(&netns).run();
    assert_eq!(forked.code, 1, "{}", forked.all());
    assert!(forked.stderr.contains("stay in the foreground"), "{}", forked.all());
}
