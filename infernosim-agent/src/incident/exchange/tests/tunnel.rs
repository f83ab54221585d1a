//! CONNECT, and what is said in its tunnel.

use super::inbound::heard;
use super::*;

const ASK: (Sender, &[u8]) = (Client, b"CONNECT pay.test:443 HTTP/1.1\r\nHost: pay.test:443\r\n\r\n");
const GRANTED: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 Connection established\r\n\r\n");

/// A ClientHello for `a.test` that offers h2.
fn hello() -> Vec<u8> {
    let name = b"\x00\x00\x00\x0b\x00\x09\x00\x00\x06a.test";
    let alpn = b"\x00\x10\x00\x05\x00\x03\x02h2";
    let mut body = vec![3, 3];
    body.extend([0; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((name.len() as u16 + alpn.len() as u16).to_be_bytes());
    body.extend_from_slice(name);
    body.extend_from_slice(alpn);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

#[test]
fn a_tunnel_of_tls_is_one_line_with_its_sizes_and_its_whole_time() {
    let hello = hello();
    let said: [(Sender, &[u8]); 6] =
        [ASK, GRANTED, (Client, &hello), (Server, b"certs"), (Client, b"request"), (Server, b"answer")];
    let it = recorded(&said, Ending::Closed);
    assert_eq!(it.events.len(), 1);
    let event = &it.events[0];
    assert_eq!((event.method.as_str(), event.url.as_str()), ("CONNECT", "pay.test:443"));
    assert_eq!((event.service.as_str(), event.protocol.as_str()), ("pay.test", "tls"));
    assert_eq!((event.status, event.sni.as_deref()), (Some(200), Some("a.test")));
    assert_eq!(event.alpn, ["h2"]);
    assert_eq!(event.body_size, Some(hello.len() as u64 + 7));
    assert_eq!(event.response_body_size, Some(11));
    assert!(
        event.body_truncated && event.response_body.is_none() && !event.incomplete && event.error.is_none()
    );
    assert_eq!(event.duration, Some(5 * 1_500_000));
    let it = &it.totals.dependencies["pay.test"];
    assert_eq!((it.protocol, it.calls, it.failed), ("tls", 1, 0));
}

#[test]
fn another_protocol_in_a_tunnel_is_kept_as_it_is_said() {
    let ask: (Sender, &[u8]) = (Client, b"CONNECT pay.test:25 HTTP/1.1\r\n\r\n");
    let said: [(Sender, &[u8]); 6] = [
        ask,
        GRANTED,
        (Server, b"220 hi\r\n"),
        (Client, b"EHLO\r\n"),
        (Server, b"250\r\n"),
        (Client, b"\xff"),
    ];
    let it = recorded(&said, Ending::Closed);
    assert_eq!(it.events.len(), 1, "one line, however many turns");
    let event = &it.events[0];
    assert_eq!((event.service.as_str(), event.protocol.as_str()), ("pay.test:25", "tcp"));
    assert_eq!(event.request_body(), Body::Base64(b"EHLO\r\n\xff"));
    assert_eq!(event.response_body.as_deref(), Some("220 hi\r\n250\r\n"));
    assert_eq!(event.response_chunks.len(), 2);
}

#[test]
fn cleartext_in_a_tunnel_has_lines_of_its_own() {
    let ok: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let inner: (Sender, &[u8]) = (Client, b"GET /a HTTP/1.1\r\nHost: inner.test\r\n\r\n");
    let nameless: (Sender, &[u8]) = (Client, b"GET /b HTTP/1.0\r\n\r\n");
    let it = recorded(&[ASK, GRANTED, inner, ok, nameless, ok], Ending::Closed);
    let lines: Vec<_> = it.events.iter().map(|e| (&*e.method, &*e.url, &*e.service, &*e.protocol)).collect();
    assert_eq!(
        lines,
        [
            ("CONNECT", "pay.test:443", "pay.test", "http/1.1"),
            ("GET", "http://inner.test/a", "inner.test", "http/1.1"),
            ("GET", "http://pay.test:443/b", "pay.test:443", "http/1.0"),
        ]
    );
    assert!(it.events[0].body_size.is_none() && it.events.iter().all(|event| event.status == Some(200)));
}

#[test]
fn a_tunnel_that_is_refused_is_an_exchange_and_one_without_a_word_a_line() {
    let refused: (Sender, &[u8]) = (Server, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnope");
    let it = recorded(&[ASK, refused, ASK, GRANTED], Ending::Closed);
    let lines: Vec<_> =
        it.events.iter().map(|event| (event.status, event.response_body.as_deref())).collect();
    assert_eq!(lines, [(Some(502), Some("nope")), (Some(200), None)]);
    assert!(it.events.iter().all(|event| event.url == "pay.test:443" && event.protocol == "http/1.1"));
}

#[test]
fn a_tunnel_that_breaks_is_cut_and_one_with_a_gap_is_lost() {
    let hello = hello();
    for said in [&[ASK, GRANTED][..], &[ASK, GRANTED, (Client, &hello)]] {
        let it = recorded(said, Ending::Broke(Server, Errno::ECONNRESET));
        let event = &it.events[0];
        assert!(event.incomplete && event.errno.as_deref() == Some("ECONNRESET"), "{event:?}");
        assert_eq!((it.events.len(), event.status), (1, Some(200)));
    }
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let mut talk = Talk::new((Direction::Outbound, peer()));
    for (from, bytes) in [ASK, GRANTED, (Client, &hello)] {
        talk.say(from, bytes, &mut it.lines);
    }
    talk.gap(Server, 9, &mut it.lines);
    talk.say(Server, b"more", &mut it.lines);
    talk.end(Ending::Closed, &mut it.lines);
    let it = it.finish();
    let calls: Vec<_> = it.events.iter().filter(|event| event.kind == Kind::OutboundCall).collect();
    assert_eq!((calls.len(), calls[0].url.as_str()), (1, "tls://a.test:443"));
    assert!(calls[0].incomplete && it.totals.lost.events() == 1);
}

#[test]
fn of_a_target_that_is_a_proxy_the_answer_has_what_the_tunnel_carried() {
    let hello = hello();
    let it = heard(&[ASK, GRANTED, (Client, &hello), (Server, b"certs"), (Client, b"more")], Ending::Closed);
    let [request, response] = it.events.as_slice() else { panic!("{:?}", it.events) };
    assert_eq!((request.protocol.as_str(), response.protocol.as_str()), ("http/1.1", "tls"));
    assert!(
        [request, response].iter().all(|line| line.url == "pay.test:443" && line.service == "10.0.0.2:8080")
    );
    assert_eq!(
        (response.status, response.body_size, response.sni.as_deref()),
        (Some(200), Some(5), Some("a.test"))
    );
    assert_eq!(request.body_size, None);
}

#[test]
fn an_answer_of_our_own_says_why() {
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let nowhere = Peer { peer: None, name: Some("pay.test:443".into()), ..peer() };
    let mut talk = Talk::new((Direction::Outbound, nowhere));
    let ok: (Sender, &[u8]) = (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let bad: (Sender, &[u8]) = (Server, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nwhy");
    for (said, answer) in [(ASK, bad), ((Client, b"GET http://b/ HTTP/1.1\r\n\r\n".as_slice()), ok)] {
        talk.say(said.0, said.1, &mut it.lines);
        if answer == bad {
            talk.exchanges
                .answered_for(Some(Errno::ECONNREFUSED), "pay.test:443 refused the connection".into());
        }
        talk.say(answer.0, answer.1, &mut it.lines);
    }
    talk.end(Ending::Closed, &mut it.lines);
    let it = it.finish();
    let [failed, fine] = it.events.as_slice() else { panic!("{:?}", it.events) };
    assert_eq!((failed.status, failed.errno.as_deref()), (Some(502), Some("ECONNREFUSED")));
    assert_eq!(failed.error.as_deref(), Some("pay.test:443 refused the connection"));
    assert!(!failed.incomplete && failed.peer.is_empty() && failed.response_body.as_deref() == Some("why"));
    assert_eq!((it.totals.dependencies["pay.test"].failed, it.totals.dependencies["b"].failed), (1, 0));
    assert!(fine.error.is_none() && fine.service == "b");
    // Nor does anybody hear the answer.
    let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let mut talk = Talk::new(super::inbound::client());
    talk.exchanges.name_next(0xabc);
    talk.say(Client, b"GET /a HTTP/1.1\r\n\r\n", &mut it.lines);
    talk.exchanges.answered_for(None, "gone".into());
    talk.end(Ending::Broke(Client, Errno::ECONNRESET), &mut it.lines);
    let it = it.finish();
    assert_eq!(it.events[0].id, format!("{:032x}", 0xabc));
    assert_eq!(it.events[1].trace_id, it.events[0].id);
    assert!(it.events[1].incomplete && it.events[1].error.as_deref() == Some("gone"), "{:?}", it.events[1]);
}
