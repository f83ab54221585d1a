//! The same seed and traffic give the same ledger.

use super::Stage;

/// Thirty-two calls at once for each request, on connections of their own, in whatever order they come.
const CROWD: &str = r#"
def call():
    try:
        asking = http.client.HTTPConnection("stock.test", timeout=5)
        asking.request("GET", "/stock")
        asking.getresponse().read()
    except OSError:
        pass

def task(path):
    threads = [threading.Thread(target=call) for _ in range(32)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"#;

#[test]
fn at_any_concurrency() {
    let calls: Vec<(&str, &str)> = (0..32).map(|_| ("/stock", "{}")).collect();
    let stage = Stage::new(1, &calls);
    let rules = ["--inject", "dep=stock.test p=0.3 status=503", "--inject", "dep=stock.test p=0.2 refuse"];
    let options = ["--runs", "100", "--time-scale", "0", "--seed", "42"];
    let replayed = stage.replay(CROWD).option(&rules).option(&options).run();
    let ledger = stage.ledger();
    let of_run = |run: u64| -> Vec<String> {
        let mine = ledger.iter().filter(|line| line["run"] == run);
        mine.map(what).collect()
    };
    let refused = |entries: &[String]| entries.iter().filter(|entry| entry.contains("connect ")).count();
    let first = of_run(1);
    assert!(refused(&first) > 0 && refused(&first) < first.len(), "{first:?}\n{}", replayed.all());
    let equal = (1..=100).filter(|run| of_run(*run) == first).count();
    println!(
        "{} firings in each run, {} of them connects; equal in {equal} of 100",
        first.len(),
        refused(&first)
    );
    assert_eq!(equal, 100);
    // Each connect that was refused is one that the target saw fail.
    let rule = &replayed.report["faults"]["rules"][1];
    assert_eq!(rule["fired"], rule["observed"], "{}", replayed.all());

    // The plan that it left behind does the same again, under any seed.
    let plan = stage.incident.join("again.toml");
    std::fs::rename(stage.incident.join("fault-plan.toml"), &plan).unwrap();
    let options = ["--plan", plan.to_str().unwrap(), "--runs", "2", "--time-scale", "0", "--seed", "7"];
    stage.replay(CROWD).option(&options).run();
    let again: Vec<String> = stage.ledger().iter().filter(|line| line["run"] == 2).map(what).collect();
    let sorted = |mut entries: Vec<String>| {
        entries.sort();
        entries
    };
    assert_eq!(sorted(again), sorted(first));
}

fn what(line: &serde_json::Value) -> String {
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
