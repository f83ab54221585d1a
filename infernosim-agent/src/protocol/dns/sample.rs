//! Messages for tests, written byte by byte.

/// What a message is made of; `records` stand in the answer section.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Echoed by the answer.
    pub id: u16,
    /// As RFC 1035 section 4.1.1 draws them.
    pub flags: u16,
    /// Name and kind.
    pub question: Option<(&'static str, u16)>,
    /// Name, kind, time to live, data.
    pub records: Vec<(&'static str, u16, u32, Vec<u8>)>,
    /// Written as they stand, after the answers: authority section.
    pub authorities: Vec<(&'static str, u16, u32, Vec<u8>)>,
}

/// An IPv4 address.
pub const A: u16 = 1;
/// An alias.
pub const CNAME: u16 = 5;
/// Text.
pub const TXT: u16 = 16;
/// An IPv6 address.
pub const AAAA: u16 = 28;
/// A service's place.
pub const SRV: u16 = 33;

/// RD; what resolvers are asked with.
pub const ASKED: u16 = 0x0100;
/// QR, RD, RA; the lowest bits are the rcode.
pub const ANSWERED: u16 = 0x8180;

/// A question.
pub fn question(id: u16, name: &'static str, kind: u16) -> Vec<u8> {
    Sample { id, flags: ASKED, question: Some((name, kind)), ..Sample::default() }.bytes()
}

/// Its answer with these addresses, IPv4, for 300 s.
pub fn answer(id: u16, name: &'static str, addresses: &[[u8; 4]]) -> Vec<u8> {
    let records = addresses.iter().map(|address| (name, A, 300, address.to_vec())).collect();
    Sample { id, flags: ANSWERED, question: Some((name, A)), records, ..Sample::default() }.bytes()
}

impl Sample {
    /// As on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let (records, authorities) = (self.records.len() as u16, self.authorities.len() as u16);
        let counts = [self.id, self.flags, self.question.is_some().into(), records, authorities, 0];
        let mut out: Vec<u8> = counts.iter().flat_map(|number| number.to_be_bytes()).collect();
        if let Some((asked, kind)) = self.question {
            out.extend(name(asked));
            out.extend([kind.to_be_bytes(), [0, 1]].concat());
        }
        for (owner, kind, ttl, data) in self.records.iter().chain(&self.authorities) {
            out.extend(name(owner));
            out.extend([kind.to_be_bytes(), [0, 1]].concat());
            out.extend(ttl.to_be_bytes());
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        out
    }
}

/// A name as labels, uncompressed; "" is the root.
pub fn name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    out.push(0);
    out
}
