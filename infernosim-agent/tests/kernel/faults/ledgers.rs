//! The same seed and traffic give the same ledger.

use super::Stage;
use crate::harness::long;

/// Thirty-two calls for each request, on connections of their own, so many at once and in whatever order they come.
const CROWD: &str = r#"
def call():
    try:
        asking = http.client.HTTPConnection("stock.test", timeout=5)
        asking.request("GET", "/stock")
        asking.getresponse().read()
    except OSError:
        pass

def task(path):
    def some():
        for _ in range(32 // AT_ONCE): call()
    threads = [threading.Thread(target=some) for _ in range(AT_ONCE)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"#;

/// Where so many of them are under way at once.
fn crowd(at_once: u32) -> String {
    format!("AT_ONCE = {at_once}\n{CROWD}")
}

fn sorted(mut entries: Vec<String>) -> Vec<String> {
    entries.sort();
    entries
}

#[test]
fn at_any_concurrency() {
    let runs: usize = if long() { 100 } else { 25 };
    let calls: Vec<(&str, &str)> = (0..32).map(|_| ("/stock", "{}")).collect();
    let stage = Stage::new(1, &calls);
    let rules = ["--inject", "dep=stock.test p=0.3 status=503", "--inject", "dep=stock.test p=0.2 refuse"];
    let runs_text = runs.to_string();
    let options = ["--runs", &runs_text, "--time-scale", "0", "--seed", "42"];
    let replayed = stage.replay(&crowd(32)).option(&rules).option(&options).run();
    let ledger = stage.ledger();
    let of_run = |run: u64| -> Vec<String> {
        let mine = ledger.iter().filter(|line| line["run"] == run);
        mine.map(what).collect()
    };
    let refused = |entries: &[String]| entries.iter().filter(|entry| entry.contains("connect ")).count();
    let first = of_run(1);
    assert!(refused(&first) > 0 && refused(&first) < first.len(), "{first:?}\n{}", replayed.all());
    let equal = (1..=runs).filter(|run| of_run(*run as u64) == first).count();
    println!(
        "{} firings in each run, {} of them connects; equal in {equal} of {runs}",
        first.len(),
        refused(&first)
    );
    assert_eq!(equal, runs);
    // Each connect that was refused is one that the target saw fail.
    let rule = &replayed.report["faults"]["rules"][1];
    assert_eq!(rule["fired"], rule["observed"], "{}", replayed.all());

    // One after the other, or a few at once, they meet the same.
    for at_once in [1, 8] {
        let options = ["--runs", "1", "--time-scale", "0", "--seed", "42"];
        stage.replay(&crowd(at_once)).option(&rules).option(&options).run();
        let other: Vec<String> = stage.ledger().iter().map(what).collect();
        assert_eq!(sorted(other), sorted(first.clone()), "{at_once} at once");
    }

    // The plan that it left behind does the same again, under any seed.
    let plan = stage.incident.join("again.toml");
    std::fs::rename(stage.incident.join("fault-plan.toml"), &plan).unwrap();
    let options = ["--plan", plan.to_str().unwrap(), "--runs", "2", "--time-scale", "0", "--seed", "7"];
    stage.replay(&crowd(32)).option(&options).run();
    let again: Vec<String> = stage.ledger().iter().filter(|line| line["run"] == 2).map(what).collect();
    assert_eq!(sorted(again), sorted(first));
}

pub fn what(line: &serde_json::Value) -> String {
    format!("{} #{} {}", line["site"], line["occurrence"], line["action"])
}

#[test]
fn a_chance_of_none_changes_nothing() {
    let stage = Stage::new(3, &[("/stock", "{\"left\": 7}")]);
    let task = r#"
def task(path):
    asking = http.client.HTTPConnection("stock.test", timeout=5)
    asking.request("GET", "/stock")
    answer = asking.getresponse()
    tell(answer.status, answer.getheaders(), answer.read())
"#;
    stage.replay(task).option(&["--runs", "3"]).run().assert_passed(3);
    let as_recorded = stage.observed();
    let never = ["--inject", "dep=stock.test p=0 reset", "--runs", "3"];
    let replayed = stage.replay(task).option(&never).run();
    // It never fired, which is said.
    assert_eq!(replayed.code, 4, "{}", replayed.all());
    assert_eq!(replayed.report["faults"]["rules"][0]["reached"], 9, "{}", replayed.all());
    let observed = stage.observed();
    assert!(as_recorded.len() >= 9 && observed.len() >= 9);
    assert!(observed.iter().all(|line| *line == as_recorded[0]), "{observed:?}");
    assert_eq!(stage.ledger().len(), 0);
}

/// Calls with the rule and without, by turns, so that whatever else slows them slows both.
#[test]
fn a_chance_of_none_takes_no_time() {
    const CALLS: usize = 40;
    let task = r#"
import statistics
def call(path):
    began = time.monotonic()
    asking = http.client.HTTPConnection("stock.test", timeout=5)
    asking.request("GET", path)
    assert asking.getresponse().read() == b"{}"
    return (time.monotonic() - began) * 1000

def task(path):
    times = {"/with": [], "/without": []}
    for _ in range(CALLS):
        for path in times: times[path].append(call(path))
    tell(*(statistics.median(times[path]) for path in times))
"#;
    let medians = |calls: usize, chance: &str| {
        let recorded: Vec<_> = (0..calls).flat_map(|_| [("/with", "{}"), ("/without", "{}")]).collect();
        let stage = Stage::new(1, &recorded);
        std::fs::write(stage.incident.join("volatile.toml"), "").unwrap();
        let rule = format!("dep=stock.test path=/with {chance} latency=+200ms");
        let task = format!("CALLS = {calls}\n{task}");
        let replayed = stage.replay(&task).option(&["--runs", "1", "--inject", &rule]).run();
        let told = stage.observed();
        let medians: Vec<f64> = told[0].split(' ').map(|it| it.parse().unwrap()).collect();
        println!("{chance}: {} ms with the rule, {} ms without", medians[0], medians[1]);
        (medians[0] - medians[1], rule, replayed)
    };
    let (more, rule, replayed) = medians(CALLS, "p=0");
    assert!(more.abs() < 50.0, "{more} ms");
    assert_eq!(replayed.code, 4, "{}", replayed.all());
    assert!(replayed.result.contains(&format!("never happened: `{rule}`")), "{}", replayed.all());
    // What it would take.
    let (more, _, replayed) = medians(3, "p=1");
    assert!(more >= 150.0, "{more} ms");
    replayed.assert_passed(1);
}
