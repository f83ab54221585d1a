//! What holds for any bytes: cutting changes nothing, nothing is lost, nothing panics.

use proptest::prelude::*;

use super::*;

/// Pieces of requests, whole ones first (proptest shrinks towards the beginning).
const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.0\nHost: x\n\n",
    "HEAD /h HTTP/1.1\r\n\r\n",
    "POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n 2\r\n\r\n",
    "GET /f HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "GET /u HTTP/1.1\r\nUpgrade: x\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\n\r\n",
    "POST /b HTTP/1.1\r\nContent-Length: 1,2\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\0\x30\x01\0\0\x2c\x03\x03",
    "\r\n",
    "GE",
    "0\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.0 200 OK\n\nto the end",
    "HTTP/1.1 101 Switching\r\n\r\n",
    "HTTP/1.1 304 X\r\nContent-Length: 7\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay",
    "HTTP/1.1 200",
    "2\r\n",
    "\r\n",
];

fn pieces(pool: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(pool).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..8),
        1 => "[A-Z0-9 :;,/.\r\n]{1,8}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// A connection that is mostly HTTP: turns of both sides, then perhaps one byte changed, then perhaps FINs.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let turn = prop_oneof![
        pieces(REQUESTS).prop_map(|bytes| Step::Feed(C, bytes)),
        pieces(RESPONSES).prop_map(|bytes| Step::Feed(S, bytes)),
    ];
    let change = prop::option::weighted(
        0.4,
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()),
    );
    let fins = prop::collection::vec(prop_oneof![Just(Step::Fin(C)), Just(Step::Fin(S))], 0..3);
    (prop::collection::vec(turn, 1..8), change, fins).prop_map(|(mut turns, change, fins)| {
        if let Some((turn, at, to)) = change {
            let turn = turn.index(turns.len());
            let Step::Feed(_, bytes) = &mut turns[turn] else { unreachable!("turns are feeds") };
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        turns.extend(fins);
        turns
    })
}

/// Every feed cut at places of its own.
fn cut_anywhere(steps: &[Step], mut sizes: impl Iterator<Item = usize>) -> Vec<Step> {
    let mut result = Vec::new();
    for step in steps {
        let Step::Feed(from, bytes) = step else {
            result.push(step.clone());
            continue;
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            result.push(Step::Feed(*from, piece.to_vec()));
            rest = after;
        }
    }
    result
}

/// All that `from` sends in these steps.
fn sent(steps: &[Step], from: Sender) -> Vec<u8> {
    let feed = |step: &Step| {
        if let Step::Feed(f, bytes) = step
            && *f == from
        {
            bytes.clone()
        } else {
            Vec::new()
        }
    };
    steps.iter().flat_map(feed).collect()
}

/// The steps, with only the first bytes of either side.
fn first(steps: &[Step], mut client: usize, mut server: usize) -> Vec<Step> {
    let mut steps = steps.to_vec();
    for step in &mut steps {
        if let Step::Feed(from, bytes) = step {
            let left = if *from == C { &mut client } else { &mut server };
            bytes.truncate(*left);
            *left -= bytes.len();
        }
    }
    steps
}

/// The property of a connection that was HTTP and no longer is, or never was: what is shown as bytes is the end
/// of what each side sent, and what came before it was said as messages, whole and without a rest.
fn check_nothing_is_lost(steps: &[Step]) {
    let fins = [Step::Fin(S), Step::Fin(C)];
    let said = play(&[steps, &fins].concat()).0;
    let Some(at) = said.opaque_at() else { return };
    let (client, server) = (sent(steps, C), sent(steps, S));
    let (client_bytes, server_bytes) = (said.all("> bytes"), said.all("< bytes"));
    assert!(client.ends_with(&client_bytes) && server.ends_with(&server_bytes), "{:#?}", said.lines());
    let feeds: Vec<_> = steps.iter().filter(|step| matches!(step, Step::Feed(..))).cloned().collect();
    let mut before = first(&feeds, client.len() - client_bytes.len(), server.len() - server_bytes.len());
    assert_eq!(without_close(play(&before).0), without_close(Said(said.0[..at].to_vec())));
    // Nothing is held: the end of the connection brings nothing more to light (but empty lines before a request).
    before.extend(fins);
    let after = play(&before).0;
    let rest = [after.all("> bytes"), after.all("< bytes")].concat();
    assert!(rest.trim_ascii().is_empty(), "{:#?}", after.lines());
}

/// Without what may differ when only the beginning of a connection is played: ends of responses, which FINs
/// bring; the turn that a 101 or a tunnel makes; empty lines, which are bytes where no request was seen.
fn without_close(mut said: Said) -> Said {
    said.0.retain(|item| match item {
        Item::Line(line) => line != "< end" && line != "opaque tcp" && line != "tunnel",
        Item::Content(kind, bytes) => !(kind.ends_with("bytes") && bytes.trim_ascii().is_empty()),
    });
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cutting_changes_nothing(steps in steps(), sizes in prop::collection::vec(1usize..40, 1..20)) {
        let whole = play(&steps).0;
        prop_assert_eq!(&play(&cut(&steps, 1)).0, &whole);
        prop_assert_eq!(&play(&cut_anywhere(&steps, sizes.into_iter().cycle())).0, &whole);
    }

    #[test]
    fn nothing_is_lost(steps in steps()) {
        check_nothing_is_lost(&steps);
    }

    #[test]
    fn random_bytes_are_shown_as_they_are(
        feeds in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..40)), 1..6),
    ) {
        let mut steps: Vec<_> =
            feeds.into_iter().map(|(client, bytes)| Step::Feed(if client { C } else { S }, bytes)).collect();
        steps.extend([Step::Fin(C), Step::Fin(S)]);
        let said = play(&steps).0;
        prop_assert!(said.opaque_at() == Some(0));
        prop_assert_eq!(said.all("> bytes"), sent(&steps, C));
        prop_assert_eq!(said.all("< bytes"), sent(&steps, S));
    }

    #[test]
    fn gaps_never_panic(
        steps in steps(),
        gaps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..3),
    ) {
        let mut steps = cut(&steps, 9);
        for (at, client) in gaps {
            steps.insert(at.index(steps.len()), Step::Gap(if client { C } else { S }, 1));
        }
        let said = play(&steps).0;
        let count = said.0.iter().filter(|item| matches!(item, Item::Line(line) if line.starts_with("gap"))).count();
        // One more for each request that was taken up after a gap and then was none.
        prop_assert!(count >= steps.iter().filter(|step| matches!(step, Step::Gap(..))).count());
    }

    #[test]
    fn hellos_never_panic(tail in prop::collection::vec(any::<u8>(), 0..120)) {
        let head = b"\x16\x03\x01\0\x50\x01\0\0\x4c\x03\x03";
        let mut steps = vec![Step::Feed(C, [head, tail.as_slice()].concat()), Step::Fin(C)];
        let whole = play(&steps).0;
        prop_assert_eq!(whole.all("> bytes"), sent(&steps, C));
        steps = cut(&steps, 1);
        prop_assert_eq!(play(&steps).0, whole);
    }
}
