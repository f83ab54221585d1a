//! The replay scenarios of the original's README, word for word but for the window's length: without root, against the
//! Go app that knows HTTP_PROXY and runs already.

use serde_json::Value;

use super::{Desk, GO, Terminal, follow};
use crate::harness::Origin;

/// A folder with a recording, of the time that worldtimeapi.org told, which is not there any more.
fn recorded() -> Desk {
    let desk = Desk::new("127.0.0.1 worldtimeapi.org");
    let origin = Origin::at(&desk.netns, 80);
    follow(&desk, GO, "8084", "deterministic-go: ok\n");
    drop(origin);
    desk
}

/// What a replay came to: exit status, what it printed, what it said.
struct Came {
    code: i32,
    stdout: String,
    stderr: String,
    report: Value,
}

impl Desk {
    fn app(&self, line: &str) -> Terminal {
        let app = self.terminal(line);
        app.stdout.line("goapp-deterministic: listening");
        app
    }

    fn replay(&self, line: &str) -> Came {
        let (code, stdout, stderr) = self.terminal(line).wait();
        let report = std::fs::read(self.place.path().join("replay_report.json")).unwrap_or_default();
        Came { code, stdout, stderr, report: serde_json::from_slice(&report).unwrap_or_default() }
    }
}

impl Came {
    fn all(&self) -> String {
        format!("exit {}\n{}\n{}", self.code, self.stdout, self.stderr)
    }

    fn assert_passed(&self, runs: u32, time_scale: &str) {
        assert_eq!(self.code, 0, "{}", self.all());
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert_eq!(lines[0], "REPLAY: PASS", "{}", self.all());
        assert!(lines[1].starts_with("FINGERPRINT: ") && lines[1].len() == 77, "{}", self.all());
        let counts = [format!("RUNS: {runs}"), format!("TIME_SCALE: {time_scale}")];
        assert_eq!(lines[2..4], counts, "{}", self.all());
        assert_eq!(
            self.report["outbound"]["observed"],
            self.report["outbound"]["expected"],
            "{}",
            self.all()
        );
    }

    /// Fired, and seen to have happened.
    fn assert_fired(&self, times: u64) {
        let rule = &self.report["faults"]["rules"][0];
        assert_eq!((&rule["fired"], &rule["observed"]), (&times.into(), &times.into()), "{}", self.all());
    }
}

#[test]
fn all_that_are_written_there() {
    let desk = recorded();
    let app = desk.app(GO);
    let baseline =
        desk.replay("./infernosim replay --incident . --target-base http://localhost:8084 --runs 10");
    baseline.assert_passed(10, "1.000");
    // As every program with Go's flag package.
    let one_dash = desk.replay("./infernosim replay -incident . -target-base http://localhost:8084 -runs=10");
    one_dash.assert_passed(10, "1.000");
    let faster =
        "./infernosim replay --incident . --target-base http://localhost:8084 --runs 5 --time-scale 0.1";
    desk.replay(faster).assert_passed(5, "0.100");
    let slow = "./infernosim replay --incident . --target-base http://localhost:8084 --runs 5 \
                --inject \"dep=worldtimeapi.org latency=+200ms\"";
    let slow = desk.replay(slow);
    slow.assert_passed(5, "1.000");
    slow.assert_fired(5);
    let told = slow.report["faults"]["happened"][0]["observed"].as_str().unwrap();
    let after: f64 = told.strip_prefix("answered after ").unwrap().trim_end_matches("ms").parse().unwrap();
    assert!(after >= 200.0, "{told}");
    let crowd = "./infernosim replay --incident . --target-base http://localhost:8084 --runs 5 --fanout 167 --window 1s";
    let crowd = desk.replay(crowd);
    crowd.assert_passed(5, "1.000");
    let sent = crowd.report["inbound"]["observed"].as_u64().unwrap();
    assert!(sent >= 5 * 167, "{sent} requests\n{}", crowd.all());
    // A 504 is an answer, too: the app says that it is well, whatever came of its call.
    let late = "./infernosim replay --incident . --target-base http://localhost:8084 --runs 5 \
                --inject \"dep=worldtimeapi.org timeout=1s\"";
    let late = desk.replay(late);
    late.assert_passed(5, "1.000");
    late.assert_fired(5);
    // A proxy's client sees its 502, or nothing until it gives up.
    let refused = "./infernosim replay --incident . --target-base http://localhost:8084 --runs 3 \
                   --inject \"dep=worldtimeapi.org refuse\"";
    let refused = desk.replay(refused);
    refused.assert_passed(3, "1.000");
    refused.assert_fired(3);
    assert_eq!(refused.report["faults"]["happened"][0]["site"], "connect worldtimeapi.org");
    let dark = "./infernosim replay --incident . --target-base http://localhost:8084 --runs 1 \
                --inject \"dep=worldtimeapi.org partition\"";
    let dark = desk.replay(dark);
    dark.assert_passed(1, "1.000");
    assert_eq!(dark.report["faults"]["rules"][0]["fired"], 1, "{}", dark.all());
    let misspelt = desk.replay("./infernosim replay --inject \"dep=worldtimeapi.org latncy=+200ms\"");
    assert_eq!(misspelt.code, 2, "{}", misspelt.all());
    assert!(misspelt.stderr.contains("did you mean `latency`?"), "{}", misspelt.all());
    drop(app);
}

/// The app with a time-out of a second, and one call more where that passes.
#[test]
fn a_client_that_gives_up_and_asks_again_diverges_there() {
    let desk = recorded();
    let at = desk.place.path().join("examples/goapp-deterministic/main.go");
    let mut program = std::fs::read_to_string(&at).unwrap();
    for (is, becomes) in [
        ("Timeout: 2 * time.Second", "Timeout: 1 * time.Second"),
        (
            "if err := askTheTime(client); err != nil {",
            "if err := askTheTime(client); err != nil {\n\t\t\terr = askTheTime(client)",
        ),
    ] {
        assert_eq!(program.matches(is).count(), 1, "{is}");
        program = program.replace(is, becomes);
    }
    std::fs::write(&at, program).unwrap();
    let app = desk.app(GO);
    let came = desk.replay(
        "./infernosim replay --incident . --target-base http://localhost:8084 --time-scale 0.01 \
         --inject \"dep=worldtimeapi.org latency=+10s\" --runs 2",
    );
    assert_eq!(came.code, 1, "{}", came.all());
    assert!(came.stdout.starts_with("REPLAY: FAIL\n"), "{}", came.all());
    let lines: Vec<&str> = came.stdout.lines().map(str::trim).collect();
    let first = lines.iter().position(|line| line.starts_with("DIVERGENCE")).expect("a divergence");
    let is = ["DIVERGENCE at outbound event index=1", "reason=unexpected_outbound_call"];
    assert_eq!(lines[first..first + 2], is, "{}", came.all());
    // It was not waited for.
    let rule = &came.report["faults"]["rules"][0];
    assert_eq!((&rule["fired"], &rule["observed"]), (&4.into(), &0.into()), "{}", came.all());
    drop(app);
}
