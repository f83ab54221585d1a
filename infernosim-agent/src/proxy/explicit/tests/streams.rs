use std::io::{Read as _, Write as _};

use super::harness::{Server, forward, reverse};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNKS: &str = "3;x=\"y z\"\r\nabc\r\n00A \r\n0123456789\r\n0;last\r\nTrailer-One: 1\r\nX: y\r\n\r\n";

#[test]
fn chunks_pass_as_they_came_however_they_were_cut() {
    let server = Server::serve(|peer| {
        while peer.next_head().is_some() {
            let body = peer.take(CHUNKS.len());
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            answer.extend_from_slice(&body);
            answer.chunks(3).for_each(|piece| peer.send(piece));
        }
    });
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    for cut in [1, 2, 3, 7, 20, 1000] {
        let request = format!("{CHUNKED}{CHUNKS}");
        for piece in request.as_bytes().chunks(cut) {
            client.send(piece);
        }
        client.head();
        assert_eq!(client.take(CHUNKS.len()), CHUNKS.as_bytes());
    }
    assert_eq!(server.accepted(), 1);
    drop(client);
    assert_eq!(proxy.end()[0].client(), format!("{CHUNKED}{CHUNKS}").repeat(6));
}

/// Bytes that no mistake repeats.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn large_bodies_pass_both_ways_past_slow_readers() {
    const LENGTH: usize = 12 << 20;
    let server = Server::serve(|peer| {
        let (mut half, mut whole) = (peer.0.try_clone().unwrap(), Vec::new());
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        // Answers while it is asked, and reads slowly.
        let mut piece = vec![0; 100_000];
        while whole.len() < LENGTH {
            let read = peer.0.read(&mut piece).unwrap();
            whole.extend_from_slice(&piece[..read]);
            half.write_all(&piece[..read]).unwrap();
        }
        assert!(whole == noise(LENGTH));
    });
    let proxy = reverse(server.address);
    let client = proxy.connect();
    let mut sender = client.0.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        write!(sender, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\nConnection: close\r\n\r\n")
            .unwrap();
        sender.write_all(&noise(LENGTH)).unwrap();
    });
    let mut client = client;
    client.head();
    let mut body = Vec::new();
    client.0.read_to_end(&mut body).unwrap();
    assert!(body == noise(LENGTH));
    sending.join().unwrap();
    let pair = proxy.end().remove(0);
    let kept = pair.client.len() + pair.server.len();
    assert!(
        kept as u64 + pair.missed >= 2 * LENGTH as u64 && kept > LENGTH / 8,
        "{kept} and {}",
        pair.missed
    );
}

#[test]
fn pieces_of_an_answer_arrive_when_they_are_sent() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = server.accept();
    peer.head();
    peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    assert!(client.head().contains("text/event-stream"));
    for at in 0..5 {
        // Nothing more is sent until this has arrived.
        peer.send(format!("data: {at}\n\n"));
        assert_eq!(client.until("\n\n"), format!("data: {at}\n\n"));
    }
    drop(peer);
    assert_eq!(client.ends(), "FIN");
    proxy.end();
}

#[test]
fn the_server_decides_whether_to_continue() {
    let server = Server::bind();
    let proxy = forward();
    let mut client = proxy.connect();
    let asked = format!(
        "POST http://{}/ HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        server.address
    );
    client.send(&asked);
    let mut peer = server.accept();
    assert!(peer.head().contains("Expect: 100-continue"));
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 103 "));
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("body");
    assert_eq!(peer.take(4), b"body");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    drop((client, peer));
    let pair = proxy.end().remove(0);
    assert_eq!(pair.client(), asked + "body");
    assert!(
        pair.server()
            .starts_with("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP")
    );
}

#[test]
fn an_early_answer_gets_through_to_a_client_that_goes_on_sending() {
    let server = Server::serve(|peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        peer.fin();
        // As servers do, so that the answer survives; it reads nothing.
        std::thread::sleep(std::time::Duration::from_secs(3));
    });
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    // All of it, before it looks for an answer.
    client.send(noise(20_000_000));
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("\r\n\r\nbig"), "{answer}");
    proxy.end();
}

#[test]
fn a_server_that_answers_early_and_reads_on_gets_the_rest() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
    let mut peer = server.accept();
    peer.head();
    peer.take(4);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.message().1, "ok");
    client.send("half");
    assert_eq!(peer.take(4), b"half");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(peer.head().starts_with("GET "), "on the same connection");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.message().1, "ok");
    drop((client, peer));
    proxy.end();
}

#[test]
fn a_client_that_ended_its_half_still_gets_its_answer() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.fin();
    let mut peer = server.accept();
    peer.head();
    assert_eq!(peer.ends(), "FIN", "the server sees it, as without us");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(client.rest().ends_with("ok"));
    let pair = proxy.end().remove(0);
    assert_eq!(pair.notes, ["Connected", "Fin(Client)"]);
}
