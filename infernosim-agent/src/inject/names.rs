//! What addresses are called.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Addresses whose names are kept; the oldest go.
const MOST: usize = 65_536;
/// Names of one address.
const MOST_OF_ONE: usize = 8;

/// Names by address, the one learned last first.
#[derive(Debug, Default)]
pub struct Names {
    by_address: BTreeMap<IpAddr, VecDeque<Box<str>>>,
    order: VecDeque<IpAddr>,
}

impl Names {
    /// A lookup, or `/etc/hosts`, gave this address for this name. True if that is news.
    pub fn learn(&mut self, name: &str, address: IpAddr) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return false;
        }
        let known = self.by_address.entry(address).or_default();
        if known.is_empty() {
            self.order.push_back(address);
        }
        if known.front().is_some_and(|first| **first == *name) {
            return false;
        }
        known.retain(|other| **other != *name);
        known.push_front(name.into());
        known.truncate(MOST_OF_ONE);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_address.remove(&oldest);
        }
        true
    }

    /// What the lines of a hosts(5) file say.
    pub fn read_hosts(text: &str) -> Vec<(String, IpAddr)> {
        let mut found = Vec::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else { continue };
            found.extend(words.map(|name| (name.to_owned(), address)));
        }
        found
    }

    /// What the target may have meant by an address, the likeliest first; port 80 is left out.
    pub fn candidates(&self, address: SocketAddr) -> Vec<String> {
        let ip = address.ip().to_canonical();
        let names = self.by_address.get(&ip).into_iter().flatten().map(|name| name.to_string());
        let text = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        names.chain([text]).map(|host| named(&host, address.port())).collect()
    }

    /// The addresses that are known, in their order.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.by_address.keys().copied().collect()
    }
}

/// A host with its port, port 80 left out.
pub fn named(host: &str, port: u16) -> String {
    if port == 80 { host.to_owned() } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_last_is_likeliest() {
        let mut names = Names::default();
        let address: IpAddr = "10.0.0.7".parse().unwrap();
        assert!(names.learn("Payments.test.", address) && !names.learn("payments.test", address));
        assert!(names.learn("other.test", address) && names.learn("payments.test", address));
        let at = |port| names.candidates(SocketAddr::new(address, port));
        assert_eq!(at(80), ["payments.test", "other.test", "10.0.0.7"]);
        assert_eq!(at(8080), ["payments.test:8080", "other.test:8080", "10.0.0.7:8080"]);
        assert_eq!(names.candidates("[::1]:80".parse().unwrap()), ["[::1]"]);
        assert_eq!(names.candidates("[::ffff:10.0.0.7]:80".parse().unwrap())[0], "payments.test");
    }

    #[test]
    fn a_hosts_file_has_names_and_remarks() {
        let text = "127.0.0.1 localhost a\n# 1.2.3.4 b\n::1\tlocalhost # c\nnonsense d\n";
        let said: Vec<String> =
            Names::read_hosts(text).iter().map(|(name, at)| format!("{name} {at}")).collect();
        assert_eq!(said, ["localhost 127.0.0.1", "a 127.0.0.1", "localhost ::1"]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut names = Names::default();
        for number in 0..70_000_u32 {
            names.learn("x.test", IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(names.addresses().len(), MOST);
        let address = "9.9.9.9".parse().unwrap();
        for number in 0..20 {
            names.learn(&format!("n{number}.test"), address);
        }
        assert_eq!(names.candidates(SocketAddr::new(address, 80)).len(), MOST_OF_ONE + 1);
    }
}
