//! Whom a request is for (RFC 3986 section 3.2, without user information).

use std::net::Ipv6Addr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A name or an address in lower case, an IPv6 address without its brackets.
    pub host: String,
    /// From 1.
    pub port: u16,
}

/// The longest name (RFC 1035 section 2.3.4 says 255 octets).
const MAX_HOST: usize = 255;

impl Authority {
    /// Reads `host:port`, or `host` where there is a port by default.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, &'static str> {
        if text.contains('@') {
            return Err("user names do not belong into a request's target");
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or("an IPv6 address without its bracket")?;
                let address: Ipv6Addr = address.parse().map_err(|_| "a malformed IPv6 address")?;
                (address.to_string(), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                let known =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
                if name.is_empty() || name.len() > MAX_HOST || !name.bytes().all(known) {
                    return Err("a malformed host name");
                }
                (name.to_ascii_lowercase(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some("") => default_port,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| "a port beyond 65535")?)
            }
            None if port.is_empty() => default_port,
            _ => return Err("a malformed port"),
        };
        match port {
            Some(port) if port > 0 => Ok(Self { host, port }),
            Some(_) => Err("port 0"),
            None => Err("no port"),
        }
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<String, &'static str> {
        Authority::parse(text, Some(80)).map(|authority| authority.to_string())
    }

    #[test]
    fn hosts_and_ports() {
        for (text, whole) in [
            ("example.org", "example.org:80"),
            ("Example.ORG:", "example.org:80"),
            ("a_b-c.d:8080", "a_b-c.d:8080"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]:80"),
            ("[0:0::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(whole), "{text}");
        }
        for text in [
            "", ":80", "a:0", "a:65536", "a:+1", "a:1x", "a b", "u:p@a", "[::1", "[::g]", "[::1]x", "a/b",
            "é",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
        assert_eq!(Authority::parse("example.org", None), Err("no port"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again(text in ".{0,40}") {
            if let Ok(authority) = Authority::parse(&text, None) {
                prop_assert_eq!(Authority::parse(&authority.to_string(), None), Ok(authority));
            }
        }
    }
}
