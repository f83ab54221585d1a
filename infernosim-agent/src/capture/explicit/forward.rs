use std::fmt;
use std::str::FromStr;

/// Where the service is that `infernosim inbound` stands in front of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// `host:port`, the host as it was written.
    authority: String,
}

impl Forward {
    /// `host:port`; an IPv6 address in brackets.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for Forward {
    type Err = String;

    /// `HOST:PORT`, `:PORT` or `http://HOST[:PORT]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address; write HOST:PORT, as localhost:8084");
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(
                "a service that speaks TLS cannot be forwarded to: what is said inside could not be recorded"
                    .to_owned(),
            );
        }
        let url = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let rest = url.map_or(text, |_| text[7..].strip_suffix('/').unwrap_or(&text[7..]));
        if rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace) {
            return Err(format!(
                "`{text}` has more than a host and a port: requests keep the path they have"
            ));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ if url.is_some() => (rest, "80"),
            _ => return Err(wrong()),
        };
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_v6 = is_bracketed && host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        match host {
            "" if url.is_none() => Ok(Self { authority: format!("127.0.0.1:{port}") }),
            _ if is_v6 || !host.is_empty() && !host.contains(['[', ']', ':']) => {
                Ok(Self { authority: format!("{host}:{port}") })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_urls() {
        for (text, authority) in [
            ("localhost:8084", "localhost:8084"),
            ("http://localhost:8081", "localhost:8081"),
            ("HTTP://localhost:8081/", "localhost:8081"),
            ("http://shop.test", "shop.test:80"),
            ("http://[::1]", "[::1]:80"),
            ("[::1]:8084", "[::1]:8084"),
            (":8084", "127.0.0.1:8084"),
        ] {
            assert_eq!(text.parse::<Forward>().as_ref().map(Forward::authority), Ok(authority), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            "localhost",
            "8084",
            "localhost:0",
            "localhost:port",
            "localhost:99999",
            "https://localhost:8443",
            "http://localhost:8081/base",
            "http://u:p@localhost:8081",
            "::1:8084",
            "[::1",
            "[shop]:80",
            "http://:80",
            "a b:80",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
        assert!("https://x:1".parse::<Forward>().unwrap_err().contains("TLS"));
    }
}
