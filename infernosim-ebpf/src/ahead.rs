//! Connects that fail on purpose, by which of them it is: the agent decides ahead, and each connect takes the next place.

use infernosim_common::{AHEAD, Act, Destination, Fate, Ip};

use crate::verdict::{Decision, take};
use crate::{AHEAD_OF, AHEAD_PLANS, AHEAD_SEEN, replay};

/// What the agent wants to become of this connect; `act` is 0 where it wants nothing. Counts it.
#[inline(always)]
pub fn decide(address: Ip, port: u32) -> Decision {
    let nothing = Decision { act: 0, errno: 0, unasked: 0 };
    // SAFETY: the value is copied.
    let Some(number) = (unsafe { AHEAD_OF.get(&Destination { address, port, reserved: 0 }) }).copied() else {
        return nothing;
    };
    let (Some(seen), Some(plan)) = (AHEAD_SEEN.get_ptr_mut(number), AHEAD_PLANS.get(number)) else {
        return nothing;
    };
    // SAFETY: an element of the map, only ever changed atomically here.
    let place = unsafe { take(seen, 1) } as u64 % AHEAD as u64;
    let bit = 1 << (place % 64);
    let word = (place / 64) as usize;
    let (Some(refused), Some(hung)) = (plan.refused.get(word), plan.hung.get(word)) else { return nothing };
    if refused & bit != 0 {
        return Decision { act: Act::Refuse as u32, errno: 0, unasked: Fate::RefusedOnPurpose as u32 };
    }
    if hung & bit != 0 {
        return Decision { act: Act::Hang as u32, errno: 0, unasked: Fate::HungOnPurpose as u32 };
    }
    if replay::injects() {
        // What is said of ports that nobody knows is not of this one.
        return Decision { act: Act::Stub as u32, errno: 0, unasked: 0 };
    }
    nothing
}
