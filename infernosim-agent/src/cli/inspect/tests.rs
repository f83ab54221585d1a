mod one;
mod timeline;
mod tree;

use std::fs;
use std::path::Path;

use clap::Parser;
use tempfile::TempDir;

use super::*;

/// A small incident of every kind of line; ids are the sequence in every digit, but for the inbound pair.
const OUTBOUND: &str = concat!(
    r#"{"id":"11111111111111111111111111111111","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.006007008Z","sequence":1,"offsetNs":1000,"service":"api.test:8080","protocol":"http/1.1","method":"POST","url":"http://api.test:8080/v1/items?q=1","status":200,"duration":1234567,"headers":{"Host":["api.test:8080"],"accept":["a","b"]},"requestTrailers":{"Sum":["9"]},"body":"{\"a\":1}","bodySize":7,"interim":[{"status":103,"headers":{"Link":["</s.css>"]}}],"responseHeaders":{"Content-Type":["application/json"]},"responseBody":"ok\u001b[31m\r\nbye","responseBodySize":12,"responseChunks":[[1000,4],[2500000,8]],"cause":"c1","causeBasis":"thread","connection":1,"pid":7,"tid":8,"comm":"curl","local":"10.0.0.2:5","peer":"10.0.0.7:8080"}"#,
    "\n",
    r#"{"id":"22222222222222222222222222222222","type":"Connection","timestamp":"2026-01-02T03:04:06Z","sequence":2,"service":"db.test:5432","protocol":"tcp","url":"tcp://10.0.0.9:5432","errno":"ECONNREFUSED","error":"connection refused","duration":90000,"connection":2,"pid":7,"peer":"10.0.0.9:5432"}"#,
    "\n",
    r#"{"id":"33333333333333333333333333333333","type":"OutboundCall","timestamp":"2026-01-02T03:04:07Z","sequence":5,"service":"api.test:8080","protocol":"http/1.1","method":"GET","url":"http://api.test:8080/bin","status":502,"errno":"ECONNRESET","incomplete":true,"duration":2500000000,"responseBodyB64":"AAEC/w==","responseBodySize":4000,"responseBodyTruncated":true,"connection":3,"pid":9}"#,
    "\n",
    r#"{"id":"44444444444444444444444444444444","type":"Lost","sequence":6,"reason":"buffer","events":17,"bytes":70000}"#,
    "\n",
    r#"{"id":"12344444444444444444444444444444","type":"OutboundCall","timestamp":"2026-01-02T03:04:08Z","sequence":7,"service":"api.test:8080","protocol":"tcp","url":"tcp://10.0.0.7:8080","responseBodySha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","responseBodySize":5}"#,
    "\n",
    r#"{"id":"12345555555555555555555555555555","type":"OutboundCall","timestamp":"2026-01-02T03:04:09Z","sequence":1234,"service":"cdn.test","protocol":"http/1.0","method":"GET","url":"http://cdn.test","target":"*","status":404}"#,
    "\n",
);
const INBOUND: &str = concat!(
    r#"{"id":"aaaaaaaa","type":"InboundRequest","timestamp":"2026-01-02T03:04:06.5Z","sequence":3,"service":"127.0.0.1:80","protocol":"http/1.1","method":"GET","url":"http://127.0.0.1/in","headers":{"Host":"127.0.0.1"},"traceId":"t1"}"#,
    "\n",
    r#"{"id":"bbbbbbbb","type":"InboundResponse","timestamp":"2026-01-02T03:04:06.6Z","sequence":4,"service":"127.0.0.1:80","status":204,"bodySize":0,"traceId":"t1"}"#,
    "\n",
);
const MANIFEST: &str = r#"{"formatVersion":"1.0","closed":true,"lost":{"events":17,"bytes":70000},"unmediated":{"udp":3,"unix":1}}"#;

fn incident() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "outbound.log", OUTBOUND);
    write(dir.path(), "inbound.log", INBOUND);
    write(dir.path(), "incident.json", MANIFEST);
    fs::create_dir(dir.path().join("bodies")).unwrap();
    let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    write(&dir.path().join("bodies"), sha256, "hello");
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    inspect: Inspect,
}

fn parse(dir: &Path, args: &[&str]) -> Result<Inspect, clap::Error> {
    let dir = dir.to_str().unwrap();
    Command::try_parse_from(["inspect", dir].iter().chain(args)).map(|command| command.inspect)
}

fn run_on(screen: Screen, dir: &Path, args: &[&str]) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::new();
    inspect(&parse(dir, args).unwrap(), screen, &mut out).map(|()| out)
}

fn output(args: &[&str]) -> String {
    String::from_utf8(run_on(Screen::default(), incident().path(), args).unwrap()).unwrap()
}

fn error(args: &[&str]) -> ExpectedError {
    match run_on(Screen::default(), incident().path(), args) {
        Err(Stop::Failed(e)) => e,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_table() {
    insta::assert_snapshot!(output(&[]), @r###"
       #          TIME  DIR  PEER           METHOD        URL                                STATUS          DURATION  REQUEST  RESPONSE
       1  03:04:05.006  out  api.test:8080  POST          http://api.test:8080/v1/items?q=1  200                1.2ms      7 B      12 B
       2  03:04:06.000  out  db.test:5432   (connection)  tcp://10.0.0.9:5432                ECONNREFUSED      90.0µs        -         -
       3  03:04:06.500  in   127.0.0.1:80   GET           http://127.0.0.1/in                204                    -        -       0 B
       5  03:04:07.000  out  api.test:8080  GET           http://api.test:8080/bin           502 ECONNRESET     2.50s        -   3.9 KiB
       6             -  -    -              (lost)        17 events, 68.4 KiB (buffer)       -                      -        -         -
       7  03:04:08.000  out  api.test:8080  tcp           tcp://10.0.0.7:8080                -                      -        -       5 B
    1234  03:04:09.000  out  cdn.test       GET           http://cdn.test                    404                    -        -         -

    7 events, 3 dependencies, 2 failed, 1 incomplete, 17 lost (68.4 KiB)
    1 inbound request, 4 outbound calls
    unmediated: udp 3, unix 1
    "###);
}

/// The recording of `infernosim proxy` and `infernosim inbound`, of which one still runs.
#[test]
fn an_explicit_incident_says_what_listened() {
    let dir = tempfile::tempdir().unwrap();
    let asked = r#"{"id":"a1","type":"InboundRequest","timestamp":"2026-01-02T03:04:06.5Z","sequence":2400001,"service":"localhost:8084","protocol":"http/1.1","method":"GET","url":"http://localhost:18080/api/demo","traceId":"a1","peer":"127.0.0.1:51234"}"#;
    let answered = r#"{"id":"a2","type":"InboundResponse","timestamp":"2026-01-02T03:04:06.6Z","sequence":2600001,"service":"localhost:8084","status":200,"duration":100000000,"traceId":"a1"}"#;
    let called = r#"{"id":"b1","type":"OutboundCall","timestamp":"2026-01-02T03:04:06.52Z","sequence":2500002,"service":"pay.test","protocol":"tls","method":"CONNECT","url":"pay.test:443","status":200,"duration":50000000,"bodySize":517,"responseBodySize":4096,"bodyTruncated":true,"responseBodyTruncated":true}"#;
    write(dir.path(), "inbound.log", &format!("{asked}\n{answered}\n"));
    write(dir.path(), "outbound.log", &format!("{called}\n"));
    write(
        dir.path(),
        "incident.json",
        r#"{"formatVersion":"1.0","target":{"explicit":{"inbound":{"log":"inbound.log","listen":["127.0.0.1:18080"],"forward":"localhost:8084"},"outbound":{"log":"outbound.log","listen":["127.0.0.1:9000","[::1]:9000"]}}}}"#,
    );
    let out = run_on(Screen::default(), dir.path(), &[]).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r###"
          #          TIME  DIR  PEER             METHOD   URL                              STATUS  DURATION  REQUEST  RESPONSE
    2400001  03:04:06.500  in   127.0.0.1:51234  GET      http://localhost:18080/api/demo  200      100.0ms        -         -
    2500002  03:04:06.520  out  pay.test         CONNECT  pay.test:443                     200       50.0ms    517 B   4.0 KiB

    3 events, 1 dependency, 0 failed, 0 incomplete, none lost
    1 inbound request, 1 outbound call
    explicit: inbound 127.0.0.1:18080 → localhost:8084, outbound 127.0.0.1:9000, [::1]:9000
    not closed: a proxy is still running, or was killed
    "###);
}

fn table_of_width(width: usize) -> String {
    let screen = Screen { width: Some(width), terminal: true, colour: false };
    let table = String::from_utf8(run_on(screen, incident().path(), &[]).unwrap()).unwrap();
    assert!(table.lines().all(|line| line.chars().count() <= width), "{table}");
    table
}

#[test]
fn the_table_fits_its_terminal() {
    assert_eq!(table_of_width(140), output(&[]));
    insta::assert_snapshot!(table_of_width(120), @r###"
       #          TIME  DIR  PEER           METHOD        URL                    STATUS          DURATION  REQUEST  RESPONSE
       1  03:04:05.006  out  api.test:8080  POST          /v1/items?q=1          200                1.2ms      7 B      12 B
       2  03:04:06.000  out  db.test:5432   (connection)  tcp://10.0.0.9:5432    ECONNREFUSED      90.0µs        -         -
       3  03:04:06.500  in   127.0.0.1:80   GET           /in                    204                    -        -       0 B
       5  03:04:07.000  out  api.test:8080  GET           /bin                   502 ECONNRESET     2.50s        -   3.9 KiB
       6             -  -    -              (lost)        17 events, 68.4 KiB …  -                      -        -         -
       7  03:04:08.000  out  api.test:8080  tcp           tcp://10.0.0.7:8080    -                      -        -       5 B
    1234  03:04:09.000  out  cdn.test       GET           /                      404                    -        -         -

    7 events, 3 dependencies, 2 failed, 1 incomplete, 17 lost (68.4 KiB)
    1 inbound request, 4 outbound calls
    unmediated: udp 3, unix 1
    "###);
    insta::assert_snapshot!(table_of_width(90), @r###"
       #  DIR  PEER           METHOD        URL                       STATUS          DURATION
       1  out  api.test:8080  POST          /v1/items?q=1             200                1.2ms
       2  out  db.test:5432   (connection)  tcp://10.0.0.9:5432       ECONNREFUSED      90.0µs
       3  in   127.0.0.1:80   GET           /in                       204                    -
       5  out  api.test:8080  GET           /bin                      502 ECONNRESET     2.50s
       6  -    -              (lost)        17 events, 68.4 KiB (bu…  -                      -
       7  out  api.test:8080  tcp           tcp://10.0.0.7:8080       -                      -
    1234  out  cdn.test       GET           /                         404                    -

    7 events, 3 dependencies, 2 failed, 1 incomplete, 17 lost (68.4 KiB)
    1 inbound request, 4 outbound calls
    unmediated: udp 3, unix 1
    "###);
}

#[test]
fn colours_only_where_welcome() {
    let screen = Screen { colour: true, ..Screen::default() };
    let coloured = String::from_utf8(run_on(screen, incident().path(), &[]).unwrap()).unwrap();
    assert!(coloured.contains("\x1b[31mECONNREFUSED\x1b[0m") && coloured.contains("\x1b[33m404\x1b[0m"));
    let plain = coloured.replace("\x1b[31m", "").replace("\x1b[33m", "").replace("\x1b[0m", "");
    assert_eq!(plain, output(&[]), "colours change no column");
    assert!(!plain.contains('\x1b'));
}

#[test]
fn columns_keep_their_width_over_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let line = |n: u64| format!("{{\"type\":\"OutboundCall\",\"sequence\":{n},\"url\":\"http://a/{n}\"}}\n");
    write(dir.path(), "outbound.log", &(0..2500).map(line).collect::<String>());
    let table = String::from_utf8(run_on(Screen::default(), dir.path(), &[]).unwrap()).unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 1 + 2500 + 3, "the titles stand once");
    let at = |row: &str| row.find("http://").unwrap();
    assert_eq!(at(rows[1001]), at(rows[2001]), "block 2 is as wide as block 1 or wider");
    assert!(rows[2500].trim_start().starts_with("2499 "), "{}", rows[2500]);
}

#[test]
fn times_may_be_offsets() {
    let table = output(&["--offset", "--method", "POST"]);
    assert!(table.contains("  +0.000001  out  api.test"), "{table}");
}

#[test]
fn filters_select_rows_and_say_so() {
    insta::assert_snapshot!(output(&["--failed", "--service", "api.test"]), @r###"
    #          TIME  DIR  PEER           METHOD  URL                       STATUS          DURATION  REQUEST  RESPONSE
    5  03:04:07.000  out  api.test:8080  GET     http://api.test:8080/bin  502 ECONNRESET     2.50s        -   3.9 KiB

    1 of 7 events, 3 dependencies, 2 failed, 1 incomplete, 17 lost (68.4 KiB)
    1 inbound request, 4 outbound calls
    unmediated: udp 3, unix 1
    "###);
    assert_eq!(
        output(&["--kind", "dns"]),
        "0 of 7 events, 3 dependencies, 2 failed, 1 incomplete, 17 lost (68.4 KiB)\n\
         1 inbound request, 4 outbound calls\nunmediated: udp 3, unix 1\n"
    );
}

#[test]
fn json_is_as_stored() {
    let lines: Vec<&str> = OUTBOUND.lines().collect();
    assert_eq!(
        output(&["--json", "--connection", "2", "--connection", "3"]),
        format!("{}\n{}\n", lines[1], lines[2])
    );
    assert_eq!(output(&["--json", "5"]), format!("{}\n", lines[2]));
    assert_eq!(output(&["--json", "#3"]), INBOUND, "an exchange is both its events");
}

#[test]
fn json_stored_over_lines_comes_out_as_one() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "outbound.log", "{\n  \"id\": \"\u{9b}1m\"\r\n}\n");
    let lines = run_on(Screen::default(), dir.path(), &["--json"]).unwrap();
    assert_eq!(String::from_utf8(lines).unwrap(), "{   \"id\": \"\u{9b}1m\"  }\n");
    let terminal = Screen { terminal: true, ..Screen::default() };
    let lines = run_on(terminal, dir.path(), &["--json"]).unwrap();
    assert_eq!(String::from_utf8(lines).unwrap(), "{   \"id\": \"\\u009b1m\"  }\n");
}

#[test]
fn recorded_controls_never_come_out_raw() {
    let evil = r"\u001b]0;x\u0007\u009b1m\u202e\r\n";
    let dir = tempfile::tempdir().unwrap();
    let texts = [
        "id",
        "timestamp",
        "service",
        "protocol",
        "method",
        "url",
        "target",
        "errno",
        "error",
        "traceId",
        "cause",
        "causeBasis",
        "comm",
        "local",
        "peer",
        "sni",
        "reason",
        "body",
        "responseBody",
    ];
    let fields: String = texts.iter().map(|name| format!("\"{name}\":\"{evil}\",")).collect();
    let headers = format!("{{\"{evil}\":[\"{evil}\"]}}");
    for kind in ["OutboundCall", "InboundRequest", "InboundResponse", "Connection", "Lost", "Dns", evil] {
        let line = format!(
            "{{{fields}\"type\":\"{kind}\",\"sequence\":1,\"status\":200,\"headers\":{headers},\"responseHeaders\":{headers},\
             \"requestTrailers\":{headers},\"responseTrailers\":{headers},\"interim\":[{{\"status\":103,\"headers\":{headers}}}],\
             \"alpn\":[\"{evil}\"]}}\n"
        );
        write(dir.path(), "outbound.log", &line);
        write(dir.path(), "incident.json", &format!("{{\"unmediated\":{{\"{evil}\":1}}}}"));
        for args in [&[][..], &["1"], &["--json"]] {
            let screen = Screen { terminal: true, width: Some(80), colour: false };
            let shown = String::from_utf8(run_on(screen, dir.path(), args).unwrap()).unwrap();
            let bad = shown.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
            assert_eq!(bad, None, "{kind} {args:?}: {shown:?}");
            assert!(shown.contains("u{1b}") || shown.contains("u001b"), "{kind} {args:?}: {shown}");
        }
    }
}

#[test]
fn a_malformed_line_ends_the_table_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "outbound.log", "{\"url\":\"http://one/\"}\n!\n{}\n");
    let mut out = Vec::new();
    let Err(Stop::Failed(e)) = inspect(&parse(dir.path(), &[]).unwrap(), Screen::default(), &mut out) else {
        panic!("not an error")
    };
    assert!(e.exit == Exit::Incident && e.message.contains("outbound.log:2:"), "{e}");
    assert!(String::from_utf8(out).unwrap().contains("http://one/"), "what came before is printed");
}

/// Standard output whose reader went away after some bytes.
struct Gone(usize);

impl Write for Gone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.0);
        self.0 -= n;
        if n == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = incident();
    for args in [&[][..], &["1"], &["--json"], &["1", "--response-body"]] {
        for bytes in [0, 10] {
            let args = parse(dir.path(), args).unwrap();
            assert_eq!(run(&args, &mut Gone(bytes)).unwrap(), Exit::Pass);
        }
    }
}

#[test]
fn following_prints_what_comes_until_the_capture_closes() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "incident.json", r#"{"formatVersion":"1.0","closed":false}"#);
    let args = parse(dir.path(), &["-f", "--json"]).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    /// Tells of each write, so that the test need not guess when one has happened.
    struct Told(std::sync::mpsc::Sender<Vec<u8>>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let follower = std::thread::spawn(move || run(&args, &mut Told(tell)));
    write(dir.path(), "outbound.log", "{\"id\":\"1\"}\n{\"id\":");
    assert_eq!(told.recv().unwrap(), b"{\"id\":\"1\"}\n", "before the capture ends, and no half line");
    let log = fs::OpenOptions::new().append(true).open(dir.path().join("outbound.log"));
    log.unwrap().write_all(b"\"2\"}\n{\"id\":\"3\"}\n").unwrap();
    write(dir.path(), "closed.json", r#"{"formatVersion":"1.0","closed":true}"#);
    fs::rename(dir.path().join("closed.json"), dir.path().join("incident.json")).unwrap();
    assert_eq!(follower.join().unwrap().unwrap(), Exit::Pass);
    let rest: Vec<u8> = told.iter().flatten().collect();
    assert_eq!(String::from_utf8(rest).unwrap(), "{\"id\":\"2\"}\n{\"id\":\"3\"}\n");
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let dir = Path::new("x");
    for args in [
        &["1", "-f"][..],
        &["--request-body"],
        &["--response-body"],
        &["1", "--json", "--response-body"],
        &["--kind", "outbond"],
        &["--status", "ok"],
    ] {
        parse(dir, args).expect_err(&args.join(" "));
    }
    parse(dir, &["--kind", "outboundcall", "--status", "5xx", "-f"]).unwrap();
}
