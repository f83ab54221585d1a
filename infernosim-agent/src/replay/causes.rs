//! Causes, live: which of the requests that the driver has sent made the target call.
//!
//! The same engine as capture's. The driver tells what it sends, the kernel half which threads of the target read it, wrote
//! its answer, and made the calls. For that the tap works as [`infernosim_common::tap::TapState::Touches`] says, with
//! [`crate::redirect::Redirect::watch_threads`]; without it no call is known by its thread. Whoever asks or tells reads the
//! kernel half's ring: there is no thread for it, and what is asked about is there by then, or within a moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infernosim_common::tap::{Kind, Record, Role};

use super::script::{Basis, ExchangeIndex};
use crate::clock::{self, Nanos};
use crate::incident::cause::{self, Asked, Causes, Ending, Identifiers, Ticket, Turn, Who};
use crate::redirect::{Loose, Ring};
use crate::tap::touch;

/// So often, in ms, it is looked for what the kernel half has not told of a call yet, and so many times.
const LOOK_MS: u64 = 1;
const LOOKS: u32 = 50;
/// Connections of the driver's that are remembered.
const MOST: usize = 65_536;

/// What the driver and the stub ask and tell. Cheap to clone; any thread may use any clone.
#[derive(Clone)]
pub struct Live {
    state: Arc<Mutex<State>>,
}

/// What the kernel half tells of threads.
pub struct Touches {
    /// Its ring.
    pub ring: Ring,
    /// In which processes it need not.
    pub loose: Loose,
    /// How often there was no room in the ring (`Counter::TapLost`).
    pub lost: Box<dyn Fn() -> u64 + Send>,
}

struct State {
    causes: Causes<ExchangeIndex>,
    touches: Option<Touches>,
    /// Whether it is told who reads and writes.
    watched: bool,
    /// Connections that the target accepted, by cookie: the driver's end of them.
    accepted: BTreeMap<u64, u64>,
}

/// A request that was sent. One exchange may be sent several times at once (`--fanout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent(Ticket);

/// What the target asks for, and how that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// [`infernosim_common::Flow::cookie`] of the connection; 0 where it is not known.
    pub cookie: u64,
    /// The place of the request's first byte in all that the target sent on the connection, from 0.
    pub offset: u64,
    /// What its head calls it.
    pub identifiers: &'a Identifiers,
    /// The process and thread that opened the connection, in the initial pid namespace; 0 where they are not known.
    pub process: (u32, u32),
    /// When its first bytes were there.
    pub at: Nanos,
}

/// Which exchange made a call happen, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// The exchanges that were open when it was asked, in the order in which they were sent.
    pub open: Vec<ExchangeIndex>,
}

impl Live {
    /// Knows of nothing yet. Without `touches` no call is known by its thread.
    pub fn new(touches: Option<Touches>) -> Self {
        let watched = touches.is_some();
        let state = State { causes: Causes::default(), touches, watched, accepted: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A new run begins: what was sent before is forgotten; with `fresh` other processes serve, of which it is not
    /// known yet whether their threads do one request at a time.
    pub fn begin(&self, fresh: bool) {
        self.state().causes.restart(fresh);
    }

    /// The driver is about to write this request, from its socket with this address of its own.
    pub fn sent(&self, exchange: ExchangeIndex, local: SocketAddr, identifiers: &Identifiers) -> Sent {
        let mut state = self.state();
        let watched = state.watched;
        Sent(state.causes.begin(&Asked {
            request: Some(exchange),
            socket: socket(local),
            at: clock::now(),
            identifiers,
            process: None,
            watched,
        }))
    }

    /// Its answer was whole; or it failed, and nothing more will come of it.
    pub fn answered(&self, sent: Sent) {
        self.state().causes.end(sent.0, clock::now(), Ending::Whole, None);
    }

    /// Which exchange made the target ask this. Waits, 50 ms at most, for what the kernel half tells of the thread and the
    /// time, unless an identifier tells, or nothing is open.
    pub async fn of_call(&self, asking: Asking<'_>) -> Found {
        for _ in 0..LOOKS {
            if let Some(found) = self.try_call(&asking, false) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        self.try_call(&asking, true).unwrap_or_default()
    }

    /// Which exchange made a thread connect, or look a name up, at this time: of what has no head to read and no bytes.
    pub fn of_thread(&self, process: (u32, u32), at: Nanos) -> Found {
        let identifiers = Identifiers::default();
        self.state().find(
            &Asking { cookie: 0, offset: 0, identifiers: &identifiers, process, at },
            who(process),
            at,
        )
    }

    /// The exchanges that are open.
    pub fn open(&self) -> Vec<ExchangeIndex> {
        self.state().causes.open().collect()
    }

    /// With `last`, as far as it is known.
    fn try_call(&self, asking: &Asking<'_>, last: bool) -> Option<Found> {
        let mut state = self.state();
        let State { causes, touches, .. } = &mut *state;
        let turn = causes.turn(asking.cookie, asking.offset, asking.offset.saturating_add(1));
        let waits = turn.is_none()
            && touches.is_some()
            && asking.cookie != 0
            && causes.is_busy(asking.at)
            && causes.named(asking.identifiers, asking.at).is_none();
        if waits && !last {
            return None;
        }
        let at = turn.map_or(asking.at, |Turn { at, .. }| at.min(asking.at));
        Some(state.find(asking, turn.map(|turn| turn.who), at))
    }

    /// As it is when the ring has been read.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read();
        state
    }
}

impl State {
    fn read(&mut self) {
        let Self { causes, touches: Some(Touches { ring, loose, lost }), accepted, .. } = self else {
            return;
        };
        if lost() > 0 {
            causes.blind();
        }
        ring.read(Nanos(u64::MAX), |record, bytes| take(record, bytes, causes, accepted));
        causes.take_loosened().into_iter().for_each(|process| loose.tell(process));
    }

    fn find(&mut self, asking: &Asking<'_>, who: Option<Who>, at: Nanos) -> Found {
        let process = Some(asking.process.0).filter(|&pid| pid != 0);
        let identifiers = asking.identifiers;
        let found = self.causes.find(&cause::Asking { at, identifiers, who, process, named: None });
        let basis = match found.basis {
            Some(cause::Basis::Header) => Basis::Header,
            Some(cause::Basis::Thread) => Basis::Thread,
            Some(cause::Basis::OnlyOneInFlight) => Basis::OnlyOneInFlight,
            Some(cause::Basis::Ambiguous) => Basis::Ambiguous,
            None => Basis::None,
        };
        Found { cause: found.cause, basis, open: self.causes.open().collect() }
    }
}

/// Takes in a record of the ring.
fn take(
    record: &Record,
    bytes: &[u8],
    causes: &mut Causes<ExchangeIndex>,
    accepted: &mut BTreeMap<u64, u64>,
) {
    let is = |kind: Kind| record.kind == kind as u16;
    if is(Kind::Established) && record.role == Role::Inbound as u16 {
        if accepted.len() >= MOST {
            accepted.pop_first();
        }
        accepted.insert(record.cookie, socket(SocketAddr::new(record.remote.into(), record.remote_port)));
    } else if is(Kind::Closed) {
        accepted.remove(&record.cookie);
    } else if is(Kind::Touched) {
        match touch(record, bytes) {
            Some(Ok(touch)) => {
                let Some(socket) = accepted.get(&record.cookie) else { return };
                // The places of requests on it are not known here; those of one connection come one after the other.
                causes.touched(&cause::Touch { socket: *socket, offset: None, ..touch });
            }
            Some(Err(turn)) => causes.turned(record.cookie, turn),
            None => {}
        }
    }
}

/// A number for the driver's end of a connection, which no other has at the time.
fn socket(local: SocketAddr) -> u64 {
    let v6 = matches!(local.ip().to_canonical(), IpAddr::V6(_));
    u64::from(local.port()) | u64::from(v6) << 16
}

fn who((pid, tid): (u32, u32)) -> Option<Who> {
    (tid != 0).then_some(Who { pid, tid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::cause::identifiers;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn asking(identifiers: &Identifiers) -> Asking<'_> {
        Asking { cookie: 0, offset: 0, identifiers, process: (1, 1), at: clock::now() }
    }

    fn found(live: &Live, identifiers: &Identifiers) -> Found {
        live.try_call(&asking(identifiers), false).expect("there is nothing to wait for")
    }

    #[test]
    fn without_the_kernel_half_heads_and_numbers_tell() {
        let (live, no) = (Live::new(None), Identifiers::default());
        assert_eq!(found(&live, &no), Found::default());
        let first = live.sent(ExchangeIndex(4), local(1001), &no);
        let alone = Found {
            cause: Some(ExchangeIndex(4)),
            basis: Basis::OnlyOneInFlight,
            open: vec![ExchangeIndex(4)],
        };
        assert_eq!(found(&live, &no), alone);
        let named = identifiers([("x-request-id", b"request-17".as_slice())]);
        let second = live.sent(ExchangeIndex(5), local(1002), &named);
        let both = vec![ExchangeIndex(4), ExchangeIndex(5)];
        assert_eq!(found(&live, &no), Found { cause: None, basis: Basis::Ambiguous, open: both.clone() });
        let header = Found { cause: Some(ExchangeIndex(5)), basis: Basis::Header, open: both };
        assert_eq!(found(&live, &named), header);
        live.answered(first);
        assert_eq!(live.open(), [ExchangeIndex(5)]);
        live.answered(second);
        live.begin(false);
        assert_eq!(found(&live, &named), Found::default());
    }

    /// A record of the ring, and what follows it.
    fn touched(role: Role, (cookie, offset): (u64, u32), tid: u32, flags: u16) -> (Record, Vec<u8>) {
        let record = Record {
            at_ns: clock::now().0,
            cookie,
            kind: Kind::Touched as u16,
            role: role as u16,
            sequence: offset,
            flags,
            ..Record::default()
        };
        let mut task = [0; 32];
        task[..4].copy_from_slice(&77_u32.to_ne_bytes());
        task[4..8].copy_from_slice(&tid.to_ne_bytes());
        (record, task.to_vec())
    }

    #[test]
    fn what_the_kernel_half_tells_is_laid_beside_what_the_driver_sent() {
        let (live, no) = (Live::new(None), Identifiers::default());
        live.state().watched = true;
        for number in 0..32_u16 {
            let sent = live.sent(ExchangeIndex(number.into()), local(2000 + number), &no);
            live.answered(sent);
            live.sent(ExchangeIndex(number.into()), local(2000 + number), &no);
        }
        let mut state = live.state();
        let State { causes, accepted, .. } = &mut *state;
        let reads = infernosim_common::tap::flag::INGRESS;
        for number in 0..32_u16 {
            let (cookie, tid) = (u64::from(number) + 1, u32::from(number) + 100);
            let established = Record {
                cookie,
                kind: Kind::Established as u16,
                role: Role::Inbound as u16,
                remote: IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped()).into(),
                remote_port: 2000 + number,
                ..Record::default()
            };
            take(&established, &[], causes, accepted);
            for (record, bytes) in [
                touched(Role::Inbound, (cookie, 900), tid, reads),
                touched(Role::Ignored, (cookie + 1000, 50), tid, 0),
            ] {
                take(&record, &bytes, causes, accepted);
            }
        }
        drop(state);
        for number in (0..32_u16).rev() {
            let asking = Asking { cookie: u64::from(number) + 1001, offset: 50, ..asking(&no) };
            let found = live.try_call(&asking, false).unwrap();
            assert_eq!((found.cause, found.basis), (Some(ExchangeIndex(number.into())), Basis::Thread));
            // Of another turn of this connection nothing was told.
            let other = live.try_call(&Asking { offset: 51, ..asking }, true).unwrap();
            assert_eq!((other.cause, other.basis), (None, Basis::Ambiguous));
        }
    }
}
