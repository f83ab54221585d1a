//! What becomes of the target's connects and datagrams in replay: nothing is left alone unless the user wants it.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use infernosim_common::tap::{Role, TapState};
use infernosim_common::{Act, Asked, Counter, Fate, Ip, Listeners, Replay, State, Via};

use crate::connect::{self, Go, IPPROTO_MPTCP, IPPROTO_TCP, Local, SOCK_STREAM, mark};
use crate::counter::count;
use crate::verdict::{self, DNS_PORT};
use crate::{ASKING, BY_COOKIE, EXACT_ERRNO, LISTENERS, REFUSED, REPLAY, STATE};
use crate::{scope, socket};

const SOCK_DGRAM: u32 = 2;
const IPPROTO_UDP: u32 = 17;
const ECONNREFUSED: u32 = 111;

#[inline(always)]
pub fn is_on() -> bool {
    REPLAY.load() != 0
}

/// Faults on live traffic: what meets none goes on, through the agent or, where that cannot be, without it.
#[inline(always)]
pub fn injects() -> bool {
    REPLAY.load() == Replay::Inject as u32
}

/// The gate is shut before and after a replay. Live traffic does not wait for an agent that hangs.
#[inline(always)]
pub fn is_open() -> bool {
    state() != State::Off as u32 && !(injects() && connect::is_hung())
}

#[inline(always)]
fn state() -> u32 {
    STATE.get(0).copied().unwrap_or(State::Off as u32)
}

/// Makes the call fail, with `errno` where the kernel lets us (bpf_set_retval, Linux 5.18), else with EPERM. What it
/// gives is what the program has to return.
#[inline(always)]
pub fn fail(errno: u32) -> i32 {
    if EXACT_ERRNO.load() != 0 {
        // SAFETY: the helper takes a number.
        unsafe { bpf_set_retval(-(errno as i32)) };
    }
    0
}

/// connect(2).
#[inline(always)]
pub fn connects(ctx: &SockAddrContext, destination: Ip, via: Via) -> Go {
    if !is_open() || !scope::is_target() {
        return Go::AsAsked;
    }
    // SAFETY: fields that the verifier lets every sock_addr program read.
    let (kind, protocol, port) = unsafe {
        let sa = ctx.sock_addr;
        ((*sa).type_, (*sa).protocol, connect::host_order((*sa).user_port))
    };
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let _ = BY_COOKIE.remove(&cookie);
    mark(ctx, Role::Unconnected);
    // A connect to a multicast address fails by itself.
    if kind != SOCK_STREAM {
        return datagrams(ctx, cookie, destination, port, via, true);
    }
    if destination.is_not_unicast() || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) {
        return Go::AsAsked;
    }
    // SAFETY: the helper takes the program's context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    if injects() && is_left_alone(ctx, netns, destination, port) {
        return Go::AsAsked;
    }
    let mut flow = connect::flow(ctx, cookie, netns, destination, port, via);
    let decision = verdict::decide(verdict::named(destination), port);
    let closed = closed_port(ctx, netns, via);
    let (go, fate) = if decision.act == Act::Live as u32 {
        mark(ctx, Role::Live);
        if decision.unasked == 0 {
            // The user wants it: it is none of ours.
            return Go::AsAsked;
        }
        count(Counter::Passed);
        (Go::AsAsked, Fate::Passed)
    } else if decision.act == Act::Hang as u32 {
        mark(ctx, Role::Hung);
        // Its SYN must be made to be dropped, whatever routes there are.
        (if closed == 0 { Go::AsAsked } else { Go::To(closed) }, Fate::Hung)
    } else if decision.act == Act::Fail as u32 && EXACT_ERRNO.load() != 0 {
        flow.errno = decision.errno as u16;
        (Go::Fail(decision.errno), Fate::Failed)
    } else if decision.act == Act::Stub as u32 {
        let listener = stub(ctx, netns, via);
        if listener != 0 {
            if BY_COOKIE.insert(&cookie, &flow, 0).is_ok() {
                mark(ctx, Role::Redirected);
                count(Counter::Redirected);
                return Go::To(listener);
            }
            count(Counter::AtLimit);
        }
        if injects() {
            return Go::AsAsked;
        }
        (refused(ctx, closed), Fate::Unserved)
    } else {
        (refused(ctx, closed), Fate::Refused)
    };
    flow.fate = if decision.unasked == 0 { fate as u16 } else { decision.unasked as u16 };
    if REFUSED.push(&flow, 0).is_err() {
        count(Counter::RefusalUnseen);
    }
    go
}

/// With faults on live traffic: whether it must go direct. A connect to a closed local port fails by itself, so that who
/// falls back from `::1` to 127.0.0.1 still does.
#[inline(always)]
fn is_left_alone(ctx: &SockAddrContext, netns: u64, destination: Ip, port: u32) -> bool {
    if connect::is_local(netns, destination) {
        match connect::local(ctx, destination, port) {
            Local::Nobody => {
                count(Counter::LeftClosed);
                return true;
            }
            Local::Capture => {
                count(Counter::OtherCapture);
                return true;
            }
            Local::Somebody => {}
        }
    }
    match connect::unservable(ctx, state(), &destination) {
        Some(reason) => {
            count(reason);
            true
        }
        None => false,
    }
}

#[inline(always)]
fn refused(ctx: &SockAddrContext, closed: u32) -> Go {
    if closed == 0 {
        return Go::Fail(ECONNREFUSED);
    }
    mark(ctx, Role::Redirected);
    Go::To(closed)
}

/// The agent's listener, if the socket can reach it; else 0.
#[inline(always)]
fn stub(ctx: &SockAddrContext, netns: u64, via: Via) -> u32 {
    if connect::bound_device(ctx) != 0 {
        count(Counter::BoundDevice);
        return 0;
    }
    if STATE.get(0).copied() == Some(State::AtLimit as u32) {
        count(Counter::AtLimit);
        return 0;
    }
    connect::listener(netns, via).unwrap_or(0)
}

/// The agent's ports in this namespace, if the socket can reach them.
#[inline(always)]
fn ports(ctx: &SockAddrContext, netns: u64) -> Option<&'static Listeners> {
    if connect::bound_device(ctx) != 0 {
        return None;
    }
    // SAFETY: a value is replaced whole.
    unsafe { LISTENERS.get(&netns) }
}

#[inline(always)]
fn closed_port(ctx: &SockAddrContext, netns: u64, via: Via) -> u32 {
    let Some(ports) = ports(ctx, netns) else { return 0 };
    if matches!(via, Via::V6) { ports.v6_closed } else { ports.v4_closed }
}

/// sendmsg(2) with an address, or connect(2), of a socket for datagrams.
#[inline(always)]
pub fn sends(ctx: &SockAddrContext, destination: Ip, port: u32, via: Via) -> Go {
    if !is_open() || !scope::is_target() {
        return Go::AsAsked;
    }
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    datagrams(ctx, cookie, destination, port, via, false)
}

#[inline(always)]
fn datagrams(
    ctx: &SockAddrContext,
    cookie: u64,
    destination: Ip,
    port: u32,
    via: Via,
    connecting: bool,
) -> Go {
    // SAFETY: fields that the verifier lets every sock_addr program read.
    let (kind, protocol) = unsafe { ((*ctx.sock_addr).type_, (*ctx.sock_addr).protocol) };
    if kind != SOCK_DGRAM || protocol != IPPROTO_UDP {
        return Go::AsAsked;
    }
    let address = verdict::named(destination);
    if !connecting && is_ours(ctx, address, port) {
        return Go::AsAsked;
    }
    mark(ctx, Role::Unconnected);
    if verdict::is_live(address, port) {
        return Go::AsAsked;
    }
    // SAFETY: the helper takes the program's context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    if port == DNS_PORT {
        return asks(ctx, (cookie, netns), address, via, connecting);
    }
    // glibc connects such sockets to learn which source an address would have, and sends nothing: left as it is.
    if connecting || REPLAY.load() != Replay::Deny as u32 {
        return Go::AsAsked;
    }
    // To loopback, where a packet is made whatever routes there are, and dropped and counted.
    let closed = closed_port(ctx, netns, via);
    if closed == 0 { Go::AsAsked } else { Go::To(closed) }
}

/// Whether it goes to the agent already: what a socket of IPv6 sends that is connected to an IPv4 address the kernel sends
/// as if to an address that was given (udpv6_sendmsg).
#[inline(always)]
fn is_ours(ctx: &SockAddrContext, address: Ip, port: u32) -> bool {
    // SAFETY: the verifier demands and sees the null check.
    let asked = unsafe {
        let sk = (*ctx.sock_addr).__bindgen_anon_1.sk;
        if sk.is_null() {
            return false;
        }
        ASKING.get(sk.cast())
    };
    let ours = address.is_loopback() && asked.is_some_and(|asked| asked.port == port);
    if ours {
        mark(ctx, Role::Resolver);
    }
    ours
}

/// A lookup: it goes to the agent, who asked whom is kept with the socket.
#[inline(always)]
fn asks(ctx: &SockAddrContext, (cookie, netns): (u64, u64), resolver: Ip, via: Via, connecting: bool) -> Go {
    mark(ctx, Role::Resolver);
    if socket::tap_state() != TapState::Off as u32 {
        connect::tell(cookie, resolver, DNS_PORT);
    }
    let Some(ports) = ports(ctx, netns) else {
        scope::namespace_seen(netns);
        return Go::AsAsked;
    };
    let port = if matches!(via, Via::V6) { ports.v6_dns } else { ports.v4_dns };
    if port == 0 {
        return Go::AsAsked;
    }
    let flow = connect::flow(ctx, cookie, netns, resolver, DNS_PORT, via);
    if connecting {
        // For getpeername.
        let _ = BY_COOKIE.insert(&cookie, &flow, 0);
    }
    // SAFETY: the verifier demands and sees the null check.
    unsafe {
        let sk = (*ctx.sock_addr).__bindgen_anon_1.sk;
        if !sk.is_null() {
            ASKING.keep(sk.cast(), &mut Asked { flow, port, reserved: 0 });
        }
    }
    Go::To(port)
}
