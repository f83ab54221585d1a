//! Where a recorded request goes, as curl is told.

use crate::incident::event::{Event, Kind};

/// Scheme, authority and request target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub scheme: String,
    pub authority: String,
    /// As it stood, or would have, in the request's first line.
    pub target: String,
}

/// What keeps a request from being sent again.
pub(super) type Why = &'static str;

impl Address {
    /// Of a recorded request: an inbound one goes to the target's listener, an outbound one to the dependency. With a
    /// base, to that.
    pub fn of(event: &Event, base: Option<&Base>) -> Result<Self, Why> {
        let (scheme, rest) = event.url.split_once("://").unwrap_or(("http", ""));
        let origin = match event.path_and_query() {
            path if path.starts_with('/') => path.to_owned(),
            // Origin form begins with a slash (RFC 9112 section 3.2.1).
            path => format!("/{path}"),
        };
        let inbound = event.kind == Kind::InboundRequest && !event.service.is_empty();
        let authority = if inbound {
            event.service.as_str()
        } else {
            // Who stands before @ is no part of a host, and curl would send it as a password.
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit('@').next().unwrap_or_default()
        };
        // What an outbound request asked a proxy for is the dependency's; it is asked for the path alone.
        let target = match event.target.as_deref() {
            Some(target) if inbound || target == "*" => target.to_owned(),
            _ => origin,
        };
        let mut address =
            Self { scheme: scheme.to_ascii_lowercase(), authority: authority.to_owned(), target };
        if let Some(base) = base {
            address.scheme.clone_from(&base.scheme);
            address.authority.clone_from(&base.authority);
            if address.target.starts_with('/') {
                address.target.insert_str(0, &base.path);
            }
        }
        address.check()
    }

    fn check(self) -> Result<Self, Why> {
        if !["http", "https"].contains(&self.scheme.as_str()) {
            return Err("its url is neither http nor https");
        }
        if !is_authority(&self.authority) {
            return Err("it does not say whom to call");
        }
        // A line end would let a recorded url add header fields.
        if self.target.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("its url holds characters that no request can");
        }
        Ok(self)
    }

    /// Does curl send the target as it is when it stands in a url? It takes fragments off, and may spell escapes and
    /// unusual characters its own way.
    pub fn is_usual(&self) -> bool {
        let bytes = self.target.as_bytes();
        bytes.first() == Some(&b'/')
            && !bytes.starts_with(b"//")
            && bytes.iter().enumerate().all(|(at, byte)| match byte {
                b'%' => bytes
                    .get(at + 1..at + 3)
                    .is_some_and(|hex| hex.iter().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b))),
                _ => byte.is_ascii_alphanumeric() || b"/_.~!$&'()*+,;=:@?-".contains(byte),
            })
    }

    /// What curl makes of the authority for `Host`, where that is sure.
    pub fn host(&self) -> Option<&str> {
        let default = if self.scheme == "https" { ":443" } else { ":80" };
        let sure = self
            .authority
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:".contains(&b));
        sure.then(|| self.authority.strip_suffix(default).unwrap_or(&self.authority))
    }
}

/// Where to send a request instead: `http://localhost:8084`, with or without a path to put before the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    scheme: String,
    authority: String,
    path: String,
}

impl std::str::FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a url such as http://localhost:8084".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.trim_end_matches('/');
        let scheme = scheme.to_ascii_lowercase();
        let usual = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
        if !["http", "https"].contains(&scheme.as_str()) || !is_authority(authority) || !usual {
            return Err(wrong());
        }
        Ok(Self { scheme, authority: authority.to_owned(), path: path.to_owned() })
    }
}

/// A host, with or without a port, and nothing that curl could take for something else.
fn is_authority(text: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/?#@\\\"<>^`{|}".contains(c);
    !text.is_empty() && text != "unknown" && !text.starts_with(['-', ':']) && !text.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(event: &Event, base: Option<&str>) -> Result<String, Why> {
        let base = base.map(|text| text.parse().unwrap());
        Address::of(event, base.as_ref()).map(|it| format!("{}://{} {}", it.scheme, it.authority, it.target))
    }

    fn outbound(url: &str, target: Option<&str>) -> Event {
        Event {
            kind: Kind::OutboundCall,
            url: url.into(),
            target: target.map(Into::into),
            ..Event::default()
        }
    }

    #[test]
    fn outbound_requests_go_to_the_dependency_and_inbound_ones_to_the_target() {
        for (url, target, expected) in [
            ("http://api.test:8080/v1?q=1", None, "http://api.test:8080 /v1?q=1"),
            ("HTTPS://api.test", None, "https://api.test /"),
            ("http://api.test?x", None, "http://api.test /?x"),
            ("http://ann:pw@api.test/", Some("http://ann:pw@api.test/"), "http://api.test /"),
            ("http://api.test/*", Some("*"), "http://api.test *"),
        ] {
            assert_eq!(address(&outbound(url, target), None).as_deref(), Ok(expected), "{url}");
        }
        let inbound = Event {
            kind: Kind::InboundRequest,
            service: "127.0.0.1:8080".into(),
            ..outbound("http://shop.test/a", None)
        };
        assert_eq!(address(&inbound, None).as_deref(), Ok("http://127.0.0.1:8080 /a"));
        assert_eq!(address(&inbound, Some("https://[::1]:9/v2/")).as_deref(), Ok("https://[::1]:9 /v2/a"));
        let proxied = Event { target: Some("http://x.test/b".into()), ..inbound };
        assert_eq!(address(&proxied, None).as_deref(), Ok("http://127.0.0.1:8080 http://x.test/b"));
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for url in [
            "",
            "tcp://a",
            "file:///etc/passwd",
            "http:///x",
            "http://-o/x",
            "http://a b/",
            "http://a\\b/",
            "http://a/x\r\nX: y",
            "http://a/\u{85}",
            "http://unknown/",
        ] {
            address(&outbound(url, None), None).unwrap_err();
        }
        for base in
            ["localhost", "ftp://a", "http://", "http://a b", "http://a/?x", "http://-a", "http://u@h"]
        {
            base.parse::<Base>().expect_err(base);
        }
    }

    #[test]
    fn unusual_targets_are_known() {
        for (target, usual) in [
            ("/a/../b?x=%2F&y='", true),
            ("/a%2f", false),
            ("/a#b", false),
            ("/a[1]{2}", false),
            ("/ä", false),
            ("//a", false),
            ("/%", false),
            ("*", false),
        ] {
            let address = Address { scheme: "http".into(), authority: "a".into(), target: target.into() };
            assert_eq!(address.is_usual(), usual, "{target}");
        }
    }
}
