//! In replay, what the agent wants to become of a connect.

use core::arch::asm;

use infernosim_common::{Act, Destination, Fate, Ip, Replay};

use crate::{REPLAY, VERDICTS, ahead, replay};

const LOOPBACK_V4: u32 = 0x7f00_0001_u32.to_be();
const LOOPBACK_V6: Ip = Ip([0, 0, 0, 1_u32.to_be()]);
/// A resolver's port: lookups go to the agent, whoever is asked.
pub const DNS_PORT: u32 = 53;

/// With faults on live traffic, what has no verdict for its address or port.
const ANY_PORT: u32 = 0;

/// What becomes of one connect.
pub struct Decision {
    /// An [`Act`].
    pub act: u32,
    /// With [`Act::Fail`].
    pub errno: u32,
    /// What the agent is told of it, a [`Fate`]; 0 if this is what its own verdict says. No option, here and in
    /// `replay.rs`: LLVM moves about what an absent one does not hold, which the verifier refuses.
    pub unasked: u32,
}

/// The address that connect(2) takes it for.
#[inline(always)]
pub fn named(address: Ip) -> Ip {
    if address.is_v4() {
        return if address.v4() == 0 { Ip::from_v4(LOOPBACK_V4) } else { address };
    }
    if address.0[0] == 0 && address.0[1] == 0 && address.0[2] == 0 && address.0[3] == 0 {
        return LOOPBACK_V6;
    }
    address
}

/// Takes one from the countdown, if it is the next one's turn.
#[inline(always)]
pub fn decide(address: Ip, port: u32) -> Decision {
    let ahead = ahead::decide(address, port);
    if ahead.act != 0 {
        return ahead;
    }
    if let Some(decision) = given(address, port) {
        return decision;
    }
    if let Some(decision) = given(Ip::UNSPECIFIED, port) {
        return decision;
    }
    if replay::injects() {
        if let Some(decision) = given(address, ANY_PORT) {
            return decision;
        }
        if let Some(decision) = given(Ip::UNSPECIFIED, ANY_PORT) {
            return decision;
        }
    }
    if port == DNS_PORT || replay::injects() {
        return Decision { act: Act::Stub as u32, errno: 0, unasked: 0 };
    }
    if REPLAY.load() == Replay::Pass as u32 {
        return Decision { act: Act::Live as u32, errno: 0, unasked: Fate::Passed as u32 };
    }
    let unasked = if twin_is_known(address, port) { Fate::Twin } else { Fate::Unknown } as u32;
    Decision { act: Act::Refuse as u32, errno: 0, unasked }
}

/// Whether the user wants what goes there to be left alone, as far as that is said of all of it.
#[inline(always)]
pub fn is_live(address: Ip, port: u32) -> bool {
    let then = |address: Ip| {
        // SAFETY: the value is copied; only `times` is ever changed in place.
        unsafe { VERDICTS.get(&Destination { address, port, reserved: 0 }) }.map(|verdict| verdict.then)
    };
    then(address).or_else(|| then(Ip::UNSPECIFIED)) == Some(Act::Live as u32)
}

#[inline(always)]
fn given(address: Ip, port: u32) -> Option<Decision> {
    let verdict = VERDICTS.get_ptr_mut(&Destination { address, port, reserved: 0 })?;
    // SAFETY: an entry of the map, which the kernel keeps while the program runs. `times` is only ever changed atomically
    // here, the others not in place.
    unsafe {
        // Several connect at once: what counts is what each of them took away.
        let times = &raw mut (*verdict).times;
        let first = times.read_volatile() > 0 && take(times, -1) > 0;
        let (act, errno) = if first {
            ((*verdict).first, (*verdict).first_errno)
        } else {
            ((*verdict).then, (*verdict).then_errno)
        };
        Some(Decision { act, errno, unasked: 0 })
    }
}

/// Adds to it, and tells what it was. Not by its name, since the compiler's oldest processor, for which all
/// else is made, has no addition that tells (`BPF_ADD | BPF_FETCH`, Linux 5.12).
///
/// # Safety
/// `times` is in a map's value.
#[inline(always)]
pub unsafe fn take(times: *mut i64, more: i64) -> i64 {
    let mut taken = more;
    // SAFETY: the caller's. r2 = atomic_fetch_add((u64 *)(r1 + 0), r2), linux/bpf.h.
    unsafe {
        asm!(
            ".byte 0xdb, 0x21, 0, 0, 1, 0, 0, 0",
            in("r1") times,
            inout("r2") taken,
            options(nostack)
        );
    }
    taken
}

/// Whether the same port of the other family's loopback address has a verdict.
#[inline(always)]
fn twin_is_known(address: Ip, port: u32) -> bool {
    let twin = if address == LOOPBACK_V6 {
        Ip::from_v4(LOOPBACK_V4)
    } else if address == Ip::from_v4(LOOPBACK_V4) {
        LOOPBACK_V6
    } else {
        return false;
    };
    // SAFETY: the value is not read.
    unsafe { VERDICTS.get(&Destination { address: twin, port, reserved: 0 }) }.is_some()
}
