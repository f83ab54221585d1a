//! The DNS name by which a dependency was reached names it where nothing on the connection does.

use super::*;

fn by_name(port: u16, said: &[(Sender, &[u8])], ending: Ending) -> Event {
    let named = Peer { peer: Some(([10, 0, 0, 7], port).into()), name: Some("prices.test".into()), ..peer() };
    let recording = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, 1 << 20);
    let mut it = recording.of((Direction::Outbound, named), said, ending);
    assert_eq!(it.events[0].peer, format!("10.0.0.7:{port}"));
    assert_eq!(it.totals.dependencies.keys().collect::<Vec<_>>(), [&it.events[0].service]);
    it.events.remove(0)
}

#[test]
fn a_dependency_has_the_name_it_was_looked_up_by() {
    let said = |bytes: &'static [u8]| [(Client, bytes)];
    for (port, bytes, service, url) in [
        (80, &b"GET /x HTTP/1.0\r\n\r\n"[..], "prices.test", "http://prices.test:80/x"),
        (8080, b"GET /x HTTP/1.0\r\n\r\n", "prices.test:8080", "http://prices.test:8080/x"),
        (80, b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n", "shop", "http://shop/x"),
        (6379, b"PING\r\n", "prices.test:6379", "tcp://prices.test:6379"),
    ] {
        let event = by_name(port, &said(bytes), Ending::Closed);
        assert_eq!((event.service.as_str(), event.url.as_str()), (service, url));
    }
    let silent = by_name(5432, &[], Ending::DialFailed(Errno::ECONNREFUSED));
    assert_eq!(silent.kind, Kind::Connection);
    assert_eq!(
        (silent.service.as_str(), silent.url.as_str()),
        ("prices.test:5432", "tcp://prices.test:5432")
    );
    // The ClientHello of a client that sends no server name.
    let event = by_name(443, &said(b"\x16\x03\x01\x00\x02\x01\x00"), Ending::Closed);
    assert_eq!((event.service.as_str(), event.url.as_str()), ("prices.test", "tls://prices.test:443"));
}
