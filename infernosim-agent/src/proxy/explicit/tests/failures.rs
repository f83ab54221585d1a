use std::net::TcpStream;
use std::time::Duration;

use super::harness::{Proxy, Server, forward, reverse, start};
use crate::proxy::explicit::Role;

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    Server::bind().address
}

#[test]
fn a_dead_dependency_is_answered_for_and_the_connection_goes_on() {
    let (dead, alive) = (nobody(), Server::echoing());
    let proxy = forward();
    let mut client = proxy.connect();
    client.send(format!("POST http://{dead}/pay HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"));
    let (head, body) = client.message();
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && !head.contains("Connection"), "{head}");
    for word in [dead.to_string().as_str(), "ECONNREFUSED", "InfernoSIM", "the dependency gave none"] {
        assert!(body.contains(word), "{word} in {body}");
    }
    client.send(format!("GET http://{}/ HTTP/1.1\r\n\r\n", alive.address));
    assert!(client.message().0.starts_with("HTTP/1.1 200 "));
    drop(client);
    let pairs = proxy.end();
    assert_eq!(pairs[0].notes, ["AnsweredFor(Some(ECONNREFUSED))"]);
    assert_eq!(
        pairs[0].client(),
        format!("POST http://{dead}/pay HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
    );
    assert_eq!(pairs[0].server(), head + &body);
    assert_eq!(pairs[0].dialled.as_ref().unwrap().peer, Some(dead));
    assert!(pairs[0].error.contains(&format!("{dead} could not be reached")), "{}", pairs[0].error);
}

#[test]
fn a_name_that_nobody_has_is_answered_for() {
    let proxy = forward();
    // No resolver is asked for a name with an empty label.
    let answer = proxy.ask("GET http://no..name/ HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("the name no..name could not be resolved"),
        "{answer}"
    );
    let connect = proxy.ask("CONNECT no..name:443 HTTP/1.1\r\n\r\n");
    assert!(connect.starts_with("HTTP/1.1 502 ") && connect.contains("Connection: close"), "{connect}");
    let pairs = proxy.end();
    assert_eq!(pairs[0].notes, ["AnsweredFor(None)"]);
    assert_eq!(pairs[0].dialled.as_ref().unwrap().peer, None);
    assert!(pairs[1].client().starts_with("CONNECT "));
}

#[test]
fn a_dial_that_takes_too_long_is_answered_for() {
    // Its queue is full: the kernel does not answer a SYN.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&full, Duration::from_millis(200)) {
        held.push(stream);
    }
    let proxy = start(Role::Forward, |setup| setup.connect_timeout = Duration::from_millis(300));
    let answer = proxy.ask(&format!("GET http://{full}/ HTTP/1.1\r\nConnection: close\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("did not answer within 300"), "{answer}");
    assert_eq!(proxy.end()[0].notes, ["AnsweredFor(Some(ETIMEDOUT))"]);
}

#[test]
fn a_large_upload_to_a_dead_dependency_learns_why() {
    let proxy = forward();
    let mut client = proxy.connect();
    client.send(format!("PUT http://{}/ HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n", nobody()));
    client.send(vec![b'x'; 5_000_000]);
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("Connection: close"), "{answer}");
    let pair = proxy.end().remove(0);
    assert!(pair.client.ends_with(&[b'x'; 5_000_000]) || pair.missed > 0);
}

#[test]
fn a_server_that_ends_before_it_answers_is_answered_for() {
    for (reset, note) in [(false, "AnsweredFor(None)"), (true, "AnsweredFor(Some(ECONNRESET))")] {
        let server = Server::bind();
        let proxy = reverse(server.address);
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut peer = server.accept();
        peer.head();
        if reset {
            peer.reset()
        } else {
            drop(peer)
        }
        let (head, body) = client.message();
        assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("before it answered"), "{head}{body}");
        drop(client);
        assert_eq!(proxy.end()[0].notes, ["Connected", note]);
    }
}

#[test]
fn on_a_connection_used_before_the_client_decides_as_it_would_without_us() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = server.accept();
    peer.head();
    peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    client.head();
    client.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.head();
    drop(peer);
    assert_eq!(client.rest(), "", "no answer of ours");
    let pair = proxy.end().remove(0);
    assert_eq!(pair.notes[..2], ["Connected", "Fin(Server)"]);
}

#[test]
fn an_answer_that_is_cut_short_never_looks_whole() {
    for (body, then, reset) in [
        ("Content-Length: 10\r\n\r\nhalf", "", false),
        ("Content-Length: 10\r\n\r\nhalf", "", true),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf", "", false),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf", "\r\nxx\r\n", false),
        ("Connection: close\r\n\r\nhalf", "", true),
    ] {
        let server = Server::bind();
        let proxy = reverse(server.address);
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut peer = server.accept();
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\n{body}"));
        client.until("half");
        peer.send(then);
        if reset {
            peer.reset()
        } else {
            drop(peer)
        }
        assert_eq!(client.ends(), "ConnectionReset", "{body}");
        let pair = proxy.end().remove(0);
        assert!(pair.notes.iter().any(|note| note.contains("(Server")), "{body}: {:?}", pair.notes);
    }
}

#[test]
fn a_client_that_breaks_takes_its_request_along() {
    // While it waits, while it is answered, while it sends.
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nsome"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome", ""),
    ] {
        let server = Server::bind();
        let proxy = reverse(server.address);
        let mut client = proxy.connect();
        client.send(request);
        let mut peer = server.accept();
        peer.until(if request.ends_with("some") { "some" } else { "\r\n\r\n" });
        peer.send(answer);
        if !answer.is_empty() {
            client.until("some");
        }
        client.reset();
        assert_eq!(peer.ends(), "ConnectionReset", "{request}{answer}");
        let notes = proxy.end().remove(0).notes;
        assert_eq!(notes, ["Connected", "Broke(Client, ECONNRESET)"], "{request}{answer}");
    }
}

fn bad_answer(answer: &'static str) -> (String, Proxy) {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut peer = server.accept();
    peer.head();
    peer.send(answer);
    (client.rest(), proxy)
}

#[test]
fn an_answer_that_is_not_http_is_answered_for() {
    for text in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        let (answer, proxy) = bad_answer(text);
        assert!(
            answer.starts_with("HTTP/1.1 502 ") && answer.contains("that is not HTTP/1"),
            "{text}: {answer}"
        );
        assert_eq!(proxy.end()[0].notes, ["Connected", "AnsweredFor(None)"], "{text}");
    }
}
