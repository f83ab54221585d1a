//! What the recording knows of the addresses and names that the target may connect to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::replay::script::{CallKind, Dependency};

/// How the calls to an address are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// As HTTP/1, and nothing else was recorded.
    Http,
    /// Turn by turn: bytes.
    Turns,
    /// Its first bytes tell: both were recorded, or neither.
    Mixed,
}

/// Names and addresses.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// What was said there.
    speech: BTreeMap<SocketAddr, (bool, bool)>,
    /// The names (default port left out) that stand for an address.
    names: BTreeMap<SocketAddr, BTreeSet<Box<str>>>,
    /// Where the recording has a host.
    places: BTreeMap<Box<str>, BTreeSet<SocketAddr>>,
    /// The names that lookups gave for an address.
    hosts: BTreeMap<IpAddr, BTreeSet<Box<str>>>,
    /// The ports at which a host is known.
    ports: BTreeMap<Box<str>, BTreeSet<u16>>,
}

impl Directory {
    /// Of the recorded dependencies and of what was called where.
    pub fn new(
        dependencies: &[Dependency],
        calls: impl Iterator<Item = (Option<SocketAddr>, CallKind)>,
    ) -> Self {
        let mut directory = Self::default();
        for dependency in dependencies {
            let (host, port) = host_and_port(&dependency.name);
            let known = directory.ports.entry(host.into()).or_default();
            known.extend(port);
            if port.is_none() {
                known.insert(80);
            }
            for address in &dependency.addresses {
                known.insert(address.port());
                directory.names.entry(*address).or_default().insert(dependency.name.as_ref().into());
                directory.places.entry(host.into()).or_default().insert(*address);
            }
        }
        for (peer, kind) in calls {
            let Some(peer) = peer else { continue };
            let (http, turns) = directory.speech.entry(peer).or_default();
            match kind {
                CallKind::Http | CallKind::Tunnel => *http = true,
                CallKind::Turn => *turns = true,
                CallKind::Unserved => {}
            }
        }
        directory
    }

    /// A lookup gave this address for this name. Gives the addresses at which the target may now connect to it.
    pub fn learn(&mut self, host: &str, address: IpAddr) -> Vec<SocketAddr> {
        self.hosts.entry(address).or_default().insert(host.into());
        let ports = self.ports.get(host).into_iter().flatten();
        ports.map(|port| SocketAddr::new(address, *port)).collect()
    }

    /// How calls to this address are answered.
    pub fn speech(&self, address: SocketAddr) -> Speech {
        match self.speech.get(&address) {
            Some((true, false)) => Speech::Http,
            Some((false, true)) => Speech::Turns,
            _ => Speech::Mixed,
        }
    }

    /// What the target may have meant by an address, the likeliest first: names that were looked up, with the port
    /// unless it is 80; names that the recording has for it; the address itself, likewise.
    pub fn candidates(&self, address: SocketAddr) -> Vec<String> {
        let port = address.port();
        let hosts = self.hosts.get(&address.ip()).into_iter().flatten();
        let mut all: Vec<String> = hosts
            .filter(|host| self.ports.get(*host).is_none_or(|ports| ports.contains(&port)))
            .map(|host| named(host, port))
            .collect();
        all.extend(self.names.get(&address).into_iter().flatten().map(|name| name.to_string()));
        all.push(match address.ip() {
            IpAddr::V4(ip) => named(&ip.to_string(), port),
            IpAddr::V6(ip) => named(&format!("[{ip}]"), port),
        });
        let mut seen = BTreeSet::new();
        all.retain(|name| seen.insert(name.clone()));
        all
    }

    /// The names of recorded dependencies, without ports; addresses are not among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.ports.keys().map(AsRef::as_ref).filter(|host| !is_address(host))
    }

    /// Where the recording has a host, without its ports, in their order.
    pub fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        let places = self.places.get(host).into_iter().flatten();
        let mut addresses: Vec<IpAddr> = places.map(SocketAddr::ip).collect();
        addresses.dedup();
        addresses
    }
}

/// A host with its port, port 80 left out.
fn named(host: &str, port: u16) -> String {
    if port == 80 { host.to_owned() } else { format!("{host}:{port}") }
}

/// Takes a dependency's name apart.
pub fn host_and_port(name: &str) -> (&str, Option<u16>) {
    match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (name, None),
        },
        _ => (name, None),
    }
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(name: &str, addresses: &[&str]) -> Dependency {
        Dependency {
            name: name.into(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            protocol: "http/1.1".into(),
            served: 1,
            unserved: 0,
            failed: Vec::new(),
        }
    }

    fn directory() -> Directory {
        let dependencies = [
            dependency("prices.test:8080", &["10.0.0.7:8080"]),
            dependency("stock.test", &["10.0.0.8:80"]),
            dependency("10.0.0.9:9999", &["10.0.0.9:9999"]),
        ];
        let at = |address: &str| Some(address.parse().unwrap());
        let calls = [
            (at("10.0.0.7:8080"), CallKind::Http),
            (at("10.0.0.9:9999"), CallKind::Turn),
            (at("10.0.0.8:80"), CallKind::Http),
            (at("10.0.0.8:80"), CallKind::Turn),
            (None, CallKind::Http),
        ];
        Directory::new(&dependencies, calls.into_iter())
    }

    #[test]
    fn an_address_is_known_by_its_names() {
        let mut directory = directory();
        let of = |directory: &Directory, address: &str| directory.candidates(address.parse().unwrap());
        assert_eq!(of(&directory, "10.0.0.7:8080"), ["prices.test:8080", "10.0.0.7:8080"]);
        assert_eq!(of(&directory, "10.0.0.8:80"), ["stock.test", "10.0.0.8"]);
        // Another address of the same name: as the resolver had several.
        let reachable = directory.learn("prices.test", "10.0.0.70".parse().unwrap());
        assert_eq!(reachable, ["10.0.0.70:8080".parse().unwrap()]);
        assert_eq!(of(&directory, "10.0.0.70:8080"), ["prices.test:8080", "10.0.0.70:8080"]);
        assert_eq!(of(&directory, "[::1]:80"), ["[::1]"]);
        assert_eq!(of(&directory, "[::1]:81"), ["[::1]:81"]);
        assert_eq!(directory.names().collect::<Vec<_>>(), ["prices.test", "stock.test"]);
        assert_eq!(directory.addresses_of("prices.test"), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn speech_is_what_was_recorded_there() {
        let directory = directory();
        let of = |address: &str| directory.speech(address.parse().unwrap());
        assert_eq!(of("10.0.0.7:8080"), Speech::Http);
        assert_eq!(of("10.0.0.9:9999"), Speech::Turns);
        assert_eq!([of("10.0.0.8:80"), of("10.9.9.9:80")], [Speech::Mixed; 2]);
    }

    #[test]
    fn names_are_taken_apart() {
        for (name, host, port) in [
            ("a.test:8080", "a.test", Some(8080)),
            ("a.test", "a.test", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
            ("::1", "::1", None),
            ("a:x", "a:x", None),
        ] {
            assert_eq!(host_and_port(name), (host, port), "{name}");
        }
    }
}
