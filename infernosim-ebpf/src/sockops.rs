//! sockops: TCP_CONNECT_CB runs before the SYN leaves and already knows the local port, so the proxy never
//! accepts a connection whose flow it cannot find. The others tell the tap where a connection begins and ends:
//! ESTABLISHED_CB runs in the socket that will carry it, before any of its data is taken in.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, bpf_sock,
};
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_probe_read_kernel};
use aya_ebpf::programs::SockOpsContext;
use infernosim_common::tap::{Kind, Record, Role};
use infernosim_common::{FlowKey, Ip, Via};

use crate::task::Address;
use crate::{BY_COOKIE, BY_SOURCE, PEERS, SOCKET_OFFSETS, SOCKETS, replay, ring, socket};

const IPPROTO_MPTCP: u32 = 262;
const AF_INET: u32 = 2;

pub fn sockops(ctx: &SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => {
            note_source(ctx);
            watch_state(ctx);
        }
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(ctx, Role::Outbound),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established(ctx, Role::Inbound),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => closed(ctx),
        _ => {}
    }
    1
}

#[inline(always)]
fn socket_of(ctx: &SockOpsContext) -> Option<*mut bpf_sock> {
    // SAFETY: a field that the verifier lets every sockops program read.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    (!socket.is_null()).then_some(socket)
}

#[inline(always)]
fn cookie_of(ctx: &SockOpsContext) -> u64 {
    // SAFETY: the helper takes the program's context.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// A tapped connection that fails before it is established has to be told of, too.
#[inline(always)]
fn watch_state(ctx: &SockOpsContext) {
    let Some(socket) = socket_of(ctx) else { return };
    // SAFETY: a socket, see above.
    if unsafe { SOCKETS.get(socket.cast()) }.is_some_and(|kept| kept.role == Role::Outbound as u32) {
        let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
    }
}

#[inline(always)]
fn established(ctx: &SockOpsContext, role: Role) {
    let Some(socket) = socket_of(ctx) else { return };
    let cookie = cookie_of(ctx);
    if replay::is_on() && matches!(role, Role::Inbound) {
        accepted_in_replay(socket);
    }
    // SAFETY: a socket, see above.
    if unsafe { socket::role_of(socket, cookie) } == Role::Ignored as u32 {
        return;
    }
    // SAFETY: as above; what is kept of it was found or made just now.
    let Some(kept) = (unsafe { SOCKETS.get(socket.cast()) }) else { return };
    if matches!(role, Role::Inbound) {
        kept.role = socket::accepted(ctx.local_port()) as u32;
    } else if kept.role != Role::Outbound as u32 {
        // Its connect was seen by nobody: it was under way before the hooks were there.
        kept.role = Role::OlderOutbound as u32;
    }
    if kept.role == Role::Ignored as u32 {
        return;
    }
    let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
    let mut record = record(ctx, Kind::Established, kept.role, cookie);
    ring::tell(&mut record, None);
}

/// What the target accepts may answer, whether it is tapped or not.
#[inline(always)]
fn accepted_in_replay(socket: *mut bpf_sock) {
    // SAFETY: a socket, see `socket_of`. It has what its listener had.
    if let Some(kept) = unsafe { SOCKETS.get(socket.cast()) }
        && kept.role == Role::Unconnected as u32
    {
        kept.role = Role::Inbound as u32;
    }
}

#[inline(always)]
fn closed(ctx: &SockOpsContext) {
    let cookie = cookie_of(ctx);
    let _ = BY_COOKIE.remove(&cookie);
    let Some(socket) = socket_of(ctx) else { return };
    // SAFETY: a socket, see above.
    let Some(kept) = (unsafe { SOCKETS.get(socket.cast()) }) else { return };
    if socket::is_tapped(kept.role) {
        let mut record = record(ctx, Kind::Closed, kept.role, cookie);
        record.errno = error(socket);
        ring::tell(&mut record, None);
    }
}

/// `sk_err` of a socket; 0 where it cannot be read.
#[inline(always)]
fn error(socket: *mut bpf_sock) -> u16 {
    let offset = SOCKET_OFFSETS.load().error;
    if offset == 0 {
        return 0;
    }
    // What stands in the context is the kernel's own socket. Read back from the stack it is a mere number, which the
    // verifier lets be added to.
    let address = socket as u64;
    // SAFETY: the helper checks the address.
    let Ok(address) = (unsafe { bpf_probe_read_kernel(&raw const address) }) else { return 0 };
    Address(address).read::<u32>(offset).unwrap_or(0) as u16
}

#[inline(always)]
fn record(ctx: &SockOpsContext, kind: Kind, role: u32, cookie: u64) -> Record {
    let ops = ctx.ops;
    // All are read before the choice, and volatile: see `note_source`.
    // SAFETY: fields that the verifier lets every sockops program read.
    unsafe {
        let (family, remote_port) =
            ((&raw const (*ops).family).read_volatile(), (&raw const (*ops).remote_port).read_volatile());
        let (local4, remote4) =
            ((&raw const (*ops).local_ip4).read_volatile(), (&raw const (*ops).remote_ip4).read_volatile());
        let (local6, remote6) = (words(&raw const (*ops).local_ip6), words(&raw const (*ops).remote_ip6));
        let (sequence, acknowledgment) =
            ((&raw const (*ops).snd_nxt).read_volatile(), (&raw const (*ops).rcv_nxt).read_volatile());
        let v4 = family == AF_INET;
        Record {
            at_ns: bpf_ktime_get_ns(),
            cookie,
            local: if v4 { Ip::from_v4(local4) } else { Ip(local6) },
            remote: if v4 { Ip::from_v4(remote4) } else { Ip(remote6) },
            local_port: ctx.local_port() as u16,
            remote_port: u32::from_be(remote_port) as u16,
            kind: kind as u16,
            role: role as u16,
            sequence,
            acknowledgment,
            length: 0,
            unseen: 0,
            flags: 0,
            errno: 0,
            reserved: [0; 2],
        }
    }
}

/// # Safety
/// `address` is one of the context's own.
#[inline(always)]
unsafe fn words(address: *const [u32; 4]) -> [u32; 4] {
    let word = address.cast::<u32>();
    // SAFETY: the caller's.
    unsafe {
        [
            word.read_volatile(),
            word.add(1).read_volatile(),
            word.add(2).read_volatile(),
            word.add(3).read_volatile(),
        ]
    }
}

#[inline(always)]
fn note_source(ctx: &SockOpsContext) {
    // SAFETY: values are never changed in place.
    let flow = unsafe { BY_COOKIE.get(&cookie_of(ctx)) };
    let Some(flow) = flow else { return };
    if flow.protocol == IPPROTO_MPTCP {
        // What connected is a subflow, a socket of the kernel's own, which is never released by a task: its flow
        // goes when its connection does.
        let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
    }
    // Both are read before the choice, and volatile: LLVM would make one load with a chosen offset of them,
    // which the verifier refuses for a context.
    // SAFETY: fields that the verifier lets every sockops program read.
    let (v4, v6) = unsafe {
        let ops = ctx.ops;
        ((&raw const (*ops).local_ip4).read_volatile(), words(&raw const (*ops).local_ip6))
    };
    let address = if flow.via == Via::V6 as u32 { Ip(v6) } else { Ip::from_v4(v4) };
    // local_port is in host order, alone among the port fields.
    let key = FlowKey { netns: flow.netns, address, port: ctx.local_port(), reserved: 0 };
    let _ = BY_SOURCE.insert(&key, flow, 0);
    // The proxy takes its entry out; getpeername of an MPTCP socket has no other way to its flow.
    let _ = PEERS.insert(&key, flow, 0);
}
