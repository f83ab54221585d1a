//! cgroup/sendmsg4 and sendmsg6: a datagram from a socket that is not connected. Here, as in connect(2) of one that
//! is, and not with the packet, are the task, and the resolver that it means: netfilter may send the packet elsewhere
//! (a container's resolver is such a place).

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SockAddrContext;
use infernosim_common::tap::{Role, TapState};
use infernosim_common::{Ip, Via};

use crate::cgroup_skb::DNS_PORT;
use crate::connect::{Go, destination6, go4, go6, host_order, mark, tell};
use crate::{replay, scope, socket};

const SOCK_DGRAM: u32 = 2;

pub fn sendmsg4(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context of a cgroup/sendmsg4 program; the verifier checks each field.
    let destination = unsafe { Ip::from_v4((*ctx.sock_addr).user_ip4) };
    go4(ctx, sends(ctx, destination, Via::V4))
}

pub fn sendmsg6(ctx: &SockAddrContext) -> i32 {
    let go = sends(ctx, destination6(ctx), Via::V6);
    go6(ctx, go, Via::V6)
}

#[inline(always)]
fn sends(ctx: &SockAddrContext, destination: Ip, via: Via) -> Go {
    // SAFETY: fields that the verifier lets every sock_addr program read.
    let (kind, port) = unsafe { ((*ctx.sock_addr).type_, host_order((*ctx.sock_addr).user_port)) };
    if replay::is_on() {
        return replay::sends(ctx, destination, port, via);
    }
    if scope::is_target() {
        means(ctx, kind, destination, port);
    }
    Go::AsAsked
}

/// What the target sends on this socket, if it is one for datagrams, is for `destination`.
#[inline(always)]
pub fn means(ctx: &SockAddrContext, kind: u32, destination: Ip, port: u32) {
    if kind != SOCK_DGRAM {
        return;
    }
    if port != u32::from(DNS_PORT) {
        // It may be older than the capture.
        return mark(ctx, Role::Unconnected);
    }
    mark(ctx, Role::Resolver);
    if socket::tap_state() == TapState::Off as u32 {
        return;
    }
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    tell(cookie, destination, port);
}
