use super::harness::{LONG, Server, forward, reverse, start};
use crate::proxy::explicit::Role;

#[test]
fn what_is_not_forwarded_is_answered_counted_and_not_recorded() {
    let proxy = forward();
    let long = format!("GET http://a/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    for (text, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nA : b\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET https://a/ HTTP/1.1\r\n\r\n", 501),
        ("\x16\x03\x01\x02\0", 400),
        (long.as_str(), 431),
        (&format!("GET http://{}/ HTTP/1.1\r\n\r\n", proxy.address), 508),
        (&format!("CONNECT localhost:{} HTTP/1.1\r\n\r\n", proxy.address.port()), 508),
    ] {
        let answer = proxy.ask(text);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text:.60}: {answer}");
        assert!(
            answer.contains("\r\nConnection: close\r\n") && answer.contains("\r\n\r\ninfernosim: "),
            "{answer}"
        );
    }
    let (pairs, counts) = proxy.end_and_count();
    assert!(pairs.is_empty(), "{pairs:?}");
    assert_eq!((counts.accepted, counts.malformed, counts.not_for_a_proxy), (8, 2, 2));
    assert_eq!((counts.version, counts.too_large, counts.loops), (1, 1, 2));
}

#[test]
fn nothing_is_smuggled_behind_a_body() {
    let server = Server::echoing();
    let proxy = reverse(server.address);
    for body in ["5\nhello\n0\n\n", "5\r\nhello!\r\n0\r\n\r\n", "5;\nGET /hidden HTTP/1.1\r\n\r\n", "-5\r\n"]
    {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let answer = proxy.ask(&text);
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 200 "),
            "{body:?}: {answer}"
        );
        assert!(!answer.contains("hidden"), "{body:?}: {answer}");
        assert!(answer.contains("Connection: close"), "{body:?}: {answer}");
    }
    proxy.end();
}

#[test]
fn health_is_answered_without_the_target() {
    let role = || Role::Reverse { forward: Server::bind().address.to_string() };
    let proxy = start(role(), |setup| setup.healthz = true);
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = client.message();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body == "ok\n", "{head}{body}");
    }
    client.send("HEAD /healthz HTTP/1.0\r\n\r\n");
    assert!(client.rest().ends_with("\r\n\r\n"));
    let (pairs, counts) = proxy.end_and_count();
    assert_eq!((pairs.len(), counts.health), (0, 3));
    let proxy = start(role(), |_| {});
    let answer = proxy.ask("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 "), "the target's own: {answer}");
    proxy.end();
}

#[test]
fn a_circle_is_noticed_by_the_reverse_proxy_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let role = Role::Reverse { forward: format!("localhost:{}", address.port()) };
    let proxy = start(role, |setup| setup.listeners = vec![listener]);
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut client, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 508 ") && answer.contains("is this proxy itself"), "{answer}");
    proxy.end();
}

#[test]
fn there_are_only_so_many_connections() {
    let server = Server::echoing();
    let role = Role::Reverse { forward: server.address.to_string() };
    let proxy = start(role, |setup| setup.most = 2);
    let mut served: Vec<_> = (0..2).map(|_| proxy.connect()).collect();
    for client in &mut served {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.message();
    }
    assert_eq!(proxy.engine.active(), 2);
    assert_eq!(proxy.connect().ends(), "ConnectionReset");
    drop(served.pop());
    while proxy.engine.active() == 2 {
        std::thread::yield_now();
    }
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(served);
    assert_eq!(proxy.end_and_count().1.too_many, 1);
}
