use super::harness::{Server, forward, reverse};

#[test]
fn draining_ends_the_idle_at_once_and_the_busy_when_they_are_done() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let (mut idle, mut busy) = (proxy.connect(), proxy.connect());
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = server.accept();
    peer.head();
    proxy.engine.drain();
    assert_eq!(idle.ends(), "FIN");
    // Draining is over for the listener, not for what is under way.
    assert!(!proxy.engine.is_finished());
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    let answer = busy.rest();
    assert!(answer.ends_with("\r\nConnection: close\r\n\r\ndone"), "{answer}");
    let address = proxy.address;
    let (pairs, _) = proxy.wait();
    assert_eq!(pairs[0].notes, ["Connected", "Fin(Client)"]);
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_tunnel_goes_on_while_the_rest_drains() {
    let server = Server::bind();
    let proxy = forward();
    let mut client = proxy.connect();
    client.send(format!("CONNECT {} HTTP/1.1\r\n\r\n", server.address));
    let mut peer = server.accept();
    client.head();
    proxy.engine.drain();
    peer.send("still");
    assert_eq!(client.take(5), b"still");
    drop(peer);
    assert_eq!(client.ends(), "FIN");
    drop(client);
    proxy.wait();
}

#[test]
fn abandoning_resets_what_is_under_way_and_closes_the_idle() {
    let server = Server::bind();
    let proxy = reverse(server.address);
    let (mut idle, mut busy) = (proxy.connect(), proxy.connect());
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut served = server.accept();
    served.head();
    served.send("HTTP/1.1 204 No Content\r\n\r\n");
    idle.head();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = server.accept();
    peer.head();
    proxy.engine.abandon();
    assert_eq!(idle.ends(), "FIN");
    assert_eq!(served.ends(), "FIN");
    assert_eq!(busy.ends(), "ConnectionReset");
    assert_eq!(peer.ends(), "ConnectionReset");
    let (pairs, _) = proxy.wait();
    assert_eq!(pairs[0].notes, ["Connected", "Fin(Client)"]);
    assert_eq!(pairs[1].notes, ["Connected", "Abandoned"]);
}
