//! What the index holds of each exchange, call, dependency and lookup: small, since there may be hundreds of thousands.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nix::errno::Errno;

use super::keys::Keys;
use super::{Basis, ExchangeIndex};
use crate::incident::reader::Place;

/// An inbound exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The id of its `InboundRequest`.
    pub id: Box<str>,
    /// `GET /path?query`, secrets as tokens. See also `Script::request`.
    pub asked: Arc<str>,
    /// Its place in the order of all events; of logs without sequences its rank by time.
    pub sequence: u64,
    /// When its first byte came, in ns since the first event of the incident.
    pub start_ns: u64,
    /// When the request was whole, likewise.
    pub asked_ns: u64,
    /// When its answer was over, likewise; none if that was not recorded.
    pub end_ns: Option<u64>,
    /// The connection; none in old logs.
    pub connection: Option<u64>,
    /// Whose request it was.
    pub client: Option<IpAddr>,
    /// The target's own end.
    pub listener: Option<SocketAddr>,
    /// The recorded status; none if there was no answer.
    pub status: Option<u16>,
    /// The whole answer was recorded; of any other the outcome is not compared.
    pub answered: bool,
    /// An earlier exchange whose answer first brought a value that this request repeats.
    pub needs: Option<ExchangeIndex>,
    /// It can be sent as it was: HTTP/1 with a whole request. What cannot is in `Script::untested`.
    pub replayable: bool,
    /// Its two lines.
    pub(super) request: Place,
    pub(super) answer: Option<Place>,
}

/// What a call is to a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// HTTP/1: answered by `Script::reply`.
    Http,
    /// A turn of a protocol that is not read: answered by `Script::turn`.
    Turn,
    /// A CONNECT that was accepted, of which the exchanges within are calls of their own.
    Tunnel,
    /// No stub speaks it yet: TLS, HTTP/2, … It is not due in a replay.
    Unserved,
}

/// An `OutboundCall`.
#[derive(Clone, Debug)]
pub struct Call {
    /// `outbound prices.test:8080 GET /v1/quote?sku=7`: see `incident::site::SiteKey`.
    pub site: Arc<str>,
    /// Whom: its name or address, lower case, default port left out.
    pub dependency: Arc<str>,
    /// `GET`; "" of protocols that are not read.
    pub method: Arc<str>,
    /// Its place in the order of all events.
    pub sequence: u64,
    /// When it began, in ns since the first event of the incident.
    pub start_ns: u64,
    /// When it was over, likewise.
    pub end_ns: u64,
    /// The exchange that made it happen.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// Where it stands in the causal order: its cause, or the last exchange that began before it; none before any.
    pub after: Option<ExchangeIndex>,
    /// What it is to a stub.
    pub kind: CallKind,
    /// The connection; none in old logs.
    pub connection: Option<u64>,
    /// The address that the target asked for.
    pub peer: Option<SocketAddr>,
    /// Equal answers have equal ones: of status and body.
    pub answer: u64,
    pub(super) matched: MatchedBy,
    pub(super) line: Place,
}

/// What a call is matched by.
#[derive(Clone, Debug)]
pub struct MatchedBy {
    /// Its path, ids in it masked.
    pub template: Arc<str>,
    /// See [`super::raw_key`].
    pub raw: u64,
    /// See [`Keys`].
    pub keys: Keys,
}

/// What the recording knows of a dependency.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// As in [`Call::dependency`].
    pub name: Arc<str>,
    /// The addresses at which it was reached, or asked for, in the order of their first use.
    pub addresses: Vec<SocketAddr>,
    /// `http/1.1`, `tcp`, `tls`, …: that of most of its calls.
    pub protocol: Arc<str>,
    /// Its calls that a stub can answer.
    pub served: u64,
    /// Its calls that no stub speaks yet.
    pub unserved: u64,
    /// Connections that failed, in order.
    pub failed: Vec<FailedConnect>,
}

/// A connect that failed.
#[derive(Clone, Debug)]
pub struct FailedConnect {
    /// Where to.
    pub address: SocketAddr,
    /// ECONNREFUSED, ETIMEDOUT, …; ECONNRESET: the connection broke before any byte.
    pub errno: Errno,
    /// How many calls to that address had begun before it.
    pub position: u32,
    /// How long it took to fail, in ns.
    pub took_ns: u64,
    /// The exchange that made it happen.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
}

/// A name that was looked up. The message: `Script::lookup`.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// When it was asked, in ns since the first event of the incident.
    pub start_ns: u64,
    /// From the question to the answer, in ns.
    pub took_ns: u64,
    /// `NOERROR`, …; none without an answer.
    pub rcode: Option<Arc<str>>,
    /// The exchange that made it happen.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    pub(super) line: Place,
}

/// What a replay of this recording cannot test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untested {
    /// What, for people: `calls of payments.test over TLS`.
    pub what: String,
    /// How many; 0 where that is not known.
    pub count: u64,
    /// Why, as a lowercase sentence.
    pub why: String,
}
