//! What holds for any way in which a network and a tap that loses segments can treat a stream.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A stretch of the stream that a segment carries, and what became of it.
#[derive(Clone, Debug)]
struct Sent {
    start: usize,
    length: usize,
    /// Bytes at its end that could not be copied.
    unseen: usize,
    /// When it came, among the others.
    time: usize,
    /// TCP got it and we did not.
    lost: bool,
}

#[derive(Clone, Debug)]
struct Play {
    bytes: Vec<u8>,
    initial: u32,
    sent: Vec<Sent>,
    /// After which segments an acknowledgement is seen.
    acks: Vec<Index>,
    most: usize,
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..4, 1usize..40, 100usize..200]
}

/// A stream cut into segments, each moved by up to `late` places; some sent again with other cuts, some lost.
fn play(lossy: bool) -> impl Strategy<Value = Play> {
    let chance = if lossy { 0.15 } else { 0.0 };
    let segment = (length(), 0usize..12, prop::bool::weighted(chance), prop::bool::weighted(chance));
    let again = (any::<Index>(), length(), 0usize..12);
    let initial = prop_oneof![any::<u32>(), (0u32..3000).prop_map(|below| u32::MAX - below)];
    let most = if lossy { prop_oneof![Just(1 << 30), 0usize..2000].boxed() } else { Just(1 << 30).boxed() };
    let (segments, agains) = (prop::collection::vec(segment, 1..40), prop::collection::vec(again, 0..20));
    (segments, agains, initial, prop::collection::vec(any::<Index>(), 0..20), most, any::<u64>()).prop_map(
        |(segments, agains, initial, acks, most, seed)| {
            let mut sent = Vec::new();
            let mut total = 0;
            for (place, (length, late, lost, short)) in segments.into_iter().enumerate() {
                let unseen = if short { length.div_ceil(2) } else { 0 };
                sent.push(Sent { start: total, length, unseen, time: 4 * place + late, lost });
                total += length;
            }
            for (at, length, late) in agains {
                let start = at.index(total);
                let length = length.min(total - start);
                // Nobody sends again what was not sent before.
                let last =
                    sent.iter().filter(|first| first.start < start + length).map(|first| first.time).max();
                sent.push(Sent { start, length, unseen: 0, time: last.unwrap_or(0) + late, lost: false });
            }
            sent.sort_by_key(|segment| segment.time);
            let mut state = seed | 1;
            let bytes = (0..total).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            });
            Play { bytes: bytes.collect(), initial, sent, acks, most }
        },
    )
}

/// What a stream showed, laid over the true bytes.
struct Shown<'p> {
    bytes: &'p [u8],
    at: usize,
    missing: Vec<bool>,
    fin: bool,
}

impl Shown<'_> {
    fn hear(&mut self, piece: Piece<'_>) {
        assert!(!self.fin, "{piece:?} after the end");
        match piece {
            Piece::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                assert_eq!(bytes, &self.bytes[self.at..self.at + bytes.len()], "at {}", self.at);
                self.at += bytes.len();
            }
            Piece::Gap(length) => {
                assert!(length > 0);
                let end = self.at + length as usize;
                self.missing[self.at..end].fill(true);
                self.at = end;
            }
            Piece::Fin => {
                assert_eq!(self.at, self.bytes.len());
                self.fin = true;
            }
        }
    }
}

/// Plays it through, and says which bytes were missing.
fn run(play: &Play, fin_first: bool) -> Vec<bool> {
    let Play { bytes, initial, sent, acks, most } = play;
    let total = bytes.len();
    let mut shown = Shown { bytes, at: 0, missing: vec![false; total], fin: false };
    let (mut stream, mut memory) = (Stream::begin(*initial), Memory::new(*most));
    let seq = |at: usize| initial.wrapping_add(at as u32);
    if fin_first {
        stream.fin(seq(total), &mut memory, &mut |piece| shown.hear(piece));
    }
    // What the other side's TCP has, which loses nothing.
    let mut received = vec![false; total];
    for (place, segment) in sent.iter().enumerate() {
        let end = segment.start + segment.length;
        received[segment.start..end].fill(true);
        if !segment.lost {
            let copied = &bytes[segment.start..end - segment.unseen];
            let unseen = segment.unseen as u32;
            stream.segment(seq(segment.start), copied, unseen, &mut memory, &mut |piece| shown.hear(piece));
            assert!(memory.used() <= *most);
        }
        if acks.iter().any(|ack| ack.index(sent.len()) == place) {
            let ack = received.iter().position(|received| !received).unwrap_or(total);
            stream.acknowledged(seq(ack), &mut memory, &mut |piece| shown.hear(piece));
            assert!(shown.at >= ack, "what is acknowledged waits for nothing");
        }
    }
    stream.fin(seq(total), &mut memory, &mut |piece| shown.hear(piece));
    stream.end(&mut memory, &mut |piece| shown.hear(piece));
    assert!(shown.fin && stream.over);
    assert_eq!((memory.used(), stream.cost, stream.held.len()), (0, 0, 0));
    shown.missing
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn without_loss_it_is_the_stream(play in play(false), fin_first in any::<bool>()) {
        prop_assert!(run(&play, fin_first).iter().all(|missing| !missing));
    }

    /// Each byte stands in its place or is counted in a gap, and is missing only for a reason.
    #[test]
    fn with_loss_each_byte_is_right_or_missing(play in play(true), fin_first in any::<bool>()) {
        let missing = run(&play, fin_first);
        let mut seen = vec![false; missing.len()];
        let mut harmed = vec![false; missing.len()];
        for segment in &play.sent {
            let end = segment.start + segment.length;
            let copied = if segment.lost { segment.start } else { end - segment.unseen };
            seen[segment.start..copied].fill(true);
            harmed[copied..end].fill(true);
        }
        for at in 0..missing.len() {
            prop_assert!(seen[at] || missing[at], "nobody could see {}", at);
            prop_assert!(!missing[at] || harmed[at] || play.most < 1 << 30, "{} was seen and is missing", at);
        }
    }

    /// Not even from a network that lies: no panic, no memory beyond the bound, and all of it given back.
    #[test]
    fn nothing_breaks_it(
        steps in prop::collection::vec((any::<u8>(), near(), prop::collection::vec(any::<u8>(), 0..50), 0u32..50), 1..80),
        joined in any::<bool>(),
        most in 0usize..3000,
    ) {
        let mut stream = if joined { Stream::joined() } else { Stream::begin(u32::MAX - 40) };
        let (mut memory, mut fins, mut over) = (Memory::new(most), 0, false);
        for (what, seq, bytes, unseen) in steps {
            let mut hear = |piece: Piece<'_>| {
                assert!(!over);
                over = piece == Piece::Fin;
                fins += u32::from(over);
            };
            match what % 8 {
                0 => stream.acknowledged(seq, &mut memory, &mut hear),
                1 => stream.fin(seq, &mut memory, &mut hear),
                _ => stream.segment(seq, &bytes, unseen, &mut memory, &mut hear),
            }
            assert!(memory.used() <= most && memory.used() == stream.cost);
        }
        stream.end(&mut memory, &mut |_| ());
        assert_eq!((memory.used(), stream.held.len()), (0, 0));
    }
}

fn near() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => (0u32..200).prop_map(|ahead| (u32::MAX - 60).wrapping_add(ahead)),
        1 => any::<u32>(),
    ]
}
