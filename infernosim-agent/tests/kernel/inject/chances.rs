//! What a rule that never hits costs.

use super::{err, inject, out};
use crate::harness::{Kind, PYTHON, Place, Server};

/// Requests with the rule and without, by turns, so that whatever else slows them slows both; the medians in ms.
const TASK: &str = r#"
import http.client, statistics, sys, time

def ask(path):
    began = time.monotonic()
    asking = http.client.HTTPConnection(sys.argv[1], timeout=5)
    asking.request("GET", path)
    assert asking.getresponse().read()
    return (time.monotonic() - began) * 1000

times = {"/n/1": [], "/n/2": []}
for _ in range(int(sys.argv[2])):
    for path in times: times[path].append(ask(path))
print(*(statistics.median(them) for them in times.values()))
"#;

#[test]
fn a_chance_of_none_takes_no_time() {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let address = server.addr.to_string();
    let medians = |chance: &str, requests: &str| {
        let rule = format!("path=/n/1 {chance} latency=+200ms");
        let ended = inject(&["--inject", &rule], &[PYTHON, "-c", TASK, &address, requests]);
        let told = out(&ended);
        let medians: Vec<f64> = told.split_whitespace().map(|it| it.parse().unwrap()).collect();
        println!("{rule}: {told}");
        assert_eq!(medians.len(), 2, "{}", err(&ended));
        (medians[0] - medians[1], ended.status.code(), err(&ended))
    };
    let (more, code, said) = medians("p=0", "40");
    assert!(more.abs() < 50.0, "{more} ms\n{said}");
    assert!(
        code == Some(4) && said.contains("the rule `path=/n/1 p=0 latency=+200ms` never fired"),
        "{said}"
    );
    // What it would take.
    let (more, code, said) = medians("p=1", "3");
    assert!(more >= 150.0 && code == Some(0), "{more} ms\n{said}");
}
