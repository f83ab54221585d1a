use proptest::prelude::*;

use super::*;

fn asked(text: &str, forward: bool) -> Result<Plan, Refusal> {
    match request(text.as_bytes(), forward, false)? {
        Asked::Forward(plan) => Ok(plan),
        Asked::Health(..) => panic!("nobody asked for health"),
    }
}

/// The head that the forward proxy sends for this one, with `|` for each line's end.
fn sent(text: &str) -> String {
    written(asked(&text.replace('|', "\r\n"), true).unwrap())
}

/// That of the reverse proxy.
fn sent_to_target(text: &str) -> String {
    written(asked(&text.replace('|', "\r\n"), false).unwrap())
}

fn written(plan: Plan) -> String {
    String::from_utf8(plan.head).unwrap().replace("\r\n", "|")
}

fn refused(text: &str, forward: bool) -> u16 {
    asked(&text.replace('|', "\r\n"), forward).unwrap_err().status
}

#[test]
fn the_absolute_form_becomes_what_a_server_is_asked() {
    for (target, line, host) in [
        ("GET http://a.org/x?y=1", "GET /x?y=1", "a.org"),
        ("GET HTTP://A.org:8080", "GET /", "A.org:8080"),
        ("GET http://[::1]:80?q", "GET /?q", "[::1]:80"),
        ("OPTIONS http://a.org", "OPTIONS *", "a.org"),
        ("OPTIONS http://a.org/", "OPTIONS /", "a.org"),
        ("GET http://a.org/http://b.org/", "GET /http://b.org/", "a.org"),
    ] {
        let expected = format!("{line} HTTP/1.1|Host: {host}|Via: 1.1 infernosim||");
        assert_eq!(sent(&format!("{target} HTTP/1.1||")), expected);
        let with_host = expected.replace("Host:", "hOST:");
        assert_eq!(sent(&format!("{target} HTTP/1.1|hOST: other||")), with_host, "whatever Host says");
    }
    let plan = asked("GET http://A.org:8080/ HTTP/1.1\r\n\r\n", true).unwrap();
    assert_eq!(plan.to, Some(Authority { host: "a.org".to_owned(), port: 8080 }));
}

#[test]
fn names_order_and_spelling_stay() {
    assert_eq!(
        sent(
            "GET http://a/ HTTP/1.1|X-b:  2 |Host: a|x-A: 1|Cookie: a=b|Cookie: c=d|Via: 1.0 other|Empty:||"
        ),
        "GET / HTTP/1.1|X-b: 2|Host: a|x-A: 1|Cookie: a=b|Cookie: c=d|Via: 1.0 other|Empty: |Via: 1.1 infernosim||"
    );
}

#[test]
fn what_belongs_to_the_hop_ends_with_it() {
    assert_eq!(
        sent(
            "GET http://a/ HTTP/1.1|Host: a|Connection: X-Mine, keep-alive|x-mine: 1|Keep-Alive: 5|TE: gzip|\
             Proxy-Connection: keep-alive|Proxy-Authorization: Basic eA==|Upgrade: websocket|Authorization: Bearer b||"
        ),
        "GET / HTTP/1.1|Host: a|Authorization: Bearer b|Via: 1.1 infernosim||"
    );
    assert_eq!(
        sent("POST http://a/ HTTP/1.1|Host: a|Content-Length: 3|Connection: close, content-length, host||"),
        "POST / HTTP/1.1|Host: a|Content-Length: 3|Via: 1.1 infernosim|Connection: close||",
        "without them it would be another message"
    );
    assert_eq!(
        sent("GET http://a/ HTTP/1.1|Host: a|TE: trailers, deflate|Connection: TE||"),
        "GET / HTTP/1.1|Host: a|Via: 1.1 infernosim|TE: trailers|Connection: TE||"
    );
}

#[test]
fn a_real_upgrade_passes_and_h2c_does_not() {
    let websocket = "GET http://a/ HTTP/1.1|Host: a|Upgrade: websocket|Connection: Upgrade||";
    assert_eq!(
        sent(websocket),
        "GET / HTTP/1.1|Host: a|Via: 1.1 infernosim|Upgrade: websocket|Connection: Upgrade||"
    );
    assert_eq!(asked(&websocket.replace('|', "\r\n"), true).unwrap().kind, Kind::Upgrade);
    let h2c = "GET http://a/ HTTP/1.1|Host: a|Upgrade: h2c|HTTP2-Settings: AA|Connection: Upgrade, HTTP2-Settings||";
    assert_eq!(sent(h2c), "GET / HTTP/1.1|Host: a|Via: 1.1 infernosim||");
    let old = sent("GET http://a/ HTTP/1.0|Host: a|Upgrade: websocket|Connection: Upgrade||");
    assert_eq!(old, "GET / HTTP/1.0|Host: a|Via: 1.0 infernosim||");
}

#[test]
fn the_reverse_proxy_leaves_target_and_host_as_they_are() {
    for target in ["/api/demo?x=1", "http://elsewhere/", "*"] {
        let text = format!("GET {target} HTTP/1.1|Host: public.example|Connection: close||");
        let expected =
            format!("GET {target} HTTP/1.1|Host: public.example|Via: 1.1 infernosim|Connection: close||");
        assert_eq!(sent_to_target(&text), expected);
    }
    assert_eq!(sent_to_target("GET / HTTP/1.0||"), "GET / HTTP/1.0|Via: 1.0 infernosim||");
}

#[test]
fn only_what_names_a_host_is_forwarded() {
    for (text, status) in [
        ("GET / HTTP/1.1|Host: a||", 400),
        ("OPTIONS * HTTP/1.1|Host: a||", 400),
        ("GET https://a/ HTTP/1.1|Host: a||", 501),
        ("GET ftp://a/ HTTP/1.1|Host: a||", 501),
        ("GET http:///x HTTP/1.1|Host: a||", 400),
        ("GET http://a:0/ HTTP/1.1|Host: a||", 400),
        ("GET http://u:p@a/ HTTP/1.1|Host: a||", 400),
        ("CONNECT a HTTP/1.1||", 400),
        ("CONNECT a:443/ HTTP/1.1||", 400),
        ("CONNECT a:443 HTTP/1.1|Content-Length: 1||", 400),
    ] {
        assert_eq!(refused(text, true), status, "{text}");
    }
    assert_eq!(refused("CONNECT a:443 HTTP/1.1||", false), 400);
    let explained = asked("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true).unwrap_err();
    assert!(explained.text.contains("HTTP_PROXY") && explained.counted == Counted::NotForAProxy);
    let plan = asked("CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n", true).unwrap();
    assert_eq!((plan.kind, plan.to.unwrap().to_string()), (Kind::Connect, "[::1]:443".to_owned()));
}

#[test]
fn what_two_readers_may_read_differently_is_refused() {
    for fields in [
        "Content-Length: 3|Transfer-Encoding: chunked|",
        "Content-Length: 3|Content-Length: 4|",
        "Content-Length: 3, 4|",
        "Content-Length: +3|",
        "Content-Length: 0x3|",
        "Content-Length: 3 3|",
        "Content-Length: |",
        "Content-Length: ,3|",
        "Content-Length: 99999999999999999999|",
        "Transfer-Encoding: chunked, identity|",
        "Transfer-Encoding: identity|",
        "Transfer-Encoding: xchunked|",
        "Transfer-Encoding: chunked, chunked|",
        "Transfer-Encoding: chunked|Transfer-Encoding: chunked|",
        "Transfer-Encoding: ,|",
        "Transfer-Encoding: gz ip, chunked|",
        "Transfer-Encoding : chunked|",
        "Content-Length : 3|",
        " Content-Length: 3|",
        "A: b| folded|",
        "A: b\0|",
        "A: b\rX: c|",
        ": b|",
        "A|",
        "Host: a|Host: a|",
    ] {
        for forward in [true, false] {
            let text = format!("POST http://a/ HTTP/1.1|{fields}|");
            assert_eq!(refused(&text, forward), 400, "{fields}");
        }
    }
    assert_eq!(refused("POST http://a/ HTTP/1.0|Transfer-Encoding: chunked||", true), 400);
    let equal = sent("POST http://a/ HTTP/1.1|Host: a|Content-Length: 3, 3|Content-Length: 03||");
    assert_eq!(equal, "POST / HTTP/1.1|Host: a|Content-Length: 3|Via: 1.1 infernosim||");
    for text in ["PRI * HTTP/2.0||", "GET http://a/ HTTP/2||", "GET http://a/ HTTP/1.2||"] {
        assert_eq!(refused(text, true), 505, "{text}");
    }
    let many = format!("GET http://a/ HTTP/1.1|{}|", "A: b|".repeat(5000));
    assert_eq!(refused(&many, true), 431);
}

#[test]
fn bodies_as_announced() {
    let body = |fields: &str| asked(&format!("POST http://a/ HTTP/1.1\r\n{fields}\r\n"), true).unwrap().body;
    assert_eq!(body(""), None);
    assert_eq!(body("Content-Length: 0\r\n"), None);
    assert_eq!(body("Content-Length: 12\r\n"), Some(Body::Length(12)));
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), Some(Body::chunked(false)));
    assert_eq!(body("Transfer-Encoding: gzip, chunked\r\n"), Some(Body::chunked(false)));
}

#[test]
fn health_is_asked_for_by_path_alone() {
    let health =
        |text: &str, forward| matches!(request(text.as_bytes(), forward, true), Ok(Asked::Health(..)));
    assert!(health("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", true));
    assert!(health("HEAD /healthz HTTP/1.0\r\n\r\n", false));
    assert!(!health("POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", false));
    assert!(!health("GET /healthz/x HTTP/1.1\r\nHost: a\r\n\r\n", false));
    assert!(!health("GET http://b/healthz HTTP/1.1\r\nHost: a\r\n\r\n", true));
}

/// Fields of all kinds, of the hop and not.
fn field() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        "[A-Za-z][A-Za-z0-9-]{0,8}",
        prop::sample::select(vec![
            "Connection",
            "connection",
            "Keep-Alive",
            "TE",
            "Upgrade",
            "Proxy-Connection",
            "Proxy-Authorization",
            "Host",
            "Via",
            "Content-Length",
            "Transfer-Encoding",
            "Expect",
            "X-One",
            "X-Two",
        ])
        .prop_map(str::to_owned),
    ];
    let value = prop_oneof![
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "close",
            "keep-alive",
            "x-one, X-TWO",
            "TE, upgrade",
            "chunked",
            "7",
            "h2c",
            "websocket"
        ])
        .prop_map(str::to_owned),
    ];
    (name, value)
}

proptest! {
    #[test]
    fn nothing_of_the_hop_survives_and_the_body_is_the_same(
        fields in prop::collection::vec(field(), 0..8),
        forward: bool,
    ) {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let Ok(Asked::Forward(plan)) = request(format!("POST http://a/ HTTP/1.1\r\n{lines}\r\n").as_bytes(), forward, false)
        else {
            return Ok(());
        };
        let again = String::from_utf8(plan.head.clone()).unwrap().replacen("POST / ", "POST http://a/ ", 1);
        let Ok(Asked::Forward(next)) = request(again.as_bytes(), forward, false) else {
            return Err(TestCaseError::fail(format!("what we send we would refuse: {again}")));
        };
        prop_assert_eq!(next.body, plan.body);
        prop_assert_eq!(next.persistent, plan.persistent);
        let named: Vec<String> = fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .flat_map(|(_, value)| value.split(',').map(|item| item.trim().to_ascii_lowercase()).collect::<Vec<_>>())
            .collect();
        for line in again.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap().to_ascii_lowercase();
            prop_assert!(!["keep-alive", "proxy-connection", "proxy-authorization"].contains(&name.as_str()), "{line}");
            if name == "connection" {
                let options = line.split(": ").nth(1).unwrap().split(", ");
                prop_assert!(options.into_iter().all(|option| ["TE", "Upgrade", "close"].contains(&option)), "{}", line);
            } else if !KEPT_ALWAYS.contains(&name.as_str()) {
                prop_assert!(!named.contains(&name), "{} survives", line);
            }
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(GET|CONNECT|POST) [ -~]{0,30} HTTP/1.[01]\r\n([ -~]{0,20}\r\n){0,4}\r\n") {
        for forward in [true, false] {
            let _ = request(&bytes, forward, true);
            let _ = request(text.as_bytes(), forward, true);
        }
    }
}

/// Kept, or written by ourselves.
const KEPT_ALWAYS: [&str; 6] = ["host", "content-length", "transfer-encoding", "via", "te", "upgrade"];
