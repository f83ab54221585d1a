//! Where a rule applies.

use std::fmt;

use super::Term;
use super::occasion::{Host, Kind, Kinds, Occasion, Stream};
use super::when::set;
use super::word::quoted;
use super::wrong::{Wrong, unknown};
use crate::pattern::{matches, split_target};

/// The selectors, as the grammar and the JSON Schema have them.
pub const SELECTORS: [Term; 7] = [
    Term {
        word: "dep",
        value: "PATTERN[:PORT]",
        numbers: false,
        repeats: true,
        about: "A dependency, at any port or at this one; written more than once, or with commas, any of them. `*` and `?` match.",
        example: "dep=payments:8080",
    },
    Term {
        word: "op",
        value: "'METHOD PATH'",
        numbers: false,
        repeats: false,
        about: "An operation; `*` and `?` match in both, `METHOD` alone is any path. The query counts where the pattern has one.",
        example: "op='POST /orders/*'",
    },
    Term {
        word: "path",
        value: "PATTERN",
        numbers: false,
        repeats: false,
        about: "A path, in whichever method.",
        example: "path=/orders/*",
    },
    Term {
        word: "header",
        value: "NAME:PATTERN",
        numbers: false,
        repeats: false,
        about: "A field of the request has such a value.",
        example: "header=x-tenant:acme*",
    },
    Term {
        word: "dir",
        value: "in|out",
        numbers: false,
        repeats: false,
        about: "What the target calls (`out`, unless the action is one of inbound requests), or requests to it (`in`).",
        example: "dir=in",
    },
    Term {
        word: "stream",
        value: "upstream|downstream",
        numbers: false,
        repeats: false,
        about: "Which direction of a connection's bytes: what the target sends, or (otherwise) what it gets.",
        example: "stream=upstream",
    },
    Term {
        word: "site",
        value: "TEXT",
        numbers: false,
        repeats: false,
        about: "A site as a ledger has it; plans that are written from ledgers have it.",
        example: "site='outbound payments POST /orders/*'",
    },
];

/// Selectors; all of them must choose an occasion, of `deps` one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    pub deps: Vec<String>,
    /// Method and path.
    pub op: Option<(String, Option<String>)>,
    pub path: Option<String>,
    /// Name and value.
    pub header: Option<(String, String)>,
    pub dir: Option<Dir>,
    pub stream: Option<Stream>,
    pub site: Option<String>,
}

/// Seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    In,
    Out,
}

impl Selectors {
    /// Takes in `dep=payments`; false where `name` is no selector.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, Wrong> {
        match name {
            "dep" => {
                for dep in value.split(',') {
                    self.deps.push(dependency(dep.trim())?);
                }
            }
            "op" => set(&mut self.op, operation(value)?)?,
            "path" => set(&mut self.path, path(value)?)?,
            "header" => set(&mut self.header, header(value)?)?,
            "dir" => set(&mut self.dir, direction(value)?)?,
            "stream" => set(&mut self.stream, stream(value)?)?,
            "site" => set(&mut self.site, value.to_owned())?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What they can choose at all, and of what could be chosen without them, why not.
    pub fn kinds(&self) -> Kinds {
        let mut kinds = match self.dir {
            Some(Dir::In) => Kinds::REQUEST,
            Some(Dir::Out) => Kinds::OUT,
            None => Kinds::OUT.and(Kinds::REQUEST),
        };
        if !self.deps.is_empty() {
            kinds = kinds.without(Kinds::REQUEST);
        }
        if self.reads_messages() {
            kinds = kinds.within(Kinds::CALL.and(Kinds::REQUEST));
        }
        if self.stream.is_some() {
            kinds = kinds.within(Kinds::CALL);
        }
        if !self.deps.is_empty() && self.deps.iter().all(|dep| is_never_looked_up(dep)) {
            kinds = kinds.without(Kinds::LOOKUP);
        }
        match self.site.as_deref().map(|site| site.split(' ').next().unwrap_or_default()) {
            Some("outbound") => kinds.within(Kinds::CALL),
            Some("connect") => kinds.within(Kinds::CONNECT),
            Some("dns") => kinds.within(Kinds::LOOKUP),
            Some("inbound") => kinds.within(Kinds::REQUEST),
            _ => kinds,
        }
    }

    /// Whether they ask what is in a request.
    pub const fn reads_messages(&self) -> bool {
        self.op.is_some() || self.path.is_some() || self.header.is_some()
    }

    /// Whether a dependency is chosen that has one of these names, at this port or, without one, at any that they say.
    pub fn choose_dependency(&self, names: &[&str], port: Option<u16>) -> bool {
        self.deps.is_empty() || self.deps.iter().any(|dep| names.iter().any(|name| is(dep, name, port)))
    }

    /// Whether an occasion is chosen; `site` is not looked at.
    pub fn choose(&self, occasion: &Occasion<'_>) -> bool {
        let target = occasion.target;
        self.choose_dependency(occasion.names, occasion.port.filter(|_| occasion.kind != Kind::Lookup))
            && self.op.as_ref().is_none_or(|(method, path)| {
                matches(method, &occasion.method.to_ascii_uppercase())
                    && path.as_ref().is_none_or(|path| is_path(path, target))
            })
            && self.path.as_ref().is_none_or(|path| is_path(path, target))
            && self.header.as_ref().is_none_or(|(name, pattern)| {
                let mut fields =
                    occasion.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
                fields.any(|(_, value)| matches(pattern, &String::from_utf8_lossy(value)))
            })
    }
}

/// A lookup has no port, and an address is what it would find.
fn is_never_looked_up(dep: &str) -> bool {
    let Host { host, port } = Host::of(dep);
    port.is_some() || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

/// Whether a dependency of this name, at this port, is one that `dep` names.
fn is(dep: &str, name: &str, port: Option<u16>) -> bool {
    let (wanted, given) = (Host::of(dep), Host::of(name));
    let host = given.host.trim_end_matches('.').to_lowercase();
    matches(wanted.host, &host) && (wanted.port.is_none() || wanted.port == given.port.or(port))
}

fn is_path(pattern: &str, target: &str) -> bool {
    let (path, query) = split_target(target);
    if target.is_empty() {
        return pattern == "*";
    }
    matches(pattern, path) || !query.is_empty() && matches(pattern, &format!("{path}?{query}"))
}

fn dependency(text: &str) -> Result<String, Wrong> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(
            Wrong::new(format!("`{text}` is a URL, not a dependency")).help(format!("write `dep={host}`"))
        );
    }
    let never = |c: char| c.is_whitespace() || c.is_control() || ['/', '=', ';', '\'', '"'].contains(&c);
    if text.is_empty() || text.contains(never) {
        return Err(Wrong::new(format!("`{text}` is no name of a dependency"))
            .help("write `dep=NAME` or `dep=NAME:PORT`"));
    }
    let is_address = text.parse::<std::net::IpAddr>().is_ok() || text.ends_with(']');
    if let (Host { port: None, .. }, Some((_, port)), false) =
        (Host::of(text), text.rsplit_once(':'), is_address)
    {
        return Err(no_port(port));
    }
    if Host::of(text).port == Some(0) {
        return Err(no_port("0"));
    }
    Ok(text.to_lowercase())
}

fn no_port(text: &str) -> Wrong {
    Wrong::new(format!("`{text}` is no port")).help("a port is a number from 1 to 65535")
}

fn operation(text: &str) -> Result<(String, Option<String>), Wrong> {
    let (method, path) =
        text.trim().split_once(' ').map_or((text.trim(), None), |(m, p)| (m, Some(p.trim())));
    if method.is_empty() || method.contains('/') || path.is_some_and(|path| path.contains(' ')) {
        return Err(Wrong::new(format!("`{text}` is no operation"))
            .help("write `op='METHOD PATH'`; of a path alone `path=`"));
    }
    let path = path.map(self::path).transpose()?;
    Ok((method.to_ascii_uppercase(), path))
}

fn path(text: &str) -> Result<String, Wrong> {
    if text.starts_with(['/', '*', '?']) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("`{text}` is no path")).help("a path begins with `/` or `*`"))
}

fn header(text: &str) -> Result<(String, String), Wrong> {
    let split = text.split_once(':').map(|(name, pattern)| (name.trim(), pattern.trim()));
    let Some((name, pattern)) = split.filter(|(name, _)| is_token(name)) else {
        return Err(
            Wrong::new(format!("`{text}` is no field and pattern")).help("write `header=NAME:PATTERN`")
        );
    };
    Ok((name.to_ascii_lowercase(), pattern.to_owned()))
}

/// RFC 9110 section 5.6.2.
pub fn is_token(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_char)
}

fn direction(text: &str) -> Result<Dir, Wrong> {
    match text {
        "in" | "inbound" => Ok(Dir::In),
        "out" | "outbound" => Ok(Dir::Out),
        _ => Err(unknown("direction", text, &["in", "out"])),
    }
}

fn stream(text: &str) -> Result<Stream, Wrong> {
    match text {
        "upstream" => Ok(Stream::Upstream),
        "downstream" => Ok(Stream::Downstream),
        _ => Err(unknown("direction of bytes", text, &["upstream", "downstream"])),
    }
}

impl fmt::Display for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deps, op, path, header, dir, stream, site } = self;
        let mut words: Vec<String> = deps.iter().map(|dep| format!("dep={}", quoted(dep))).collect();
        words.extend(op.as_ref().map(|(method, path)| match path {
            Some(path) => format!("op={}", quoted(&format!("{method} {path}"))),
            None => format!("op={}", quoted(method)),
        }));
        words.extend(path.as_ref().map(|path| format!("path={}", quoted(path))));
        words.extend(
            header.as_ref().map(|(name, pattern)| format!("header={}", quoted(&format!("{name}:{pattern}")))),
        );
        words.extend(dir.map(|dir| if dir == Dir::In { "dir=in" } else { "dir=out" }.to_owned()));
        words.extend(stream.map(|stream| match stream {
            Stream::Upstream => "stream=upstream".to_owned(),
            Stream::Downstream => "stream=downstream".to_owned(),
        }));
        words.extend(site.as_ref().map(|site| format!("site={}", quoted(site))));
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(words: &[(&str, &str)], occasion: &Occasion<'_>) -> bool {
        let mut selectors = Selectors::default();
        for (name, value) in words {
            assert!(selectors.take(name, value).unwrap(), "{name}");
        }
        selectors.choose(occasion)
    }

    #[test]
    fn what_is_chosen() {
        let headers = [("X-Tenant".to_owned(), b"acme-1".to_vec())];
        let call = Occasion {
            kind: Kind::Call,
            names: &["Payments.test", "10.0.0.7:8080", "[fd00::7]:8080"],
            port: Some(8080),
            method: "POST",
            target: "/orders/7?dry=1",
            headers: &headers,
            at_ns: 0,
        };
        for words in [
            &[][..],
            &[("dep", "payments.TEST")],
            &[("dep", "payments.test:8080")],
            &[("dep", "pay*")],
            &[("dep", "other,10.0.0.7")],
            &[("dep", "other"), ("dep", "10.0.?.7:8080")],
            &[("dep", "fd00::7")],
            &[("dep", "[fd00::7]:8080")],
            &[("op", "post /orders/*")],
            &[("op", "POST")],
            &[("op", "* /orders/7")],
            &[("path", "/orders/7?dry=1")],
            &[("header", "x-tenant: acme*")],
        ] {
            assert!(chosen(words, &call), "{words:?}");
        }
        for words in [
            &[("dep", "payments")][..],
            &[("dep", "payments.test:80")],
            &[("op", "GET /orders/*")],
            &[("op", "POST /orders")],
            &[("path", "/orders/7?dry=2")],
            &[("header", "x-tenant:other")],
            &[("dep", "payments.test"), ("header", "x-other:*")],
        ] {
            assert!(!chosen(words, &call), "{words:?}");
        }
    }

    #[test]
    fn what_is_none() {
        for (word, value) in [
            ("dep", ""),
            ("dep", "http://payments:80/x"),
            ("dep", "payments:http"),
            ("dep", "payments:0"),
            ("dep", "payments,dep=ledger"),
            ("dep", "payments;ledger"),
            ("dep", "pay ments"),
            ("dep", "a,,b"),
            ("op", ""),
            ("op", "/orders"),
            ("op", "GET orders"),
            ("path", "orders"),
            ("header", "x-tenant"),
            ("header", "x tenant:a"),
            ("dir", "inn"),
            ("stream", "dowstream"),
        ] {
            assert!(Selectors::default().take(word, value).is_err(), "{word}={value}");
        }
    }
}
