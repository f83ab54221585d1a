//! cgroup/recvmsg4 and recvmsg6: in replay an answer to a lookup comes from whom the target asked. Clients that are
//! strict drop every other (RFC 5452 section 9.1). Such a program must return 1.

use aya_ebpf::programs::SockAddrContext;
use infernosim_common::{Asked, Ip};

use crate::connect::{destination6, host_order, network_order};
use crate::{ASKING, replay};

const ALLOW: i32 = 1;

pub fn recvmsg4(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context of a cgroup/recvmsg4 program; the verifier checks each field.
    let source = unsafe { Ip::from_v4((*ctx.sock_addr).user_ip4) };
    if let Some(asked) = asked(ctx, source) {
        let sa = ctx.sock_addr;
        // SAFETY: as above. Volatile: see connect.rs.
        unsafe {
            (&raw mut (*sa).user_ip4).write_volatile(asked.flow.destination.v4());
            (&raw mut (*sa).user_port).write_volatile(network_order(asked.flow.port));
        }
    }
    ALLOW
}

pub fn recvmsg6(ctx: &SockAddrContext) -> i32 {
    let source = destination6(ctx);
    if let Some(asked) = asked(ctx, source) {
        let sa = ctx.sock_addr;
        // SAFETY: as above.
        unsafe {
            let word = (&raw mut (*sa).user_ip6).cast::<u32>();
            word.write_volatile(asked.flow.destination.0[0]);
            word.add(1).write_volatile(asked.flow.destination.0[1]);
            word.add(2).write_volatile(asked.flow.destination.0[2]);
            word.add(3).write_volatile(asked.flow.destination.0[3]);
            (&raw mut (*sa).user_port).write_volatile(network_order(asked.flow.port));
        }
    }
    ALLOW
}

/// Whom this socket asked, if what it receives comes from the agent's DNS port.
#[inline(always)]
fn asked(ctx: &SockAddrContext, source: Ip) -> Option<&'static Asked> {
    if !replay::is_on() || !source.is_loopback() {
        return None;
    }
    // SAFETY: the verifier demands and sees the null check.
    let asked = unsafe {
        let sk = (*ctx.sock_addr).__bindgen_anon_1.sk;
        if sk.is_null() {
            return None;
        }
        ASKING.get(sk.cast())?
    };
    // SAFETY: a field that the verifier lets every sock_addr program read.
    let port = unsafe { host_order((*ctx.sock_addr).user_port) };
    // An address of the other family cannot be shown to this socket.
    (asked.port == port && asked.flow.destination.is_v4() == source.is_v4()).then_some(asked)
}
