//! What a stream says, one word a piece: bytes as text, `~n` for a gap, `.` for the FIN.

mod property;

use super::*;

/// A stream, what it said so far, and the memory that it uses.
struct Heard {
    stream: Stream,
    memory: Memory,
    said: Vec<String>,
}

impl Heard {
    fn new(stream: Stream) -> Self {
        Self { stream, memory: Memory::new(1 << 20), said: Vec::new() }
    }

    /// A stream whose first byte has the sequence number 100.
    fn begun() -> Self {
        Self::new(Stream::begin(100))
    }

    fn segment(&mut self, seq: u32, bytes: &str) -> &mut Self {
        self.cut_short(seq, bytes, 0)
    }

    fn cut_short(&mut self, seq: u32, bytes: &str, unseen: u32) -> &mut Self {
        let Self { stream, memory, said } = self;
        stream.segment(seq, bytes.as_bytes(), unseen, memory, &mut |piece| said.push(word(piece)));
        self
    }

    fn ack(&mut self, ack: u32) -> &mut Self {
        let Self { stream, memory, said } = self;
        stream.acknowledged(ack, memory, &mut |piece| said.push(word(piece)));
        self
    }

    fn fin(&mut self, seq: u32) -> &mut Self {
        let Self { stream, memory, said } = self;
        stream.fin(seq, memory, &mut |piece| said.push(word(piece)));
        self
    }

    fn end(&mut self) -> &mut Self {
        let Self { stream, memory, said } = self;
        stream.end(memory, &mut |piece| said.push(word(piece)));
        self
    }

    /// Compares all that was said since the last time.
    fn says(&mut self, expected: &str) -> &mut Self {
        assert_eq!(self.said.join(" "), expected);
        self.said.clear();
        self
    }

    /// Nothing is held.
    fn is_empty(&self) {
        assert_eq!(self.memory.used(), 0);
        assert_eq!(self.stream.cost, 0);
        assert!(self.stream.held.is_empty());
    }
}

fn word(piece: Piece<'_>) -> String {
    match piece {
        Piece::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Piece::Gap(bytes) => format!("~{bytes}"),
        Piece::Fin => ".".to_owned(),
    }
}

#[test]
fn what_comes_in_order_is_shown_at_once_and_not_copied() {
    let mut heard = Heard::begun();
    heard.segment(100, "abc").says("abc").segment(103, "d").says("d").fin(104).says(".").is_empty();
    assert!(heard.stream.over);

    let (mut stream, mut memory) = (Stream::begin(7), Memory::new(0));
    let bytes = b"the very slice";
    let mut shown = None;
    stream.segment(7, bytes, 0, &mut memory, &mut |piece| {
        if let Piece::Bytes(bytes) = piece {
            shown = Some(bytes.as_ptr());
        }
    });
    assert_eq!(shown, Some(bytes.as_ptr()));
}

#[test]
fn what_comes_early_waits_and_what_comes_twice_is_shown_once() {
    let mut heard = Heard::begun();
    heard.segment(103, "def").segment(109, "jkl").segment(106, "ghi").says("");
    assert!(heard.memory.used() > 9 && heard.stream.held.len() == 3);
    heard.segment(100, "abc").says("abc def ghi jkl").is_empty();
    heard.segment(100, "abcdef").segment(106, "ghijkl").segment(111, "l").says("");
    assert_eq!(heard.stream.ignored(), 3);
    heard.segment(109, "jklmn").says("mn");
    assert_eq!(heard.stream.ignored(), 3);
}

#[test]
fn segments_cut_otherwise_overlap() {
    let mut heard = Heard::begun();
    // Held: c, fgh; then one that covers both and more.
    heard.segment(102, "c").segment(105, "fgh").segment(101, "BCDEFGHI").says("");
    heard.segment(100, "a").says("a B c DE fgh I").is_empty();
    // What comes next counts even where a copy is held: TCP hands it on before it looks at its queue.
    heard.segment(111, "l").segment(109, "JKLM").says("JKLM").is_empty();
    // The held end of what came next is still shown.
    heard.segment(115, "pqr").segment(113, "nop").says("nop qr").is_empty();
}

#[test]
fn a_hole_waits_until_it_is_filled_or_acknowledged() {
    let mut heard = Heard::begun();
    heard.segment(103, "def").ack(100).says("");
    // What is acknowledged was lost to us alone; above it the network may have lost it.
    heard.segment(108, "ij").ack(106).says("~3 def").ack(106).says("");
    heard.segment(106, "gh").says("gh ij").is_empty();
    // Late, after all.
    heard.segment(100, "abc").says("");
    // Nothing held, and yet acknowledged.
    heard.ack(115).says("~5").segment(115, "p").says("p");
    // Into the middle of what is held.
    heard.segment(118, "stu").ack(119).says("~2 stu").is_empty();
}

#[test]
fn a_fin_is_said_once_in_its_place() {
    let mut heard = Heard::begun();
    heard.fin(103).says("").segment(100, "abc").says("abc .").fin(103).segment(103, "x").ack(104).says("");
    // The acknowledgement of a FIN is not a lost byte.
    Heard::begun().fin(102).ack(103).says("~2 .").end().says("").is_empty();
    Heard::begun().segment(101, "b").fin(102).ack(103).says("~1 b .").is_empty();
    // Seen with nothing before it, and of a stream that was joined.
    Heard::begun().fin(100).says(".");
    Heard::new(Stream::joined()).fin(5).says(".");
    // Bytes behind it: another connection's, or a lie.
    Heard::begun().fin(105).segment(100, "abcdefgh").says("abcdefgh").fin(105).says("").fin(108).says(".");
    Heard::begun()
        .segment(110, "x")
        .fin(105)
        .segment(100, "abcde")
        .says("abcde")
        .fin(105)
        .says(".")
        .is_empty();
}

#[test]
fn what_could_not_be_copied_is_a_gap_of_known_length() {
    let mut heard = Heard::begun();
    heard.cut_short(100, "abc", 7).says("abc ~7").segment(110, "k").says("k");
    heard.cut_short(111, "", 4).says("~4");
    // Behind a hole it is one, too, and the end of the connection tells of it.
    heard.cut_short(117, "rs", 6).says("").segment(115, "pq").says("pq rs").end().says("~6").is_empty();
    // What is held is not lost.
    let mut heard = Heard::begun();
    heard.segment(104, "ef").cut_short(100, "ab", 5).says("ab ~2 ef ~1").is_empty();
}

#[test]
fn at_the_end_all_is_told() {
    let mut heard = Heard::begun();
    heard.segment(105, "fg").segment(102, "c").fin(109).end().says("~2 c ~2 fg ~2 .").is_empty();
    heard.end().segment(109, "x").says("");
    Heard::begun().end().says("").is_empty();
    Heard::new(Stream::joined()).end().says("");
    let mut heard = Heard::begun();
    heard.segment(105, "fg");
    heard.stream.discard(&mut heard.memory);
    heard.end().says("").is_empty();
}

#[test]
fn probes_and_bare_acknowledgements_are_nothing() {
    let mut heard = Heard::begun();
    heard.segment(100, "abc").says("abc");
    // Keep-alive probes (RFC 9293 section 3.8.4) stand one before the next byte, with or without an old byte.
    heard.segment(102, "").segment(102, "c").segment(103, "").says("").segment(103, "d").says("d");
    // A joined stream does not begin with one.
    let mut heard = Heard::new(Stream::joined());
    heard.segment(499, "").ack(700).says("");
    assert!(!heard.stream.has_begun());
    heard.segment(500, "abc").says("abc").segment(490, "old").says("");
}

#[test]
fn what_is_far_away_is_ignored() {
    let mut heard = Heard::begun();
    heard.segment(100 + (1 << 30) + 1, "far").segment(100u32.wrapping_sub((1 << 30) + 4), "old").says("");
    heard.ack(100 + (1 << 30) + 1).fin(100 + (1 << 30) + 1).ack(100 + (1 << 31)).says("").is_empty();
    assert_eq!(heard.stream.ignored(), 2);
    heard.segment(100 + (1 << 30), "x").end().says(&format!("~{} x", 1 << 30));
}

#[test]
fn sequence_numbers_wrap() {
    let mut heard = Heard::new(Stream::begin(u32::MAX - 1));
    heard.segment(1, "d").segment(u32::MAX - 1, "abc").says("abc d").segment(0, "cd").says("");
    heard.segment(u32::MAX - 1, "abcde").says("e").ack(5).says("~2").fin(5).says(".");
    let mut heard = Heard::new(Stream::joined());
    heard.segment(0, "a").segment(u32::MAX, "z").says("a");
}

#[test]
fn a_connection_of_more_than_4_gib() {
    let block = vec![7u8; 1 << 20];
    let (mut stream, mut memory) = (Stream::begin(12345), Memory::new(1 << 22));
    let (mut shown, mut seq) = (0u64, 12345u32);
    for round in 0..9000u32 {
        let mut count = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => shown += bytes.len() as u64,
            other => panic!("{other:?}"),
        };
        // Now and then the second half first.
        if round % 1000 == 0 {
            stream.segment(seq.wrapping_add(1 << 19), &block[1 << 19..], 0, &mut memory, &mut count);
        }
        stream.segment(seq, &block, 0, &mut memory, &mut count);
        stream.segment(seq, &block, 0, &mut memory, &mut count);
        seq = seq.wrapping_add(1 << 20);
        stream.acknowledged(seq, &mut memory, &mut count);
    }
    assert_eq!((shown, memory.used()), (9000 << 20, 0));
}

#[test]
fn memory_is_bounded_for_a_stream_and_over_all() {
    // Room for one more of these, then not.
    let cost = 1000 + OVERHEAD;
    let bytes = "x".repeat(1000);
    let mut heard = Heard { memory: Memory::new(3 * cost), ..Heard::begun() };
    for i in [1, 3, 5] {
        heard.segment(100 + 1000 * i, &bytes);
    }
    assert_eq!(heard.memory.used(), 3 * cost);
    heard.says("").segment(7100, &bytes).says(&format!("~1000 {bytes}"));
    assert_eq!(heard.memory.used(), 3 * cost);
    // Another stream that finds no room gives up its own hole, not this one's.
    let mut other = Stream::begin(0);
    let mut said = Vec::new();
    other.segment(10, bytes.as_bytes(), 0, &mut heard.memory, &mut |piece| said.push(word(piece)));
    assert_eq!(said, ["~10", &bytes]);
    heard.end().is_empty();

    let megabyte = vec![0; 1 << 20];
    let (mut stream, mut memory) = (Stream::begin(0), Memory::new(usize::MAX));
    let mut gaps = 0;
    for i in 0..40 {
        let seq = (1 + 2 * i) << 20;
        stream
            .segment(seq, &megabyte, 0, &mut memory, &mut |p| gaps += u64::from(matches!(p, Piece::Gap(_))));
        assert!(memory.used() <= MAX_HELD);
    }
    assert!(gaps > 20 && memory.used() > MAX_HELD / 2, "{gaps}");
    stream.end(&mut memory, &mut |_| {});
    assert_eq!(memory.used(), 0);
}

#[test]
fn single_bytes_cost_what_they_take() {
    let (mut stream, mut memory) = (Stream::begin(0), Memory::new(1 << 40));
    for i in (0..400_000u32).rev() {
        stream.segment(1 + 2 * i, b"x", 0, &mut memory, &mut |_| {});
    }
    assert!(stream.held.len() <= MAX_HELD / OVERHEAD && memory.used() <= MAX_HELD);
}

#[test]
fn resets_that_tcp_takes() {
    let mut heard = Heard::new(Stream::joined());
    assert!(heard.stream.takes_reset(0) && heard.stream.takes_reset(1 << 31));
    heard.segment(100, "abc");
    assert!(
        heard.stream.takes_reset(103) && !heard.stream.takes_reset(102) && !heard.stream.takes_reset(104)
    );
    // TCP may be at 108 or anywhere behind.
    heard.segment(106, "gh");
    assert!(heard.stream.takes_reset(103) && heard.stream.takes_reset(108) && !heard.stream.takes_reset(102));
    heard.segment(103, "def").fin(108);
    let takes: Vec<_> = (106..111).filter(|seq| heard.stream.takes_reset(*seq)).collect();
    assert_eq!(takes, [108, 109]);
}

#[test]
fn a_stream_is_small() {
    assert_eq!(size_of::<Stream>(), 72);
}
