//! What the kernel half does with a connect in replay, where nothing of the target's may leave.

use crate::{Flow, Ip};

/// How replay works, as the agent sets it in the constant `REPLAY`; 0 in every other mode.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// What the agent has no verdict for is refused, and packets that would leave are dropped.
    Deny = 1,
    /// What the agent has no verdict for is left alone.
    Pass = 2,
    /// No replay but faults on live traffic: what the agent has no verdict for goes to its listener, which passes it on;
    /// all of it is left alone while no heartbeat is seen.
    Inject = 3,
}

/// What becomes of a connect.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is redirected to the agent's listener.
    Stub = 1,
    /// It meets a port of the agent's on which nobody listens: the kernel's own ECONNREFUSED.
    Refuse = 2,
    /// It fails at once with the errno that goes with it, where the kernel lets us say which; else as `Refuse`.
    Fail = 3,
    /// Nobody answers: its SYNs are dropped.
    Hang = 4,
    /// It is left alone.
    Live = 5,
}

/// The destination that a [`Verdict`] is for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Its address, never an unspecified one, which connect(2) takes for loopback; [`Ip::UNSPECIFIED`] stands for any
    /// address without a verdict of its own.
    pub address: Ip,
    /// Host order.
    pub port: u32,
    /// Zero; keeps the key free of padding.
    pub reserved: u32,
}

/// What becomes of the connects to a destination: the next `times` of them one thing, all others the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Counted down with every connect; below 1 there is none left. Below 0 it goes when several connect at once.
    pub times: i64,
    /// An [`Act`] for as many connects as `times` says.
    pub first: u32,
    /// What `first` fails with, if it is [`Act::Fail`].
    pub first_errno: u32,
    /// An [`Act`] for all others.
    pub then: u32,
    /// What `then` fails with, if it is [`Act::Fail`].
    pub then_errno: u32,
}

/// So many connects are decided ahead.
pub const AHEAD: usize = 1024;

/// What becomes of the next connects of a series, a bit for each: that of connect number N, from 0, is bit N % [`AHEAD`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// It is refused.
    pub refused: [u64; AHEAD / 64],
    /// Nobody answers it.
    pub hung: [u64; AHEAD / 64],
}

/// What became of a connect that the agent is told of, for no connection of it arrives.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Left alone, since nobody listens on that local port; the only one outside of replay.
    Closed = 0,
    /// Refused, as its verdict says.
    Refused = 1,
    /// Failed with an errno, as its verdict says.
    Failed = 2,
    /// Left to hang, as its verdict says.
    Hung = 3,
    /// Refused, since there is no verdict for its destination.
    Unknown = 4,
    /// Refused, since only the same port of the other family's loopback address has a verdict: a client that means
    /// `localhost` tries both.
    Twin = 5,
    /// Left alone, though there is no verdict for its destination ([`Replay::Pass`]).
    Passed = 6,
    /// Refused, since it cannot be sent to the agent: its network namespace, interface or protocol, or the limit of
    /// connections, does not let us.
    Unserved = 7,
    /// Refused, as was decided ahead.
    RefusedOnPurpose = 8,
    /// Left to hang, as was decided ahead.
    HungOnPurpose = 9,
}

impl Fate {
    /// Every one of them, by its number.
    pub const ALL: [Self; 10] = [
        Self::Closed,
        Self::Refused,
        Self::Failed,
        Self::Hung,
        Self::Unknown,
        Self::Twin,
        Self::Passed,
        Self::Unserved,
        Self::RefusedOnPurpose,
        Self::HungOnPurpose,
    ];
}

/// What is kept with a socket that asks a resolver, in replay.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whom it asked last, and who did.
    pub flow: Flow,
    /// The agent's port that it was sent to instead, host order.
    pub port: u32,
    /// Zero; keeps the value free of padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Destination>() == 24);
const _: () = assert!(size_of::<Verdict>() == 24);
const _: () = assert!(size_of::<Ahead>() == 256);
const _: () = assert!(size_of::<Asked>() == 112);

#[cfg(feature = "user")]
mod user {
    use super::{Ahead, Destination, Verdict};

    // SAFETY: repr(C), integers only, sizes asserted above: any bytes are a value, no padding.
    unsafe impl aya::Pod for Destination {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Verdict {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Ahead {}
}
