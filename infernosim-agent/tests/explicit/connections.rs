//! Connections are kept and ended as both ends mean it.

use std::net::Shutdown;

use crate::harness::{Client, Folder, Origin, Tcp, Wire, curl, text};

/// A server that says how many requests each of its connections had.
fn counting() -> Tcp<usize> {
    Tcp::start(|stream| {
        let mut wire = Wire::new(stream);
        let mut count = 0;
        while wire.head().is_some() {
            count += 1;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        count
    })
}

fn ask(client: &mut Wire, server: &Tcp<usize>, path: &str) {
    client.send(format!("GET http://{0}{path} HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr));
    let (head, body) = client.response().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, b"ok");
}

#[test]
fn one_client_connection_keeps_one_to_each_server() {
    let (servers, folder) = ([counting(), counting()], Folder::new());
    let proxy = folder.proxy(&[]);
    let mut client = proxy.connect();
    for number in 0..20 {
        ask(&mut client, &servers[number % 2], &format!("/{number}"));
    }
    drop(client);
    assert_eq!(servers.iter().map(Tcp::result).collect::<Vec<_>>(), [10, 10]);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let urls: Vec<&str> = recording.calls().iter().map(|call| text(&call["url"])).collect();
    let expected: Vec<String> =
        (0..20).map(|number| format!("http://{}/{number}", servers[number % 2].addr)).collect();
    assert_eq!(urls, expected);
    // Numbered by whom they go to.
    let connections: std::collections::BTreeSet<u64> =
        recording.calls().iter().map(|call| call["connection"].as_u64().unwrap()).collect();
    assert_eq!(connections.len(), 2);
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let proxy = folder.proxy(&[]);
    let inbound = folder.inbound(origin.addr, &[]);
    for (running, target) in [(&proxy, origin.url("/late/300")), (&inbound, "/late/300".to_owned())] {
        let mut client = running.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.addr));
        client.stream.shutdown(Shutdown::Write).unwrap();
        let (head, body) = client.response().unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, b"/late/300");
    }
    proxy.stop();
    inbound.stop();
    let recording = folder.both();
    assert!(recording.events.iter().all(|event| event.get("error").is_none()), "{:#?}", recording.events);
}

/// Requests that are sent before their answers came are answered in their order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let inbound = folder.inbound(origin.addr, &[]);
    let mut client = inbound.connect();
    let requests: String =
        (0..10).map(|number| format!("GET /n/{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.send(requests);
    for number in 0..10 {
        assert_eq!(client.response().unwrap().1, format!("{number}\n").as_bytes());
    }
    inbound.stop();
    assert_eq!(folder.recorded("inbound.log").of_type("InboundResponse").len(), 10);
}

/// ab speaks HTTP/1.0, with keep-alive as it was before HTTP/1.1 and without.
#[test]
fn http_1_0() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let proxy = folder.proxy(&[]);
    let (through, url) = (proxy.addr.to_string(), origin.url("/n/7"));
    for keep in [&[][..], &["-k"]] {
        let words = [&["-q", "-n", "40", "-c", "4", "-X", &through], keep, &[&url]].concat();
        let said = Client::of("ab", &words).run().text();
        assert!(said.contains("Complete requests:      40"), "{said}");
        assert!(said.contains("Failed requests:        0"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
    let seen = origin.seen();
    assert!(seen.iter().all(|seen| seen.head.split("\r\n").next().unwrap().ends_with("HTTP/1.0")));
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    assert_eq!(recording.calls().len(), 80);
    assert!(recording.calls().iter().all(|call| call["responseBody"] == "7\n"));
}

#[test]
fn a_websocket_through_inbound_is_a_tunnel_from_101_on() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let inbound = folder.inbound(origin.addr, &[]);
    let mut client = inbound.connect();
    client.send("GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = String::from_utf8(client.head().unwrap()).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("\r\nupgrade: echo\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    for bytes in [&b"\x81\x05hello"[..], &[0; 3], &[0xff; 70_000]] {
        client.send(bytes);
        assert_eq!(client.exactly(bytes.len()).unwrap(), bytes);
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.rest().is_empty());
    let seen = origin.seen().remove(0).head.to_ascii_lowercase();
    assert!(
        seen.contains("\r\nupgrade: websocket\r\n") && seen.contains("\r\nconnection: upgrade\r\n"),
        "{seen}"
    );
    inbound.stop();
    let recording = folder.recorded("inbound.log");
    let statuses: Vec<_> =
        recording.of_type("InboundResponse").iter().map(|it| it["status"].clone()).collect();
    assert!(statuses.contains(&101.into()), "{:#?}", recording.events);
    let bytes: u64 = recording.events.iter().filter_map(|event| event["bodySize"].as_u64()).sum();
    assert_eq!(bytes, 2 * (7 + 3 + 70_000), "{:#?}", recording.events);
}

/// What a program is told as `localhost` reaches us over either family.
#[test]
fn both_loopbacks_are_one_proxy() {
    let (origin, folder) = (Origin::start(), Folder::new());
    let proxy = folder.proxy(&[]);
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // This host has no IPv6, and then there is one.
        return;
    }
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let at = format!("http://{host}:{}", proxy.port());
        assert_eq!(curl(&["-x", &at, &origin.url("/n/3")]).text(), "3\n");
    }
    proxy.stop();
    assert_eq!(folder.recorded("outbound.log").calls().len(), 3);
}

#[test]
fn a_server_by_ipv6() {
    let (origin, folder) = (Origin::start_v6(), Folder::new());
    let proxy = folder.proxy(&[]);
    assert_eq!(curl(&["-g", "-x", &proxy.url(""), &origin.url("/n/4")]).text(), "4\n");
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = recording.call();
    assert_eq!([&call["peer"], &call["service"]], [&origin.addr.to_string(); 2]);
}
