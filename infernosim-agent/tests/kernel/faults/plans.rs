//! Plans: from a file, of all that they can say, and from what happened.

use super::Stage;
use super::ledgers::what;

/// Connects, lookups and calls that go wrong by number, by chance and by the clock.
const PLAN: &str = r#"
seed = 5

[[rule]]
dep = ["stock.test", "other.test"]
at = [3, "7-8"]
refuse = true

[[rule]]
dep = "stock.test"
every = 9
dns = "nxdomain"

[[rule]]
dep = "stock.test"
p = 0.4
status = 503

[[rule]]
op = "GET /stock"
after = "200ms"
during = "1500ms"
latency = "+20ms~10ms"
"#;

/// Sixty calls, one after the other, each with a lookup and a connect of its own, for three seconds at least.
const TASK: &str = r#"
def task(path):
    for _ in range(60):
        try:
            asking = http.client.HTTPConnection("stock.test", timeout=5)
            asking.request("GET", "/stock")
            tell(asking.getresponse().status)
        except OSError as error:
            tell(type(error).__name__)
        time.sleep(0.05)
"#;

#[test]
fn a_plan_of_what_happened_does_it_again_under_another_seed() {
    let calls: Vec<(&str, &str)> = (0..60).map(|_| ("/stock", "{}")).collect();
    let stage = Stage::new(1, &calls);
    std::fs::write(stage.incident.join("volatile.toml"), "").unwrap();
    let plan = stage.incident.join("plan.toml");
    std::fs::write(&plan, PLAN).unwrap();
    let run = |plan: &std::path::Path, seed: &[&str]| {
        let options = ["--runs", "1", "--max-idle-time", "30s", "--plan", plan.to_str().unwrap()];
        let replayed = stage.replay(TASK).option(&options).option(seed).run();
        let mut ledger: Vec<String> = stage.ledger().iter().map(what).collect();
        ledger.sort();
        let told = stage.observed();
        (replayed, ledger, told[told.len() - 60..].to_vec())
    };
    let (replayed, ledger, told) = run(&plan, &[]);
    assert_eq!(replayed.report["faults"]["seed"], 5, "{}", replayed.all());
    let rules = replayed.report["faults"]["rules"].as_array().unwrap();
    for rule in rules {
        let [reached, fired] = ["reached", "fired"].map(|field| rule[field].as_u64().unwrap());
        assert!(0 < fired && fired < reached, "{rule:#}\n{}", replayed.all());
    }
    let refused = told.iter().filter(|line| *line == "ConnectionRefusedError").count();
    let unknown = told.iter().filter(|line| *line == "gaierror").count();
    assert_eq!(refused, 3, "{told:?}");
    assert!(unknown >= 6 && told.iter().any(|line| line == "503"), "{told:?}");

    let again = stage.incident.join("again.toml");
    std::fs::rename(stage.incident.join("fault-plan.toml"), &again).unwrap();
    let text = std::fs::read_to_string(&again).unwrap();
    // Nothing is left to chance or the clock.
    for word in ["\np =", "\nafter =", "\nduring =", "\nevery =", "~"] {
        assert!(!text.contains(word), "{word:?}\n{text}");
    }
    let (replayed, same, told_again) = run(&again, &["--seed", "99"]);
    assert_eq!(replayed.report["faults"]["seed"], 99, "{}", replayed.all());
    assert_eq!(same, ledger, "{text}");
    assert_eq!(told_again, told);
}
