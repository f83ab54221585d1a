use super::harness::{Server, forward, reverse, start};
use crate::incident::Direction;
use crate::proxy::explicit::Role;
use crate::seed::Ids;

#[test]
fn a_connection_serves_many_requests_and_the_recording_has_what_was_received() {
    let server = Server::echoing();
    let proxy = forward();
    let host = server.address;
    let mut client = proxy.connect();
    for path in ["/a", "/b?c=d", "/e"] {
        client.send(format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nX-y: z\r\n\r\n"));
        let (head, body) = client.message();
        assert!(head.contains("\r\nVia: 1.1 infernosim\r\n") && !head.contains("Connection"), "{head}");
        assert_eq!(
            body,
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-y: z\r\nVia: 1.1 infernosim\r\n\r\n")
        );
    }
    assert_eq!(server.accepted(), 1);
    let local = client.0.local_addr().unwrap();
    drop(client);
    let pairs = proxy.end();
    let [pair] = &pairs[..] else { panic!("{pairs:?}") };
    let dialled = pair.dialled.as_ref().unwrap();
    assert_eq!((dialled.direction, dialled.id), (Direction::Outbound, 1));
    assert_eq!((dialled.local, dialled.peer), (Some(local), Some(host)));
    assert_eq!(dialled.name, Some(host.to_string()));
    let client = pair.client();
    assert!(
        client
            .starts_with(&format!("GET http://{host}/a HTTP/1.1\r\nHost: {host}\r\nX-y: z\r\n\r\nGET http"))
    );
    assert_eq!(client.matches("Via").count(), 0);
    // Only those that the server repeats.
    assert_eq!(pair.server().matches("Via").count(), 3);
    assert_eq!(pair.notes, ["Connected", "Fin(Client)"]);
}

#[test]
fn a_client_that_alternates_between_hosts_keeps_its_connections() {
    let servers = [Server::echoing(), Server::echoing()];
    let proxy = forward();
    let mut client = proxy.connect();
    for _ in 0..3 {
        for server in &servers {
            client.send(format!("GET http://{}/ HTTP/1.1\r\n\r\n", server.address));
            assert!(client.message().1.contains(&format!("Host: {}", server.address)));
        }
    }
    assert_eq!(servers.each_ref().map(Server::accepted), [1, 1]);
    drop(client);
    assert_eq!(proxy.end().len(), 2);
}

#[test]
fn a_server_that_closed_its_idle_connection_is_dialled_anew() {
    let (closed, closes) = std::sync::mpsc::channel();
    let server = Server::serve(move |peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // Without having said so.
        peer.fin();
        closed.send(()).unwrap();
    });
    let proxy = forward();
    let mut client = proxy.connect();
    for round in 1..=3 {
        client.send(format!("GET http://{}/ HTTP/1.1\r\n\r\n", server.address));
        assert_eq!(client.message().1, "ok");
        assert_eq!(server.accepted(), round);
        // Its FIN is there before the next request.
        closes.recv().unwrap();
    }
    drop(client);
    let notes: Vec<_> = proxy.end().into_iter().map(|pair| pair.notes).collect();
    assert_eq!(notes[0], ["Connected", "Fin(Server)"]);
    assert_eq!(notes.len(), 3);
}

#[test]
fn the_reverse_proxy_asks_its_target_and_names_recordings() {
    let server = Server::echoing();
    let role = Role::Reverse { forward: server.address.to_string() };
    let proxy = start(role, |setup| setup.tag = Some(Ids::from_key([1, 2])));
    let mut ids = Ids::from_key([1, 2]);
    let mut client = proxy.connect();
    let mut expected = vec![];
    for _ in 0..2 {
        client.send("GET /api/demo HTTP/1.1\r\nHost: public.example\r\nConnection: keep-alive\r\n\r\n");
        let (head, body) = client.message();
        assert_eq!(body, "GET /api/demo HTTP/1.1\r\nHost: public.example\r\nVia: 1.1 infernosim\r\n\r\n");
        let id = format!("{:032x}", ids.draw());
        assert!(head.contains(&format!("\r\nX-Request-Context: {id}\r\n")), "{head}");
        expected.push(format!("Named({id})"));
    }
    let from = client.0.local_addr().unwrap();
    drop(client);
    let pairs = proxy.end();
    let dialled = pairs[0].dialled.as_ref().unwrap();
    assert_eq!(
        (dialled.direction, dialled.local, dialled.peer),
        (Direction::Inbound, Some(server.address), Some(from))
    );
    expected.insert(1, "Connected".to_owned());
    expected.push("Fin(Client)".to_owned());
    assert_eq!(pairs[0].notes, expected);
    assert!(!pairs[0].server().contains("X-Request-Context"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::echoing();
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    let requests: String = (0..50).map(|at| format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(&requests);
    for at in 0..50 {
        assert!(client.message().1.starts_with(&format!("GET /{at} HTTP/1.1\r\n")));
    }
    drop(client);
    assert_eq!(proxy.end()[0].client(), requests);
}

#[test]
fn answers_without_a_body_do_not_swallow_the_next() {
    let server = Server::serve(|peer| {
        while let Some(head) = peer.next_head() {
            if head.starts_with("HEAD") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            } else {
                peer.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
            }
        }
    });
    let proxy = reverse(server.address);
    let mut client = proxy.connect();
    for method in ["HEAD", "GET", "HEAD", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let status = if method == "HEAD" { "HTTP/1.1 200" } else { "HTTP/1.1 304" };
        assert!(client.head().starts_with(status));
    }
    assert_eq!(server.accepted(), 1);
    drop(client);
    proxy.end();
}

#[test]
fn older_clients_are_served_as_they_ask_to_be() {
    let server = Server::serve(|peer| {
        let head = peer.head();
        peer.send(format!("HTTP/1.0 200 OK\r\n\r\n{head}"));
    });
    let proxy = forward();
    let answer =
        proxy.ask(&format!("GET http://{}/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", server.address));
    let expected = format!("GET / HTTP/1.0\r\nHost: {}\r\nVia: 1.0 infernosim\r\n\r\n", server.address);
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with(&expected), "{answer}");
    let pairs = proxy.end();
    assert!(
        pairs[0].notes.contains(&"Fin(Server)".to_owned()),
        "the body ended with it: {:?}",
        pairs[0].notes
    );
}

#[test]
fn a_client_that_wants_to_close_says_so_to_the_server() {
    let server = Server::echoing();
    let proxy = reverse(server.address);
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("\r\nConnection: close"), "{head}");
    assert!(body.contains("\r\nConnection: close\r\n"), "{body}");
    proxy.end();
}

#[test]
fn a_request_behind_the_last_costs_nobody_the_answer() {
    let server = Server::serve(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
    let proxy = reverse(server.address);
    let answer = proxy.ask(&"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2));
    assert!(answer.ends_with("Connection: close\r\n\r\nok"), "{answer}");
    proxy.end();
}
