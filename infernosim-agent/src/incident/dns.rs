//! The line about a name that was looked up.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::direction::Direction;
use super::exchange::write_cause;
use super::json;
use super::line::{Lines, Peer, Stamp};
use crate::clock::Nanos;
use crate::protocol::{Answer, DnsMessage, Question};

/// The port of DNS; a resolver on it is named by its address alone.
const PORT: u16 = 53;

/// How a question was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a TCP stream.
    Tcp,
}

/// A DNS message as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its bytes, without the length that TCP puts before it.
    pub bytes: Vec<u8>,
    /// What it says; `None` where that cannot be read.
    pub message: Option<DnsMessage>,
    /// Bytes at its end of which there is no copy.
    pub unseen: u64,
}

/// A question to a resolver and what became of it.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// When it was asked; of an answer to no question, when that came.
    pub at: Nanos,
    /// From the question to the answer, or to its being given up, in ns.
    pub duration: u64,
    /// Who asked, and the resolver.
    pub peer: Peer,
    /// How it was sent.
    pub transport: Transport,
    /// The question; absent where an answer to no question came.
    pub question: Option<Sent>,
    /// The answer, if there was one.
    pub answer: Option<Sent>,
    /// What went wrong.
    pub error: Option<&'static str>,
    /// What is here is not, or may not be, the whole of it.
    pub incomplete: bool,
}

impl Sent {
    /// What ties an answer to its question; also of a message that cannot be read otherwise.
    pub fn id(&self) -> Option<u16> {
        self.bytes.first_chunk().map(|id| u16::from_be_bytes(*id))
    }

    /// Whether it calls itself an answer (RFC 1035 section 4.1.1, QR); also of a message that cannot be read otherwise.
    pub fn is_response(&self) -> Option<bool> {
        self.bytes.get(2).map(|flags| flags & 0x80 != 0)
    }
}

impl Lookup {
    /// What was asked, where that can be read.
    pub fn asked(&self) -> Option<&Question> {
        let sent = self.question.as_ref().or(self.answer.as_ref())?;
        sent.message.as_ref()?.question.as_ref()
    }

    fn answered(&self) -> Option<&DnsMessage> {
        self.answer.as_ref()?.message.as_ref()
    }
}

impl Lines {
    /// Writes a `Dns` line, unless it is not to be recorded. What has no room is counted as lost.
    pub fn dns(&mut self, lookup: &Lookup) {
        let resolver = lookup.peer.peer.map(authority).unwrap_or_default();
        let sizes =
            [&lookup.question, &lookup.answer].map(|sent| sent.as_ref().map_or(0, |sent| sent.bytes.len()));
        let bytes = sizes.iter().sum::<usize>() as u64;
        if !self.selects(Direction::Outbound, &lookup.peer, &resolver, None) {
            return self.exclude(bytes);
        }
        let cause = self.cause_of_act(lookup.at, &lookup.peer);
        let happened = Nanos(lookup.at.0.saturating_add(lookup.duration));
        self.event("Dns", Stamp::new(lookup.at, happened), bytes, |_, out| {
            asked(out, &resolver, lookup);
            if let Some(message) = lookup.answered() {
                answered(out, message);
            }
            if let Some(error) = lookup.error {
                json::key(out, "error");
                json::string(out, error);
            }
            if lookup.incomplete {
                out.extend_from_slice(b",\"incomplete\":true");
            }
            json::key(out, "duration");
            json::number(out, lookup.duration);
            sent(out, ["bodyB64", "bodySize"], lookup.question.as_ref());
            sent(out, ["responseBodyB64", "responseBodySize"], lookup.answer.as_ref());
            write_cause(cause, out);
            lookup.peer.write(out);
            true
        });
    }
}

fn asked(out: &mut Vec<u8>, resolver: &str, lookup: &Lookup) {
    let transport = match lookup.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    json::key(out, "service");
    json::string(out, resolver);
    json::key(out, "protocol");
    json::string(out, "dns");
    json::key(out, "transport");
    json::string(out, transport);
    let Some(question) = lookup.asked() else {
        json::key(out, "url");
        return json::string(out, &format!("dns://{resolver}/"));
    };
    json::key(out, "method");
    json::string(out, &question.kind);
    json::key(out, "url");
    json::string(out, &format!("dns://{resolver}/{}?type={}", path(&question.name), question.kind));
    json::key(out, "name");
    json::string(out, &question.name);
}

fn answered(out: &mut Vec<u8>, message: &DnsMessage) {
    json::key(out, "rcode");
    json::string(out, &message.rcode_word());
    if !message.answers.is_empty() {
        json::key(out, "answers");
        for (index, record) in message.answers.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            answer(out, record);
        }
        out.push(b']');
    }
    if message.truncated {
        out.extend_from_slice(b",\"truncated\":true");
    }
}

fn answer(out: &mut Vec<u8>, record: &Answer) {
    out.extend_from_slice(b"{\"name\":");
    json::string(out, &record.name);
    json::key(out, "type");
    json::string(out, &record.kind);
    json::key(out, "ttl");
    json::number(out, record.ttl.into());
    json::key(out, "data");
    json::string(out, &record.data);
    out.push(b'}');
}

/// The message as it was: a replay answers with it.
fn sent(out: &mut Vec<u8>, [base64, size]: [&str; 2], message: Option<&Sent>) {
    let Some(message) = message else { return };
    if !message.bytes.is_empty() {
        json::key(out, base64);
        json::string(out, &base64_simd::STANDARD.encode_to_string(&message.bytes));
    }
    json::key(out, size);
    json::number(out, message.bytes.len() as u64 + message.unseen);
}

/// An address as it stands in a url, without the port if it is DNS's own.
fn authority(resolver: SocketAddr) -> String {
    let address = resolver.ip().to_canonical();
    match (resolver.port(), address) {
        (PORT, IpAddr::V4(v4)) => v4.to_string(),
        (PORT, IpAddr::V6(v6)) => format!("[{v6}]"),
        (port, address) => SocketAddr::new(address, port).to_string(),
    }
}

/// A name as a url's path: what is not unreserved is escaped (RFC 3986 sections 2.1 and 2.3; RFC 4501 section 3).
fn path(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}
