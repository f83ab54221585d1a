//! Which exchanges are recorded: `--only` and `--exclude`. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::incident::{Direction, Selects};
use crate::pattern::matches;

/// One `--only` or `--exclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// Connections to this port; of inbound ones, to the target's listener on it.
    Port(u16),
    /// Exchanges with a dependency.
    Dependency {
        /// Matched with its name and with its address, in any case; `*` and `?` match.
        host: String,
        /// Its port; `None`: any.
        port: Option<u16>,
    },
    /// Exchanges for a path; the pattern is matched with it with its query and without.
    Path(String),
}

/// What is recorded: what all kinds of `only` that are given let through, and nothing of `exclude`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Within a kind these are alternatives.
    pub only: Vec<Term>,
    /// Each of these alone leaves an exchange out.
    pub exclude: Vec<Term>,
}

/// What is known of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where the target connected to; of inbound traffic, where its clients did.
    pub address: SocketAddr,
    /// The dependency's name, default port left out; inbound traffic has none.
    pub dependency: Option<&'a str>,
    /// The path and query, where the protocol has one.
    pub path: Option<&'a str>,
}

impl Selector {
    /// Whether this exchange is recorded.
    pub fn selects(&self, asked: &Asked<'_>) -> bool {
        let holds = |kind: u8| {
            let mut any = self.only.iter().filter(|term| term.kind() == kind).peekable();
            any.peek().is_none() || any.any(|term| term.matches(asked))
        };
        (0..Term::KINDS).all(holds) && !self.exclude.iter().any(|term| term.matches(asked))
    }

    /// The ports that alone are recorded (`None`: all), and those that never are: connections to other ports,
    /// and to these, can be left alone altogether.
    pub fn ports(&self) -> (Option<BTreeSet<u16>>, BTreeSet<u16>) {
        let ports = |terms: &[Term]| -> BTreeSet<u16> {
            terms
                .iter()
                .filter_map(|term| if let Term::Port(port) = term { Some(*port) } else { None })
                .collect()
        };
        let only = ports(&self.only);
        ((!only.is_empty()).then_some(only), ports(&self.exclude))
    }

    /// Records everything.
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.exclude.is_empty()
    }

    /// The question as the recording asks it; `None` where the answer is always yes.
    pub fn into_selects(self) -> Option<Selects> {
        if self.is_empty() {
            return None;
        }
        Some(Box::new(move |direction, peer, service, path| {
            let dependency = (direction == Direction::Outbound).then_some(service);
            self.selects(&Asked { address: peer.address(direction), dependency, path })
        }))
    }
}

impl Term {
    const KINDS: u8 = 3;

    const fn kind(&self) -> u8 {
        match self {
            Self::Port(_) => 0,
            Self::Dependency { .. } => 1,
            Self::Path(_) => 2,
        }
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Port(port) => asked.address.port() == *port,
            Self::Dependency { host, port } => asked.dependency.is_some_and(|dependency| {
                let (name, named_port) = split(dependency);
                let address = asked.address.ip().to_canonical().to_string();
                let is_it = [name, &address].iter().any(|name| matches(host, &bare(name)));
                is_it && port.is_none_or(|port| named_port == Some(port) || asked.address.port() == port)
            }),
            Self::Path(pattern) => asked.path.is_some_and(|path| {
                let without_query = path.split(['?', '#']).next().unwrap_or_default();
                matches(pattern, without_query) || matches(pattern, path)
            }),
        }
    }
}

/// `port=N`, `dep=PATTERN[:PORT]`, `path=PATTERN`; without a word before it, digits are a port, what begins with
/// a slash is a path, and the rest a dependency.
impl FromStr for Term {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once('=') {
            _ if digits => port(text),
            _ if text.starts_with('/') => Ok(Self::Path(text.to_owned())),
            Some(("port", value)) => port(value),
            Some(("dep", value)) => dependency(value),
            Some(("path", value)) => path(value),
            Some((word, _)) => Err(format!(
                "`{word}` is no word for what to select; expected port=N, dep=PATTERN[:PORT] or path=PATTERN"
            )),
            None => dependency(text),
        }
    }
}

fn port(text: &str) -> Result<Term, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number > 0);
    number.map(Term::Port).ok_or_else(|| format!("`{text}` is no port; expected a number from 1 to 65535"))
}

fn path(text: &str) -> Result<Term, String> {
    if text.starts_with(['/', '*', '?']) {
        return Ok(Term::Path(text.to_owned()));
    }
    Err(format!("`{text}` matches no path; expected one that begins with / or *, such as /orders/*"))
}

fn dependency(text: &str) -> Result<Term, String> {
    let expected = "expected a host, its address or a pattern such as *.test, and a port if one is meant";
    if text.is_empty() || text.contains(['/', '=']) || text.chars().any(char::is_whitespace) {
        return Err(format!("`{text}` is no dependency; {expected}"));
    }
    let (host, number) = match text.split_once(']') {
        Some((host, rest)) if rest.is_empty() || rest.starts_with(':') => {
            (&text[..host.len() + 1], rest.strip_prefix(':'))
        }
        // Without brackets the colons of an IPv6 address are all its own.
        _ if text.matches(':').count() > 1 => (text, None),
        _ => text.split_once(':').map_or((text, None), |(host, number)| (host, Some(number))),
    };
    let port = match number.map(port).transpose()? {
        Some(Term::Port(port)) => Some(port),
        _ => None,
    };
    let host = bare(host);
    if host.is_empty() || host.contains(['[', ']']) {
        return Err(format!("`{text}` names no host; {expected}"));
    }
    Ok(Term::Dependency { host, port })
}

/// The text that [`Term::from_str`] reads.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port={port}"),
            Self::Path(pattern) => write!(f, "path={pattern}"),
            Self::Dependency { host, port } => {
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "dep={open}{host}{close}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

/// A service's host, and its port where it has one.
fn split(service: &str) -> (&str, Option<u16>) {
    match service.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (service, None),
        },
        _ => (service, None),
    }
}

/// In lower case (host names have none, RFC 4343) and without the brackets of an IPv6 address.
fn bare(host: &str) -> String {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).to_lowercase()
}
