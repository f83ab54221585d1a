use infernosim_common::Counter;

use crate::COUNTERS;

#[inline(always)]
pub fn count(what: Counter) {
    add(what, 1);
}

#[inline(always)]
pub fn add(what: Counter, more: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(what as u32) {
        // SAFETY: a per-CPU slot. A packet that arrives while this CPU counts for a task may undo that: then it
        // is one too few.
        unsafe { *slot += more };
    }
}
