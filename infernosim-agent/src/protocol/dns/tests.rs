use proptest::prelude::*;

use super::sample::{A, AAAA, ANSWERED, ASKED, CNAME, SRV, Sample, TXT, answer, name, question};
use super::*;

fn parse(bytes: &[u8]) -> DnsMessage {
    DnsMessage::parse(bytes).unwrap()
}

/// The text of one record's data.
fn data(kind: u16, data: Vec<u8>) -> (String, String) {
    let records = vec![("x.test", kind, 7, data)];
    let question = Some(("x.test", kind));
    let message = parse(&Sample { flags: ANSWERED, question, records, ..Sample::default() }.bytes());
    assert!(!message.broken);
    let [answer] = &message.answers[..] else { panic!("{message:?}") };
    assert_eq!((answer.name.as_str(), answer.ttl), ("x.test", 7));
    (answer.kind.clone(), answer.data.clone())
}

#[test]
fn a_question_is_told_in_lower_case_without_its_last_dot() {
    let message = parse(&question(0x1234, "Shop.TEST", AAAA));
    let asked = message.question.clone().unwrap();
    assert_eq!((asked.name.as_str(), asked.kind.as_str(), asked.class), ("shop.test", "AAAA", 1));
    assert_eq!((message.id, message.is_response, message.opcode), (0x1234, false, 0));
    assert!(!message.broken && !message.truncated && message.answers.is_empty());
    assert_eq!(parse(&question(1, "", 2)).question.unwrap().name, ".");
    let cut = Sample { flags: ASKED | 4 << 11, question: Some(("a", A)), ..Sample::default() };
    assert_eq!(parse(&cut.bytes()).opcode, 4);
}

#[test]
fn kinds_without_a_name_have_a_number() {
    let kind = |kind| parse(&question(1, "a", kind)).question.unwrap().kind;
    let named = [(1, "A"), (65, "HTTPS"), (255, "ANY"), (48, "DNSKEY"), (0, "TYPE0"), (65280, "TYPE65280")];
    for (number, word) in named {
        assert_eq!(kind(number), word);
    }
}

#[test]
fn data_is_in_a_zone_files_notation() {
    let srv = [&[0, 10, 0, 5, 0x1f, 0x90][..], &name("Shop.Test")].concat();
    let mx = [&[0, 10][..], &name("mail.test")].concat();
    let numbers: Vec<u8> = (1..=5_u32).flat_map(u32::to_be_bytes).collect();
    let soa = [name("ns.test"), name("admin.test"), numbers].concat();
    for (kind, bytes, word, text) in [
        (A, vec![10, 0, 0, 7], "A", "10.0.0.7"),
        (AAAA, [&[0xfd][..], &[0; 14], &[1]].concat(), "AAAA", "fd00::1"),
        (CNAME, name("Other.test"), "CNAME", "other.test"),
        (2, name("ns.test"), "NS", "ns.test"),
        (12, name(""), "PTR", "."),
        (SRV, srv, "SRV", "10 5 8080 shop.test"),
        (15, mx, "MX", "10 mail.test"),
        (6, soa, "SOA", "ns.test admin.test 1 2 3 4 5"),
        (TXT, b"\x03a\"b\x02 \xff".to_vec(), "TXT", r#""a\"b" " \255""#),
        (65280, vec![0xde, 0xad], "TYPE65280", r"\# 2 dead"),
        (257, vec![0, 0], "CAA", r"\# 2 0000"),
        (A, vec![10, 0, 0], "A", r"\# 3 0a0000"),
        (A, Vec::new(), "A", r"\# 0"),
        (CNAME, vec![5, b'a'], "CNAME", r"\# 2 0561"),
    ] {
        assert_eq!(data(kind, bytes), (word.to_owned(), text.to_owned()));
    }
    let https = [&[0, 1][..], &name(""), &[0, 1, 0, 3, 2, b'h', b'2']].concat();
    let (kind, text) = data(65, https);
    assert!(kind == "HTTPS" && text.starts_with("1 . alpn="), "{text}");
}

#[test]
fn unusual_bytes_of_a_name_are_escaped() {
    let mut bytes = question(1, "abc", A);
    bytes[13..16].copy_from_slice(b".\\\x07");
    assert_eq!(parse(&bytes).question.unwrap().name, r"\.\\\007");
}

#[test]
fn names_may_point_back() {
    let mut bytes = answer(1, "shop.test", &[[10, 0, 0, 7]]);
    // The record's name becomes a pointer to the question's.
    let at = bytes.len() - name("shop.test").len() - 14;
    bytes.splice(at..at + name("shop.test").len(), [0xc0, 12]);
    let message = parse(&bytes);
    assert!(!message.broken);
    assert_eq!(
        (message.answers[0].name.as_str(), message.answers[0].data.as_str()),
        ("shop.test", "10.0.0.7")
    );
}

#[test]
fn names_that_point_in_a_circle_end() {
    let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for pointers in [vec![0xc0, 12], vec![0xc0, 14, 0xc0, 12], vec![1, b'a', 0xc0, 12], vec![0xc0, 0xff]] {
        let bytes = [&header[..], &pointers, &[0, 1, 0, 1]].concat();
        assert_eq!(DnsMessage::parse(&bytes), Err(Unreadable), "{pointers:?}");
    }
}

#[test]
fn the_outcome_has_a_word() {
    let with = |rcode: u16, upper: Option<u32>| {
        let records = upper.map(|upper| ("", 41, upper << 24, Vec::new())).into_iter().collect();
        let question = Some(("a", A));
        let flags = ANSWERED | rcode;
        parse(&Sample { flags, question, authorities: records, ..Sample::default() }.bytes()).rcode_word()
    };
    assert_eq!(
        [0, 2, 3, 5, 11].map(|low| with(low, None)),
        ["NOERROR", "SERVFAIL", "NXDOMAIN", "REFUSED", "RCODE11"]
    );
    assert_eq!(with(0, Some(1)), "BADVERS");
    assert_eq!(with(7, Some(1)), "BADCOOKIE");
    assert_eq!(with(1, Some(240)), "RCODE3841");
    assert_eq!(with(3, Some(0)), "NXDOMAIN");
}

#[test]
fn what_can_be_read_of_a_broken_message_is_there() {
    let whole = answer(9, "shop.test", &[[10, 0, 0, 7], [10, 0, 0, 8]]);
    let cut = parse(&whole[..whole.len() - 1]);
    assert!(cut.broken && cut.is_response);
    assert_eq!(cut.answers.len(), 1);
    for length in 0..question(9, "shop.test", A).len() {
        assert_eq!(DnsMessage::parse(&whole[..length]), Err(Unreadable), "{length}");
    }
    // Bytes behind the message are none of it.
    assert!(!parse(&[&whole[..], b"xyz"].concat()).broken);
}

#[test]
fn a_flood_of_answers_is_bounded() {
    let records = vec![("x.test", A, 1, vec![10, 0, 0, 1]); 2_000];
    let message = parse(&Sample { flags: ANSWERED, records, ..Sample::default() }.bytes());
    assert!(message.answers.len() == 512 && !message.broken);
    // A header that promises 65,535 of everything, and holds nothing.
    assert_eq!(DnsMessage::parse(&[0xff; 12]), Err(Unreadable));
    let mut bytes = question(1, "a", A);
    bytes[4..12].fill(0xff);
    assert!(parse(&bytes).broken);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = DnsMessage::parse(&bytes);
    }

    /// Bytes that are nearly a message reach what random ones do not.
    #[test]
    fn a_damaged_message_is_read_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        kind in prop::sample::select(vec![A, CNAME, SRV, TXT, AAAA, 6, 15, 41, 64, 65, 257]),
        data in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let records = vec![("shop.test", kind, 1, data); 2];
        let question = Some(("shop.test", kind));
        let mut bytes = Sample { flags: ANSWERED, question, records, ..Sample::default() }.bytes();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(message) = DnsMessage::parse(&bytes) {
            let told: usize = message.answers.iter().map(|it| it.name.len() + it.data.len()).sum();
            prop_assert!(told < 8 * 1024, "{told}");
        }
    }

    /// However a stream is cut, the same messages come out.
    #[test]
    fn a_stream_is_its_messages(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
        cuts in proptest::collection::vec(1..400_usize, 1..40),
    ) {
        let mut bytes: Vec<u8> = messages
            .iter()
            .flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat())
            .collect();
        let (mut stream, mut out) = (DnsStream::default(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        while !bytes.is_empty() {
            let rest = bytes.split_off((*cuts.next().unwrap()).min(bytes.len()));
            stream.feed(&bytes, &mut |piece| match piece {
                DnsPiece::Message(message) => out.push(message.to_vec()),
                other => panic!("{other:?}"),
            });
            bytes = rest;
        }
        prop_assert_eq!(out, messages);
        prop_assert!(stream.is_between());
    }

    /// With gaps no wrong message comes out, and what comes before them and after those within a message does.
    #[test]
    fn a_gap_damages_only_what_it_is_in(
        sizes in proptest::collection::vec(0..60_usize, 1..10),
        gap in (any::<prop::sample::Index>(), 1..40_usize),
    ) {
        let messages: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(index, size)| vec![index as u8 + 1; *size]).collect();
        let bytes: Vec<u8> = messages
            .iter()
            .flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat())
            .collect();
        let start = gap.0.index(bytes.len());
        let end = (start + gap.1).min(bytes.len());
        let (mut stream, mut out, mut lost) = (DnsStream::default(), Vec::new(), false);
        let mut emit = |piece: DnsPiece<'_>| match piece {
            DnsPiece::Message(message) => out.push(message.to_vec()),
            DnsPiece::Damaged => {}
            DnsPiece::Lost => lost = true,
        };
        stream.feed(&bytes[..start], &mut emit);
        stream.gap((end - start) as u64, &mut emit);
        stream.feed(&bytes[end..], &mut emit);
        let (mut at, mut expected) = (0, Vec::new());
        for message in &messages {
            let (prefix, body) = (at..at + 2, at + 2..at + 2 + message.len());
            at = body.end;
            let touched = |range: &std::ops::Range<usize>| range.start < end && start < range.end;
            if lost && body.end > start {
                break;
            }
            prop_assert!(!touched(&prefix), "a prefix was not seen, and the stream is not lost");
            if !touched(&body) {
                expected.push(message.clone());
            }
        }
        prop_assert_eq!(out, expected);
    }
}
