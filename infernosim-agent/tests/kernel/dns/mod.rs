//! Names that the target looks up: every question and every answer is a `Dns` event, whoever asks and however.

mod resolver;
mod unix;

use serde_json::Value;

use self::resolver::{Names, assert_whole, summaries, summary};
use crate::harness::{Capture, Netns, Origin, Recording, Service, text};

/// Sends a line and gives the answer, by name and without saying the name.
const RAW: &str = "
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    s.sendall(b'\\x00\\x01\\x02hello')
    print(s.recv(100))
";

/// Answers each connection's first bytes, and closes.
fn echo(netns: &Netns) -> u16 {
    netns.enter(|| {
        let listener = std::net::TcpListener::bind(":::0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                use std::io::{Read as _, Write as _};
                let mut bytes = [0; 100];
                let length = stream.read(&mut bytes).unwrap();
                let _ = stream.write_all(&bytes[..length]);
            }
        });
        port
    })
}

#[test]
fn every_question_and_answer_is_an_event() {
    let names = Names::new();
    let recording = names.record(
        "d() { dig +tries=1 \"$@\" >/dev/null; }
        d shop.test A; d SHOP.test AAAA; d www.test A; d _shop._tcp.test SRV; d text.test TXT
        d missing.test A; d four.test AAAA; d @fd77::2 shop.test A; d +noedns shop.test TYPE65280",
    );
    let expected = [
        "udp A shop.test NOERROR A 10.77.0.2",
        "udp AAAA shop.test NOERROR AAAA fd77::2",
        "udp A www.test NOERROR CNAME web.test, CNAME shop.test, A 10.77.0.2",
        "udp SRV _shop._tcp.test NOERROR SRV 10 5 8080 shop.test",
        "udp TXT text.test NOERROR TXT \"one\" \"two\"",
        "udp A missing.test NXDOMAIN",
        "udp AAAA four.test NOERROR",
        "udp A shop.test NOERROR A 10.77.0.2",
        "udp TYPE65280 shop.test NOERROR",
    ];
    assert_eq!(summaries(&recording), expected);
    let events = recording.of_type("Dns");
    events.iter().for_each(|event| assert_whole(event));
    assert_eq!(text(&events[7]["service"]), "[fd77::2]");
    assert_eq!(events[0]["answers"][0]["ttl"], 300);
    let processes: Vec<&str> = events.iter().map(|event| text(&event["comm"])).collect();
    assert!(processes.iter().all(|comm| *comm == "isc-net-0000" || *comm == "dig"), "{processes:?}");
    // What is recorded is not unmediated.
    assert_eq!(recording.unmediated("udp-datagrams"), 0, "{:#}", recording.manifest);
}

#[test]
fn a_truncated_answer_and_its_second_over_tcp_are_two_events() {
    let names = Names::new();
    let recording = names.record("dig +noedns +tries=1 big.test TXT");
    let events = recording.of_type("Dns");
    let [udp, tcp] = &events[..] else { panic!("{:?}", summaries(&recording)) };
    assert!(summary(udp).starts_with("udp TXT big.test NOERROR truncated"), "{}", summary(udp));
    assert!(summary(tcp).starts_with("tcp TXT big.test NOERROR TXT \"000"), "{}", summary(tcp));
    events.iter().for_each(|event| assert_whole(event));
    assert!(tcp["responseBodySize"].as_u64().unwrap() > 1_600);
    // It went to port 53, so it is no call of another protocol besides.
    assert_eq!(recording.events.len(), 2, "{:#?}", recording.events);
}

#[test]
fn what_resolvers_do_wrong_is_recorded_as_it_was() {
    let names = Names::new();
    names.resolv_conf("nameserver 10.77.0.4\n");
    let script = "d() { dig +noedns +tries=1 +timeout=1 \"$@\" >/dev/null; true; }
        d servfail.test; d silent.test; d garbage.test; d cut.test; d forged.test; d late.test; sleep 0.2";
    let recording = names.record(script);
    let said = |name: &str| -> Vec<&Value> {
        recording.of_type("Dns").into_iter().filter(|event| text(&event["name"]) == name).collect()
    };
    assert_eq!(summary(said("servfail.test")[0]), "udp A servfail.test SERVFAIL");
    assert_eq!(
        summary(said("silent.test")[0]),
        "udp A silent.test the capture ended before the exchange did"
    );
    for name in ["garbage.test", "cut.test"] {
        assert_eq!(text(&said(name)[0]["error"]), "the message cannot be read", "{name}");
        assert!(said(name)[0]["responseBodySize"].as_u64().unwrap() > 12);
    }
    let forged = said("forged.test");
    assert_eq!(summary(forged[1]), "udp A forged.test NOERROR A 10.77.0.2");
    for event in [forged[0], said("evil.test")[0]] {
        assert_eq!(text(&event["error"]), "answer to no question");
        assert!(event.get("bodySize").is_none() && event["responseBodySize"].as_u64().unwrap() > 12);
    }
    assert_eq!(said("late.test").len(), 1, "{:?}", summaries(&recording));
}

#[test]
fn a_question_that_is_asked_again_is_another_event() {
    let names = Names::new();
    names.resolv_conf("nameserver 10.77.0.4\noptions timeout:1 attempts:2\n");
    let recording = names.record("getent ahostsv4 silent.test; true");
    let asked = summaries(&recording);
    assert_eq!(asked.len(), 2, "{asked:?}");
    let mut ids = recording.of_type("Dns").into_iter().map(|event| &text(&event["bodyB64"])[..2]);
    assert_eq!(ids.next(), ids.next(), "glibc asks again with the same id");
    assert_eq!(asked[0], "udp A silent.test no answer");
}

#[test]
fn programs_of_all_kinds_look_names_up() {
    let names = Names::new();
    let origin = Origin::within(&names.lab.server);
    let url = |path: &str| format!("http://shop.test:{}/{path}", origin.port());
    let node = format!("require('http').get('{}', r => r.resume())", url("node"));
    let python = format!("import urllib.request as u; u.urlopen('{}').read()", url("python"));
    let curl = url("curl");
    for (path, command) in [
        ("curl", vec!["curl", "-sS", &curl]),
        ("python", vec![crate::harness::PYTHON, "-c", &python]),
        ("node", vec!["node", "-e", &node]),
    ] {
        let recording = names.capture(&command).record();
        assert_looked_up(&recording, path);
        let calls = recording.calls();
        let [call] = &calls[..] else { panic!("{path}: {calls:#?}") };
        assert_eq!(text(&call["url"]), url(path));
        let order = |event: &Value| event["sequence"].as_u64().unwrap();
        let asked = recording.of_type("Dns");
        assert!(asked.iter().all(|event| order(event) < order(call)), "{path}: looked up, then called");
    }
    // The family of the server's is chosen by the program: both are asked for, and that is all getent does.
    assert_looked_up(&names.capture(&["getent", "ahosts", "shop.test"]).record(), "getent");
}

fn assert_looked_up(recording: &Recording, who: &str) {
    let mut asked = summaries(recording);
    asked.sort();
    let expected = ["udp A shop.test NOERROR A 10.77.0.2", "udp AAAA shop.test NOERROR AAAA fd77::2"];
    assert_eq!(asked, expected, "{who}");
    recording.of_type("Dns").into_iter().for_each(assert_whole);
}

#[test]
fn glibc_over_tcp_is_seen_too() {
    let names = Names::new();
    names.resolv_conf("nameserver 10.77.0.2\noptions use-vc\n");
    let recording = names.capture(&["getent", "ahosts", "shop.test"]).record();
    let mut asked = summaries(&recording);
    asked.sort();
    assert_eq!(asked, ["tcp A shop.test NOERROR A 10.77.0.2", "tcp AAAA shop.test NOERROR AAAA fd77::2"]);
    recording.of_type("Dns").into_iter().for_each(assert_whole);
    assert_eq!(recording.events.len(), 2, "{:#?}", recording.events);
}

#[test]
fn a_dependency_without_a_host_header_has_the_name_it_was_reached_by() {
    let names = Names::new();
    let port = echo(&names.lab.server).to_string();
    for name in ["shop.test", "www.test", "four.test"] {
        let recording = names.capture(&[crate::harness::PYTHON, "-c", RAW, name, &port]).record();
        let calls = recording.calls();
        let [call] = &calls[..] else { panic!("{calls:#?}") };
        assert_eq!(text(&call["service"]), format!("{name}:{port}"));
        assert_eq!(text(&call["url"]), format!("tcp://{name}:{port}"));
        assert!(text(&call["peer"]).contains("77"), "the address stays: {call:#}");
    }
    // By its address it has no name.
    let recording = names.capture(&[crate::harness::PYTHON, "-c", RAW, "10.77.0.2", &port]).record();
    assert_eq!(text(&recording.calls()[0]["service"]), format!("10.77.0.2:{port}"));
}

#[test]
fn a_running_service_in_another_namespace_is_heard() {
    let names = Names::new();
    let origin = Origin::within(&names.lab.server);
    let prefix: Vec<String> = names.lab.client.prefix().into_iter().chain(names.asking()).collect();
    let mut service = Service::through(&prefix.iter().map(String::as_str).collect::<Vec<_>>());
    let capture = Capture::attached(&["--pid", &service.pid_text("main")]).start().ready();
    let said = service.ask("child", "ask", &format!("http://four.test:{}/path", origin.port()));
    assert_eq!(said.text, "/path");
    service.end();
    let recording = capture.wait_for_end().recording();
    let asked = summaries(&recording);
    assert!(asked.contains(&"udp A four.test NOERROR A 10.77.0.2".to_owned()), "{asked:?}");
    let pids: Vec<Option<u64>> = recording.events.iter().map(|event| event["pid"].as_u64()).collect();
    assert!(pids.iter().all(|pid| *pid == Some(u64::from(said.pid))), "{pids:?}");
}

#[test]
fn lookups_are_left_out_by_port_and_by_resolver() {
    let names = Names::new();
    for what in ["53", "10.77.0.2"] {
        let capture = names.capture(&["dig", "+tries=1", "shop.test"]).option(&["--exclude", what]);
        let recording = capture.record();
        assert_eq!(recording.events.len(), 0, "{what}");
        assert_eq!(recording.unmediated("udp-datagrams"), 0, "{what}: left out is not unmediated");
    }
}
