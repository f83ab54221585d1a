//! Which name has which answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::message::{NO_ERROR, NO_NAME, NOT_IMPLEMENTED, Query};
use crate::protocol::DnsMessage;

/// What a lookup came to in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The answer as it was sent; none if there was none.
    pub message: Option<Bytes>,
    /// The addresses of the answer, where only those are known.
    pub addresses: Vec<IpAddr>,
    /// The code of the answer, where only that is known: 3 is NXDOMAIN. None if there was no answer.
    pub rcode: Option<u8>,
    /// From the question to the answer, in ns.
    pub took_ns: u64,
}

/// A name in lower case without the last dot, and a type such as `A`.
pub type Asked = (Box<str>, Box<str>);

/// What becomes of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is answered with this, which took so many ns in the recording.
    Answer(Vec<u8>, u64),
    /// Likewise: the recording does not know this name, in lower case without the last dot.
    Unknown(String, Vec<u8>),
    /// It gets no answer, as in the recording.
    Silence,
    /// It goes to the resolver that was asked: the name is a live dependency's.
    Forward(String),
    /// It is no query.
    Malformed,
}

/// The names of a recording.
#[derive(Debug, Default)]
pub struct Zone {
    /// By name and kind: the lookups, and how many were answered in this run.
    lookups: BTreeMap<Asked, (Vec<Recorded>, usize)>,
    /// Recorded names → whether one of their lookups found something.
    names: BTreeMap<Box<str>, bool>,
    /// Names without a recorded lookup → addresses.
    made: BTreeMap<Box<str>, Vec<IpAddr>>,
    live: BTreeSet<Box<str>>,
}

impl Zone {
    /// Of recorded lookups by (name, kind), in order.
    pub fn new(lookups: impl IntoIterator<Item = (Asked, Vec<Recorded>)>) -> Self {
        let mut zone = Self::default();
        for ((name, kind), recorded) in lookups {
            let found = recorded.iter().any(|lookup| !lookup.says_no_name());
            *zone.names.entry(name.clone()).or_default() |= found;
            zone.lookups.insert((name, kind), (recorded, 0));
        }
        zone
    }

    /// Adds the name of a dependency: if no lookup of it was recorded it gets these addresses, or if there are none one
    /// of 198.18.0.0/15 (RFC 2544: benchmarks, in nobody's network), the same in every replay of these names. Names are
    /// to be added in order. Gives the addresses that were made up.
    pub fn add(&mut self, name: &str, addresses: Vec<IpAddr>) -> Option<IpAddr> {
        if self.names.contains_key(name) || self.made.contains_key(name) {
            return None;
        }
        if !addresses.is_empty() {
            self.made.insert(name.into(), addresses);
            return None;
        }
        let taken: BTreeSet<IpAddr> = self.made.values().flatten().copied().collect();
        let digest = Sha256::digest(name.as_bytes());
        let start = u32::from_be_bytes([0, digest[0], digest[1], digest[2]]);
        let made = (0..1 << 17)
            .map(|step| IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 | (start + step) & 0x1_ffff)))
            .find(|address| !taken.contains(address))?;
        self.made.insert(name.into(), vec![made]);
        Some(made)
    }

    /// Lookups of this name are not ours to answer.
    pub fn pass(&mut self, name: &str) {
        self.live.insert(name.into());
    }

    /// A new run: nothing was looked up yet.
    pub fn begin(&mut self) {
        self.lookups.values_mut().for_each(|(_, answered)| *answered = 0);
    }

    /// The addresses that lookups of a name may give.
    pub fn addresses(&self) -> Vec<(String, IpAddr)> {
        let mut all = Vec::new();
        for ((name, _), (recorded, _)) in &self.lookups {
            for address in recorded.iter().flat_map(Recorded::found) {
                all.push((name.to_string(), address));
            }
        }
        let made = self.made.iter();
        all.extend(made.flat_map(|(name, made)| made.iter().map(|address| (name.to_string(), *address))));
        all
    }

    /// Answers a message; `datagram` if it came in one.
    pub fn ask(&mut self, bytes: &[u8], datagram: bool) -> Told {
        let (Some(query), Ok(message)) = (Query::parse(bytes), DnsMessage::parse(bytes)) else {
            return Told::Malformed;
        };
        let Some(question) = message.question else { return Told::Malformed };
        if !query.is_standard() {
            return Told::Answer(query.own(NOT_IMPLEMENTED, &[]), 0);
        }
        let told = self.find(&query, question.name.into(), question.kind.into());
        match told {
            Told::Answer(answer, took_ns) if datagram => Told::Answer(query.fit(answer), took_ns),
            told => told,
        }
    }

    fn find(&mut self, query: &Query<'_>, name: Box<str>, kind: Box<str>) -> Told {
        if self.live.contains(&name) {
            return Told::Forward(name.into());
        }
        let key = (name, kind);
        if let Some((recorded, answered)) = self.lookups.get_mut(&key) {
            // The last one holds from then on.
            let lookup = recorded.get((*answered).min(recorded.len().saturating_sub(1)));
            *answered += 1;
            return lookup.map_or(Told::Malformed, |lookup| lookup.answer(query));
        }
        let (name, kind) = key;
        if let Some(made) = self.made.get(&name) {
            return Told::Answer(query.own(NO_ERROR, &of_kind(made, &kind)), 0);
        }
        if let Some(found) = self.names.get(&name) {
            return Told::Answer(query.own(if *found { NO_ERROR } else { NO_NAME }, &[]), 0);
        }
        // RFC 6761 section 6.3.
        if *name == *"localhost" || name.ends_with(".localhost") {
            let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Told::Answer(query.own(NO_ERROR, &of_kind(&loopback, &kind)), 0);
        }
        let none = query.own(NO_NAME, &[]);
        if self.is_searched(&name) { Told::Answer(none, 0) } else { Told::Unknown(name.into(), none) }
    }

    /// Whether it is a known name with a domain behind it, as resolvers try them (resolv.conf(5), `search`): this
    /// machine's are not those of the recording.
    fn is_searched(&self, name: &str) -> bool {
        let dots = name.match_indices('.').map(|(at, _)| &name[..at]);
        dots.into_iter().any(|known| self.names.contains_key(known) || self.made.contains_key(known))
    }
}

fn of_kind(addresses: &[IpAddr], kind: &str) -> Vec<IpAddr> {
    let wanted = |address: &&IpAddr| match kind {
        "A" => address.is_ipv4(),
        "AAAA" => address.is_ipv6(),
        _ => false,
    };
    addresses.iter().filter(wanted).copied().collect()
}

impl Recorded {
    fn says_no_name(&self) -> bool {
        let message = self.message.as_ref().and_then(|bytes| bytes.get(3));
        message.map(|byte| byte & 15).or(self.rcode) == Some(NO_NAME)
    }

    /// The addresses in it.
    fn found(&self) -> Vec<IpAddr> {
        let message = self.message.as_ref().and_then(|bytes| DnsMessage::parse(bytes).ok());
        let answers = message.into_iter().flat_map(|message| message.answers);
        answers.filter_map(|answer| answer.data.parse().ok()).chain(self.addresses.iter().copied()).collect()
    }

    fn answer(&self, query: &Query<'_>) -> Told {
        let answer = match (&self.message, self.rcode) {
            // Recorded for this name and kind: only of another class it answers another question.
            (Some(message), _) => query.answer(message).unwrap_or_else(|| query.own(NO_ERROR, &[])),
            (None, Some(rcode)) => query.own(rcode, &self.addresses),
            (None, None) => return Told::Silence,
        };
        Told::Answer(answer, self.took_ns)
    }
}

#[cfg(test)]
mod tests;
