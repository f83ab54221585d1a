//! Answers as bytes: a recorded message made to fit the question that is asked now, or one of our own.
//!
//! RFC 1035 section 4 has the form, RFC 6891 what EDNS adds. Nothing is decoded and encoded again: what we do not know
//! stays as it was.

/// The fixed part of a message.
const HEADER: usize = 12;
/// What a resolver without EDNS takes in a datagram (RFC 1035 section 4.2.1).
const PLAIN: usize = 512;
/// What we say we take (the value that DNS Flag Day 2020 recommends); nobody sends us that much.
const OURS: u16 = 1232;
const OPT: u16 = 41;

/// `NOERROR`, and `NXDOMAIN` (RFC 1035 section 4.1.1).
pub const NO_ERROR: u8 = 0;
/// The name does not exist.
pub const NO_NAME: u8 = 3;
/// The kind of query is not supported.
pub const NOT_IMPLEMENTED: u8 = 4;

/// A question as it came.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    bytes: &'a [u8],
    /// Where the question section ends.
    end: usize,
    /// What the asker takes in a datagram, if it knows EDNS.
    edns: Option<u16>,
}

impl<'a> Query<'a> {
    /// Reads a message with exactly one question. None if it is no query, or malformed.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let is_query = bytes.get(2)? & 0x80 == 0;
        if !is_query || number(bytes, 4)? != 1 {
            return None;
        }
        let end = name_end(bytes, HEADER)?.checked_add(4).filter(|end| *end <= bytes.len())?;
        let edns = records(bytes, end)?.iter().find(|record| record.kind == OPT).map(|record| record.class);
        Some(Self { bytes, end, edns })
    }

    /// Whether it is a standard query (opcode 0) of the Internet.
    pub fn is_standard(&self) -> bool {
        self.bytes[2] & 0x78 == 0 && number(self.bytes, self.end - 2) == Some(1)
    }

    /// How much an answer in a datagram may have.
    pub fn limit(&self) -> usize {
        self.edns.map_or(PLAIN, |size| usize::from(size).max(PLAIN))
    }

    /// The recorded message as an answer to this query: its id, its question in its spelling (resolvers check both),
    /// and EDNS only if it has EDNS. None if the message answers another question.
    pub fn answer(&self, recorded: &[u8]) -> Option<Vec<u8>> {
        let end = name_end(recorded, HEADER)?.checked_add(4)?;
        let question = recorded.get(HEADER..end)?;
        // The name in whatever case, type and class as they are.
        let asked = &self.bytes[HEADER..self.end];
        let same = question.eq_ignore_ascii_case(asked) && question.last_chunk::<4>() == asked.last_chunk();
        if number(recorded, 4)? != 1 || !same {
            return None;
        }
        let mut message = recorded.to_vec();
        message[HEADER..end].copy_from_slice(&self.bytes[HEADER..self.end]);
        message[..2].copy_from_slice(&self.bytes[..2]);
        // RD is the asker's (RFC 1035 section 4.1.1).
        message[2] = message[2] & !1 | self.bytes[2] & 1;
        // What stands behind it may point to what stands before it, so only the last record can be taken out.
        let last = records(&message, end).and_then(|records| records.last().copied());
        if let Some(last) = last.filter(|record| record.kind == OPT && record.end == message.len()) {
            let additional = number(&message, 10)?.saturating_sub(1);
            message.truncate(last.at);
            message[10..12].copy_from_slice(&additional.to_be_bytes());
            self.add_edns(&mut message);
        }
        Some(message)
    }

    /// An answer of ours, with these addresses.
    pub fn own(&self, rcode: u8, addresses: &[std::net::IpAddr]) -> Vec<u8> {
        let mut message = self.bytes[..self.end].to_vec();
        // QR, the query's opcode and RD; RA.
        message[2] = 0x80 | self.bytes[2] & 0x79;
        message[3] = 0x80 | rcode;
        message[6..HEADER].fill(0);
        message[7] = addresses.len() as u8;
        for address in addresses.iter().take(255) {
            let (kind, octets) = match address {
                std::net::IpAddr::V4(v4) => (1_u16, v4.octets().to_vec()),
                std::net::IpAddr::V6(v6) => (28, v6.octets().to_vec()),
            };
            // The name is that of the question; class IN; not to be kept for longer than a second.
            message.extend_from_slice(&[0xc0, HEADER as u8]);
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 0, 1, 0, octets.len() as u8]);
            message.extend_from_slice(&octets);
        }
        self.add_edns(&mut message);
        message
    }

    /// The same message as fits into a datagram: whole, or its head with TC set.
    pub fn fit(&self, message: Vec<u8>) -> Vec<u8> {
        if message.len() <= self.limit() {
            return message;
        }
        let mut short = message[..self.end].to_vec();
        short[2] |= 2;
        short[6..HEADER].fill(0);
        self.add_edns(&mut short);
        short
    }

    fn add_edns(&self, message: &mut Vec<u8>) {
        if self.edns.is_none() {
            return;
        }
        let additional = number(message, 10).unwrap_or(0).saturating_add(1);
        message[10..12].copy_from_slice(&additional.to_be_bytes());
        message.push(0);
        message.extend_from_slice(&OPT.to_be_bytes());
        message.extend_from_slice(&OURS.to_be_bytes());
        message.extend_from_slice(&[0; 6]);
    }
}

#[derive(Clone, Copy)]
struct Record {
    at: usize,
    end: usize,
    kind: u16,
    class: u16,
}

/// The records behind the question section; none if they are malformed.
fn records(bytes: &[u8], mut at: usize) -> Option<Vec<Record>> {
    let count: usize = [6, 8, 10].iter().filter_map(|at| number(bytes, *at)).map(usize::from).sum();
    let mut found = Vec::new();
    for _ in 0..count {
        let head = name_end(bytes, at)?;
        let length = usize::from(number(bytes, head + 8)?);
        let end = (head + 10).checked_add(length).filter(|end| *end <= bytes.len())?;
        found.push(Record { at, end, kind: number(bytes, head)?, class: number(bytes, head + 2)? });
        at = end;
    }
    Some(found)
}

/// Where the name that begins there ends: a pointer ends it (RFC 1035 section 4.1.4).
fn name_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..64 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::DnsMessage;

    fn name(text: &str) -> Vec<u8> {
        let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        labels.chain([0]).collect()
    }

    fn message(id: u16, flags: u16, counts: [u16; 4], rest: &[&[u8]]) -> Vec<u8> {
        let head = [[id, flags].as_slice(), &counts].concat();
        let head: Vec<u8> = head.into_iter().flat_map(u16::to_be_bytes).collect();
        [&head[..], &rest.concat()].concat()
    }

    const A: &[u8] = &[0, 1, 0, 1];
    const RECORD: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 7];
    /// With a cookie.
    const EDNS: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 10, 0, 2, 1, 2];

    #[test]
    fn a_recorded_message_gets_the_id_and_the_spelling_of_who_asks_now() {
        let recorded = message(7, 0x8180, [1, 1, 0, 1], &[&name("shop.test"), A, RECORD, EDNS]);
        let asked = message(0xabcd, 0x0100, [1, 0, 0, 0], &[&name("sHoP.tesT"), A]);
        let query = Query::parse(&asked).unwrap();
        let expected = message(0xabcd, 0x8180, [1, 1, 0, 0], &[&name("sHoP.tesT"), A, RECORD]);
        assert_eq!(query.answer(&recorded), Some(expected));
        assert!(query.is_standard());

        // Who knows EDNS gets it, but never another's cookie.
        let asked = message(1, 0x0100, [1, 0, 0, 1], &[&name("shop.test"), A, EDNS]);
        let query = Query::parse(&asked).unwrap();
        let plain = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
        let expected = message(1, 0x8180, [1, 1, 0, 1], &[&name("shop.test"), A, RECORD, &plain]);
        assert_eq!(query.answer(&recorded), Some(expected));
        assert_eq!(query.limit(), 1232);

        let other = message(1, 0x0100, [1, 0, 0, 0], &[&name("shop.tesx"), A]);
        assert_eq!(Query::parse(&other).unwrap().answer(&recorded), None);
    }

    #[test]
    fn what_does_not_fit_is_cut_to_its_question_and_says_so() {
        let asked = message(9, 0x0100, [1, 0, 0, 0], &[&name("shop.test"), A]);
        let query = Query::parse(&asked).unwrap();
        let long = message(9, 0x8180, [1, 40, 0, 0], &[&name("shop.test"), A, &RECORD.repeat(40)]);
        let cut = message(9, 0x8380, [1, 0, 0, 0], &[&name("shop.test"), A]);
        assert_eq!(query.fit(long), cut);
        let short = message(9, 0x8180, [1, 1, 0, 0], &[&name("shop.test"), A, RECORD]);
        assert_eq!(query.fit(short.clone()), short);
    }

    #[test]
    fn our_own_answers_are_read_as_what_they_say() {
        let asked = message(9, 0x0100, [1, 0, 0, 1], &[&name("shop.test"), A, EDNS]);
        let query = Query::parse(&asked).unwrap();
        let answer = DnsMessage::parse(&query.own(NO_ERROR, &["198.18.0.9".parse().unwrap()])).unwrap();
        assert_eq!((answer.id, answer.is_response, answer.rcode, answer.broken), (9, true, 0, false));
        assert_eq!(answer.answers[0].data, "198.18.0.9");
        let answer = DnsMessage::parse(&query.own(NO_NAME, &[])).unwrap();
        assert_eq!((answer.rcode_word().as_str(), answer.answers.len()), ("NXDOMAIN", 0));
        assert_eq!(answer.question.unwrap().name, "shop.test");
    }

    #[test]
    fn no_query_is_none() {
        let question = [&name("shop.test"), A].concat();
        for wrong in [
            message(9, 0x8180, [1, 0, 0, 0], &[&question]),
            message(9, 0x0100, [0, 0, 0, 0], &[]),
            message(9, 0x0100, [2, 0, 0, 0], &[&question, &question]),
            message(9, 0x0100, [1, 0, 0, 1], &[&question]),
            question[..5].to_vec(),
            Vec::new(),
        ] {
            assert!(Query::parse(&wrong).is_none(), "{wrong:?}");
        }
        let update = message(9, 0x2900, [1, 0, 0, 0], &[&question]);
        assert!(!Query::parse(&update).unwrap().is_standard());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            mut query in prop::collection::vec(any::<u8>(), 0..80),
            recorded in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            // Often enough a query with one question.
            if query.len() > 6 && query[0] > 60 {
                query[2] &= 0x7f;
                query[4..6].copy_from_slice(&[0, 1]);
            }
            if let Some(query) = Query::parse(&query) {
                let _ = query.answer(&recorded).map(|answer| query.fit(answer));
                prop_assert!(DnsMessage::parse(&query.own(NO_NAME, &[])).is_ok());
            }
        }
    }
}
