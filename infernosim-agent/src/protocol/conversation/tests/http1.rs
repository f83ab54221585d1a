//! HTTP/1 as real programs speak it, and as nobody should.

use super::*;
use crate::protocol::Protocol;

const GET: (Sender, &[u8]) = (C, b"GET / HTTP/1.1\r\n\r\n");
const HEAD: (Sender, &[u8]) = (C, b"HEAD / HTTP/1.1\r\n\r\n");

#[test]
fn a_plain_exchange_with_names_and_order_as_sent() {
    script(
        [
            (
                C,
                b"GET /a?b=c HTTP/1.1\r\nhost: x\r\nACCEPT:*/*\r\nX-Y:  \t spaced \t\r\nhost: y\r\n\r\n"
                    .as_slice(),
            ),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer:\r\n\r\nhello"),
        ],
        &[
            "> GET /a?b=c http/1.1 | host: x | ACCEPT: */* | X-Y: spaced | host: y",
            "> end",
            "< 200 | Content-Length: 5 | Server: ",
            "< body hello",
            "< end",
        ],
    );
}

#[test]
fn lenient_where_programs_are() {
    // Bare LF, text past ASCII, no reason or several spaces, a space before the colon, folded lines,
    // a Content-Length list, empty lines between messages, a method of one's own.
    script(
        [
            (C, b"\r\nBREW /pot HTTP/1.1\nA: caf\xe9\nB: one\r\n\ttwo\n three\n\n\r\n\n".as_slice()),
            (S, b"HTTP/1.1 200\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok\r\n"),
            (C, b"GET /2 HTTP/1.1\r\n\r\n"),
            (S, b"HTTP/1.1  404 \r\nX : y\r\nZ: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "> BREW /pot http/1.1 | A: caf\\xe9 | B: one  \\ttwo  three",
            "> end",
            "< 200 | Content-Length: 2, 2 | Content-Length: 2",
            "< body ok",
            "< end",
            "> GET /2 http/1.1",
            "> end",
            "< 404 | X: y | Z: 1   2 | Content-Length: 0",
            "< end",
        ],
    );
}

#[test]
fn curl_expects_100_continue() {
    script(
        [
            (C, b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n".as_slice()),
            (S, b"HTTP/1.1 100 Continue\r\n\r\n"),
            (C, b"data"),
            (S, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "> POST / http/1.1 | Expect: 100-continue | Content-Length: 4",
            "< interim 100",
            "> body data",
            "> end",
            "< interim 103 | Link: </a>",
            "< 201 | Content-Length: 0",
            "< end",
        ],
    );
}

#[test]
fn chunks_with_extensions_and_trailers() {
    script(
        [
            (C, b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 3\r\n\r\n".as_slice()),
            (C, b"5;a=b;c=\"d\"\r\nhello\r\n00a  \r\n0123456789\n1 ;x\n!\r\n000;last\r\nX-Sum: 1\r\nY: 2\n\r\n"),
            GET,
            (S, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\r\n\n\r\n0\r\nT: a\r\n b\r\n\r\n"),
        ],
        &[
            "> POST / http/1.1 | Transfer-Encoding: gzip, Chunked | Content-Length: 3",
            "> body hello0123456789!",
            "> end | X-Sum: 1 | Y: 2",
            "> GET / http/1.1",
            "> end",
            "< 200 | Transfer-Encoding: chunked",
            "< end",
            "< 200 | Transfer-Encoding: chunked",
            "< body \\r\\n\\n",
            "< end | T: a   b",
        ],
    );
}

#[test]
fn no_body_whatever_the_fields_say() {
    let next: (Sender, &[u8]) = (S, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    for (request, method, response, status) in [
        (HEAD, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", "200 | Content-Length: 900"),
        (
            HEAD,
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "200 | Transfer-Encoding: chunked",
        ),
        (HEAD, "HEAD", "HTTP/1.1 200 OK\r\n\r\n", "200"),
        (GET, "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n", "304 | Content-Length: 900"),
        (GET, "GET", "HTTP/1.1 204 No Content\r\nContent-Length: -1\r\n\r\n", "204 | Content-Length: -1"),
        (GET, "GET", "HTTP/1.1 205 Reset\r\nContent-Length: 00\r\n\r\n", "205 | Content-Length: 00"),
    ] {
        script(
            [request, (S, response.as_bytes()), GET, next],
            &[
                &format!("> {method} / http/1.1"),
                "> end",
                &format!("< {status}"),
                "< end",
                "> GET / http/1.1",
                "> end",
                "< 200 | Content-Length: 1",
                "< body x",
                "< end",
            ],
        );
    }
}

#[test]
fn bodies_that_last_until_the_close() {
    for (head, shown) in [
        ("HTTP/1.0 200 OK\r\n\r\n", "200"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "200 | Transfer-Encoding: chunked, gzip",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            "200 | Transfer-Encoding: chunked | Transfer-Encoding: x",
        ),
    ] {
        let request: (Sender, &[u8]) = (C, b"GET / HTTP/1.0\r\n\r\n");
        let (response, end) = (format!("< {shown}"), "> end");
        let mut expected = vec!["> GET / http/1.0", end, &response, "< body HTTP/1.1 200 OK\\r\\n", "< end"];
        closed([request, (S, head.as_bytes()), (S, b"HTTP/1.1 200 OK\r\n")], &expected);
        expected.remove(3);
        closed([request, (S, head.as_bytes())], &expected);
    }
}

#[test]
fn a_message_cut_short_has_no_end() {
    let head = ["> GET / http/1.1", "> end"];
    closed([GET], &head);
    closed(
        [GET, (S, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")],
        &[&head[..], &["< 200 | Content-Length: 9", "< body abc"]].concat(),
    );
    closed(
        [GET, (S, b"HTTP/1.1 200 O")],
        &[&head[..], &["opaque tcp: the connection ended inside a message", "< bytes HTTP/1.1 200 O"]]
            .concat(),
    );
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let feed = |(from, bytes): (Sender, &[u8])| Step::Feed(from, bytes.to_vec());
    let answer: (Sender, &[u8]) = (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut expected = vec!["> GET / http/1.1", "> end", "< 200 | Content-Length: 0", "< end"];
    check(&[feed(GET), Step::Fin(C), feed(answer), Step::Fin(S)], &expected);
    // Half a second request is shown once no answer can follow.
    expected.extend(["opaque tcp: the connection ended inside a message", "> bytes GET /2"]);
    check(&[feed(GET), feed((C, b"GET /2")), Step::Fin(C), feed(answer), Step::Fin(S)], &expected);
}

#[test]
fn fifty_pipelined_requests_in_one_feed() {
    let (mut requests, mut responses, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..50 {
        requests.extend(format!("PUT /{i} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{i:02}").bytes());
        expected.extend([
            format!("> PUT /{i} http/1.1 | Content-Length: 2"),
            format!("> body {i:02}"),
            "> end".into(),
        ]);
    }
    for i in 0..50 {
        responses.extend(format!("HTTP/1.1 {} X\r\nContent-Length: 1\r\n\r\n.", 400 + i).bytes());
        expected.extend([format!("< {} | Content-Length: 1", 400 + i), "< body .".into(), "< end".into()]);
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    script([(C, requests.as_slice()), (S, &responses)], &expected);
}

#[test]
fn an_answer_may_end_before_its_request() {
    script(
        [
            (C, b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc".as_slice()),
            (S, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"),
            (C, b"def"),
            GET,
            (S, b"HTTP/1.1 204 \r\n\r\n"),
        ],
        &[
            "> POST / http/1.1 | Content-Length: 6",
            "> body abc",
            "< 413 | Content-Length: 2",
            "< body no",
            "< end",
            "> body def",
            "> end",
            "> GET / http/1.1",
            "> end",
            "< 204",
            "< end",
        ],
    );
}

#[test]
fn upgrade_accepted_and_refused() {
    let ask: (Sender, &[u8]) = (C, b"GET /ws HTTP/1.1\r\nConnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    let asked = ["> GET /ws http/1.1 | Connection: upgrade | upgrade: websocket", "> end"];
    script(
        [ask, (C, b"\x81\x01a"), (S, b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n\x81\x01b"), (C, b"GET")],
        &[
            &asked[..],
            &[
                "< 101 | Upgrade: websocket",
                "< end",
                "opaque tcp",
                "> bytes \\x81\\x01a",
                "< bytes \\x81\\x01b",
            ],
            &["> bytes GET"],
        ]
        .concat(),
    );
    script(
        [
            ask,
            GET,
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
            (S, b"HTTP/1.1 204 X\r\n\r\n"),
            GET,
        ],
        &[
            &asked[..],
            &[
                "< 200 | Content-Length: 1",
                "> GET / http/1.1",
                "> end",
                "< body x",
                "< end",
                "< 204",
                "< end",
            ],
            &["> GET / http/1.1", "> end"],
        ]
        .concat(),
    );
    closed(
        [ask, GET, ask],
        &[
            &asked[..],
            &[
                "opaque tcp: the connection ended inside a message",
                "> bytes GET / HTTP/1.1\\r\\n\\r\\nGET /ws HTTP/1.1\\r\\nConnection: upgrade\\r\\nupgrade: websocket\\r\\n\\r\\n",
            ],
        ]
        .concat(),
    );
    // What was held turns out not to be HTTP.
    script(
        [ask, (C, b"\0\0"), (S, b"HTTP/1.1 400 X\r\nContent-Length: 1\r\n\r\nx")],
        &[
            &asked[..],
            &[
                "< 400 | Content-Length: 1",
                "opaque tcp: not an HTTP/1 request line",
                "> bytes \\x00\\x00",
                "< bytes x",
            ],
        ]
        .concat(),
    );
}

#[test]
fn an_upgrade_refused_before_its_body_ends_holds_nothing_back() {
    script(
        [
            (C, b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\na".as_slice()),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"),
            (C, b"b"),
            GET,
            (S, b"x"),
        ],
        &[
            "> POST / http/1.1 | Upgrade: h2c | Content-Length: 2",
            "> body a",
            "< 200 | Content-Length: 1",
            "> body b",
            "> end",
            "> GET / http/1.1",
            "> end",
            "< body x",
            "< end",
        ],
    );
}

#[test]
fn connect_becomes_a_tunnel_or_does_not() {
    let ask: (Sender, &[u8]) = (C, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    let asked = ["> CONNECT a:443 http/1.1 | Host: a:443", "> end"];
    let granted: (Sender, &[u8]) = (S, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let within = [&asked[..], &["< 200 | Content-Length: 5", "tunnel"]].concat();
    script(
        [ask, granted, (C, b"\x16"), (S, b"\x15")],
        &[&within[..], &["opaque tcp", "> bytes \\x16", "< bytes \\x15"]].concat(),
    );
    script([ask, granted], &within);
    script(
        [ask, (S, b"HTTP/1.1 407 X\r\nContent-Length: 1\r\n\r\nx"), GET],
        &[&asked[..], &["< 407 | Content-Length: 1", "< body x", "< end", "> GET / http/1.1", "> end"]]
            .concat(),
    );
}

#[test]
fn what_is_said_in_a_tunnel_is_told_from_its_beginning() {
    let ask: (Sender, &[u8]) = (C, b"CONNECT a:443 HTTP/1.1\r\n\r\n");
    let granted: (Sender, &[u8]) = (S, b"HTTP/1.1 200 OK\r\n\r\n");
    let within = ["> CONNECT a:443 http/1.1", "> end", "< 200", "tunnel"];
    let told = |more: &[&'static str]| [&within[..], more].concat();
    let ok: (Sender, &[u8]) = (S, b"HTTP/1.1 204 OK\r\n\r\n");
    // HTTP, in which all is as ever; and a proxy behind the proxy.
    script(
        [ask, granted, GET, ok, GET],
        &told(&["> GET / http/1.1", "> end", "< 204", "< end", "> GET / http/1.1", "> end"]),
    );
    script(
        [ask, granted, ask, granted, (C, b"\0")],
        &told(&[&within[..], &["opaque tcp", "> bytes \\x00"]].concat()),
    );
    // The client does not wait for the answer, or the host speaks first, behind it.
    script(
        [(C, [ask.1, GET.1].concat().as_slice()), granted, ok],
        &told(&["> GET / http/1.1", "> end", "< 204", "< end"]),
    );
    script(
        [ask, (S, b"HTTP/1.1 200 OK\r\n\r\n220 hi\r\n"), (C, b"EHLO")],
        &told(&["opaque tcp", "< bytes 220 hi\\r\\n", "> bytes EHLO"]),
    );
    // What is half a beginning at the end.
    closed([ask, granted, (C, b"GET / HT")], &told(&["opaque tcp", "> bytes GET / HT"]));
    closed([ask, granted], &within);
    let tls = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00";
    let said = play(&[ask, granted, (C, tls)].map(|(from, bytes)| Step::Feed(from, bytes.to_vec())));
    assert_eq!(said.0.lines()[4..], ["opaque tls", "> bytes \\x16\\x03\\x01\\x00\\x04\\x01\\x00\\x00\\x00"]);
    assert_eq!(said.1.protocol(), Some(Protocol::Tls));
    let said = play(&[ask, granted].map(|(from, bytes)| Step::Feed(from, bytes.to_vec())));
    assert_eq!(said.1.protocol(), None, "not known yet");
}

#[test]
fn tunnels_within_tunnels_are_looked_into_so_far() {
    let ask = b"CONNECT a:1 HTTP/1.1\r\n\r\n".repeat(2000);
    let granted = b"HTTP/1.1 200 OK\r\n\r\n".repeat(2000);
    let said = play(&[Step::Feed(C, ask.clone()), Step::Feed(S, granted)]).0;
    let tunnels = said.lines().iter().filter(|line| *line == "tunnel").count();
    assert_eq!(tunnels, 9);
    assert_eq!(said.all("> bytes").len(), ask.len() / 2000 * 1991);
}

#[test]
fn requests_that_cannot_be_read() {
    for (request, error) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "a malformed or contradictory Content-Length"),
        ("Content-Length: 5, 6\r\n", "a malformed or contradictory Content-Length"),
        ("Content-Length: +5\r\n", "a malformed or contradictory Content-Length"),
        ("Content-Length: -5\r\n", "a malformed or contradictory Content-Length"),
        ("Content-Length:\r\n", "a malformed or contradictory Content-Length"),
        ("Content-Length: 0x5\r\n", "a malformed or contradictory Content-Length"),
        ("Content-Length: 18446744073709551616\r\n", "a malformed or contradictory Content-Length"),
        ("Transfer-Encoding: gzip\r\n", "a request whose transfer coding does not end in chunked"),
        ("Transfer-Encoding: \r\n", "a request whose transfer coding does not end in chunked"),
        ("A: b\0c\r\n", "a malformed header field value"),
        ("A\0: b\r\n", "a malformed header field name"),
        ("no colon\r\n", "a malformed header field name"),
        ("A: b\rc\r\n", "a malformed header field value"),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\n{request}\r\nrest");
        script(
            [GET, (C, bytes.as_bytes()), (S, b"HTTP/1.1 200 OK\r\n\r\n")],
            &[
                "> GET / http/1.1",
                "> end",
                &format!("opaque tcp: {error}"),
                &format!("> bytes {}", bytes.as_bytes().escape_ascii()),
                "< bytes HTTP/1.1 200 OK\\r\\n\\r\\n",
            ],
        );
    }
    // The greatest length is one.
    let head = "POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nx";
    script([(C, head.as_bytes())], &["> POST / http/1.1 | Content-Length: 18446744073709551615", "> body x"]);
}

#[test]
fn responses_that_cannot_be_read() {
    for (response, error) in [
        ("HTTP/1.1 99 X\r\n\r\n", "a malformed status line"),
        ("HTTP/1.1 099 X\r\n\r\n", "a status below 100"),
        ("HTTP/1.1 200OK\r\n\r\n", "a malformed status line"),
        ("HTTP/2 200 OK\r\n\r\n", "not an HTTP/1 status line"),
        ("ICY 200 OK\r\n\r\n", "not an HTTP/1 status line"),
        ("HTTP/1.1_", "not an HTTP/1 status line"),
        ("<html>", "not an HTTP/1 status line"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            "a malformed or contradictory Content-Length",
        ),
    ] {
        script(
            [GET, (S, response.as_bytes()), GET],
            &[
                "> GET / http/1.1",
                "> end",
                &format!("opaque tcp: {error}"),
                &format!("< bytes {}", response.as_bytes().escape_ascii()),
                "> bytes GET / HTTP/1.1\\r\\n\\r\\n",
            ],
        );
    }
    let unasked = "HTTP/1.1 408 Request Timeout\r\n\r\n";
    script(
        [GET, (S, b"HTTP/1.1 204 X\r\n\r\n\r\n"), (S, unasked.as_bytes())],
        &[
            "> GET / http/1.1",
            "> end",
            "< 204",
            "< end",
            "opaque tcp: a response without a request",
            "< bytes HTTP/1.1 408 Request Timeout\\r\\n\\r\\n",
        ],
    );
}

#[test]
fn chunks_that_cannot_be_read() {
    for (chunks, shown, error) in [
        ("FFFFFFFFFFFFFFFFF\r\n", "", "a malformed chunk size"),
        ("-1\r\n", "", "a malformed chunk size"),
        ("+5\r\nhello\r\n", "", "a malformed chunk size"),
        ("0x5\r\nhello\r\n", "", "a malformed chunk size"),
        ("\r\n", "", "a malformed chunk size"),
        (";a\r\n", "", "a malformed chunk size"),
        ("5 5\r\n", "", "a malformed chunk size"),
        ("1\r\n", "abc\r\n", "a chunk longer than its size"),
        ("1\r\n", "a\rb\r\n", "a chunk longer than its size"),
        ("1\r\n", "a\r\r\n", "a chunk longer than its size"),
        ("0\r\n", "no colon\r\n\r\n", "a malformed header field name"),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{shown}");
        let (body, unread) = match (shown, chunks) {
            ("", chunks) => (None, chunks),
            (shown, "0\r\n") => (None, shown),
            (shown, _) => (Some("< body a"), &shown[1..]),
        };
        let mut expected = vec!["> GET / http/1.1", "> end", "< 200 | Transfer-Encoding: chunked"];
        let (error, unread) =
            (format!("opaque tcp: {error}"), format!("< bytes {}", unread.as_bytes().escape_ascii()));
        expected.extend(body);
        expected.extend([error.as_str(), &unread]);
        script([GET, (S, bytes.as_bytes())], &expected);
    }
    // The greatest size is one.
    let greatest = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0ffffffffffffffff\r\nx";
    script(
        [GET, (S, greatest.as_slice())],
        &["> GET / http/1.1", "> end", "< 200 | Transfer-Encoding: chunked", "< body x"],
    );
}
