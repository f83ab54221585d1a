//! Where a fault may happen.

use crate::pattern;

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An exchange of the target's with a dependency; of protocols that are not read a connection's bytes.
    Call,
    /// A connect to a dependency.
    Connect,
    /// A lookup of a name.
    Lookup,
    /// A request to the target.
    Request,
}

/// An exchange, a connect or a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// What it is.
    pub kind: Kind,
    /// What the dependency may be called, the likeliest first: `payments.test`, `payments.test:8080`, `10.0.0.7:80`; the name
    /// that is looked up. Empty of a request.
    pub names: &'a [&'a str],
    /// The dependency's port; of a request the target's.
    pub port: Option<u16>,
    /// `GET`, …; of a lookup `A`, …; empty of a connect.
    pub method: &'a str,
    /// Path and query; empty where there is none.
    pub target: &'a str,
    /// As on the wire.
    pub headers: &'a [(String, Vec<u8>)],
    /// Now, in ns since the run began.
    pub at_ns: u64,
}

impl Occasion<'_> {
    /// The text by which occasions of one sort are known and counted: `outbound payments.test POST /orders/*`,
    /// `connect payments.test:8080`, `dns A payments.test`, `inbound POST /orders`.
    pub fn site(&self) -> String {
        let path = || if self.target.is_empty() { String::new() } else { pattern::mask_path(self.target) };
        let words = match self.kind {
            Kind::Call => ["outbound".to_owned(), self.dependency(), self.method.to_owned(), path()],
            Kind::Connect => ["connect".to_owned(), self.dependency(), String::new(), String::new()],
            Kind::Lookup => ["dns".to_owned(), self.method.to_owned(), self.dependency(), String::new()],
            Kind::Request => ["inbound".to_owned(), self.method.to_owned(), path(), String::new()],
        };
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Its likeliest name, with its port unless that is HTTP's or HTTPS's own.
    fn dependency(&self) -> String {
        let Some(first) = self.names.first() else { return String::new() };
        let Host { host, port } = Host::of(first);
        let host = host.trim_end_matches('.').to_lowercase();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        match self.port.or(port) {
            Some(port) if self.kind != Kind::Lookup && ![80, 443].contains(&port) => format!("{host}:{port}"),
            _ => host,
        }
    }
}

/// A name as host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Without the brackets of an IPv6 address.
    pub host: &'a str,
    /// Where it is said.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// `payments`, `payments:80`, `[::1]:80`, `::1`.
    pub fn of(text: &'a str) -> Self {
        let bare =
            |text: &'a str| text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match split {
            Some((host, port)) if !host.is_empty() && (!host.contains(':') || host.ends_with(']')) => {
                Self { host: bare(host), port: Some(port) }
            }
            _ => Self { host: bare(text), port: None },
        }
    }
}

/// Some of the kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    pub const CALL: Self = Self::one(Kind::Call);
    pub const CONNECT: Self = Self::one(Kind::Connect);
    pub const LOOKUP: Self = Self::one(Kind::Lookup);
    pub const REQUEST: Self = Self::one(Kind::Request);
    pub const OUT: Self = Self::CALL.and(Self::CONNECT).and(Self::LOOKUP);

    pub const fn one(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn has(self, kind: Kind) -> bool {
        self.0 & Self::one(kind).0 != 0
    }

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// `calls and connects`.
    pub fn text(self) -> String {
        let names = [
            (Kind::Call, "calls"),
            (Kind::Connect, "connects"),
            (Kind::Lookup, "lookups"),
            (Kind::Request, "inbound requests"),
        ];
        let names: Vec<_> = names.iter().filter(|(kind, _)| self.has(*kind)).map(|(_, name)| *name).collect();
        names.join(" and ")
    }
}

/// A direction of a connection's bytes, in toxiproxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    #[default]
    Downstream,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, host, port) in [
            ("payments", "payments", None),
            ("payments:8080", "payments", Some(8080)),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("fe80::1:80", "fe80::1:80", None),
            ("a:b", "a:b", None),
            (":80", ":80", None),
        ] {
            assert_eq!(Host::of(text), Host { host, port }, "{text}");
        }
    }

    #[test]
    fn sites() {
        let occasion = |kind, names, port, method, target| {
            Occasion { kind, names, port, method, target, headers: &[], at_ns: 0 }.site()
        };
        let call =
            occasion(Kind::Call, &["Payments.test", "10.0.0.7:80"], Some(80), "POST", "/orders/17?x=1");
        assert_eq!(call, "outbound payments.test POST /orders/*");
        assert_eq!(occasion(Kind::Call, &["10.0.0.7"], Some(5432), "", ""), "outbound 10.0.0.7:5432");
        assert_eq!(occasion(Kind::Connect, &["p.test:8080"], None, "", ""), "connect p.test:8080");
        assert_eq!(occasion(Kind::Connect, &["[::1]:8080"], Some(8080), "", ""), "connect [::1]:8080");
        assert_eq!(occasion(Kind::Lookup, &["P.test."], None, "A", ""), "dns A p.test");
        assert_eq!(occasion(Kind::Request, &[], Some(8080), "POST", "/orders"), "inbound POST /orders");
    }
}
