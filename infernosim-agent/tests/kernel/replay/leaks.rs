//! What the target sends and the recording knows nothing of: none of it arrives, and all of it is said.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Shop;
use crate::harness::Netns;

/// Listens by TCP and UDP, on both loopback addresses, and counts what arrives.
struct Ears {
    port: u16,
    heard: Arc<AtomicU64>,
}

impl Ears {
    fn open(netns: &Netns) -> Self {
        let heard = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&heard);
        let port = netns.enter(move || {
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = tcp.local_addr().unwrap().port();
            let tcp6 = std::net::TcpListener::bind(("::1", port)).unwrap();
            let udp =
                [UdpSocket::bind(("127.0.0.1", port)).unwrap(), UdpSocket::bind(("::1", port)).unwrap()];
            for listener in [tcp, tcp6] {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || {
                    while listener.accept().is_ok() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for socket in udp {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || {
                    while socket.recv(&mut [0; 64]).is_ok() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            port
        });
        Self { port, heard }
    }

    /// That nothing came, be it late.
    fn assert_silence(&self, what: &str) {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(self.heard.load(Ordering::Relaxed), 0, "{what} left the target");
    }
}

#[test]
fn nothing_that_is_not_recorded_leaves() {
    let mut shop = Shop::captured();
    shop.dependencies = None;
    let ears = Ears::open(&shop.netns);
    shop.variables.push(format!("LEAK={}", ears.port));
    let quiet = shop.replay("").option(&["--runs", "2"]).run();
    quiet.assert_passed(2);
    assert_eq!(leaked(&quiet.report), 0, "{:#}", quiet.report);
    for what in ["udp", "ipv6", "port", "name"] {
        let incident = shop.copy(what);
        let replayed = shop.replay_of(&incident, what).option(&["--runs", "2"]).run();
        println!("{what}:\n{}", replayed.stdout);
        ears.assert_silence(what);
        // It belongs to the first quote.
        // The first quote made it; packets have no cause, and lie behind all calls.
        let place = if what == "udp" { "outbound event index=7" } else { "outbound event index=0" };
        replayed.assert_diverged(place, "unexpected_outbound_call");
        assert_eq!(leaked(&replayed.report) > 0, what == "udp", "{what}: {:#}", replayed.report);
        let log = std::fs::read_to_string(incident.join("target.log")).unwrap();
        match what {
            // ECONNREFUSED, as if nobody listened.
            "ipv6" | "port" => assert!(log.contains("connect: 111"), "{log}"),
            // EAI_NONAME.
            "name" => assert!(log.contains("lookup: [Errno -2]"), "{log}"),
            _ => {}
        }
    }
}

/// Packets that were dropped, of all runs.
fn leaked(report: &serde_json::Value) -> u64 {
    let of_kinds = report["leaked"].as_object().unwrap_or_else(|| panic!("no leak counter: {report:#}"));
    of_kinds.values().map(|count| count.as_u64().unwrap()).sum()
}
