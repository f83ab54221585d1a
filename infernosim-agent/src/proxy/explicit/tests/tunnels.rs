use super::harness::{Server, forward, reverse};

#[test]
fn a_tunnel_carries_bytes_and_ends_as_its_ends_do() {
    let server = Server::bind();
    let proxy = forward();
    let mut client = proxy.connect();
    // The first bytes of the tunnel right behind the head.
    let head = format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", server.address);
    client.send(format!("{head}\x16\x03early"));
    let mut peer = server.accept();
    assert_eq!(client.head(), "HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(peer.take(7), b"\x16\x03early");
    peer.send("answer");
    assert_eq!(client.take(6), b"answer");
    client.send("last");
    client.fin();
    assert_eq!(peer.rest(), "last");
    peer.send("later");
    drop(peer);
    assert_eq!(client.rest(), "later");
    let pair = proxy.end().remove(0);
    assert_eq!(pair.client(), format!("{head}\x16\x03earlylast"));
    assert_eq!(pair.server(), "HTTP/1.1 200 Connection established\r\n\r\nanswerlater");
    assert_eq!(pair.notes, ["Connected", "Fin(Client)", "Fin(Server)"]);
}

#[test]
fn a_reset_passes_through_a_tunnel() {
    for server_breaks in [true, false] {
        let server = Server::bind();
        let proxy = forward();
        let mut client = proxy.connect();
        client.send(format!("CONNECT {} HTTP/1.1\r\n\r\n", server.address));
        let mut peer = server.accept();
        client.head();
        client.send("x");
        peer.take(1);
        let broke = if server_breaks {
            peer.reset();
            assert_eq!(client.ends(), "ConnectionReset");
            "Broke(Server, ECONNRESET)"
        } else {
            client.reset();
            assert_eq!(peer.ends(), "ConnectionReset");
            "Broke(Client, ECONNRESET)"
        };
        assert_eq!(proxy.end().remove(0).notes, ["Connected", broke]);
    }
}

#[test]
fn a_reset_passes_through_a_tunnel_that_is_half_closed() {
    let server = Server::bind();
    let proxy = forward();
    let mut client = proxy.connect();
    client.send(format!("CONNECT {} HTTP/1.1\r\n\r\n", server.address));
    let mut peer = server.accept();
    client.head();
    client.fin();
    assert_eq!(peer.ends(), "FIN");
    client.reset();
    assert_eq!(peer.ends(), "FIN");
    peer.reset();
    assert_eq!(proxy.end().remove(0).notes[..2], ["Connected", "Fin(Client)"]);
}

#[test]
fn an_upgrade_that_is_agreed_on_becomes_a_tunnel_and_one_that_is_not_does_not() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    let asked = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    client.send(asked);
    let mut peer = server.accept();
    assert!(peer.head().ends_with("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
    peer.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.message().1, "no");
    client.send(asked);
    peer.head();
    // What it sends right behind its agreement belongs to the other protocol.
    peer.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x01hello",
    );
    assert!(client.head().ends_with("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
    assert_eq!(client.take(6), b"\x01hello");
    client.send("GET is no request here\r\n\r\n");
    assert_eq!(peer.until("\r\n\r\n"), "GET is no request here\r\n\r\n");
    drop(client);
    assert_eq!(peer.ends(), "FIN");
    drop(peer);
    let pair = proxy.end().remove(0);
    assert_eq!(pair.client(), format!("{asked}{asked}GET is no request here\r\n\r\n"));
}
