//! One exchange: which one is meant, and how it is shown.

use super::*;

#[test]
fn one_exchange_whole() {
    insta::assert_snapshot!(output(&["1"]), @r###"
    OutboundCall 11111111111111111111111111111111
      sequence    1
      time        2026-01-02T03:04:05.006007008Z, +0.000001 s
      dependency  api.test:8080
      url         http://api.test:8080/v1/items?q=1
      protocol    http/1.1
      connection  1, 10.0.0.2:5 → 10.0.0.7:8080
      process     curl, pid 7, tid 8
      duration    1.2ms
      outcome     answered
      cause       c1, by thread

    > POST /v1/items?q=1 HTTP/1.1
    > Host: api.test:8080
    > accept: a
    > accept: b
    >
    {"a":1}
    > Sum: 9

    < HTTP/1.1 103
    < Link: </s.css>
    <

    < HTTP/1.1 200
    < Content-Type: application/json
    <
    ok\u{1b}[31m\r
    bye

    chunks of the response, from the start of the exchange
          +1.0µs  4 B
          +2.5ms  8 B
    "###);
}

#[test]
fn one_exchange_cut_and_binary() {
    insta::assert_snapshot!(output(&["3333"]), @r###"
    OutboundCall 33333333333333333333333333333333
      sequence    5
      time        2026-01-02T03:04:07Z
      dependency  api.test:8080
      url         http://api.test:8080/bin
      protocol    http/1.1
      connection  3
      process     pid 9
      duration    2.50s
      outcome     closed, incomplete, ECONNRESET

    > GET /bin HTTP/1.1
    >

    < HTTP/1.1 502
    <
    00000000  00 01 02 ff                                       |....|
    (cut at capture: 4 B of it were kept)
    "###);
}

#[test]
fn one_inbound_exchange_by_either_half() {
    insta::assert_snapshot!(output(&["aaaa"]), @r###"
    InboundRequest aaaaaaaa
      sequence    3
      time        2026-01-02T03:04:06.5Z
      service     127.0.0.1:80
      url         http://127.0.0.1/in
      protocol    http/1.1

    > GET /in HTTP/1.1
    > Host: 127.0.0.1
    >

    InboundResponse bbbbbbbb
      sequence    4
      time        2026-01-02T03:04:06.6Z
      service     127.0.0.1:80
      outcome     answered

    < 204
    <
    "###);
    assert_eq!(output(&["aaaa"]), output(&["bbbbbbbb"]));
}

#[test]
fn one_connection_and_one_loss() {
    insta::assert_snapshot!(output(&["2"]) + &output(&["#6"]), @r###"
    Connection 22222222222222222222222222222222
      sequence    2
      time        2026-01-02T03:04:06Z
      dependency  db.test:5432
      url         tcp://10.0.0.9:5432
      protocol    tcp
      connection  2, 10.0.0.9:5432
      process     pid 7
      duration    90.0µs
      outcome     ECONNREFUSED, connection refused
    Lost 44444444444444444444444444444444
      sequence    6
      lost        17 events, 68.4 KiB, buffer
    "###);
}

#[test]
fn bodies_byte_for_byte() {
    let bytes = |args| run_on(Screen::default(), incident().path(), args).unwrap();
    assert_eq!(bytes(&["1", "--request-body"]), br#"{"a":1}"#);
    assert_eq!(bytes(&["1", "--response-body"]), b"ok\x1b[31m\r\nbye");
    assert_eq!(bytes(&["5", "--response-body"]), [0, 1, 2, 255]);
    assert_eq!(bytes(&["7", "--response-body"]), b"hello");
    assert_eq!(bytes(&["7", "--request-body"]), b"");
    assert!(output(&["7"]).ends_with("\nhello\n"), "a body in a file is shown too");
}

#[test]
fn ids_mean_one_exchange_or_none() {
    let dir = incident();
    let incident = Incident::open(dir.path()).unwrap();
    let id_of = |id: &str| {
        find::find(&incident, id)
            .map(|found| found[0].event.sequence.unwrap())
            .map_err(|e| (e.exit, e.message))
    };
    assert_eq!(id_of("#7"), Ok(7));
    assert_eq!(id_of("11111111111111111111111111111111"), Ok(1));
    assert_eq!(id_of("12344"), Ok(7));
    assert_eq!(id_of("#1234"), Ok(1234));
    assert_eq!(id_of("AAAA"), Ok(3));
    for (id, message) in [
        (
            "1234",
            "\"1234\" means more than one event: 12345555555555555555555555555555 (#1234), \
             12344444444444444444444444444444 (#7)",
        ),
        ("8", "no event has the sequence number or id \"8\""),
        ("aaa", "no event has the sequence number or id \"aaa\""),
        ("aaac", "no event has the sequence number or id \"aaac\""),
        ("#x", "\"#x\" is not a sequence number"),
        ("", "no event has the sequence number or id \"\""),
    ] {
        assert_eq!(id_of(id), Err((Exit::Usage, message.into())));
    }
    assert_eq!(error(&["aaa"]).help.unwrap(), "write at least four digits of the id");
}

#[test]
fn old_ids_need_not_be_hex() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "events.log",
        "{\"id\":\"2\",\"url\":\"http://two/\"}{\"id\":\"http-1\",\"url\":\"http://one/\"}",
    );
    for (id, url) in [("2", "http://two/"), ("http-1", "http://one/")] {
        let shown = String::from_utf8(run_on(Screen::default(), dir.path(), &[id]).unwrap()).unwrap();
        assert!(shown.contains(url), "{shown}");
    }
}

#[test]
fn what_is_encrypted_is_not_there_to_print() {
    let dir = tempfile::tempdir().unwrap();
    let line = r#"{"id":"1","type":"OutboundCall","protocol":"tls","url":"tls://a.test:443","sni":"a.test","alpn":["h2"],"bodySize":517,"bodyTruncated":true,"responseBodySize":4000,"responseBodyTruncated":true}"#;
    write(dir.path(), "outbound.log", line);
    let shown = String::from_utf8(run_on(Screen::default(), dir.path(), &["1"]).unwrap()).unwrap();
    assert!(shown.contains("server name a.test, offers h2\n"), "{shown}");
    assert!(shown.ends_with("\n(517 B, not kept)\n\n(3.9 KiB, not kept)\n"), "{shown}");
    let Err(Stop::Failed(e)) = run_on(Screen::default(), dir.path(), &["1", "--response-body"]) else {
        panic!("printed")
    };
    assert!(e.exit == Exit::Incident && e.help.unwrap().contains("encrypted"), "{}", e.message);
}
