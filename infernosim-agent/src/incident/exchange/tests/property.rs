//! Whatever is said on a connection, and however it ends.

use super::inbound::client;
use super::*;

const SAID: [(Sender, &[u8]); 16] = [
    (Client, b"CONNECT a:443 HTTP/1.1\r\n\r\n"),
    (Server, b"HTTP/1.1 200 OK\r\n\r\n"),
    (Client, b"GET /a HTTP/1.1\r\n\r\n"),
    (Client, b"PUT /b HTTP/1.1\r\nContent-Length: 6\r\n\r\n"),
    (Client, b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    (Client, b"0\r\n\r\n"),
    (Client, b"abcdef"),
    (Client, b"GET /half HTTP/1.1\r\nHos"),
    (Client, b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    (Client, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"),
    (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    (Server, b"HTTP/1.1 100 Continue\r\n\r\n"),
    (Server, b"HTTP/1.0 200 OK\r\n\r\nuntil the close"),
    (Server, b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    (Server, b"\xffgarbage\r\n\r\n"),
];
const ENDINGS: [Ending; 6] = [
    Ending::Closed,
    Ending::ClosedBy(Client),
    Ending::ClosedBy(Server),
    Ending::Broke(Client, Errno::ECONNRESET),
    Ending::Broke(Server, Errno::ETIMEDOUT),
    Ending::Abandoned,
];

#[derive(Clone, Debug)]
enum Step {
    Say(usize),
    Gap(Sender, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..SAID.len()).prop_map(Step::Say),
        1 => (prop::sample::select(vec![Client, Server]), 1..9000_u64).prop_map(|(from, n)| Step::Gap(from, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Each request has one answer, behind it, of the same connection; what is lost is counted.
    #[test]
    fn every_request_has_one_answer(
        steps in prop::collection::vec(step(), 0..24),
        ending in prop::sample::select(ENDINGS.to_vec()),
        budget in prop::sample::select(vec![200_usize, 3_000, 1 << 20]),
    ) {
        let mut it = Recording::start(&Redaction::with_key(None, [0; 32]), LIMITS, budget);
        let mut talk = Talk::new(client());
        for step in &steps {
            match *step {
                Step::Say(index) => talk.say(SAID[index].0, SAID[index].1, &mut it.lines),
                Step::Gap(from, bytes) => talk.gap(from, bytes, &mut it.lines),
            }
        }
        talk.end(ending, &mut it.lines);
        let it = it.finish();
        let mut open: Vec<&Event> = Vec::new();
        for event in &it.events {
            match event.kind {
                Kind::InboundRequest => {
                    prop_assert_eq!(&event.trace_id, &event.id);
                    open.push(event);
                }
                Kind::InboundResponse => {
                    let asked = open.iter().position(|asked| asked.id == event.trace_id);
                    let Some(asked) = asked else { panic!("an answer to nothing: {event:?}") };
                    let asked = open.remove(asked);
                    prop_assert_eq!((&asked.url, &asked.method), (&event.url, &event.method));
                    prop_assert!(asked.offset_ns <= event.offset_ns && asked.duration <= event.duration);
                    let whole = event.error.is_none() && !event.incomplete;
                    prop_assert!(whole || event.incomplete && event.error.is_some(), "{event:?}");
                }
                _ => prop_assert_eq!(&event.kind, &Kind::Lost),
            }
        }
        if budget == 1 << 20 {
            prop_assert!(open.is_empty(), "{open:?}");
            let gaps = steps.iter().any(|step| matches!(step, Step::Gap(..)));
            prop_assert_eq!(it.totals.lost.events() > 0, gaps);
        } else {
            prop_assert!(open.is_empty() || it.totals.lost.events() > 0);
        }
        prop_assert!(it.totals.dependencies.is_empty());
    }
}
