use super::*;
use crate::incident::{Peer, Sent, Transport};
use crate::protocol::dns_sample::{A, AAAA, ANSWERED, CNAME, SRV, Sample, name, question};

const SECOND: u64 = 1_000_000_000;

type Record = (&'static str, u16, u32, Vec<u8>);

/// A question asked at `at` seconds and answered at once.
fn lookup(at: u64, asked: &'static str, records: Vec<Record>) -> Lookup {
    let sent = |bytes: Vec<u8>| Sent { message: Some(DnsMessage::parse(&bytes).unwrap()), bytes, unseen: 0 };
    let answer = Sample { flags: ANSWERED, question: Some((asked, A)), records, ..Sample::default() };
    Lookup {
        at: Nanos(at * SECOND),
        duration: 0,
        peer: Peer {
            connection: 0,
            local: None,
            peer: Some("10.0.0.2:53".parse().unwrap()),
            process: None,
            name: None,
        },
        transport: Transport::Udp,
        question: Some(sent(question(0, asked, A))),
        answer: Some(sent(answer.bytes())),
        error: None,
        incomplete: false,
    }
}

fn v4(last: u8) -> Vec<u8> {
    vec![10, 0, 0, last]
}

fn names(lookups: &[Lookup]) -> Names {
    let mut names = Names::default();
    lookups.iter().for_each(|lookup| names.learn(lookup));
    names
}

fn name_of<'a>(names: &'a Names, address: &str, at: u64) -> Option<&'a str> {
    names.name_of(address.parse().unwrap(), Nanos(at * SECOND))
}

#[test]
fn an_address_has_the_name_that_was_asked_for() {
    let v6: std::net::Ipv6Addr = "fd77::2".parse().unwrap();
    let records = vec![
        // Out of order, as servers may send it.
        ("b.test", A, 300, v4(7)),
        ("a.test", CNAME, 300, name("b.test")),
        ("Shop.test", CNAME, 300, name("A.test")),
        ("b.test", A, 300, v4(8)),
        ("b.test", AAAA, 300, v6.octets().to_vec()),
        // Not asked for.
        ("bank.test", A, 300, v4(9)),
        ("shop.test", SRV, 300, vec![0; 7]),
    ];
    let names = names(&[lookup(0, "shop.test", records)]);
    for address in ["10.0.0.7", "10.0.0.8", "fd77::2", "::ffff:10.0.0.7"] {
        assert_eq!(name_of(&names, address, 1), Some("shop.test"), "{address}");
    }
    assert_eq!(name_of(&names, "10.0.0.9", 1), None);
}

#[test]
fn aliases_in_a_circle_end() {
    let records = vec![
        ("a.test", CNAME, 300, name("b.test")),
        ("b.test", CNAME, 300, name("a.test")),
        ("c.test", A, 300, v4(7)),
    ];
    assert_eq!(name_of(&names(&[lookup(0, "a.test", records)]), "10.0.0.7", 1), None);
}

#[test]
fn a_name_holds_for_its_time_to_live_and_at_least_a_minute() {
    let record = |ttl| vec![("shop.test", A, ttl, v4(7))];
    for (ttl, holds) in [(0, 60), (59, 60), (61, 61), (86_400, 86_400), (1 << 31, 60)] {
        let names = names(&[lookup(5, "shop.test", record(ttl))]);
        assert_eq!(name_of(&names, "10.0.0.7", 5 + holds), Some("shop.test"), "{ttl}");
        assert_eq!(name_of(&names, "10.0.0.7", 6 + holds), None, "{ttl}");
    }
}

#[test]
fn the_latest_answer_wins() {
    let of = |at, name: &'static str, ttl| lookup(at, name, vec![(name, A, ttl, v4(7))]);
    let names = names(&[of(0, "old.test", 3_600), of(1, "new.test", 100)]);
    assert_eq!(name_of(&names, "10.0.0.7", 50), Some("new.test"));
    assert_eq!(name_of(&names, "10.0.0.7", 200), None);
}

#[test]
fn what_is_no_answer_teaches_nothing() {
    let good = || lookup(0, "shop.test", vec![("shop.test", A, 300, v4(7))]);
    let unasked = Lookup { question: None, ..good() };
    let broken = Lookup { error: Some("the message cannot be read"), ..good() };
    let silent = Lookup { answer: None, ..good() };
    for lookup in [unasked, broken, silent] {
        assert_eq!(name_of(&names(&[lookup]), "10.0.0.7", 1), None);
    }
}

#[test]
fn the_oldest_names_go_first() {
    let mut names = Names::default();
    for number in 0..MAX_NAMES as u32 + 10 {
        if number == 100 {
            // Learnt again: young again.
            names.learn(&lookup(0, "again.test", vec![("again.test", A, 1, vec![11, 0, 0, 0])]));
        }
        let address = (11 << 24 | number).to_be_bytes().to_vec();
        names.learn(&lookup(0, "shop.test", vec![("shop.test", A, 1, address)]));
    }
    assert_eq!((names.by_address.len(), names.order.len()), (MAX_NAMES, MAX_NAMES));
    assert_eq!(name_of(&names, "11.0.0.0", 1), Some("again.test"));
    assert_eq!(name_of(&names, "11.0.0.10", 1), None);
    assert_eq!(name_of(&names, "11.0.0.11", 1), Some("shop.test"));
    assert_eq!(name_of(&names, "11.1.0.9", 1), Some("shop.test"));
}
