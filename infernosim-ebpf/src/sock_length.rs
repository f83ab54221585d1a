//! tp_btf/sock_send_length and sock_recv_length (Linux 6.3): which thread of the target reads and writes on a
//! connection. They run in the task, after the bytes, for every socket of the host, so the first thing they do is to
//! find out that nothing is kept with this one.
//!
//! Told is each turn: the first that is read after something was written, or the first that is written after something
//! was read; and that another thread goes on with it. Of a connection that the target opened only what it writes: the time
//! of the call, and its thread. That an answer is written by the thread that read its request is not told in capture, where
//! the packets tell when. Of those that it accepted nothing where the agent knows that threads tell nothing
//! (`LOOSE`): that is what an event loop costs.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::programs::BtfTracePointContext;
use infernosim_common::tap::{Kind, Record, Role, TapState, flag};

use crate::socket::{self, Socket, relayed, turn};
use crate::{BY_COOKIE, LOOSE, SERVING, SOCKETS, ring, scope, task};

/// Flags of recv(2) with which nothing is taken from the stream: MSG_OOB, MSG_PEEK, MSG_ERRQUEUE.
const NOT_TAKEN: i32 = 0x1 | 0x2 | 0x2000;

/// `TP_PROTO(struct sock *sk, int ret, int flags)`.
pub fn sent(ctx: &BtfTracePointContext) {
    touched(ctx, 0);
}

/// Likewise.
pub fn received(ctx: &BtfTracePointContext) {
    let flags: i32 = ctx.arg(2);
    if flags & NOT_TAKEN == 0 {
        touched(ctx, flag::INGRESS);
    }
}

#[inline(always)]
fn touched(ctx: &BtfTracePointContext, direction: u16) {
    let bytes: i32 = ctx.arg(1);
    if bytes <= 0 || socket::tap_state() == TapState::Off as u32 {
        return;
    }
    // SAFETY: the first argument, which the verifier takes for a socket as long as it is not copied elsewhere.
    let socket = unsafe { ctx.as_ptr().cast::<*mut c_void>().read() };
    // SAFETY: as above.
    let Some(kept) = (unsafe { SOCKETS.get(socket) }) else { return };
    let opened = if kept.role == Role::Inbound as u32 {
        false
    } else if kept.role == Role::Outbound as u32
        || kept.role == Role::Redirected as u32
        || is_relayed(kept, socket)
    {
        true
    } else {
        return;
    };
    let reads = direction & flag::INGRESS != 0;
    let bytes = u64::from(bytes as u32);
    let offset = if reads { kept.read } else { kept.written };
    let (turns, changes) = note(kept, reads, bytes);
    let tells = turns || changes;
    // Who reads the answer to a call tells nothing of its cause.
    if if opened { reads || !tells } else { is_loose() } {
        return;
    }
    // SAFETY: a socket, see above.
    let cookie = unsafe { bpf_get_socket_cookie(socket) };
    let strays = !opened && strays(cookie, reads, tells);
    // That who read it answers is what is taken for granted; in replay the agent sees no packet by which it knows when.
    let granted = !opened && !reads && kept.reader == kept.writer;
    if !strays && (!tells || granted && socket::tap_state() != TapState::Touches as u32) {
        return;
    }
    let mut record = Record {
        // SAFETY: the helper has no argument.
        at_ns: unsafe { bpf_ktime_get_ns() },
        cookie,
        kind: Kind::Touched as u16,
        role: kept.role as u16,
        sequence: offset as u32,
        acknowledgment: (offset >> 32) as u32,
        unseen: bytes as u32,
        flags: if strays { direction | flag::STRAY } else { direction },
        ..Record::default()
    };
    // What it is called is told where it is new.
    let task = if reads && changes { task::described() } else { task::numbered() };
    ring::tell(&mut record, Some(&task));
}

/// Keeps what happened with the socket; whether it is a turn, and another thread.
#[inline(always)]
fn note(kept: &mut Socket, reads: bool, bytes: u64) -> (bool, bool) {
    let thread = bpf_get_current_pid_tgid() as u32;
    let turn = if reads { turn::READ } else { turn::WRITTEN };
    let last = if reads {
        kept.read += bytes;
        core::mem::replace(&mut kept.reader, thread)
    } else {
        kept.written += bytes;
        core::mem::replace(&mut kept.writer, thread)
    };
    (core::mem::replace(&mut kept.turn, turn) != turn, last != thread)
}

/// Whether threads tell nothing in the process that runs.
#[inline(always)]
fn is_loose() -> bool {
    // SAFETY: the value is not read.
    unsafe { LOOSE.get(&scope::process()) }.is_some()
}

/// Whether this thread writes an answer, or more of one, although it has read from somebody else since.
#[inline(always)]
fn strays(cookie: u64, reads: bool, tells: bool) -> bool {
    let thread = bpf_get_current_pid_tgid() as u32;
    if reads {
        if tells {
            serves(thread, cookie);
        }
        return false;
    }
    // SAFETY: the value is copied.
    unsafe { SERVING.get(&thread) }.is_some_and(|last| *last != cookie)
}

#[inline(always)]
fn serves(thread: u32, cookie: u64) {
    match SERVING.get_ptr_mut(&thread) {
        // SAFETY: an entry of the map, which the kernel keeps while the program runs; only this thread changes it.
        Some(last) => unsafe { *last = cookie },
        // Without room for it nothing is said of this thread.
        None => {
            let _ = SERVING.insert(&thread, &cookie, 0);
        }
    }
}

/// Whether it is a connection that was redirected to the proxy.
#[inline(always)]
fn is_relayed(kept: &mut Socket, socket: *mut c_void) -> bool {
    if kept.role != Role::Ignored as u32 {
        return false;
    }
    if kept.relayed == relayed::UNKNOWN {
        // SAFETY: a socket, as the caller says.
        let cookie = unsafe { bpf_get_socket_cookie(socket) };
        // SAFETY: the value is not read.
        let flow = unsafe { BY_COOKIE.get(&cookie) }.is_some();
        kept.relayed = if flow { relayed::YES } else { relayed::NO };
    }
    kept.relayed == relayed::YES
}
