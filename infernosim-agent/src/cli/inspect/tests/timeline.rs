//! What clients asked, what the target then asked and looked up, in one order.

use super::*;

const INBOUND: &str = concat!(
    r#"{"id":"a1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05Z","sequence":1,"traceId":"a1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders","headers":{},"body":"12345","bodySize":5,"duration":100,"local":"10.0.0.2:8080","peer":"10.9.9.9:51234"}"#,
    "\n",
    r#"{"id":"b1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.1Z","sequence":4,"traceId":"b1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"GET","url":"http://shop.test/slow","headers":{},"duration":0,"local":"10.0.0.2:8080","peer":"10.9.9.9:51235"}"#,
    "\n",
    r#"{"id":"a2","type":"InboundResponse","timestamp":"2026-01-02T03:04:05.2Z","sequence":6,"traceId":"a1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders","status":503,"headers":{"A":["b"]},"body":"\"token\"","bodySize":7,"bodyRedacted":true,"responseChunks":[[1,7]],"duration":200000000,"local":"10.0.0.2:8080","peer":"10.9.9.9:51234"}"#,
    "\n",
    r#"{"id":"c1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.3Z","sequence":8,"traceId":"c1","service":"10.0.0.2:9000","protocol":"tcp","url":"tcp://10.0.0.2:9000","body":"PING","bodySize":4,"local":"10.0.0.2:9000","peer":"10.9.9.9:4"}"#,
    "\n",
    r#"{"id":"b2","type":"InboundResponse","timestamp":"2026-01-02T03:04:05.4Z","sequence":9,"traceId":"b1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"GET","url":"http://shop.test/slow","incomplete":true,"error":"the client closed the connection before it was answered","duration":300000000,"local":"10.0.0.2:8080","peer":"10.9.9.9:51235"}"#,
    "\n",
);
const OUTBOUND: &str = concat!(
    r#"{"id":"d1","type":"Dns","timestamp":"2026-01-02T03:04:05.01Z","sequence":2,"service":"10.0.0.53","protocol":"dns","transport":"udp","method":"A","url":"dns://10.0.0.53/prices.test?type=A","name":"prices.test","rcode":"NOERROR","answers":[{"name":"prices.test","type":"CNAME","ttl":5,"data":"p.test"},{"name":"p.test","type":"A","ttl":60,"data":"10.0.0.7"},{"name":"p.test","type":"A","ttl":60,"data":"10.0.0.8"}],"duration":1000000,"bodyB64":"AAA=","bodySize":2,"pid":7}"#,
    "\n",
    r#"{"id":"d2","type":"Dns","timestamp":"2026-01-02T03:04:05.02Z","sequence":3,"service":"10.0.0.53","protocol":"dns","transport":"udp","method":"AAAA","name":"prices.test","rcode":"NOERROR","duration":1000000}"#,
    "\n",
    r#"{"id":"o1","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.11Z","sequence":5,"service":"prices.test","protocol":"http/1.1","method":"GET","url":"http://prices.test/v1","status":200,"duration":2000000,"responseBodySize":2,"responseBody":"ok","peer":"10.0.0.7:80"}"#,
    "\n",
    r#"{"id":"d3","type":"Dns","timestamp":"2026-01-02T03:04:05.25Z","sequence":7,"service":"10.0.0.53","protocol":"dns","transport":"udp","method":"A","name":"nowhere.test","rcode":"NXDOMAIN","duration":1000000}"#,
    "\n",
    r#"{"id":"d4","type":"Dns","timestamp":"2026-01-02T03:04:05.5Z","sequence":10,"service":"10.0.0.53","protocol":"dns","transport":"udp","method":"A","name":"late.test","error":"no answer","duration":5000000000}"#,
    "\n",
);

fn timeline() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "inbound.log", INBOUND);
    write(dir.path(), "outbound.log", OUTBOUND);
    dir
}

fn shown(args: &[&str]) -> String {
    String::from_utf8(run_on(Screen::default(), timeline().path(), args).unwrap()).unwrap()
}

#[test]
fn one_order_of_all_directions() {
    insta::assert_snapshot!(shown(&[]), @r###"
     #          TIME  DIR  PEER            METHOD  URL                      STATUS                    DURATION  REQUEST  RESPONSE
     1  03:04:05.000  in   10.9.9.9:51234  POST    http://shop.test/orders  503                        200.0ms      5 B       7 B
     2  03:04:05.010  dns  10.0.0.53       A       prices.test              10.0.0.7 (1 more)            1.0ms      2 B         -
     3  03:04:05.020  dns  10.0.0.53       AAAA    prices.test              NODATA                       1.0ms        -         -
     4  03:04:05.100  in   10.9.9.9:51235  GET     http://shop.test/slow    the client closed the c…   300.0ms        -         -
     5  03:04:05.110  out  prices.test     GET     http://prices.test/v1    200                          2.0ms        -       2 B
     7  03:04:05.250  dns  10.0.0.53       A       nowhere.test             NXDOMAIN                     1.0ms        -         -
     8  03:04:05.300  in>  10.9.9.9:4      tcp     tcp://10.0.0.2:9000      -                                -      4 B         -
    10  03:04:05.500  dns  10.0.0.53       A       late.test                no answer                    5.00s        -         -

    10 events, 1 dependency, 3 failed, 1 incomplete, none lost
    3 inbound requests, 1 outbound call, 3 names
    "###);
}

/// The numbers of the rows.
fn rows(args: &[&str]) -> Vec<u64> {
    let text = shown(args);
    text.lines().skip(1).map_while(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[test]
fn filters_see_an_inbound_exchange_as_one() {
    for (args, expected) in [
        (&["--inbound"][..], &[1, 4, 8][..]),
        (&["--outbound"], &[5]),
        (&["--dns"], &[2, 3, 7, 10]),
        (&["--outbound", "--dns"], &[2, 3, 5, 7, 10]),
        (&["--status", "5xx"], &[1]),
        (&["--failed"], &[1, 4, 10]),
        (&["--path", "/orders"], &[1]),
        (&["--service", "10.0.0.2:8080", "--method", "get"], &[4]),
        (&["--service", "10.0.0.53"], &[2, 3, 7, 10]),
    ] {
        assert_eq!(rows(args), expected, "{args:?}");
    }
    assert!(shown(&["--inbound"]).contains("\n5 of 10 events, 1 dependency, "));
}

#[test]
fn json_stays_a_line_an_event() {
    let ids = |args: &[&str]| -> Vec<String> {
        let lines = shown(&[&["--json"], args].concat());
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string();
        lines.lines().map(|line| id(line).replace('"', "")).collect()
    };
    assert_eq!(ids(&[]), ["a1", "d1", "d2", "b1", "o1", "a2", "d3", "c1", "b2", "d4"]);
    assert_eq!(ids(&["--inbound", "--failed"]), ["a2", "b2"]);
}

#[test]
fn either_line_shows_both() {
    insta::assert_snapshot!(shown(&["6"]), @r###"
    InboundRequest a1
      sequence    1
      time        2026-01-02T03:04:05Z
      service     10.0.0.2:8080
      url         http://shop.test/orders
      protocol    http/1.1
      connection  10.9.9.9:51234 → 10.0.0.2:8080
      duration    100ns

    > POST /orders HTTP/1.1
    >
    12345

    InboundResponse a2
      sequence    6
      time        2026-01-02T03:04:05.2Z
      service     10.0.0.2:8080
      url         http://shop.test/orders
      protocol    http/1.1
      connection  10.9.9.9:51234 → 10.0.0.2:8080
      duration    200.0ms
      outcome     answered

    < HTTP/1.1 503
    < A: b
    <
    "token"
    (secrets were replaced by tokens at capture)

    chunks of the response, from the start of the exchange
            +1ns  7 B
    "###);
    assert_eq!(shown(&["6"]), shown(&["1"]));
    assert_eq!(shown(&["1", "--request-body"]), "12345");
    assert_eq!(shown(&["1", "--response-body"]), "\"token\"");
}

#[test]
fn one_lookup() {
    insta::assert_snapshot!(shown(&["2"]) + &shown(&["7"]), @r###"
    Dns d1
      sequence    2
      time        2026-01-02T03:04:05.01Z
      resolver    10.0.0.53
      name        prices.test
      url         dns://10.0.0.53/prices.test?type=A
      protocol    dns, udp
      process     pid 7
      duration    1.0ms
      outcome     NOERROR

    < prices.test 5 CNAME p.test
    < p.test 60 A 10.0.0.7
    < p.test 60 A 10.0.0.8
    Dns d3
      sequence    7
      time        2026-01-02T03:04:05.25Z
      resolver    10.0.0.53
      name        nowhere.test
      protocol    dns, udp
      duration    1.0ms
      outcome     NXDOMAIN
    "###);
}

/// A request that is still open when somebody looks is shown at once, and its answer when it comes.
#[test]
fn following_shows_a_slow_request_before_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<&str> = INBOUND.lines().collect();
    write(dir.path(), "inbound.log", &format!("{}\n", lines[1]));
    let incident = Incident::open(dir.path()).unwrap();
    let args = parse(dir.path(), &[]).unwrap();
    let mut list = List {
        json: false,
        screen: Screen::default(),
        filter: &args.filter,
        table: Table::new(Screen::default(), false),
        join: Join::default(),
        summary: Summary::default(),
    };
    let mut events = incident.follow().unwrap();
    let mut out = Vec::new();
    // Once for what may be on its way before it.
    for _ in 0..2 {
        list.drain(&mut events, &mut out).unwrap();
    }
    assert!(
        String::from_utf8_lossy(&out).contains("  in>  10.9.9.9:51235 "),
        "{}",
        String::from_utf8_lossy(&out)
    );
    let mut log = fs::OpenOptions::new().append(true).open(dir.path().join("inbound.log")).unwrap();
    writeln!(log, "{}", lines[4]).unwrap();
    for _ in 0..2 {
        list.drain(&mut events, &mut out).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().last().unwrap().contains("  in<  10.9.9.9:51235 "), "{text}");
    assert!(text.contains("the client closed the c…"), "{text}");
}
