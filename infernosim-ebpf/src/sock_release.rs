//! cgroup/sock_release: the socket is closed, its flow is no longer asked for.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns};
use aya_ebpf::programs::SockContext;
use infernosim_common::tap::{Kind, Record, Role};

use crate::{BY_COOKIE, SOCKETS, ring};

/// `TCP_CLOSE`, net/tcp_states.h.
const CLOSE: u32 = 7;

pub fn sock_release(ctx: &SockContext) -> i32 {
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let _ = BY_COOKIE.remove(&cookie);
    // A connect that failed without a packet (no route) has changed no state that anybody is told of.
    // SAFETY: for these programs the helper takes the context, which is the socket; fields that may be read.
    let (role, state) = unsafe { (SOCKETS.get(ctx.as_ptr()).map(|kept| kept.role), (*ctx.sock).state) };
    if role == Some(Role::Outbound as u32) && state == CLOSE {
        let mut record = Record {
            // SAFETY: the helper has no argument.
            at_ns: unsafe { bpf_ktime_get_ns() },
            cookie,
            kind: Kind::Closed as u16,
            role: Role::Outbound as u16,
            ..Record::default()
        };
        ring::tell(&mut record, None);
    }
    1
}
