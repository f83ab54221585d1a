//! cgroup/getpeername4 and getpeername6: the target sees the peer it asked for. The kernel also runs them for
//! what accept(2) returns; sockets we did not redirect have no flow and stay as they are. That is also where the
//! tap learns who accepted a connection.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_ktime_get_ns};
use aya_ebpf::programs::SockAddrContext;
use infernosim_common::tap::{Kind, Record, Role};
use infernosim_common::{Flow, FlowKey, Ip, Via};

use crate::{BY_COOKIE, PEERS, SOCKETS, ring, task};

const ALLOW: i32 = 1;

pub fn getpeername4(ctx: &SockAddrContext) -> i32 {
    if let Some(flow) = find(ctx, Via::V4) {
        let sa = ctx.sock_addr;
        // SAFETY: the context of a cgroup/getpeername4 program. Volatile: see connect.rs.
        unsafe {
            (&raw mut (*sa).user_ip4).write_volatile(flow.destination.v4());
            (&raw mut (*sa).user_port).write_volatile(u32::from((flow.port as u16).to_be()));
        }
    }
    ALLOW
}

pub fn getpeername6(ctx: &SockAddrContext) -> i32 {
    if let Some(flow) = find(ctx, Via::V6) {
        let sa = ctx.sock_addr;
        // SAFETY: the context of a cgroup/getpeername6 program. Volatile: see connect.rs.
        unsafe {
            let word = (&raw mut (*sa).user_ip6).cast::<u32>();
            word.write_volatile(flow.destination.0[0]);
            word.add(1).write_volatile(flow.destination.0[1]);
            word.add(2).write_volatile(flow.destination.0[2]);
            word.add(3).write_volatile(flow.destination.0[3]);
            (&raw mut (*sa).user_port).write_volatile(u32::from((flow.port as u16).to_be()));
        }
    }
    ALLOW
}

#[inline(always)]
fn find(ctx: &SockAddrContext, family: Via) -> Option<&'static Flow> {
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: values are never changed in place.
    let by_cookie = unsafe { BY_COOKIE.get(&cookie) };
    if by_cookie.is_some() {
        return by_cookie;
    }
    tell_who(ctx, cookie);
    // MPTCP: connect ran for the first subflow, which has a cookie of its own; the ports are the same.
    by_source(ctx, family)
}

#[inline(always)]
fn by_source(ctx: &SockAddrContext, family: Via) -> Option<&'static Flow> {
    let sa = ctx.sock_addr;
    // SAFETY: the verifier demands and sees the null check; volatile because it wants u32 loads.
    unsafe {
        let sk = (*sa).__bindgen_anon_1.sk;
        if sk.is_null() || (&raw const (*sk).protocol).read_volatile() != 262 {
            return None;
        }
        let v4 = (&raw const (*sk).src_ip4).read_volatile();
        let port = (&raw const (*sk).src_port).read_volatile();
        let word = (&raw const (*sk).src_ip6).cast::<u32>();
        let address = if matches!(family, Via::V4) {
            Ip::from_v4(v4)
        } else {
            Ip([
                word.read_volatile(),
                word.add(1).read_volatile(),
                word.add(2).read_volatile(),
                word.add(3).read_volatile(),
            ])
        };
        let netns = bpf_get_netns_cookie(ctx.as_ptr());
        PEERS.get(&FlowKey { netns, address, port, reserved: 0 })
    }
}

/// Says, once, which thread has an accepted connection: accept(2) asks for the peer in it, unless its caller does
/// not want to know.
#[inline(always)]
fn tell_who(ctx: &SockAddrContext, cookie: u64) {
    // SAFETY: the verifier demands and sees the null check.
    let kept = unsafe {
        let sk = (*ctx.sock_addr).__bindgen_anon_1.sk;
        if sk.is_null() {
            return;
        }
        SOCKETS.get(sk.cast())
    };
    let Some(kept) = kept else { return };
    let accepted = kept.role == Role::Inbound as u32 || kept.role == Role::OlderInbound as u32;
    if !accepted || kept.told != 0 {
        return;
    }
    kept.told = 1;
    let mut record = Record {
        // SAFETY: the helper has no argument.
        at_ns: unsafe { bpf_ktime_get_ns() },
        cookie,
        kind: Kind::Accepted as u16,
        role: kept.role as u16,
        ..Record::default()
    };
    ring::tell(&mut record, Some(&task::described()));
}
