//! What real clients see of each action: curl, python3 and node behind the stub.

use super::Stage;
use super::observed::{Client, Row, Saw, page_says};

/// Of the answers of 10,000 bytes that [`CLIENTS`] knows, the one that says so many are left.
fn body(left: u8) -> String {
    format!("{{\"left\": {left}, \"filler\": \"{}\"}}", "x".repeat(9_975))
}

const CLIENTS: &str = include_str!("clients.py");
const WHOLE: u64 = 10_000;
const ANY: u64 = u64::MAX;
const ALL_HANG: [&str; 3] = ["(28) 000", "TimeoutError", "timeout"];
const ALL_REFUSED: [&str; 3] = ["(7) 000", "ConnectionRefusedError", "ECONNREFUSED"];
const ALL_RESET: [&str; 3] = ["(56) 000", "ConnectionResetError", "ECONNRESET"];
const ALL_CUT: [&str; 3] = ["(18) 200", "200 IncompleteRead", "200 ECONNRESET"];

/// An action, what each client tells of it, how many bytes it gets, and the ms that the answer takes at least.
const fn row<const N: usize>(
    action: &'static str,
    what: [&'static str; N],
    bytes: (u64, u64),
    ms: u64,
) -> Row<N> {
    Row { action, what, bytes, ms: (ms, ANY), notes: "" }
}

/// An action that makes an answer another than the recorded, and what of it the clients tell.
const fn noted(
    action: &'static str,
    what: [&'static str; 3],
    bytes: (u64, u64),
    notes: &'static str,
) -> Row<3> {
    Row { notes, ..row(action, what, bytes, 0) }
}

/// Measures every row on stages with these answers for each client, and has the page say so.
fn measure<const N: usize>(
    name: &str,
    clients: [Client; N],
    answers: &[u8],
    settings: &str,
    rows: &[Row<N>],
) {
    let bodies: Vec<String> = answers.iter().map(|left| body(*left)).collect();
    let calls: Vec<(&str, &str)> =
        clients.iter().flat_map(|client| bodies.iter().map(|body| (client.path, body.as_str()))).collect();
    let (stage, task) = (Stage::new(1, &calls), format!("{settings}\n{CLIENTS}"));
    // Nothing is volatile: no run is needed to learn that.
    std::fs::write(stage.incident.join("volatile.toml"), "").unwrap();
    let mut lines = Vec::new();
    for row in rows {
        let mut saws = see(&stage, &task, row);
        // Nothing ends too late three times but what is too slow.
        for _ in 0..2 {
            if saws.iter().all(|saw| saw.ms <= row.ms.1) {
                break;
            }
            let again = see(&stage, &task, row);
            saws = saws
                .into_iter()
                .zip(again)
                .map(|(one, two)| if one.ms < two.ms { one } else { two })
                .collect();
        }
        for saw in &saws {
            assert!(saw.ms <= row.ms.1, "{}: {saw:?}", row.action);
        }
        lines.push(row.line(&saws));
    }
    page_says(name, &clients.map(|client| client.title), &lines);
}

/// What each client saw of it, which is what the row says.
fn see<const N: usize>(stage: &Stage, task: &str, row: &Row<N>) -> Vec<Saw> {
    let rule = format!("dep=stock.test {}", row.action);
    // A node that is slow to start is no stall.
    let patient = ["--max-idle-time", "60s", "--max-wall-time", "120s"];
    let options = ["--runs", "1", "--seed", "7", "--inject", &rule];
    let replayed = stage.replay(task).option(&patient).option(&options).run();
    let told = stage.observed();
    assert!(told.len() >= N, "{rule}: {}", replayed.all());
    let saws: Vec<Saw> = told[told.len() - N..].iter().map(|line| Saw::read(line)).collect();
    for (saw, what) in saws.iter().zip(row.what) {
        row.assert_is(saw, what, &replayed);
    }
    saws
}

const CURL: Client = Client { title: "curl", path: "/curl" };
const PYTHON: Client = Client { title: "python3 (http.client)", path: "/python" };
const NODE: Client = Client { title: "node", path: "/node" };
const ONCE: &str = "TIMES, TO_THE_END = 1, False";

#[test]
fn each_client_sees_what_the_page_says_of_an_answer() {
    let (ok, whole, none) = (["200"; 3], (WHOLE, WHOLE), (0, 0));
    let rows = [
        row("latency=+200ms", ok, whole, 200),
        row("timeout=300ms", ["504"; 3], none, 300),
        row("timeout", ALL_HANG, none, 2_400),
        row("fail=500", ["500"; 3], none, 0),
        row("status=503", ["503"; 3], whole, 0),
        noted("set-header='X-Shed: yes'", ok, whole, "X-Shed: yes"),
        noted("drop-header=Content-Type", ok, whole, "no Content-Type"),
        noted("set-body=none", ok, (4, 4), "another body"),
        noted("set-json=left:0", ok, (9_000, WHOLE), "left is 0"),
        noted("corrupt=3", ok, whole, "3 other bytes"),
        row("truncate=1000", ALL_CUT, (1_000, 1_000), 0),
        row("limit-bytes=1000", ALL_CUT, (500, 999), 0),
        row("reset", ALL_RESET, none, 0),
        row("reset=1000", ["…(56) 200", "…ConnectionResetError", "…ECONNRESET"], (0, 1_000), 0),
        row("reset-peer=300ms", ALL_RESET, none, 300),
        row("half-close", ["(52) 000", "RemoteDisconnected", "ECONNRESET"], none, 0),
        // Two seconds, within 10 % of the rate.
        Row { ms: (1_818, 2_222), ..row("bandwidth=5kB/s", ok, whole, 0) },
        row("slice=1000,20ms", ok, whole, 180),
    ];
    measure("answers", [CURL, PYTHON, NODE], &[7], ONCE, &rows);
}

#[test]
fn each_client_sees_what_the_page_says_of_connects_and_lookups() {
    let none = (0, 0);
    let rows = [
        row("refuse", ALL_REFUSED, none, 0),
        row("down", ALL_REFUSED, none, 0),
        row("blackhole", ALL_HANG, none, 2_400),
        row("partition", ALL_HANG, none, 2_400),
        row("dns=nxdomain", ["(6) 000", "gaierror", "ENOTFOUND"], none, 0),
        row("dns=servfail", ["(6) 000", "gaierror", "EAI_AGAIN"], none, 0),
        row("dns=refused", ["(6) 000", "gaierror", "EAI_AGAIN"], none, 0),
        row("dns=192.0.2.1", ALL_REFUSED, none, 0),
        // curl and node give up; http.client's time-out is of its socket, and it waits for the resolver's own.
        row("dns=timeout", ["(28) 000", "gaierror", "timeout"], none, 2_400),
        row("dns=slow:300ms", ["200"; 3], (WHOLE, WHOLE), 300),
    ];
    measure("connects", [CURL, PYTHON, NODE], &[7], ONCE, &rows);
}

/// The recorded answers differ: the second has 6 left.
#[test]
fn each_client_that_asks_twice_sees_what_the_page_says() {
    let twice = (2 * WHOLE, 2 * WHOLE);
    let rows = [
        // Nothing stale: what shows that the row behind it has a meaning.
        noted("set-header='X-Shed: yes' at=1", ["200, 200"; 3], twice, "X-Shed: yes, left is 6"),
        row("stale", ["200, 200"; 3], twice, 0),
        noted("retries=1", ["503, 200"; 3], (WHOLE, WHOLE), "left is 6"),
        noted("retries=1 status=502", ["502, 200"; 3], twice, "left is 6"),
    ];
    measure("twice", [CURL, PYTHON, NODE], &[7, 6], "TIMES, TO_THE_END = 2, False", &rows);
}

#[test]
fn who_reads_to_the_end_of_a_connection_sees_what_the_page_says() {
    let python = Client { title: "python3 (socket)", path: "/python" };
    let node = Client { title: "node (net)", path: "/node" };
    let (one, two) = ((WHOLE + 20, WHOLE + 500), (2 * WHOLE + 40, 2 * WHOLE + 1_000));
    let rows = [
        row("slow-close=300ms", ["1 answer"; 2], one, 300),
        row("duplicate-response", ["2 answers"; 2], two, 0),
        row("limit-bytes=1000", ["1 answer"; 2], (1_000, 1_000), 0),
    ];
    measure("to-the-end", [python, node], &[7], "TIMES, TO_THE_END = 1, True", &rows);
}
