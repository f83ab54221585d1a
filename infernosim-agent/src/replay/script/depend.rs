//! Dependencies and lookups from what was read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use nix::errno::Errno;

use super::causes::Causes;
use super::entry::{CallKind, Dependency, FailedConnect, Lookup};
use super::load::{Connection, Draft, Drafts};

/// Names of error numbers that a connect can have (connect(2), tcp(7), ip(7)).
const ERRNOS: [Errno; 14] = [
    Errno::ECONNREFUSED,
    Errno::ECONNRESET,
    Errno::ETIMEDOUT,
    Errno::EHOSTUNREACH,
    Errno::ENETUNREACH,
    Errno::EHOSTDOWN,
    Errno::ENETDOWN,
    Errno::ECONNABORTED,
    Errno::EADDRNOTAVAIL,
    Errno::EACCES,
    Errno::EPERM,
    Errno::EPIPE,
    Errno::EINVAL,
    Errno::EPROTO,
];

/// By name, in the order in which the target first turned to them.
pub fn dependencies(drafts: &Drafts, causes: &mut Causes) -> Vec<Dependency> {
    let mut found = Found::default();
    let mut protocols = BTreeMap::<(usize, &str), (u64, Arc<str>)>::new();
    // When calls to an address began.
    let mut begun = BTreeMap::<SocketAddr, Vec<u64>>::new();
    for draft in &drafts.calls {
        let call = &draft.entry.call;
        let at = found.named(&call.dependency);
        found.reached(at, call.peer);
        if call.kind == CallKind::Unserved {
            found.all[at].unserved += 1;
        } else {
            found.all[at].served += 1;
        }
        let protocol = &draft.entry.protocol;
        protocols.entry((at, protocol)).or_insert((0, protocol.clone())).0 += 1;
        if let Some(peer) = call.peer {
            begun.entry(peer).or_default().push(call.start_ns);
        }
    }
    begun.values_mut().for_each(|times| times.sort_unstable());
    let mut most = vec![0; found.all.len()];
    for ((at, _), (count, protocol)) in protocols {
        if count > most[at] {
            most[at] = count;
            found.all[at].protocol = protocol;
        }
    }
    for draft in &drafts.connections {
        let at = found.of_connection(&draft.entry);
        found.reached(at, draft.entry.address);
        if let Some(failed) = failed(draft, &begun, causes) {
            found.all[at].failed.push(failed);
        }
    }
    found.all
}

#[derive(Default)]
struct Found {
    all: Vec<Dependency>,
    names: BTreeMap<Arc<str>, usize>,
    addresses: BTreeMap<SocketAddr, usize>,
}

impl Found {
    fn named(&mut self, name: &Arc<str>) -> usize {
        if let Some(at) = self.names.get(name) {
            return *at;
        }
        self.names.insert(name.clone(), self.all.len());
        self.all.push(Dependency {
            name: name.clone(),
            addresses: Vec::new(),
            protocol: "tcp".into(),
            served: 0,
            unserved: 0,
            failed: Vec::new(),
        });
        self.all.len() - 1
    }

    /// A connection without an exchange has an address and no Host: it is that of whoever is known to be there.
    fn of_connection(&mut self, connection: &Connection) -> usize {
        if let Some(at) = self.names.get(&connection.dependency) {
            return *at;
        }
        let known = connection.address.and_then(|address| self.addresses.get(&address).copied());
        known.unwrap_or_else(|| self.named(&connection.dependency))
    }

    fn reached(&mut self, at: usize, address: Option<SocketAddr>) {
        let Some(address) = address else { return };
        self.addresses.entry(address).or_insert(at);
        // One by one: a name has few addresses; of one that has very many the first are enough.
        let addresses = &mut self.all[at].addresses;
        if addresses.len() < 256 && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
}

fn failed(
    draft: &Draft<Connection>,
    begun: &BTreeMap<SocketAddr, Vec<u64>>,
    causes: &mut Causes,
) -> Option<FailedConnect> {
    let errno = draft.entry.errno.as_deref()?;
    let address = draft.entry.address?;
    let errno = ERRNOS.into_iter().find(|known| format!("{known:?}") == errno).unwrap_or(Errno::ECONNREFUSED);
    let position = begun.get(&address).map_or(0, |times| times.partition_point(|at| *at < draft.start_ns));
    let (cause, basis) = causes.find(&draft.clue, draft.start_ns);
    Some(FailedConnect {
        address,
        errno,
        position: position as u32,
        took_ns: draft.entry.took_ns,
        cause,
        basis,
    })
}

/// By name and type.
pub fn lookups(
    drafts: Vec<(Box<str>, Box<str>, Draft<Lookup>)>,
    causes: &mut Causes,
) -> BTreeMap<(Box<str>, Box<str>), Vec<Lookup>> {
    let mut lookups = BTreeMap::<(Box<str>, Box<str>), Vec<Lookup>>::new();
    for (name, kind, draft) in drafts {
        let (cause, basis) = causes.find(&draft.clue, draft.start_ns);
        lookups.entry((name, kind)).or_default().push(Lookup { cause, basis, ..draft.entry });
    }
    lookups
}
