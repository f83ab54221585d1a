//! Names.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;

use serde_json::{Value, json};

use super::harness::{PATIENCE, Running, Wanted, get};
use crate::protocol::{DnsMessage, dns_sample as sample};
use crate::redirect::{Action, Verdict, VerdictKey};
use crate::replay::seen::Refused;

fn lookup(name: &'static str, addresses: &[[u8; 4]]) -> Value {
    let base64 = |bytes: Vec<u8>| base64_simd::STANDARD.encode_to_string(bytes);
    let (question, answer) = (sample::question(1, name, sample::A), sample::answer(1, name, addresses));
    json!({
        "type": "Dns", "service": "192.0.2.53", "protocol": "dns", "transport": "udp", "method": "A", "name": name,
        "url": format!("dns://192.0.2.53/{name}?type=A"), "rcode": "NOERROR", "peer": "192.0.2.53:53",
        "bodySize": question.len(), "responseBodySize": answer.len(),
        "bodyB64": base64(question), "responseBodyB64": base64(answer),
    })
}

fn running() -> Running {
    let mut unlooked = get("/", &json!({}));
    for (name, value) in
        [("service", "prices.test:8080"), ("url", "http://prices.test:8080/"), ("peer", "10.0.0.8:8080")]
    {
        unlooked[name] = json!(value);
    }
    let lines = vec![lookup("stock.test", &[[10, 0, 0, 7], [10, 0, 0, 70]]), get("/", &json!({})), unlooked];
    Running::start(lines, Wanted::default())
}

fn said(bytes: &[u8]) -> (String, Vec<String>) {
    let message = DnsMessage::parse(bytes).unwrap();
    (message.rcode_word(), message.answers.into_iter().map(|answer| answer.data).collect())
}

fn ask(running: &Running, name: &'static str) -> (String, Vec<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(running.dns).unwrap();
    socket.send(b"not a message").unwrap();
    socket.send(&sample::question(77, name, sample::A)).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    assert_eq!(answer[..2], 77_u16.to_be_bytes());
    said(&answer[..length])
}

#[test]
fn names_are_answered_as_recorded_and_unknown_ones_refused() {
    let running = running();
    let found = |addresses: &[&str]| {
        ("NOERROR".to_owned(), addresses.iter().map(|address| (*address).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(ask(&running, "Stock.test"), found(&["10.0.0.7", "10.0.0.70"]));
    assert_eq!(ask(&running, "prices.test"), found(&["10.0.0.8"]));
    assert_eq!(ask(&running, "evil.test").0, "NXDOMAIN");
    let (seen, _) = running.end();
    let refused: Vec<_> = seen.refusals.into_iter().map(|refusal| refusal.what).collect();
    assert_eq!(refused, [Refused::Lookup("evil.test".to_owned())]);
}

#[test]
fn every_address_that_a_name_has_is_served() {
    let running = running();
    let verdicts = running.kernel.verdicts.lock().unwrap().clone();
    for address in ["10.0.0.7:80", "10.0.0.70:80", "10.0.0.8:8080"] {
        let key = VerdictKey::Address(address.parse().unwrap());
        assert_eq!(verdicts.get(&key), Some(&Verdict::always(Action::Stub)), "{address}");
    }
    assert!(!verdicts.contains_key(&VerdictKey::Address("10.0.0.9:80".parse().unwrap())));
    drop(verdicts);
    // Without a Host header the address tells whom it is for.
    assert!(running.ask("10.0.0.70:80", "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 OK"));
}

#[test]
fn tcp_is_answered_too() {
    let running = running();
    let mut client = running.connect("192.0.2.53:53");
    let question = sample::question(5, "stock.test", sample::A);
    let framed = [&(question.len() as u16).to_be_bytes(), &question[..]].concat();
    // Two in one, the second in pieces.
    client.write_all(&[&framed[..], &framed[..3]].concat()).unwrap();
    client.write_all(&framed[3..]).unwrap();
    for _ in 0..2 {
        let mut length = [0; 2];
        client.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(said(&answer).1, ["10.0.0.7", "10.0.0.70"]);
    }
}

#[test]
fn unknown_connects_are_refusals() {
    let running = running();
    let to: std::net::SocketAddr = "203.0.113.9:443".parse().unwrap();
    let flow = |fate| infernosim_common::Flow {
        destination: to.ip().into(),
        port: 443,
        fate: fate as u16,
        connected_ns: crate::clock::now().0,
        ..Default::default()
    };
    running.stub().refused(&flow(infernosim_common::Fate::Unknown));
    running.stub().refused(&flow(infernosim_common::Fate::Twin));
    let (seen, _) = running.end();
    assert_eq!(
        seen.refusals.into_iter().map(|refusal| refusal.what).collect::<Vec<_>>(),
        [Refused::Connect(to)]
    );
}
