//! Requests and the calls that they made happen.

use super::*;

const INBOUND: &str = concat!(
    r#"{"id":"a1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05Z","sequence":1,"traceId":"a1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"POST","url":"http://shop.test/orders","duration":100}"#,
    "\n",
    r#"{"id":"b1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.1Z","sequence":4,"traceId":"b1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"GET","url":"http://shop.test/slow","duration":0}"#,
    "\n",
    r#"{"id":"a2","type":"InboundResponse","timestamp":"2026-01-02T03:04:05.2Z","sequence":7,"traceId":"a1","method":"POST","url":"http://shop.test/orders","status":201,"duration":200000000}"#,
    "\n",
    r#"{"id":"c1","type":"InboundRequest","timestamp":"2026-01-02T03:04:05.3Z","sequence":10,"traceId":"c1","service":"10.0.0.2:8080","protocol":"http/1.1","method":"GET","url":"http://shop.test/health","duration":0}"#,
    "\n",
);
const OUTBOUND: &str = concat!(
    r#"{"id":"d1","type":"Dns","timestamp":"2026-01-02T03:04:05.01Z","sequence":2,"service":"10.0.0.53","protocol":"dns","method":"A","name":"prices.test","rcode":"NXDOMAIN","duration":1000000,"cause":"a1","causeBasis":"only-one-in-flight"}"#,
    "\n",
    r#"{"id":"o1","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.02Z","sequence":3,"service":"prices.test","protocol":"http/1.1","method":"GET","url":"http://prices.test/v1","status":200,"duration":2000000,"cause":"a1","causeBasis":"thread"}"#,
    "\n",
    r#"{"id":"o2","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.11Z","sequence":5,"service":"prices.test","protocol":"http/1.1","method":"GET","url":"http://prices.test/v2","status":503,"duration":2000000,"cause":"b1","causeBasis":"header"}"#,
    "\n",
    r#"{"id":"o3","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.12Z","sequence":6,"service":"prices.test","protocol":"http/1.1","method":"GET","url":"http://prices.test/v3","status":200,"duration":2000000,"causeBasis":"ambiguous"}"#,
    "\n",
    r#"{"id":"o4","type":"Connection","timestamp":"2026-01-02T03:04:05.21Z","sequence":8,"service":"db.test:5432","protocol":"tcp","url":"tcp://db.test:5432","errno":"ECONNREFUSED","error":"Connection refused","duration":90000}"#,
    "\n",
    r#"{"id":"o5","type":"OutboundCall","timestamp":"2026-01-02T03:04:05.22Z","sequence":9,"service":"prices.test","protocol":"http/1.1","method":"GET","url":"http://prices.test/v4","status":200,"duration":2000000,"cause":"gone","causeBasis":"header"}"#,
    "\n",
);

fn tree(args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "inbound.log", INBOUND);
    write(dir.path(), "outbound.log", OUTBOUND);
    let args = [&["--tree"], args].concat();
    String::from_utf8(run_on(Screen::default(), dir.path(), &args).unwrap()).unwrap()
}

#[test]
fn calls_stand_below_their_requests() {
    insta::assert_snapshot!(tree(&[]), @r###"
    #1  in  POST http://shop.test/orders  201  200.0ms
        #2  dns  A prices.test  NXDOMAIN  1.0ms  only-one-in-flight
        #3  out  GET http://prices.test/v1  200  2.0ms  thread
    #4  in>  GET http://shop.test/slow  -  0ns
        #5  out  GET http://prices.test/v2  503  2.0ms  header
    #10  in>  GET http://shop.test/health  -  0ns
    no known cause
        #6  out  GET http://prices.test/v3  200  2.0ms  ambiguous
        #8  out  (connection) tcp://db.test:5432  ECONNREFUSED  90.0µs
        #9  out  GET http://prices.test/v4  200  2.0ms  header

    10 events, 2 dependencies, 2 failed, 0 incomplete, none lost
    3 inbound requests, 4 outbound calls, 1 name
    "###);
}

#[test]
fn a_request_is_shown_with_what_is_selected_of_its_calls() {
    insta::assert_snapshot!(tree(&["--status", "503"]), @r###"
    #4  in>  GET http://shop.test/slow  -  0ns
        #5  out  GET http://prices.test/v2  503  2.0ms  header

    1 of 10 events, 2 dependencies, 2 failed, 0 incomplete, none lost
    3 inbound requests, 4 outbound calls, 1 name
    "###);
}

#[test]
fn json_is_an_object_for_each_request() {
    let text = tree(&["--json"]);
    let branches: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary: Vec<String> = branches
        .iter()
        .map(|branch| {
            let calls: Vec<&str> =
                branch["calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
            format!("{}: {}", branch["request"]["id"], calls.join(" "))
        })
        .collect();
    assert_eq!(summary, ["\"a1\": d1 o1", "\"b1\": o2", "\"c1\": ", "null: o3 o4 o5"]);
    assert_eq!(branches[0]["request"]["status"], 201);
    assert_eq!(branches[0]["calls"][1]["causeBasis"], "thread");
    assert_eq!(branches[0]["calls"][1]["duration"], 2_000_000);
}

#[test]
fn a_tree_has_no_place_for_what_belongs_to_the_table() {
    for args in [&["--tree", "--follow"][..], &["--tree", "12"], &["--tree", "--offset"]] {
        assert!(parse(Path::new("x"), args).is_err(), "{args:?}");
    }
}
