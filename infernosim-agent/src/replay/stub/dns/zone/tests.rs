use super::*;
use crate::protocol::dns_sample as sample;

fn recorded(message: Option<Vec<u8>>, took_ns: u64) -> Recorded {
    Recorded { message: message.map(Bytes::from), addresses: Vec::new(), rcode: None, took_ns }
}

fn key(name: &str, kind: &str) -> (Box<str>, Box<str>) {
    (name.into(), kind.into())
}

fn zone() -> Zone {
    let missing = sample::Sample {
        id: 5,
        flags: sample::ANSWERED | 3,
        question: Some(("gone.test", sample::A)),
        ..sample::Sample::default()
    };
    let mut zone = Zone::new([
        (
            key("shop.test", "A"),
            vec![
                recorded(Some(sample::answer(1, "shop.test", &[[10, 0, 0, 7]])), 9),
                recorded(None, 0),
                recorded(Some(sample::answer(2, "shop.test", &[[10, 0, 0, 8], [10, 0, 0, 9]])), 0),
            ],
        ),
        (key("gone.test", "A"), vec![recorded(Some(missing.bytes()), 0)]),
    ]);
    zone.add("known.test", vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
    zone.pass("live.test");
    zone
}

fn ask(zone: &mut Zone, name: &'static str, kind: u16) -> Told {
    zone.ask(&sample::question(7, name, kind), true)
}

/// The id, the code and the records of an answer.
fn said(told: Told) -> (u16, String, Vec<String>) {
    let (Told::Answer(bytes, _) | Told::Unknown(_, bytes)) = told else { panic!("no answer: {told:?}") };
    let message = DnsMessage::parse(&bytes).unwrap();
    let records = message.answers.iter().map(|answer| answer.data.clone()).collect();
    (message.id, message.rcode_word(), records)
}

fn found(addresses: &[&str]) -> (u16, String, Vec<String>) {
    (7, "NOERROR".to_owned(), addresses.iter().map(|address| (*address).to_owned()).collect())
}

#[test]
fn lookups_are_answered_one_by_one_and_the_last_holds() {
    let mut zone = zone();
    for _ in 0..2 {
        let first = ask(&mut zone, "shop.test", sample::A);
        assert!(matches!(first, Told::Answer(_, 9)), "{first:?}");
        assert_eq!(said(first), found(&["10.0.0.7"]));
        assert_eq!(ask(&mut zone, "Shop.Test", sample::A), Told::Silence);
        for _ in 0..2 {
            assert_eq!(said(ask(&mut zone, "shop.test", sample::A)), found(&["10.0.0.8", "10.0.0.9"]));
        }
        zone.begin();
    }
}

#[test]
fn what_was_not_looked_up_is_answered_by_what_is_known_of_the_name() {
    let mut zone = zone();
    assert_eq!(said(ask(&mut zone, "shop.test", sample::AAAA)), found(&[]));
    assert_eq!(said(ask(&mut zone, "gone.test", sample::AAAA)).1, "NXDOMAIN");
    assert_eq!(said(ask(&mut zone, "known.test", sample::A)), found(&["10.0.0.1"]));
    assert_eq!(said(ask(&mut zone, "known.test", sample::AAAA)), found(&["fd00::1"]));
    assert_eq!(said(ask(&mut zone, "known.test", sample::SRV)), found(&[]));
    assert_eq!(said(ask(&mut zone, "localhost", sample::A)), found(&["127.0.0.1"]));
    assert_eq!(said(ask(&mut zone, "a.localhost", sample::AAAA)), found(&["::1"]));
    assert_eq!(ask(&mut zone, "live.test", sample::A), Told::Forward("live.test".to_owned()));
}

#[test]
fn unknown_names_do_not_exist_and_are_told() {
    let mut zone = zone();
    let told = ask(&mut zone, "Other.test", sample::A);
    assert!(matches!(&told, Told::Unknown(name, _) if name == "other.test"), "{told:?}");
    assert_eq!(said(told), (7, "NXDOMAIN".to_owned(), Vec::new()));
    // A resolver that tries its own domains behind a known name asks nothing new.
    for name in ["known.test.corp.example", "shop.test.corp.example"] {
        let told = ask(&mut zone, name, sample::A);
        assert!(matches!(told, Told::Answer(..)), "{told:?}");
        assert_eq!(said(told).1, "NXDOMAIN");
    }
    assert_eq!(zone.ask(b"no message", true), Told::Malformed);
    assert_eq!(zone.ask(&sample::answer(7, "shop.test", &[]), true), Told::Malformed);
}

#[test]
fn addresses_are_made_up_where_none_is_known_and_always_the_same() {
    let make = |names: &[&str]| {
        let mut zone = Zone::default();
        names.iter().map(|name| zone.add(name, Vec::new()).unwrap()).collect::<Vec<_>>()
    };
    let names: Vec<String> = (0..600).map(|number| format!("service-{number:03}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let made = make(&names);
    assert_eq!(made, make(&names));
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len());
    let in_benchmarks =
        |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.to_bits() >> 17 == 0xc612_0000 >> 17);
    assert!(made.iter().all(in_benchmarks), "{made:?}");
    // What has a lookup or an address gets none.
    let mut zone = zone();
    assert_eq!(zone.add("shop.test", Vec::new()), None);
    assert_eq!(zone.add("a.test", vec![made[0]]), None);
    assert!(zone.addresses().contains(&("a.test".to_owned(), made[0])));
    assert!(zone.addresses().contains(&("shop.test".to_owned(), "10.0.0.9".parse().unwrap())));
}

#[test]
fn where_only_records_are_known_they_are_the_answer() {
    let lookup = Recorded {
        message: None,
        addresses: vec!["10.0.0.3".parse().unwrap()],
        rcode: Some(NO_ERROR),
        took_ns: 0,
    };
    let failed = Recorded { addresses: Vec::new(), rcode: Some(2), ..lookup.clone() };
    let mut zone = Zone::new([(key("old.test", "A"), vec![failed, lookup])]);
    assert_eq!(said(ask(&mut zone, "old.test", sample::A)).1, "SERVFAIL");
    assert_eq!(said(ask(&mut zone, "old.test", sample::A)), found(&["10.0.0.3"]));
}
