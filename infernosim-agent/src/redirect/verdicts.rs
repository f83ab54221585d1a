use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{HashMap, MapData};
use infernosim_common::{Act, Destination, Ip, Verdict as Raw};
use nix::errno::Errno;

use crate::error::{Exit, ExpectedError, Result};

/// What becomes of the target's connects in replay, by where they go. May be set at any time, from any thread.
///
/// Without a verdict a connect is refused or left alone, as [`super::ReplaySetting`] says; but one to port 53 of
/// whatever address, which asks a resolver, goes to the stub.
pub struct Verdicts {
    map: Mutex<HashMap<MapData, Destination, Raw>>,
}

/// The connects that a [`Verdict`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerdictKey {
    /// Those to this address and port. An unspecified address stands for its family's loopback address, as it does for
    /// connect(2); a v4-mapped one for its IPv4 address.
    Address(SocketAddr),
    /// Those to this port of any address that has no verdict of its own. With faults on live traffic port 0 stands for
    /// any, here and with an address.
    AnyAddress(u16),
}

/// The next `times` connects become `first`, all others `then`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the next ones.
    pub first: Action,
    /// How many those are; several at once are never counted as one.
    pub times: u32,
    /// What becomes of all others.
    pub then: Action,
}

/// What becomes of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is redirected to our listener.
    Stub,
    /// It gets the kernel's own ECONNREFUSED, from a port of ours on which nobody listens.
    Refuse,
    /// It fails within the call, where the kernel lets us say with what (Linux 5.18); else as `Refuse`.
    Fail(Errno),
    /// Nobody answers, until the target gives up or its kernel does (ETIMEDOUT).
    Hang,
    /// It is left alone, and so are UDP datagrams to there.
    Live,
}

impl Verdict {
    /// The same for every connect.
    pub const fn always(then: Action) -> Self {
        Self { first: then, times: 0, then }
    }
}

impl Verdicts {
    pub(super) const fn new(map: HashMap<MapData, Destination, Raw>) -> Self {
        Self { map: Mutex::new(map) }
    }

    /// From now on; what is left of an earlier countdown for the same key is forgotten. Fails when there are more than
    /// [`super::MOST_VERDICTS`].
    pub fn set(&self, key: VerdictKey, verdict: Verdict) -> Result<()> {
        self.map().insert(destination(key), raw(verdict), 0).map_err(|error| {
            ExpectedError::new(Exit::Host, format!("too many destinations for one replay: {error}"))
        })
    }

    /// How many of its `times` a verdict has left; none if there is no verdict.
    pub fn left(&self, key: VerdictKey) -> Option<u32> {
        let verdict = self.map().get(&destination(key), 0).ok()?;
        Some(u32::try_from(verdict.times.max(0)).unwrap_or(u32::MAX))
    }

    /// Forgets all.
    pub fn clear(&self) {
        let mut map = self.map();
        let keys: Vec<Destination> = map.keys().filter_map(std::result::Result::ok).collect();
        for key in keys {
            let _ = map.remove(&key);
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<MapData, Destination, Raw>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn destination(key: VerdictKey) -> Destination {
    let (address, port) = match key {
        VerdictKey::Address(address) => (named(address.ip().to_canonical()).into(), address.port()),
        VerdictKey::AnyAddress(port) => (Ip::UNSPECIFIED, port),
    };
    Destination { address, port: port.into(), reserved: 0 }
}

/// The address that connect(2) takes it for.
const fn named(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    }
}

fn raw(verdict: Verdict) -> Raw {
    let (first, first_errno) = act(verdict.first);
    let (then, then_errno) = act(verdict.then);
    Raw { times: verdict.times.into(), first, first_errno, then, then_errno }
}

const fn act(action: Action) -> (u32, u32) {
    match action {
        Action::Stub => (Act::Stub as u32, 0),
        Action::Refuse => (Act::Refuse as u32, 0),
        Action::Fail(errno) => (Act::Fail as u32, (errno as i32).unsigned_abs()),
        Action::Hang => (Act::Hang as u32, 0),
        Action::Live => (Act::Live as u32, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_loopback_and_never_any_address() {
        let of = |address: &str| destination(VerdictKey::Address(address.parse().unwrap()));
        assert_eq!(of("0.0.0.0:80"), of("127.0.0.1:80"));
        assert_eq!(of("[::]:80"), of("[::1]:80"));
        assert_eq!(of("[::ffff:10.0.0.7]:80"), of("10.0.0.7:80"));
        let any = destination(VerdictKey::AnyAddress(80));
        assert!(["0.0.0.0:80", "[::]:80", "10.0.0.7:80"].iter().all(|address| of(address) != any));
    }

    #[test]
    fn an_errno_goes_with_its_own_action() {
        let verdict =
            Verdict { first: Action::Fail(Errno::ENETUNREACH), times: 2, then: Action::Fail(Errno::EACCES) };
        let raw = raw(verdict);
        assert_eq!((raw.times, raw.first, raw.then), (2, Act::Fail as u32, Act::Fail as u32));
        assert_eq!((raw.first_errno, raw.then_errno), (101, 13));
    }
}
