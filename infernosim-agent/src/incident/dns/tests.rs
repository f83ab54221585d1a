use std::sync::Arc;

use nix::unistd::{Gid, Uid};
use serde_json::{Value, json};

use super::*;
use crate::incident::redact::Redaction;
use crate::incident::{Budget, Limits, Ownership, Process, Shelf, Writer};
use crate::protocol::dns_sample::{A, ANSWERED, Sample, TXT, answer, question};
use crate::seed::Ids;

const LIMITS: Limits = Limits { inline_body: 1, max_body: 1 };

fn peer(server: &str) -> Peer {
    Peer {
        connection: 0,
        local: Some("10.0.0.1:40000".parse().unwrap()),
        peer: Some(server.parse().unwrap()),
        process: Some(Process { pid: 7, tid: 8, own: None, comm: "app".into() }),
        name: None,
    }
}

fn sent(bytes: Vec<u8>) -> Option<Sent> {
    Some(Sent { message: DnsMessage::parse(&bytes).ok(), bytes, unseen: 0 })
}

fn lookup(server: &str, question: Option<Sent>, answer: Option<Sent>) -> Lookup {
    Lookup {
        at: Nanos(5),
        duration: 70,
        peer: peer(server),
        transport: Transport::Udp,
        question,
        answer,
        error: None,
        incomplete: false,
    }
}

/// The lines of these, and how many were left out and lost.
fn lines(lookups: &[Lookup], only: Option<&'static str>, budget: usize) -> (Vec<Value>, u64, u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("incident");
    let owner = Ownership { uid: Uid::effective(), gid: Gid::effective() };
    let shelf = Shelf::create(&path, owner, false, None).unwrap();
    let budget = Arc::new(Budget::new(budget));
    let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget)).unwrap();
    let none = Redaction::with_key(None, [0; 32]);
    let mut lines = Lines::new(outbox, budget, LIMITS, &none, Ids::from_key([1, 2]), Nanos(0));
    if let Some(only) = only {
        lines.select(Box::new(move |_, _, service, _| service == only));
    }
    lookups.iter().for_each(|lookup| lines.dns(lookup));
    let totals = lines.finish();
    writer.join().unwrap();
    let log = std::fs::read_to_string(path.join("outbound.log")).unwrap();
    let values = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (values, totals.excluded.events(), totals.lost.events())
}

fn line(lookup: Lookup) -> Value {
    let (mut lines, excluded, lost) = lines(&[lookup], None, 1 << 20);
    assert_eq!((lines.len(), excluded, lost), (1, 0, 0));
    lines.remove(0)
}

#[test]
fn a_lookup_is_a_line() {
    let asked = question(1, "shop.test", A);
    let said = answer(1, "shop.test", &[[10, 0, 0, 7], [10, 0, 0, 8]]);
    let base64 = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
    let mut line = line(lookup("10.0.0.2:53", sent(asked.clone()), sent(said.clone())));
    let object = line.as_object_mut().unwrap();
    assert!(object.remove("id").is_some() && object.remove("timestamp").is_some());
    let record = |data| json!({"name": "shop.test", "type": "A", "ttl": 300, "data": data});
    let expected = json!({
        "type": "Dns", "sequence": 1, "offsetNs": 5,
        "service": "10.0.0.2", "protocol": "dns", "transport": "udp",
        "method": "A", "url": "dns://10.0.0.2/shop.test?type=A", "name": "shop.test",
        "rcode": "NOERROR", "answers": [record("10.0.0.7"), record("10.0.0.8")], "duration": 70,
        "bodyB64": base64(&asked), "bodySize": asked.len(),
        "responseBodyB64": base64(&said), "responseBodySize": said.len(),
        "pid": 7, "tid": 8, "comm": "app", "local": "10.0.0.1:40000", "peer": "10.0.0.2:53",
    });
    assert_eq!(line, expected);
}

#[test]
fn a_resolver_is_named_by_its_address() {
    for (server, service, url) in [
        ("10.0.0.2:5353", "10.0.0.2:5353", "dns://10.0.0.2:5353/a.test?type=A"),
        ("[fd77::2]:53", "[fd77::2]", "dns://[fd77::2]/a.test?type=A"),
        ("[fd77::2]:54", "[fd77::2]:54", "dns://[fd77::2]:54/a.test?type=A"),
        ("[::ffff:10.0.0.2]:53", "10.0.0.2", "dns://10.0.0.2/a.test?type=A"),
    ] {
        let line = line(lookup(server, sent(question(1, "a.test", A)), None));
        assert_eq!((line["service"].as_str(), line["url"].as_str()), (Some(service), Some(url)));
    }
}

#[test]
fn what_went_wrong_is_said() {
    let silent = line(Lookup {
        error: Some("no answer"),
        incomplete: true,
        ..lookup("10.0.0.2:53", sent(question(1, "a b?.test", TXT)), None)
    });
    assert_eq!(silent["url"], r"dns://10.0.0.2/a%5C032b%3F.test?type=TXT");
    assert_eq!((&silent["error"], &silent["incomplete"]), (&json!("no answer"), &json!(true)));
    assert!(silent.get("rcode").is_none() && silent.get("responseBodySize").is_none());
    let truncated =
        Sample { flags: ANSWERED | 0x0200 | 3, question: Some(("b.test", A)), ..Sample::default() };
    let truncated = line(lookup("10.0.0.2:53", None, sent(truncated.bytes())));
    assert_eq!((&truncated["truncated"], &truncated["rcode"]), (&json!(true), &json!("NXDOMAIN")));
    assert_eq!((&truncated["name"], &truncated["bodySize"]), (&json!("b.test"), &Value::Null));
    let unreadable = line(Lookup { transport: Transport::Tcp, ..lookup("10.0.0.2:53", sent(vec![1]), None) });
    assert_eq!((&unreadable["url"], &unreadable["transport"]), (&json!("dns://10.0.0.2/"), &json!("tcp")));
    assert_eq!((&unreadable["method"], &unreadable["bodyB64"]), (&Value::Null, &json!("AQ==")));
    let cut = line(lookup("10.0.0.2:53", Some(Sent { unseen: 90, ..sent(vec![1; 12]).unwrap() }), None));
    assert_eq!(cut["bodySize"], 102);
}

#[test]
fn lookups_are_left_out_and_lost_like_other_events() {
    let both = [lookup("10.0.0.2:53", None, None), lookup("10.0.0.3:53", None, None)];
    let (kept, excluded, lost) = lines(&both, Some("10.0.0.3"), 1 << 20);
    assert_eq!((kept.len(), excluded, lost), (1, 1, 0));
    assert_eq!(kept[0]["service"], "10.0.0.3");
    assert_eq!(lines(&both, None, 10).2, 2);
}
