//! cgroup/connect4 and connect6: decides whether a connect goes to the proxy, and says so to the other hooks.
//! Returning 1 lets the connect go on, to the address that then stands in the context.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_F_CURRENT_NETNS, bpf_sock_addr, bpf_sock_tuple};
use aya_ebpf::helpers::{
    bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_lookup_tcp, bpf_sk_release,
};
use aya_ebpf::programs::SockAddrContext;
use infernosim_common::tap::{Kind, Record, Role};
use infernosim_common::{Counter, Flow, HEARTBEAT_LIMIT_NS, Ip, LISTENER_PRIORITY, LocalAddress, State, Via};

use crate::counter::count;
use crate::{BY_COOKIE, HEARTBEAT, LISTENERS, LOCAL_ADDRESSES, REFUSED, SOCKETS, STATE, TAP_OUTBOUND};
use crate::{replay, ring, scope, sendmsg, socket, task};

const ALLOW: i32 = 1;
pub const SOCK_STREAM: u32 = 1;
pub const IPPROTO_TCP: u32 = 6;
pub const IPPROTO_MPTCP: u32 = 262;
/// In capture whoever asks a name server is tapped, never redirected: its answers belong to those that come by UDP.
const DNS_PORT: u32 = 53;
const LOOPBACK_V4: u32 = 0x7f00_0001_u32.to_be();

/// Where a connect or a datagram goes.
pub enum Go {
    /// Where the target wants it.
    AsAsked,
    /// To this port on loopback.
    To(u32),
    /// Nowhere: the call fails with this errno.
    Fail(u32),
}

pub fn connect4(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context of a cgroup/connect4 program; the verifier checks each field.
    let destination = unsafe { Ip::from_v4((*ctx.sock_addr).user_ip4) };
    go4(ctx, decide(ctx, destination, Via::V4))
}

pub fn connect6(ctx: &SockAddrContext) -> i32 {
    let destination = destination6(ctx);
    let via = if destination.is_v4() { Via::Mapped } else { Via::V6 };
    go6(ctx, decide(ctx, destination, via), via)
}

#[inline(always)]
fn decide(ctx: &SockAddrContext, destination: Ip, via: Via) -> Go {
    if replay::is_on() {
        return replay::connects(ctx, destination, via);
    }
    try_redirect(ctx, destination, via).map_or(Go::AsAsked, Go::To)
}

/// Sends it there. What it gives is what the program has to return.
#[inline(always)]
pub fn go4(ctx: &SockAddrContext, go: Go) -> i32 {
    let sa = ctx.sock_addr;
    match go {
        Go::AsAsked => {}
        // SAFETY: fields of these programs' context. Volatile, here and below: LLVM merges adjacent u32 stores, which
        // the verifier refuses.
        Go::To(port) => unsafe {
            (&raw mut (*sa).user_ip4).write_volatile(LOOPBACK_V4);
            (&raw mut (*sa).user_port).write_volatile(network_order(port));
        },
        Go::Fail(errno) => return replay::fail(errno),
    }
    ALLOW
}

/// As [`go4`].
#[inline(always)]
pub fn go6(ctx: &SockAddrContext, go: Go, via: Via) -> i32 {
    let sa = ctx.sock_addr;
    match go {
        Go::AsAsked => {}
        Go::To(port) => {
            let last = if matches!(via, Via::Mapped) { LOOPBACK_V4 } else { 1_u32.to_be() };
            // SAFETY: as above.
            unsafe {
                let word = (&raw mut (*sa).user_ip6).cast::<u32>();
                // A mapped address keeps its prefix.
                if matches!(via, Via::V6) {
                    word.write_volatile(0);
                    word.add(1).write_volatile(0);
                    word.add(2).write_volatile(0);
                }
                word.add(3).write_volatile(last);
                (&raw mut (*sa).user_port).write_volatile(network_order(port));
            }
        }
        Go::Fail(errno) => return replay::fail(errno),
    }
    ALLOW
}

/// The destination in an IPv6 program's context.
#[inline(always)]
pub fn destination6(ctx: &SockAddrContext) -> Ip {
    // SAFETY: a field of these programs' context. Volatile: the verifier wants four u32 loads.
    unsafe {
        let word = (&raw const (*ctx.sock_addr).user_ip6).cast::<u32>();
        Ip([
            word.read_volatile(),
            word.add(1).read_volatile(),
            word.add(2).read_volatile(),
            word.add(3).read_volatile(),
        ])
    }
}

/// Who listens on a local address.
pub enum Local {
    Nobody,
    Somebody,
    /// A capture, this one or another on the host.
    Capture,
}

/// The proxy's port for this connect, its flow noted; or `None` and the connect is left alone.
#[inline(always)]
fn try_redirect(ctx: &SockAddrContext, destination: Ip, via: Via) -> Option<u32> {
    if !scope::is_target() {
        return None;
    }
    // SAFETY: fields that the verifier lets every sock_addr program read.
    let (kind, protocol, port) = unsafe {
        let sa = ctx.sock_addr;
        ((*sa).type_, (*sa).protocol, host_order((*sa).user_port))
    };
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // A socket may connect again: what an earlier connect noted must not answer its getpeername.
    let _ = BY_COOKIE.remove(&cookie);
    if kind != SOCK_STREAM {
        sendmsg::means(ctx, kind, destination, port);
        return None;
    }
    if protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP {
        count(Counter::OtherStream);
        return None;
    }
    let state = STATE.get(0).copied().unwrap_or(State::Off as u32);
    if state == State::Off as u32 || destination.is_not_unicast() {
        return None;
    }
    // Unless it is said otherwise below, the tap leaves it alone.
    mark(ctx, Role::Ignored);
    if socket::is_excluded(port) {
        count(Counter::Excluded);
        return None;
    }
    // SAFETY: the helper takes the program's context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    let tapped = port == DNS_PORT || TAP_OUTBOUND.load() != 0;
    match if is_local(netns, destination) { local(ctx, destination, port) } else { Local::Somebody } {
        // Of this socket another capture has rewritten the destination just now. To send it on to our proxy
        // would make ours connect to theirs, which knows nothing of us.
        Local::Capture => {
            count(Counter::OtherCapture);
            return None;
        }
        // The tap sees by itself how it ends.
        _ if tapped => {
            tap(ctx, cookie, destination, port);
            return None;
        }
        Local::Nobody => {
            count(Counter::LeftClosed);
            if REFUSED.push(&flow(ctx, cookie, netns, destination, port, via), 0).is_err() {
                count(Counter::RefusalUnseen);
            }
            return None;
        }
        Local::Somebody => {}
    }
    if let Some(reason) = unservable(ctx, state, &destination) {
        count(reason);
        return None;
    }
    let proxy = listener(netns, via)?;
    if BY_COOKIE.insert(&cookie, &flow(ctx, cookie, netns, destination, port, via), 0).is_err() {
        count(Counter::AtLimit);
        return None;
    }
    count(Counter::Redirected);
    Some(proxy)
}

/// Nothing was seen of the agent for too long.
#[inline(always)]
pub fn is_hung() -> bool {
    // SAFETY: the helper has no argument.
    let now = unsafe { bpf_ktime_get_ns() };
    now.saturating_sub(HEARTBEAT.get(0).copied().unwrap_or(0)) > HEARTBEAT_LIMIT_NS
}

/// Why the connect must be left alone, if it must.
#[inline(always)]
pub fn unservable(ctx: &SockAddrContext, state: u32, destination: &Ip) -> Option<Counter> {
    if is_hung() {
        return Some(Counter::AgentHung);
    }
    if state == State::AtLimit as u32 {
        return Some(Counter::AtLimit);
    }
    if destination.is_link_local_v6() {
        return Some(Counter::LinkLocal);
    }
    if bound_device(ctx) != 0 {
        return Some(Counter::BoundDevice);
    }
    None
}

#[inline(always)]
pub fn listener(netns: u64, via: Via) -> Option<u32> {
    // SAFETY: a value is replaced whole (the map swaps elements), so both ports belong together.
    let Some(listeners) = (unsafe { LISTENERS.get(&netns) }) else {
        scope::namespace_seen(netns);
        count(Counter::OtherNamespace);
        return None;
    };
    let port = if matches!(via, Via::V6) { listeners.v6_port } else { listeners.v4_port };
    if port == 0 {
        count(Counter::OtherNamespace);
        return None;
    }
    Some(port)
}

#[inline(always)]
pub fn flow(ctx: &SockAddrContext, cookie: u64, netns: u64, destination: Ip, port: u32, via: Via) -> Flow {
    let task = task::described();
    Flow {
        cookie,
        netns,
        // SAFETY: the helper has no argument.
        connected_ns: unsafe { bpf_ktime_get_ns() },
        destination,
        source: bound_source(ctx, via),
        port,
        via: via as u32,
        pid: task.pid,
        tid: task.tid,
        own_pid: task.own_pid,
        own_tid: task.own_tid,
        // SAFETY: a field that the verifier lets every sock_addr program read.
        protocol: unsafe { (*ctx.sock_addr).protocol },
        fate: 0,
        errno: 0,
        comm: task.comm,
    }
}

/// The tap shall see this connection, and who asked for it.
#[inline(always)]
fn tap(ctx: &SockAddrContext, cookie: u64, destination: Ip, port: u32) {
    mark(ctx, Role::Outbound);
    tell(cookie, destination, port);
}

/// Tells of the task that runs, and whom it means.
#[inline(always)]
pub fn tell(cookie: u64, destination: Ip, port: u32) {
    let mut record = Record {
        // SAFETY: the helper has no argument.
        at_ns: unsafe { bpf_ktime_get_ns() },
        cookie,
        remote: destination,
        remote_port: port as u16,
        kind: Kind::Connecting as u16,
        role: Role::Outbound as u16,
        ..Record::default()
    };
    ring::tell(&mut record, Some(&task::described()));
}

#[inline(always)]
pub fn mark(ctx: &SockAddrContext, role: Role) {
    // SAFETY: the verifier demands and sees the null check.
    unsafe {
        let sk = (*ctx.sock_addr).__bindgen_anon_1.sk;
        if !sk.is_null()
            && let Some(kept) = SOCKETS.get_or(sk.cast(), role)
        {
            kept.connects_as(role);
        }
    }
}

#[inline(always)]
pub fn is_local(netns: u64, destination: Ip) -> bool {
    // SAFETY: the value is not read.
    destination.is_loopback()
        || unsafe { LOCAL_ADDRESSES.get(&LocalAddress { netns, address: destination }) }.is_some()
}

/// Who listens on this local address. Where nobody does the connect is left alone and gets the kernel's own
/// ECONNREFUSED: a redirected connect always succeeds, and a client that falls back from `::1` to 127.0.0.1
/// never would.
#[inline(always)]
pub fn local(ctx: &SockAddrContext, destination: Ip, port: u32) -> Local {
    // SAFETY: all-zero is a valid tuple.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let port = network_order(port) as u16;
    // The source only has to differ from every real connection's: port 0 is nobody's.
    let size = if destination.is_v4() {
        let address = if destination.v4() == 0 { LOOPBACK_V4 } else { destination.v4() };
        tuple.__bindgen_anon_1.ipv4.saddr = address;
        tuple.__bindgen_anon_1.ipv4.daddr = address;
        tuple.__bindgen_anon_1.ipv4.dport = port;
        12
    } else {
        let mut address = destination.0;
        if address == [0; 4] {
            address[3] = 1_u32.to_be();
        }
        tuple.__bindgen_anon_1.ipv6.saddr = address;
        tuple.__bindgen_anon_1.ipv6.daddr = address;
        tuple.__bindgen_anon_1.ipv6.dport = port;
        36
    };
    // SAFETY: the tuple lives on the stack and `size` names the member that was filled; what is found is released.
    unsafe {
        let found =
            bpf_sk_lookup_tcp(ctx.as_ptr(), &raw mut tuple, size, BPF_F_CURRENT_NETNS as i64 as u64, 0);
        if found.is_null() {
            return Local::Nobody;
        }
        let priority = (*found).priority;
        bpf_sk_release(found.cast());
        if priority == LISTENER_PRIORITY { Local::Capture } else { Local::Somebody }
    }
}

#[inline(always)]
pub fn bound_device(ctx: &SockAddrContext) -> u32 {
    let sa: *const bpf_sock_addr = ctx.sock_addr;
    // SAFETY: the verifier demands and sees the null check.
    unsafe {
        let sk = (*sa).__bindgen_anon_1.sk;
        if sk.is_null() { 0 } else { (*sk).bound_dev_if }
    }
}

#[inline(always)]
fn bound_source(ctx: &SockAddrContext, via: Via) -> Ip {
    let sa: *const bpf_sock_addr = ctx.sock_addr;
    // SAFETY: the verifier demands and sees the null check. Volatile: it wants u32 loads.
    unsafe {
        let sk = (*sa).__bindgen_anon_1.sk;
        if sk.is_null() {
            return Ip::UNSPECIFIED;
        }
        if matches!(via, Via::V6) {
            let word = (&raw const (*sk).src_ip6).cast::<u32>();
            return Ip([
                word.read_volatile(),
                word.add(1).read_volatile(),
                word.add(2).read_volatile(),
                word.add(3).read_volatile(),
            ]);
        }
        match (&raw const (*sk).src_ip4).read_volatile() {
            0 => Ip::UNSPECIFIED,
            bound => Ip::from_v4(bound),
        }
    }
}

/// `user_port` is a u32 that holds a port in network order in its low half.
#[inline(always)]
pub fn host_order(user_port: u32) -> u32 {
    u32::from(u16::from_be(user_port as u16))
}

#[inline(always)]
pub fn network_order(port: u32) -> u32 {
    u32::from((port as u16).to_be())
}
