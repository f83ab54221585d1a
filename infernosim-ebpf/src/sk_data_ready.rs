//! raw_tracepoint/sk_data_ready: connections of the target to UNIX sockets. A socket that listens is told so of
//! each connection that is made to it (unix_stream_connect), in the task that makes it: there is no other place
//! that tells of them and costs others nothing, for a tracepoint of connect(2) slows every system call of the host.
//! It runs for whatever arrives at any socket of the host, so the first thing it does is to find out that it is none
//! of these.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use aya_ebpf::programs::RawTracePointContext;
use infernosim_common::{Counter, State, UnixPath};

use crate::counter::count;
use crate::task::Address;
use crate::{AGENT, SOCKET_OFFSETS, STATE, UNIX_SOCKETS, scope};

const AF_UNIX: u16 = 1;
const TCP_LISTEN: u8 = 10;
/// `sun_family` stands before the path.
const FAMILY_LEN: u32 = 2;
/// linux/bpf.h
const BPF_NOEXIST: u64 = 1;

pub fn sk_data_ready(ctx: &RawTracePointContext) {
    let offsets = SOCKET_OFFSETS.load();
    let socket = Address(ctx.arg(0));
    if socket.read::<u16>(offsets.family) != Some(AF_UNIX)
        || socket.read::<u8>(offsets.state) != Some(TCP_LISTEN)
    {
        return;
    }
    if STATE.get(0).copied().unwrap_or(State::Off as u32) == State::Off as u32 {
        return;
    }
    if AGENT.get(0).copied() == Some(scope::process()) || !scope::is_target_of_all() {
        return;
    }
    count(Counter::UnixConnects);
    if let Some(path) = path(socket) {
        // Found, unless it is new, or there is no room for it.
        let _ = UNIX_SOCKETS.insert(&path, &0, BPF_NOEXIST);
        if let Some(slot) = UNIX_SOCKETS.get_ptr_mut(&path) {
            // SAFETY: a per-CPU slot; programs of one CPU do not run inside each other here.
            unsafe { *slot += 1 };
        }
    }
}

/// What the listening socket was bound to; abstract names are not told apart.
#[inline(always)]
fn path(socket: Address) -> Option<UnixPath> {
    let offsets = SOCKET_OFFSETS.load();
    let address = socket.follow(offsets.address)?;
    let at = address.0.wrapping_add(u64::from(offsets.name + FAMILY_LEN)) as *const u8;
    let mut path: UnixPath = [0; 108];
    // The kernel ends a path with NUL (unix_mkname_bsd).
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel_str_bytes(at, &mut path) }.ok()?;
    (path[0] != 0).then_some(path)
}
