use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, Restrict};

use super::data;

/// Answers that are told of one message. A real one has a few; 64 KiB have room for 4,000, whose names a hostile
/// sender can make a hundred times as long in text. The bytes themselves are kept whole anyway.
const MAX_ANSWERS: usize = 512;
/// RFC 6891 section 6.1.2.
const OPT: u16 = 41;

/// A message, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsMessage {
    /// Chosen by who asks; the answer has the same.
    pub id: u16,
    /// An answer, not a question (QR).
    pub is_response: bool,
    /// 0 to 15; 0 is QUERY (RFC 6895 section 2.2).
    pub opcode: u8,
    /// The first question; servers accept no other number of them, and leave it out of some errors.
    pub question: Option<Question>,
    /// With the upper bits that EDNS adds (RFC 6891 section 6.1.3): 0 to 4095.
    pub rcode: u16,
    /// There was more than fitted into the datagram (TC): who asked asks again over TCP.
    pub truncated: bool,
    /// The answer section in its order, the first 512 of it.
    pub answers: Vec<Answer>,
    /// It could be read up to here only: cut or malformed.
    pub broken: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Lower case, without the last dot; `.` is the root. Other bytes than letters, digits, `-` and `_` may stand
    /// in it, escaped as in a zone file (RFC 1035 section 5.1).
    pub name: String,
    /// `A`, `AAAA`, `HTTPS`, …; `TYPE65280` where it has no name (RFC 3597 section 5).
    pub kind: String,
    /// 1 is Internet.
    pub class: u16,
}

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As in [`Question::name`].
    pub name: String,
    /// As in [`Question::kind`].
    pub kind: String,
    /// For how long it may be used, in seconds.
    pub ttl: u32,
    /// In a zone file's notation: `10.0.0.7`, `10 5 8080 shop.test`; names without the last dot. Kinds whose notation
    /// we do not know, and malformed data, as `\# LENGTH HEX` (RFC 3597 section 5).
    pub data: String,
}

/// Not even its header and its question can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl DnsMessage {
    /// Reads a message. What is not understood after the question leaves what stands before it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        // A decoder's positions are of 16 bits.
        let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
        let mut decoder = BinDecoder::new(bytes);
        let header = Header::read(&mut decoder).ok_or(Unreadable)?;
        let mut message = Self {
            id: header.id,
            is_response: header.flags & 0x8000 != 0,
            opcode: (header.flags >> 11 & 15) as u8,
            truncated: header.flags & 0x0200 != 0,
            rcode: header.flags & 15,
            ..Self::default()
        };
        for number in 0..header.questions {
            match question(&mut decoder) {
                Some(first) if number == 0 => message.question = Some(first),
                Some(_) => {}
                None if number == 0 => return Err(Unreadable),
                None => {
                    message.broken = true;
                    return Ok(message);
                }
            }
        }
        message.broken = message.records(&header, &mut decoder).is_none();
        Ok(message)
    }

    /// `NOERROR`, `NXDOMAIN`, …; `RCODE3841` where it has no name.
    pub fn rcode_word(&self) -> String {
        rcode_word(self.rcode)
    }

    /// The records: those of the answer section are kept, of the others only what EDNS says.
    fn records(&mut self, header: &Header, decoder: &mut BinDecoder<'_>) -> Option<()> {
        for _ in 0..header.answers {
            let record = Record::read(decoder)?;
            if self.answers.len() < MAX_ANSWERS {
                self.answers.push(record.answer(decoder));
            }
        }
        for _ in 0..u32::from(header.authorities) + u32::from(header.additionals) {
            let record = Record::read(decoder)?;
            if record.kind == OPT {
                self.rcode = (record.ttl >> 24) as u16 * 16 + (self.rcode & 15);
            }
        }
        Some(())
    }
}

struct Header {
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
}

impl Header {
    fn read(decoder: &mut BinDecoder<'_>) -> Option<Self> {
        Some(Self {
            id: number(decoder)?,
            flags: number(decoder)?,
            questions: number(decoder)?,
            answers: number(decoder)?,
            authorities: number(decoder)?,
            additionals: number(decoder)?,
        })
    }
}

struct Record<'a> {
    name: Name,
    kind: u16,
    ttl: u32,
    /// Where its data begins.
    at: u16,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(decoder: &mut BinDecoder<'a>) -> Option<Self> {
        let name = Name::read(decoder).ok()?;
        let (kind, _class) = (number(decoder)?, number(decoder)?);
        let ttl = decoder.read_u32().ok()?.unverified();
        let length = number(decoder)?;
        let at = u16::try_from(decoder.index()).ok()?;
        let data = decoder.read_slice(usize::from(length)).ok()?.unverified();
        Some(Self { name, kind, ttl, at, data })
    }

    fn answer(&self, decoder: &BinDecoder<'a>) -> Answer {
        let kind = RecordType::from(self.kind);
        let length = Restrict::new(self.data.len() as u16);
        Answer {
            name: data::name(&self.name),
            kind: kind_word(kind),
            ttl: self.ttl,
            data: data::text(&mut decoder.clone(self.at), kind, length)
                .unwrap_or_else(|| data::opaque(self.data)),
        }
    }
}

fn question(decoder: &mut BinDecoder<'_>) -> Option<Question> {
    let name = data::name(&Name::read(decoder).ok()?);
    let kind = kind_word(RecordType::from(number(decoder)?));
    Some(Question { name, kind, class: number(decoder)? })
}

fn number(decoder: &mut BinDecoder<'_>) -> Option<u16> {
    decoder.read_u16().ok().map(Restrict::unverified)
}

fn kind_word(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(code) => format!("TYPE{code}"),
        // The library calls it ZERO.
        RecordType::ZERO => "TYPE0".to_owned(),
        known => known.to_string(),
    }
}

/// RFC 6895 section 2.3 and IANA's registry "DNS RCODEs".
fn rcode_word(rcode: u16) -> String {
    const LOW: [&str; 11] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
        "NOTAUTH", "NOTZONE",
    ];
    const HIGH: [&str; 8] =
        ["BADVERS", "BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE"];
    let index = usize::from(rcode);
    let word = LOW.get(index).or_else(|| HIGH.get(index.checked_sub(16)?));
    word.map_or_else(|| format!("RCODE{rcode}"), |word| (*word).to_owned())
}
