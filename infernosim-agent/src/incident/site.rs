//! Where in a target's doings an exchange happens: what it is compared and matched by.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::event::{Event, Kind};

/// A site: the direction, whom, and what is asked. Two exchanges of one site are two occurrences of it.
///
/// What clients ask is known by method and path alone: which address the target listens on changes from run to run.
/// Bodies are no part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteKey {
    text: String,
}

impl SiteKey {
    /// That of an event; `None` of what is no exchange, lookup or connection.
    pub fn of(event: &Event) -> Option<Self> {
        let dependency = || word(&event.dependency().to_ascii_lowercase());
        let text = match event.kind {
            Kind::InboundRequest | Kind::InboundResponse => format!("inbound {}", asked(event)),
            Kind::OutboundCall => format!("outbound {} {}", dependency(), asked(event)),
            Kind::Dns => format!("dns {} {}", word(&event.method), event.name.as_deref().unwrap_or_default()),
            Kind::Connection => format!("connection {}", dependency()),
            Kind::Lost | Kind::Fault | Kind::Other(_) => return None,
        };
        Some(Self { text })
    }

    /// `outbound prices.test:8080 POST /v1/quote?sku=7`, `inbound GET /orders`, `dns A prices.test`,
    /// `connection 10.0.0.9:5432`. Equal texts, equal sites.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-256 of the text.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.text).into()
    }
}

/// `GET /path?query`; of protocols that are not read `tcp`, `tls`.
fn asked(event: &Event) -> String {
    if event.method.is_empty() {
        return word(if event.protocol.is_empty() { "unknown" } else { &event.protocol });
    }
    let path = match event.path_and_query() {
        path if path.starts_with('/') || !event.url.contains("://") => path.to_owned(),
        // As it is asked for (RFC 9112 section 3.2.1).
        path => format!("/{path}"),
    };
    format!("{} {path}", word(&event.method))
}

/// Without white space, which parts the words of a site.
fn word(text: &str) -> String {
    text.replace(char::is_whitespace, "%20")
}

/// `localhost:8084` becomes `localhost:*`.
pub fn without_local_ports(text: &str) -> Cow<'_, str> {
    const HOSTS: [&str; 3] = ["localhost:", "127.0.0.1:", "[::1]:"];
    if !HOSTS.iter().any(|host| text.contains(host)) {
        return text.into();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((at, host)) =
        HOSTS.iter().filter_map(|host| rest.find(host).map(|at| (at, *host))).min_by_key(|(at, _)| *at)
    {
        let (before, after) = rest.split_at(at + host.len());
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < after.len() {
            out.push('*');
        }
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_this_host_are_masked() {
        assert_eq!(
            without_local_ports("http://localhost:8084/a, [::1]:1 127.0.0.1:x"),
            "http://localhost:*/a, [::1]:* 127.0.0.1:x"
        );
        assert_eq!(without_local_ports("http://api.test:8080/"), "http://api.test:8080/");
    }

    fn text(kind: Kind, service: &str, method: &str, url: &str) -> String {
        let event = Event {
            kind,
            service: service.into(),
            protocol: "tcp".into(),
            method: method.into(),
            url: url.into(),
            name: Some("prices.test".into()),
            ..Event::default()
        };
        SiteKey::of(&event).map_or(String::new(), |key| key.text().to_owned())
    }

    #[test]
    fn the_text_says_it_all() {
        let call = |service, method, url| text(Kind::OutboundCall, service, method, url);
        assert_eq!(call("A.test:1", "GET", "http://a.test:1?x"), "outbound a.test:1 GET /?x");
        assert_eq!(call("", "GET", "http://a.test/b"), "outbound a.test GET /b", "old logs name no service");
        assert_eq!(call("a b", "X Y", "http://h/c d"), "outbound a%20b X%20Y /c d");
        assert_eq!(call("a.test", "CONNECT", "a.test:443"), "outbound a.test CONNECT a.test:443");
        assert_eq!(call("10.0.0.9:1", "", "tcp://10.0.0.9:1"), "outbound 10.0.0.9:1 tcp");
        for kind in [Kind::InboundRequest, Kind::InboundResponse] {
            assert_eq!(text(kind, "127.0.0.1:8080", "GET", "http://h/b?c"), "inbound GET /b?c");
        }
        assert_eq!(text(Kind::Dns, "10.0.0.2", "A", "dns://x"), "dns A prices.test");
        assert_eq!(text(Kind::Connection, "db:5432", "", "tcp://db:5432"), "connection db:5432");
        assert_eq!(text(Kind::Lost, "", "", ""), "");
    }

    #[test]
    fn the_digest_is_that_of_the_text() {
        // printf 'dns A x' | sha256sum
        let event = Event { kind: Kind::Dns, method: "A".into(), name: Some("x".into()), ..Event::default() };
        let hex: String = SiteKey::of(&event).unwrap().digest().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "6ccc8cf94e682b5aef68f3928b9fb4cfc105e816b350d09dd2995e4a6551d36c");
    }
}
