//! cgroup/sendmsg4 and sendmsg6: a datagram from a socket that is not connected. Here, as in connect(2) of one that
//! is, and not with the packet, are the task, and the resolver that it means: netfilter may send the packet elsewhere
//! (a container's resolver is such a place).

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SockAddrContext;
use infernosim_common::Ip;
use infernosim_common::tap::{Role, TapState};

use crate::cgroup_skb::DNS_PORT;
use crate::connect::{destination6, host_order, mark, tell};
use crate::{scope, socket};

const ALLOW: i32 = 1;
const SOCK_DGRAM: u32 = 2;

pub fn sendmsg4(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context of a cgroup/sendmsg4 program; the verifier checks each field.
    sends(ctx, unsafe { Ip::from_v4((*ctx.sock_addr).user_ip4) });
    ALLOW
}

pub fn sendmsg6(ctx: &SockAddrContext) -> i32 {
    sends(ctx, destination6(ctx));
    ALLOW
}

#[inline(always)]
fn sends(ctx: &SockAddrContext, destination: Ip) {
    if !scope::is_target() {
        return;
    }
    // SAFETY: fields that the verifier lets every sock_addr program read.
    let (kind, port) = unsafe { ((*ctx.sock_addr).type_, host_order((*ctx.sock_addr).user_port)) };
    means(ctx, kind, destination, port);
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
