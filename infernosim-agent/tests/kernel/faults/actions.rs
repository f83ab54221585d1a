//! What real clients see of each action: curl, python3 and node behind the stub.

use super::Stage;

/// Ten thousand bytes of JSON.
fn body() -> String {
    let filler = "x".repeat(10_000 - 24);
    format!("{{\"left\": 7, \"filler\": \"{filler}\"}}")[..10_000].to_owned()
}

const ASK: &str = r##"
NODE = """
const began = Date.now();
const http = require("http");
let size = 0;
const done = (what) => { console.log(what, size, Date.now() - began); process.exit(0); };
http.get("http://stock.test/node", { timeout: 2500 }, (answer) => {
  answer.on("data", (part) => size += part.length);
  answer.on("end", () => done(answer.statusCode));
  answer.on("error", (error) => done(answer.statusCode + " " + error.code));
}).on("error", (error) => done(error.code)).on("timeout", () => done("timeout"));
"""

def python():
    began, status, size = time.monotonic(), "", 0
    try:
        asking = http.client.HTTPConnection("stock.test", timeout=2.5)
        asking.request("GET", "/python")
        answer = asking.getresponse()
        status = str(answer.status)
        try:
            size = len(answer.read())
        except http.client.IncompleteRead as error:
            size = len(error.partial)
            raise
    except (OSError, http.client.HTTPException) as error:
        status += " " + type(error).__name__
    return status.strip(), size, took(began)

def task(path):
    words = ["curl", "-sS", "-m2.5", "-o/dev/null", "-w%{http_code} %{size_download} %{time_total}", "http://stock.test/curl"]
    ran = subprocess.run(words, capture_output=True, text=True)
    code, size, total = ran.stdout.split()
    tell("curl", ("(%d) " % ran.returncode if ran.returncode else "") + code, size, round(float(total) * 1000))
    tell("python3", *python())
    tell("node", subprocess.run(["node", "-e", NODE], capture_output=True, text=True).stdout.strip())
"##;

/// What one client saw: status or error, bytes, ms.
struct Saw {
    what: String,
    bytes: u64,
    ms: u64,
}

fn saw(line: &str) -> (String, Saw) {
    let (client, rest) = line.split_once(' ').unwrap();
    let mut words: Vec<&str> = rest.split(' ').collect();
    let ms = words.pop().unwrap().parse().unwrap();
    let bytes = words.pop().unwrap().parse().unwrap();
    (client.to_owned(), Saw { what: words.join(" "), bytes, ms })
}

#[test]
fn each_client_sees_what_the_page_says() {
    let body = body();
    let stage = Stage::new(1, &[("/curl", &body), ("/python", &body), ("/node", &body)]);
    println!("| action | curl | python3 | node |\n|---|---|---|---|");
    // By client: what it tells; then at least and at most so many bytes, at least so many ms.
    for (action, [curl, python, node], bytes, least_ms) in [
        ("latency=+200ms", ["200", "200", "200"], 10_000..=10_000, 200),
        ("timeout=300ms", ["504", "504", "504"], 0..=0, 300),
        ("timeout", ["(28) 000", "TimeoutError", "timeout"], 0..=0, 2_400),
        ("status=503", ["503", "503", "503"], 10_000..=10_000, 0),
        ("set-body=none", ["200", "200", "200"], 4..=4, 0),
        ("reset", ["(56) 000", "ConnectionResetError", "ECONNRESET"], 0..=0, 0),
        ("reset=1000", ["…(56) 200", "…ConnectionResetError", "…ECONNRESET"], 0..=1_000, 0),
        ("half-close", ["(52) 000", "RemoteDisconnected", "ECONNRESET"], 0..=0, 0),
        ("truncate=1000", ["(18) 200", "200 IncompleteRead", "200 ECONNRESET"], 1_000..=1_000, 0),
        ("bandwidth=20000B/s", ["200", "200", "200"], 10_000..=10_000, 480),
        ("slice=1000,20ms", ["200", "200", "200"], 10_000..=10_000, 180),
        ("corrupt=3", ["200", "200", "200"], 10_000..=10_000, 0),
        ("refuse", ["(7) 000", "ConnectionRefusedError", "ECONNREFUSED"], 0..=0, 0),
        ("dns=nxdomain", ["(6) 000", "gaierror", "ENOTFOUND"], 0..=0, 0),
    ] {
        let rule = format!("dep=stock.test {action}");
        let replayed = stage.replay(ASK).option(&["--runs", "1", "--inject", &rule]).run();
        let all = stage.observed();
        assert!(all.len() >= 3, "{action}: {}", replayed.all());
        let mut cells = Vec::new();
        for (line, expected) in all[all.len() - 3..].iter().zip([curl, python, node]) {
            let (client, saw) = saw(line);
            cells.push(format!("{}, {} bytes, {} ms", saw.what, saw.bytes, saw.ms));
            // A RST may overtake what was not read yet.
            let is_it = match expected.strip_prefix('…') {
                Some(end) => saw.what.ends_with(end),
                None => saw.what == expected,
            };
            assert!(is_it, "{action}, {client}: {line}\n{}", replayed.all());
            assert!(bytes.contains(&saw.bytes) && saw.ms >= least_ms, "{action}, {client}: {line}");
        }
        println!("| `{action}` | {} |", cells.join(" | "));
    }
}
