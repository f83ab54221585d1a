use infernosim_common::Counter;

use crate::COUNTERS;

#[inline(always)]
pub fn count(what: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(what as u32) {
        // SAFETY: a per-CPU slot; programs of one CPU do not run inside each other here.
        unsafe { *slot += 1 };
    }
}
