//! Of a head only what belongs to one hop is changed; what is recorded is what each end sent.

use std::net::SocketAddr;

use crate::harness::{Folder, Running, Tcp, Wire};

/// A server that gives back the head it got, and answers with these lines and `ok`.
fn server(lines: &'static str) -> Tcp<String> {
    Tcp::start(move |stream| {
        let mut wire = Wire::new(stream);
        let head = wire.head().unwrap_or_default();
        wire.send(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok"));
        // Until the other end closes, so that no RST overtakes the answer.
        wire.rest();
        head.into_iter().map(char::from).collect()
    })
}

/// What the server got of a request, and the client of the answer.
fn exchange(running: &Running, request: String, server: &Tcp<String>) -> (String, String) {
    let mut client = running.connect();
    client.send(request);
    let (answer, body) = client.response().unwrap();
    assert_eq!(body, b"ok", "{answer}");
    drop(client);
    (server.result(), answer)
}

fn lines(head: &str) -> Vec<&str> {
    head.split("\r\n").filter(|line| !line.is_empty()).collect()
}

/// Every field that RFC 9110 section 7.6.1 knows, and one that Connection names; white space around a value is none of
/// it (section 5.5).
fn request(target: &str, host: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nX-zebra: 1\r\nHost: {host}\r\nProxy-Connection: keep-alive\r\n\
         Connection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: secret\r\nTE: gzip\r\n\
         Proxy-Authorization: Basic dTpw\r\nUpgrade: h2c\r\nx-Apple:2\r\nACCEPT:  a ,  b \r\nX-zebra: 3\r\n\
         Authorization: Bearer x\r\nCookie: c=d\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n"
    )
}

fn forwarded(target: &str, host: &str) -> Vec<String> {
    [
        &format!("GET {target} HTTP/1.1"),
        "X-zebra: 1",
        &format!("Host: {host}"),
        "x-Apple: 2",
        "ACCEPT: a ,  b",
        "X-zebra: 3",
        "Authorization: Bearer x",
        "Cookie: c=d",
        "X-Forwarded-For: 10.1.1.1",
        "Via: 1.1 infernosim",
    ]
    .map(str::to_owned)
    .to_vec()
}

const ANSWER: &str = "Server: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\n\
                      Set-Cookie: a=1\r\nx-odd: 2\r\nSet-Cookie: b=2\r\n";

fn assert_answer(answer: &str) {
    let answer = lines(answer);
    for gone in ["x-hop", "keep-alive: ", "connection: x-hop"] {
        assert!(!answer.iter().any(|line| line.to_ascii_lowercase().contains(gone)), "{gone}: {answer:?}");
    }
    let kept: Vec<&str> = answer.into_iter().filter(|line| !line.starts_with("Connection: ")).collect();
    let own = ["Server: x", "Set-Cookie: a=1", "x-odd: 2", "Set-Cookie: b=2", "Content-Length: 2"];
    let others: Vec<&str> = kept[1..].iter().filter(|line| own.contains(line)).copied().collect();
    assert_eq!((kept[0], others), ("HTTP/1.1 200 OK", own.to_vec()));
    assert!(kept.contains(&"Via: 1.1 infernosim"), "{kept:?}");
}

#[test]
fn through_the_proxy() {
    let (server, folder) = (server(ANSWER), Folder::new());
    let proxy = folder.proxy(&["--no-redact"]);
    let (addr, url) = (server.addr, format!("http://{}/a?b=%20", server.addr));
    // The target's own authority is what counts (RFC 9112 section 3.2.2).
    let (head, answer) = exchange(&proxy, request(&url, "elsewhere.test"), &server);
    assert_eq!(lines(&head), forwarded("/a?b=%20", &addr.to_string()));
    assert_answer(&answer);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = recording.call();
    assert_eq!(call["url"], url);
    // As the program sent it, and as the server did.
    assert_eq!(call["headers"]["Proxy-Connection"][0], "keep-alive");
    assert_eq!(call["headers"]["Host"][0], "elsewhere.test");
    assert_eq!(call["headers"]["X-Private"][0], "secret");
    assert!(call["headers"].get("Via").is_none());
    assert_eq!(call["responseHeaders"]["X-Hop"][0], "1");
    assert!(call["responseHeaders"].get("Via").is_none());
}

#[test]
fn through_inbound() {
    let (server, folder) = (server(ANSWER), Folder::new());
    let inbound = folder.inbound(server.addr, &["--no-redact"]);
    // The service sees the Host that its clients use, and nobody's address that was not there.
    let (head, answer) = exchange(&inbound, request("/a?b=%20", "shop.test"), &server);
    assert_eq!(lines(&head), forwarded("/a?b=%20", "shop.test"));
    assert_answer(&answer);
    inbound.stop();
    let recording = folder.recorded("inbound.log");
    let request = recording.of_type("InboundRequest")[0];
    assert_eq!(request["url"], "http://shop.test/a?b=%20");
    assert_eq!(request["headers"]["X-Private"][0], "secret");
    assert_eq!(request["service"], server.addr.to_string());
    let peer: SocketAddr = request["peer"].as_str().unwrap().parse().unwrap();
    assert!(peer.ip().is_loopback());
    assert_eq!(recording.of_type("InboundResponse")[0]["headers"]["X-Hop"][0], "1");
}

/// What two readers could take for different requests is no request (RFC 9112 sections 5.1, 5.2, 6.1 and 11.2).
#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let (server, folder) = (server(""), Folder::new());
    let proxy = folder.proxy(&[]);
    let inbound = folder.inbound(server.addr, &[]);
    let fields = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length : 5",
        "Transfer-Encoding: chunked, identity",
        "X-A: 1\r\n folded",
        "X-\0: 1",
        "X-A: \0",
        "no colon",
    ];
    for (running, target) in [(&proxy, format!("http://{}/", server.addr)), (&inbound, "/".to_owned())] {
        for field in fields {
            let mut client = running.connect();
            client.send(format!("POST {target} HTTP/1.1\r\nHost: {}\r\n{field}\r\n\r\n", server.addr));
            client.send("0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
            let said = String::from_utf8_lossy(&client.rest()).into_owned();
            assert!(said.starts_with("HTTP/1.1 400 "), "{field:?}: {said:?}");
            assert!(said.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{field:?}: {said:?}");
            assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{field:?}: {said:?}");
        }
    }
    for running in [proxy, inbound] {
        let said = running.stop();
        assert!(said.contains(&format!("{} malformed (400)", fields.len())), "{said}");
    }
    // What was passed on to nobody is in no recording.
    assert!(folder.both().events.is_empty());
}

#[test]
fn what_is_not_meant_for_us_is_explained() {
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    for (request, status, words) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400", "HTTP_PROXY"),
        ("GET https://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n", "", "CONNECT"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "HTTP/1"),
    ] {
        let mut client = proxy.connect();
        client.send(request);
        let (head, body) = client.response().unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {head}");
        assert!(body.contains(words) && body.contains("infernosim"), "{request:?}: {body}");
    }
    let mut client = proxy.connect();
    client.send(format!("GET http://x/ HTTP/1.1\r\nX-Long: {}\r\n\r\n", "a".repeat(70_000)));
    assert!(client.response().unwrap().0.starts_with("HTTP/1.1 431 "));
    // A request for ourselves would go round for ever.
    let mut client = proxy.connect();
    client.send(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", proxy.url("/")));
    assert!(client.response().unwrap().0.starts_with("HTTP/1.1 508 "));
    let said = proxy.stop();
    for part in ["(431)", "(505)", "(508)", "as if we were the server"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(folder.recorded("outbound.log").events.is_empty());
}
