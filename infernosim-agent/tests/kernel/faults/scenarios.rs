//! The scenario commands of the original tool's README, as written there, on its own kind of incident.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::{Netns, Replay, Replayed, program};

/// Asks the time, and once more where that takes longer than a second.
const CLIENT: &str = r#"
const http = require("http");
const ask = () => new Promise((done, fail) => {
  const signal = AbortSignal.timeout(1000);
  const call = http.get("http://worldtimeapi.org/api/timezone/Etc/UTC", { agent: false, signal }, (answer) =>
    answer.resume().on("end", () => done(answer.statusCode)));
  call.on("error", fail);
});
http.createServer(async (request, response) => {
  const status = await ask().catch(ask).catch(() => 0);
  response.writeHead(200).end("status " + status + "\n");
}).listen(8084, "127.0.0.1");
"#;

/// The first exchange of examples/incident-v1.
fn incident() -> (TempDir, PathBuf) {
    let place = TempDir::with_prefix("infernosim-test-").unwrap();
    let incident = place.path().join("incident");
    std::fs::create_dir(&incident).unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/incident-v1");
    for (log, lines) in [("inbound.log", 2), ("outbound.log", 1)] {
        let text = std::fs::read_to_string(recorded.join(log)).unwrap();
        let first: Vec<&str> = text.lines().take(lines).collect();
        std::fs::write(incident.join(log), first.join("\n") + "\n").unwrap();
    }
    (place, incident)
}

fn replay(incident: &Path, netns: &Netns, options: &[&str]) -> Replayed {
    let node = program("/usr/bin/node");
    let words = [node.to_str().unwrap(), "-e", CLIENT];
    let replay = Replay::of(incident).against(&words).within(netns).option(&["--runs", "2"]);
    replay.option(options).run()
}

#[test]
fn a_baseline_a_faster_one_and_one_that_is_a_little_slow_pass() {
    let ((_place, incident), netns) = (incident(), Netns::new());
    replay(&incident, &netns, &[]).assert_passed(2);
    replay(&incident, &netns, &["--time-scale", "0.1"]).assert_passed(2);
    let slow = replay(&incident, &netns, &["--inject", "dep=worldtimeapi.org latency=+200ms", "--seed", "7"]);
    slow.assert_passed(2);
    assert!(slow.stderr.contains("--seed 7"), "{}", slow.all());
    let rule = &slow.report["faults"]["rules"][0];
    assert_eq!((&rule["reached"], &rule["fired"], &rule["observed"]), (&2.into(), &2.into(), &2.into()));
    assert_eq!(slow.report["faults"]["seed"], 7);
    assert!(slow.result.contains("FAULTS (seed 7)"), "{}", slow.all());
    let after = slow.report["faults"]["happened"][0]["observed"].as_str().unwrap();
    let after: f64 = after.strip_prefix("answered after ").unwrap().trim_end_matches("ms").parse().unwrap();
    assert!(after >= 200.0, "{after}");
}

#[test]
fn a_client_that_gives_up_and_asks_again_diverges_there() {
    let ((_place, incident), netns) = (incident(), Netns::new());
    let options = ["--time-scale", "0.01", "--inject", "dep=worldtimeapi.org latency=+10s"];
    let replayed = replay(&incident, &netns, &options);
    replayed.assert_diverged("outbound event index=1", "unexpected_outbound_call");
    let (_, again) = replayed.stdout.split_once("To see it again:").unwrap();
    let seed = replayed.report["faults"]["seed"].as_u64().unwrap();
    for word in
        ["--inject 'dep=worldtimeapi.org latency=+10s'", &format!("--seed {seed}"), "--time-scale 0.01"]
    {
        assert!(again.contains(word), "{word}: {again}");
    }
    // Nobody waited for it.
    assert_eq!(replayed.report["faults"]["rules"][0]["observed"], 0, "{}", replayed.all());
}

#[test]
fn a_fault_that_never_happens_is_named_and_a_misspelt_word_too() {
    let ((_place, incident), netns) = (incident(), Netns::new());
    let never = "dep=nobody.test latency=+1ms";
    let replayed = replay(&incident, &netns, &["--inject", never]);
    assert_eq!(replayed.code, 4, "{}", replayed.all());
    assert!(replayed.result.starts_with("REPLAY: INCONCLUSIVE\n"), "{}", replayed.all());
    assert!(replayed.result.contains(&format!("never happened: `{never}`")), "{}", replayed.all());
    let replayed = replay(&incident, &netns, &["--inject", "dep=worldtimeapi.org latncy=+200ms"]);
    assert_eq!(replayed.code, 2, "{}", replayed.all());
    assert!(replayed.stderr.contains("latency"), "{}", replayed.all());
}

/// Three workers, and a service that forgets one of their three calls and answers all the same.
#[test]
fn a_call_that_is_lost_in_a_crowd_is_missed() {
    let stage = super::Stage::new(1, &[("/stock", "{}")]);
    std::fs::write(stage.incident.join("volatile.toml"), "").unwrap();
    let task = r#"
asked = []
def task(path):
    asked.append(path)
    if len(asked) == FORGOTTEN: return
    asking = http.client.HTTPConnection("stock.test", timeout=5)
    asking.request("GET", "/stock")
    asking.getresponse().read()
"#;
    let crowd = ["--runs", "1", "--fanout", "3"];
    stage.replay(&format!("FORGOTTEN = 0\n{task}")).option(&crowd).run().assert_passed(1);
    let replayed = stage.replay(&format!("FORGOTTEN = 2\n{task}")).option(&crowd).run();
    replayed.assert_diverged("outbound event index=0", "missing_outbound_call");
    let outbound = &replayed.report["outbound"];
    assert_eq!((&outbound["observed"], &outbound["expected"]), (&2.into(), &3.into()), "{}", replayed.all());
}
