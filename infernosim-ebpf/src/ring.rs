//! The tap's ring: records of three sizes, since a reservation's size must be a constant.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes};
use aya_ebpf::programs::SkBuffContext;
use infernosim_common::tap::{CLASSES, Record, Task, flag};
use infernosim_common::{Counter, HEARTBEAT_LIMIT_NS};

use crate::counter::{add, count};
use crate::{HEARTBEAT, STRICT, TAP, TAP_WAKE};

/// linux/bpf.h; waking the agent for each record would cost more than the record.
const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;
/// The largest piece of a packet that goes into one record.
const CHUNK: u32 = CLASSES[2] as u32;
/// Pieces of a packet: 640 KiB, more than the largest that exists (BIG TCP, 512 KiB).
const MAX_CHUNKS: u32 = 40;

#[repr(C)]
struct Slot<const N: usize> {
    record: Record,
    bytes: [u8; N],
}

/// What became of a packet's copy.
pub enum Copied {
    Whole,
    /// The ring was full; how many bytes it had no room for.
    Not(u32),
}

/// Copies `length` bytes of the packet from `offset` into the ring, as one record or several.
#[inline(always)]
pub fn packet(ctx: &SkBuffContext, record: &mut Record, offset: u32, length: u32) -> Copied {
    let before = TAP.query(BPF_RB_AVAIL_DATA);
    let missing = if length > 0 {
        tap_packet(ctx.skb.skb, record, offset, length)
    } else if put(record, None) {
        0
    } else {
        1
    };
    // One wake-up as the fill level is crossed; the agent looks now and then anyway.
    let wake = TAP_WAKE.load();
    if before < wake && TAP.query(BPF_RB_AVAIL_DATA) >= wake {
        wake_up();
    }
    if missing == 0 { Copied::Whole } else { Copied::Not(if length > 0 { missing } else { 0 }) }
}

/// Gives how many of the bytes found no room. A global function, as the next: the verifier checks them once, not once
/// for every way that leads to them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tap_packet(skb: *mut __sk_buff, record: *mut Record, offset: u32, length: u32) -> u32 {
    if record.is_null() {
        return length;
    }
    // SAFETY: checked above; the verifier knows its size.
    let record = unsafe { &mut *record };
    let flags = record.flags;
    let (mut at, mut left) = (offset, length);
    let mut rounds = MAX_CHUNKS;
    while left > 0 && rounds > 0 {
        let piece = if left > CHUNK { CHUNK } else { left };
        record.length = piece;
        // A FIN comes after the last byte.
        record.flags = if left > CHUNK { flags & !(flag::FIN | flag::RST) } else { flags };
        if tap_chunk(skb, record, at) != 0 {
            break;
        }
        record.sequence = record.sequence.wrapping_add(piece);
        at = at.wrapping_add(piece);
        left -= piece;
        rounds -= 1;
    }
    left
}

/// One piece; not 0 if there was no room for it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tap_chunk(skb: *mut __sk_buff, record: *const Record, offset: u32) -> i32 {
    if record.is_null() {
        return 1;
    }
    // SAFETY: checked above; the verifier knows its size.
    let record = unsafe { &*record };
    let length = record.length;
    let done = if length <= CLASSES[0] as u32 {
        copy::<{ CLASSES[0] }>(skb, record, offset, length)
    } else if length <= CLASSES[1] as u32 {
        copy::<{ CLASSES[1] }>(skb, record, offset, length)
    } else {
        copy::<{ CLASSES[2] }>(skb, record, offset, length)
    };
    i32::from(!done)
}

#[inline(always)]
fn copy<const N: usize>(skb: *mut __sk_buff, record: &Record, offset: u32, length: u32) -> bool {
    let Some(mut slot) = TAP.reserve::<Slot<N>>(0) else { return false };
    let to = slot.as_mut_ptr();
    // 1 to N, in a form that the verifier follows: a length of 0 it refuses.
    let length = (length.wrapping_sub(1) & (N as u32 - 1)) + 1;
    // SAFETY: the slot is `Slot<N>` and `length` at most N.
    unsafe {
        (*to).record = *record;
        if bpf_skb_load_bytes(skb.cast(), offset, (&raw mut (*to).bytes).cast(), length) != 0 {
            // Memory that the kernel cannot read (of a device): the bytes are told as unseen.
            (*to).record.length = 0;
            (*to).record.unseen = length;
        }
    }
    slot.submit(BPF_RB_NO_WAKEUP);
    true
}

/// A record without a packet's bytes; `task` follows it where there is one. False where there is no room.
#[inline(always)]
pub fn put(record: &mut Record, task: Option<&Task>) -> bool {
    record.length = if task.is_some() { size_of::<Task>() as u32 } else { 0 };
    let Some(mut slot) = TAP.reserve::<Slot<32>>(0) else { return false };
    let to = slot.as_mut_ptr();
    // SAFETY: the slot is large enough for both, and no byte of it stays unwritten.
    unsafe {
        (*to).record = *record;
        (&raw mut (*to).bytes).cast::<Task>().write_unaligned(task.copied().unwrap_or_default());
    }
    slot.submit(BPF_RB_NO_WAKEUP);
    true
}

/// As [`put`], and counts it if it is lost.
#[inline(always)]
pub fn tell(record: &mut Record, task: Option<&Task>) {
    if !put(record, task) {
        count(Counter::TapLost);
    }
}

/// The ring had no room for `bytes` of a packet. Whether the packet is to be dropped, so that TCP sends it again:
/// only while the agent is alive, or else it would never get through.
#[inline(always)]
pub fn hold(bytes: u32) -> bool {
    if STRICT.load() != 0 {
        // SAFETY: the helper has no argument.
        let now = unsafe { bpf_ktime_get_ns() };
        if now.saturating_sub(HEARTBEAT.get(0).copied().unwrap_or(0)) <= HEARTBEAT_LIMIT_NS {
            count(Counter::TapHeld);
            wake_up();
            return true;
        }
    }
    lost(bytes);
    false
}

/// Counts a packet that was not copied whole.
#[inline(always)]
pub fn lost(bytes: u32) {
    count(Counter::TapLost);
    add(Counter::TapLostBytes, u64::from(bytes));
}

/// The only way to wake the agent is to submit something: a record of no kind.
#[inline(always)]
fn wake_up() {
    if let Some(mut slot) = TAP.reserve::<Slot<0>>(0) {
        slot.write(Slot { record: Record::default(), bytes: [] });
        slot.submit(BPF_RB_FORCE_WAKEUP);
    }
}
