//! Which name an address was asked for by.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::Nanos;
use crate::incident::Lookup;
use crate::protocol::{Answer, DnsMessage, Question};

/// Addresses whose names are known.
const MAX_NAMES: usize = 65_536;
/// A name holds at least so long, in ns: clients keep addresses a little longer than they may.
const LEAST_NS: u64 = 60_000_000_000;
/// IN (RFC 1035 section 3.2.4).
const INTERNET: u16 = 1;

/// Which name an address was asked for by. Bounded: the oldest answers go first.
#[derive(Debug, Default)]
pub struct Names {
    by_address: BTreeMap<IpAddr, Known>,
    /// By when it was learnt.
    order: BTreeMap<u64, IpAddr>,
    learnt: u64,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    until: Nanos,
    learnt: u64,
}

impl Names {
    /// Takes in an answer; the latest one about an address wins. What was not answered, or with an error, and answers
    /// to no question change nothing.
    pub fn learn(&mut self, lookup: &Lookup) {
        let asked = lookup.question.as_ref().and_then(|sent| sent.message.as_ref());
        let answer = lookup.answer.as_ref().and_then(|sent| sent.message.as_ref());
        let (Some(Some(question)), Some(answer), None) =
            (asked.map(|message| &message.question), answer, lookup.error)
        else {
            return;
        };
        if question.class != INTERNET {
            return;
        }
        let name: Arc<str> = Arc::from(question.name.as_str());
        let answered = Nanos(lookup.at.0.saturating_add(lookup.duration));
        for (address, ttl) in addresses(question, answer) {
            let holds = (u64::from(ttl) * 1_000_000_000).max(LEAST_NS);
            self.insert(address, Arc::clone(&name), Nanos(answered.0.saturating_add(holds)));
        }
    }

    /// The name that the target asked for when it last got this address, unless that is too long ago: names hold for
    /// their time to live, and at least a minute. IPv4 in an IPv6 socket is IPv4.
    pub fn name_of(&self, address: IpAddr, at: Nanos) -> Option<&str> {
        let known = self.by_address.get(&address.to_canonical())?;
        (at <= known.until).then_some(&*known.name)
    }

    fn insert(&mut self, address: IpAddr, name: Arc<str>, until: Nanos) {
        self.learnt += 1;
        let known = Known { name, until, learnt: self.learnt };
        if let Some(earlier) = self.by_address.insert(address, known) {
            self.order.remove(&earlier.learnt);
        }
        self.order.insert(self.learnt, address);
        if self.by_address.len() > MAX_NAMES
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.by_address.remove(&oldest);
        }
    }
}

/// The addresses that answer the question, and their time to live in seconds. Records about other names than the one
/// asked for, and those it is an alias of, are no answer to it.
fn addresses(question: &Question, answer: &DnsMessage) -> Vec<(IpAddr, u32)> {
    let mut name = question.name.as_str();
    // An alias of an alias, in any order; not round and round.
    for _ in 0..answer.answers.len() {
        let is_alias = |record: &&Answer| record.kind == "CNAME" && record.name == name;
        match answer.answers.iter().find(is_alias) {
            Some(record) => name = &record.data,
            None => break,
        }
    }
    let of_it = answer.answers.iter().filter(|record| record.name == name);
    of_it
        .filter(|record| matches!(record.kind.as_str(), "A" | "AAAA"))
        .filter_map(|record| {
            // More than 31 bits are to be taken for zero (RFC 2181 section 8).
            let ttl = if record.ttl >> 31 == 0 { record.ttl } else { 0 };
            let address: IpAddr = record.data.parse().ok()?;
            Some((address.to_canonical(), ttl))
        })
        .collect()
}
