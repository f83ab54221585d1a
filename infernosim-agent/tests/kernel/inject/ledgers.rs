//! The same seed and traffic give the same ledger, and a plan of it the same again.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{err, inject, out};
use crate::harness::{Kind, PYTHON, Place, Server};

const RUNS: usize = 20;

/// Thirty-two at once, each on connections of its own, at one site: at a second one the calls would depend on whose connects
/// were refused. How many saw what.
const CROWD: &str = r#"
import collections, http.client, sys, threading
saw = collections.Counter()
def call(number):
    for _ in range(2):
        try:
            asking = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
            asking.request("GET", f"/n/{number}")
            answer = asking.getresponse()
            answer.read()
            saw[answer.status] += 1
        except OSError as error:
            saw[type(error).__name__] += 1
threads = [threading.Thread(target=call, args=(number,)) for number in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(saw.items(), key=str))
"#;

/// Runs it; what the client saw, and what fired: site, occurrence, action.
fn run(place: &Path, port: &str, options: &[&str]) -> (String, BTreeSet<String>) {
    let ledger = place.join("ledger.jsonl");
    let options = [options, &["--ledger", ledger.to_str().unwrap()]].concat();
    let ended = inject(&options, &[PYTHON, "-c", CROWD, port]);
    assert!(ended.status.success(), "{}", err(&ended));
    let text = std::fs::read_to_string(&ledger).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fired = lines.filter(|line| !line["site"].is_null());
    let fired = fired.map(|line| {
        assert!(!line["observed"].is_null(), "{line}");
        format!("{} #{} {}", line["site"], line["occurrence"], line["action"])
    });
    (out(&ended), fired.collect())
}

#[test]
fn at_any_concurrency_and_again_by_a_plan() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let place = tempfile::tempdir().unwrap();
    let port = server.addr.port().to_string();
    let plan = place.path().join("again.toml");
    let plan = plan.to_str().unwrap();
    let (refuse, status) = (format!("dep=*:{port} p=0.2 refuse"), "p=0.3 status=503");
    let late = "op='GET /n/*' p=0.3 latency=20ms~15ms";
    let rules = ["--inject", &refuse, "--inject", status, "--inject", late, "--write-plan", plan];
    let (saw, fired) = run(place.path(), &port, &rules);
    assert!(fired.iter().any(|it| it.contains("refuse")) && fired.iter().any(|it| it.contains("latency")));
    let refused = fired.iter().filter(|it| it.contains("refuse")).count();
    assert!(saw.contains(&format!("('ConnectionRefusedError', {refused})")), "{saw} {fired:?}");
    for _ in 1..RUNS {
        assert_eq!(run(place.path(), &port, &rules).1, fired);
    }
    // Nothing of it is left to chance.
    let again = run(place.path(), &port, &["--plan", plan, "--seed", "1234"]);
    assert_eq!(again, (saw, fired));
}
