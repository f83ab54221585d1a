//! The two lines of an inbound exchange.

use super::*;

pub(super) fn client() -> (Direction, Peer) {
    let peer = Peer {
        connection: 3,
        local: Some("10.0.0.2:8080".parse().unwrap()),
        peer: Some("10.9.9.9:51234".parse().unwrap()),
        process: None,
        name: None,
    };
    (Direction::Inbound, peer)
}

pub(super) fn heard_by(said: &[(Sender, &[u8])], ending: Ending, limits: Limits, budget: usize) -> Recorded {
    Recording::start(&Redaction::with_key(None, [0; 32]), limits, budget).of(client(), said, ending)
}

pub(super) fn heard(said: &[(Sender, &[u8])], ending: Ending) -> Recorded {
    heard_by(said, ending, LIMITS, 1 << 20)
}

const ASK: (Sender, &[u8]) = (Client, b"GET /a?b=1 HTTP/1.1\r\nHost: shop\r\n\r\n");
const ANSWER: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

/// `type url status`, in order.
fn told(it: &Recorded) -> Vec<String> {
    let line = |event: &Event| {
        let status = event.status.map_or(String::new(), |status| format!(" {status}"));
        format!("{} {}{status}", &event.kind.as_str()[7..], event.path_and_query())
    };
    it.events.iter().map(line).collect()
}

#[test]
fn both_lines_say_all_there_is() {
    let said: [(Sender, &[u8]); 5] = [
        (Client, b"POST /up HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
        (Server, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (Client, b"2\r\nhi\r\n0\r\nT: u\r\n\r\n"),
        (Server, b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
        (Server, b"1\r\n\xff\r\n0\r\nE: f\r\n\r\n"),
    ];
    let it = heard(&said, Ending::Closed);
    assert_eq!(std::fs::read(it.path.join("outbound.log")).unwrap(), b"");
    let log = std::fs::read_to_string(it.path.join("inbound.log")).unwrap();
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(",\"offsetNs\"").unwrap().1).collect();
    let id = &it.events[0].id;
    let asked = format!(
        r#""traceId":"{id}","service":"10.0.0.2:8080","protocol":"http/1.1","method":"POST","url":"http://shop.test/up""#
    );
    let ends = r#""connection":3,"local":"10.0.0.2:8080","peer":"10.9.9.9:51234"}"#;
    let request = format!(
        r#":1500000,{asked},"headers":{{"Host":["shop.test"],"Transfer-Encoding":["chunked"],"Expect":["100-continue"]}},"requestTrailers":{{"T":["u"]}},"body":"hi","bodySize":2,"bodySha256":"{}","duration":3000000,{ends}"#,
        it.events[0].body_sha256.as_ref().unwrap()
    );
    let response = format!(
        r#":7500000,{asked},"interim":[{{"status":100,"headers":{{}}}}],"status":201,"headers":{{"Transfer-Encoding":["chunked"]}},"responseTrailers":{{"E":["f"]}},"bodyB64":"YWL/","bodySize":3,"bodySha256":"{}","responseChunks":[[4500000,2],[6000000,1]],"duration":6000000,{ends}"#,
        it.events[1].body_sha256.as_ref().unwrap()
    );
    assert_eq!(lines, [request, response]);
    let kinds: Vec<_> = it.events.iter().map(|event| (event.kind.as_str(), event.sequence)).collect();
    assert_eq!(kinds, [("InboundRequest", Some(1)), ("InboundResponse", Some(2))]);
    assert_ne!(it.events[0].id, it.events[1].id);
    assert!(it.totals.dependencies.is_empty(), "a client is no dependency");
}

#[test]
fn what_the_target_does_stands_between_request_and_answer() {
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let (mut inbound, mut outbound) = (Talk::new(client()), Talk::new((Direction::Outbound, peer())));
    inbound.say(ASK.0, ASK.1, &mut it.lines);
    outbound.say(Client, b"GET /price HTTP/1.1\r\n\r\n", &mut it.lines);
    outbound.say(ANSWER.0, ANSWER.1, &mut it.lines);
    inbound.say(ANSWER.0, ANSWER.1, &mut it.lines);
    outbound.end(Ending::Closed, &mut it.lines);
    inbound.end(Ending::Closed, &mut it.lines);
    let it = it.finish();
    let kinds: Vec<_> = it.events.iter().map(|event| (event.kind.clone(), event.sequence)).collect();
    let expected = [Kind::InboundRequest, Kind::OutboundCall, Kind::InboundResponse];
    assert_eq!(kinds, expected.into_iter().zip([Some(1), Some(2), Some(3)]).collect::<Vec<_>>());
    assert_eq!(it.totals.events.values().sum::<u64>(), 3);
}

#[test]
fn pipelined_requests_are_told_as_they_come_and_answered_in_order() {
    let both = [ASK.1, b"GET /2 HTTP/1.1\r\n\r\n"].concat();
    let it = heard(&[(Client, &both), ANSWER, ANSWER], Ending::Closed);
    assert_eq!(told(&it), ["Request /a?b=1", "Request /2", "Response /a?b=1 200", "Response /2 200"]);
    for (request, response) in [(0, 2), (1, 3)] {
        assert_eq!(it.events[request].id, it.events[request].trace_id);
        assert_eq!(it.events[response].trace_id, it.events[request].id);
    }
    let urls = it.events.iter().map(|event| event.url.as_str()).collect::<Vec<_>>();
    assert_eq!(urls[..2], ["http://shop/a?b=1", "http://10.0.0.2:8080/2"], "Host, else the listener");
}

#[test]
fn an_answer_before_the_end_of_its_request_comes_after_it() {
    let asked: (Sender, &[u8]) = (Client, b"PUT /f HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc");
    let refused: (Sender, &[u8]) = (Server, b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    let it = heard(&[asked, refused, (Client, b"def"), ASK, ANSWER], Ending::Closed);
    assert_eq!(told(&it), ["Request /f", "Response /f 413", "Request /a?b=1", "Response /a?b=1 200"]);
    assert!(it.events.iter().all(|event| !event.incomplete && event.error.is_none()));
    assert_eq!(it.events[0].request_body(), Body::Text("abcdef"));
    // The client never sends the rest.
    let it = heard(&[asked, refused], Ending::ClosedBy(Server));
    assert_eq!(told(&it), ["Request /f", "Response /f 413"]);
    let error = "the target closed the connection before the request was whole";
    assert_eq!((it.events[0].incomplete, it.events[0].error.as_deref()), (true, Some(error)));
    assert_eq!(it.events[0].request_body(), Body::Text("abc"));
    assert!(!it.events[1].incomplete && it.events[1].error.is_none(), "the answer is whole");
}

#[test]
fn a_request_is_told_before_it_is_answered() {
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let mut talk = Talk::new(client());
    talk.say(Client, &ASK.1[..20], &mut it.lines);
    assert_eq!(it.lines.totals().events.get("InboundRequest"), None);
    talk.say(Client, &ASK.1[20..], &mut it.lines);
    assert_eq!(it.lines.totals().events.get("InboundRequest"), Some(&1));
    talk.end(Ending::Abandoned, &mut it.lines);
    it.finish();
}

#[test]
fn other_protocols_are_turns_of_two_lines() {
    let said: [(Sender, &[u8]); 6] = [
        (Server, b"220 hello\r\n"),
        (Client, b"EHLO"),
        (Client, b" me\r\n"),
        (Server, b"250\r\n"),
        (Server, b"more\r\n"),
        (Client, b"QUIT\r\n"),
    ];
    let it = heard(&said, Ending::Closed);
    let turns: Vec<_> = it.events.iter().map(|event| (event.kind.as_str(), event.request_body())).collect();
    let expected = [
        ("InboundRequest", Body::Empty),
        ("InboundResponse", Body::Text("220 hello\r\n")),
        ("InboundRequest", Body::Text("EHLO me\r\n")),
        ("InboundResponse", Body::Text("250\r\nmore\r\n")),
        ("InboundRequest", Body::Text("QUIT\r\n")),
        ("InboundResponse", Body::Empty),
    ];
    assert_eq!(turns, expected);
    assert!(it.events.iter().all(|event| event.url == "tcp://10.0.0.2:8080" && !event.failed()));
    // From the first byte of the request to the last of the answer, however long the client then waits.
    assert_eq!((it.events[2].duration, it.events[3].duration), (Some(1_500_000), Some(4_500_000)));
}

#[test]
fn an_upgraded_connection_goes_on_in_turns() {
    let upgrade: (Sender, &[u8]) =
        (Client, b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let switched: (Sender, &[u8]) =
        (Server, b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let it = heard(&[upgrade, switched, (Client, b"\x81\x01a"), (Server, b"\x81\x01b")], Ending::Closed);
    let lines: Vec<_> = it.events.iter().map(|event| (event.protocol.as_str(), event.status)).collect();
    assert_eq!(lines, [("http/1.1", None), ("http/1.1", Some(101)), ("tcp", None), ("tcp", None)]);
    assert_eq!(it.events[3].request_body(), Body::Base64(b"\x81\x01b"));
}

#[test]
fn tls_is_one_exchange_whose_bytes_are_counted() {
    let hello = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00";
    let it = heard(&[(Client, hello), (Server, b"\x16\x03\x03more"), (Client, b"xyz")], Ending::Closed);
    assert_eq!(it.events.len(), 2);
    assert_eq!(
        (it.events[0].service.as_str(), it.events[0].url.as_str()),
        ("10.0.0.2:8080", "tls://10.0.0.2:8080")
    );
    let sizes = it.events.iter().map(Event::request_body).collect::<Vec<_>>();
    assert_eq!(sizes, [Body::Dropped { size: 12 }, Body::Dropped { size: 7 }]);
}

#[test]
fn long_bodies_are_files() {
    let body = vec![b'x'; 2 << 20];
    let head = format!("Content-Length: {}\r\n\r\n", body.len());
    let asked = [b"PUT / HTTP/1.1\r\n", head.as_bytes(), &body].concat();
    let answer = [b"HTTP/1.1 200 OK\r\n", head.as_bytes(), &body].concat();
    let it = heard_by(&[(Client, &asked), (Server, &answer)], Ending::Closed, LIMITS, 16 << 20);
    for event in &it.events {
        let Body::File { sha256, size } = event.request_body() else { panic!("{event:?}") };
        assert_eq!(
            (size, std::fs::read(it.path.join("bodies").join(sha256)).unwrap() == body),
            (2 << 20, true)
        );
    }
    assert_eq!(it.events.len(), 2);
}

#[test]
fn who_says_nothing_leaves_no_line() {
    for ending in [Ending::Closed, Ending::Abandoned, Ending::Broke(Client, Errno::ECONNRESET)] {
        let it = heard(&[], ending);
        assert!(it.events.is_empty() && it.totals.lost.is_empty());
    }
}

#[test]
fn what_is_excluded_has_neither_line() {
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    it.lines.select(Box::new(|direction, peer, service, path| {
        assert_eq!((direction, service), (Direction::Inbound, "10.0.0.2:8080"));
        assert_eq!(peer.peer.unwrap().port(), 51234);
        path != Some("/a?b=1")
    }));
    let it =
        it.of(client(), &[ASK, ANSWER, (Client, b"GET /c HTTP/1.1\r\n\r\n"), ANSWER, ASK], Ending::Closed);
    assert_eq!(told(&it), ["Request /c", "Response /c 200"]);
    assert_eq!((it.totals.excluded.events(), it.totals.excluded.bytes()), (2, 2));
}

/// A secret of the request that its answer repeats, in another line.
#[test]
fn secrets_are_replaced_across_the_lines() {
    const SECRET: &str = "s3cr3t-value";
    let on = Redaction::with_key(Some(crate::incident::redact::Policy::default()), [5; 32]);
    let body = format!("{{\"password\":\"{SECRET}\",\"x\":\"{}\"}}", "y".repeat(300));
    let asked = format!("POST /?token={SECRET} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let page = format!("<p>You sent {SECRET}.{}</p>", " ".repeat(300));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nSet-Cookie: sid={SECRET}\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let posted = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for (asked, rounds) in [(&asked, 1), (&posted, 3)] {
        let mut said: Vec<(Sender, &[u8])> = Vec::new();
        for _ in 0..rounds {
            said.extend([(Client, asked.as_bytes()), (Server, answer.as_bytes())]);
        }
        let it = Recording::start(&on, LIMITS, 32 << 20).of(client(), &said, Ending::Closed);
        let log = std::fs::read_to_string(it.path.join("inbound.log")).unwrap();
        assert!(!log.contains(SECRET), "{log}");
        let secrets = std::fs::read_to_string(it.path.join("secrets.json")).unwrap();
        assert_eq!(secrets.matches(SECRET).count(), 1, "{secrets}");
        for response in it.events.iter().filter(|event| event.kind == Kind::InboundResponse) {
            assert!(response.body_redacted && !response.url.contains(SECRET));
            assert_eq!(response.url, it.events[0].url);
        }
        assert_eq!(it.events.len(), 2 * rounds);
    }
}
