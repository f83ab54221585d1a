//! Connections of a client that waits for its answers, over a network that delays and repeats, seen by a tap that
//! loses segments.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A segment that was sent, and the number of the exchange that it belongs to.
#[derive(Clone)]
struct Sent {
    number: usize,
    from: Sender,
    seq: u32,
    ack: u32,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}{} {}+{}<{}", self.from, self.number, self.seq, self.bytes.len(), self.ack)
    }
}

/// Exchanges, each with its number in its target and in its answer, as TCP sends them.
fn talk() -> impl Strategy<Value = Vec<Sent>> {
    let one = (any::<bool>(), 20usize..60, 20usize..60, 0usize..100);
    (prop::collection::vec(one, 2..12), any::<u32>(), any::<u32>()).prop_map(|(ones, client, server)| {
        let mut next = [client, server];
        let mut sent = Vec::new();
        for (number, (upload, client, server, length)) in ones.into_iter().enumerate() {
            let filler = "x".repeat(length);
            let request = if upload {
                format!("POST /{number} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{filler}")
            } else {
                format!("GET /{number} HTTP/1.1\r\n\r\n")
            };
            let answer = format!("{filler}{number}");
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
            for (from, message, size) in [(C, request, client), (S, response, server)] {
                for piece in message.as_bytes().chunks(size) {
                    let (seq, ack) = (next[from as usize], next[opposite(from) as usize]);
                    sent.push(Sent { number, from, seq, ack, bytes: piece.to_vec() });
                    next[from as usize] = seq.wrapping_add(piece.len() as u32);
                }
            }
        }
        sent
    })
}

/// Shows the connection these segments, and says which exchanges it told whole, each with its own answer.
fn told(connection: Connection, sent: &[&Sent]) -> Vec<usize> {
    let mut wire = Wire::over(connection);
    for Sent { from, seq, ack, bytes, .. } in sent {
        wire.see(&Segment { bytes, ..bare(*from, *seq, *ack) });
    }
    wire.end();
    let (mut numbers, mut open, mut body) = (Vec::new(), None, String::new());
    for said in wire.said {
        if said.starts_with("gap") {
            open = None;
        } else if said == "< end" {
            let number: usize = open.take().expect("an answer to a request");
            assert!(body.trim_start_matches('x') == number.to_string(), "{body} to {number}");
            numbers.push(number);
        } else if let Some((_, number)) = said.split_once(" /") {
            (open, body) = (Some(number.parse().unwrap()), String::new());
        } else if let Some(bytes) = said.strip_prefix("< body ") {
            body.push_str(bytes);
        } else {
            assert!(said.starts_with("> ") || said == "< 200", "{said}");
        }
    }
    numbers
}

fn begun(sent: &[Sent]) -> Connection {
    let mut connection = Connection::new(S);
    connection.begin(C, sent[0].seq);
    connection.begin(S, sent[0].ack);
    connection
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever bursts the tap loses: every exchange that was not harmed is told, and no other.
    #[test]
    fn what_was_seen_is_told(
        sent in talk(),
        bursts in prop::collection::vec((any::<Index>(), 1usize..8), 0..4),
        joined in prop::option::of(any::<Index>()),
    ) {
        let mut lost = vec![false; sent.len()];
        for (at, length) in bursts {
            lost.iter_mut().skip(at.index(sent.len())).take(length).for_each(|lost| *lost = true);
        }
        let from = joined.map_or(0, |joined| joined.index(sent.len()));
        lost[..from].fill(true);
        let seen: Vec<_> = sent.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(sent, _)| sent).collect();
        let harmed: Vec<_> = sent.iter().zip(&lost).filter(|(_, lost)| **lost).map(|(sent, _)| sent.number).collect();
        let expected: Vec<_> =
            (0..=sent.last().unwrap().number).filter(|number| !harmed.contains(number)).collect();
        let connection = if joined.is_some() { Connection::joined(S) } else { begun(&sent) };
        prop_assert_eq!(told(connection, &seen), expected, "{:?}", seen);
    }

    /// A network that delays, repeats and swaps what one side sends before the other answers harms nothing.
    #[test]
    fn a_bad_network_harms_nothing(
        sent in talk(),
        late in prop::collection::vec(0usize..4, 1..20),
        again in prop::collection::vec((any::<Index>(), 0usize..10), 0..10),
    ) {
        // A turn is what one side sends without hearing from the other.
        let turn = |at: usize| sent[..at].windows(2).filter(|pair| pair[0].from != pair[1].from).count()
            + usize::from(at > 0 && sent[at].from != sent[at - 1].from);
        let mut timed: Vec<_> =
            (0..sent.len()).map(|at| ((turn(at), at + late[at % late.len()]), &sent[at])).collect();
        for (at, later) in again {
            let at = at.index(sent.len());
            timed.push(((turn((at + later).min(sent.len() - 1)), at + later), &sent[at]));
        }
        timed.sort_by_key(|(time, _)| *time);
        let seen: Vec<_> = timed.into_iter().map(|(_, sent)| sent).collect();
        let all: Vec<_> = (0..=sent.last().unwrap().number).collect();
        prop_assert_eq!(told(begun(&sent), &seen), all);
    }
}
