use std::net::IpAddr;

use crate::clock::Nanos;
use crate::incident::Lookup;

/// Which name an address was asked for by. Bounded: the oldest go first.
#[derive(Debug, Default)]
pub struct Names {}

impl Names {
    /// Takes in an answer. What was not answered, or with an error, changes nothing.
    pub fn learn(&mut self, lookup: &Lookup) {
        let _ = lookup;
    }

    /// The name that the target asked for when it last got this address, unless that is too long ago: names hold
    /// for their time to live, and at least a minute. IPv4 in an IPv6 socket is IPv4.
    pub fn name_of(&self, address: IpAddr, at: Nanos) -> Option<&str> {
        let _ = (address, at);
        None
    }
}
