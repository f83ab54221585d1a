//! In replay, what the target's sockets would send to somebody else than us and whoever connected to them: it is dropped
//! and counted. It runs in cgroup_skb/egress, where every packet of an IP socket passes, whichever system call made it;
//! packet(7) sockets send beside it.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SkBuffContext;
use infernosim_common::tap::Role;
use infernosim_common::{Counter, FlowKey, Replay};

use crate::counter::count;
use crate::packet::{self, IPPROTO_TCP, IPPROTO_UDP, Network};
use crate::socket::{self, LISTEN};
use crate::{ASKED, ASKING, REPLAY, cgroup_skb, replay, verdict};

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
const SOCK_RAW: u32 = 3;
/// TCP takes it for a packet that was lost (-EPERM, which tcp_connect and the timers do not hand on), and tries again
/// at its own pace.
const LOSE: i32 = 0;
/// NET_XMIT_DROP (`BPF_PROG_CGROUP_INET_EGRESS_RUN_ARRAY`): the sender of a datagram is told that all went well, unless
/// it has asked for errors (IP_RECVERR), or its socket is a raw one of IPv6: then it gets ENOBUFS.
const DROP: i32 = 2;

/// What is to be returned for a packet that must not leave; `None` if it may.
#[inline(always)]
pub fn stops(ctx: &SkBuffContext) -> Option<i32> {
    if !replay::is_open() {
        return None;
    }
    let socket = cgroup_skb::socket_of(ctx)?;
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: a full socket, see `socket_of`.
    let role = unsafe { socket::known_role(socket, cookie) };
    if may_send(role) {
        return None;
    }
    if role == Role::Hung as u32 {
        return Some(LOSE);
    }
    if REPLAY.load() != Replay::Deny as u32 {
        if role == Role::Resolver as u32
            && let Some(network) = packet::network(ctx)
            && network.protocol == IPPROTO_UDP
        {
            // The agent must know whom to ask in the target's place.
            let _ = datagram_may(ctx, &network, socket, role);
        }
        return None;
    }
    let Some(network) = packet::network(ctx) else {
        count(Counter::LeakOther);
        return Some(DROP);
    };
    let v4 = network.destination.is_v4();
    // SAFETY: fields that the verifier lets be read.
    let (kind, state) = unsafe { ((*socket).type_, (*socket).state) };
    let (what, stop) = match network.protocol {
        // The answer to who asks for a connection.
        IPPROTO_TCP if state == LISTEN => return None,
        IPPROTO_TCP if kind != SOCK_RAW => (if v4 { Counter::LeakTcp } else { Counter::LeakTcpV6 }, LOSE),
        IPPROTO_UDP if kind != SOCK_RAW => {
            if datagram_may(ctx, &network, socket, role) {
                return None;
            }
            (if v4 { Counter::LeakUdp } else { Counter::LeakUdpV6 }, DROP)
        }
        IPPROTO_ICMP => (Counter::LeakIcmp, DROP),
        IPPROTO_ICMPV6 => (Counter::LeakIcmpV6, DROP),
        _ if kind == SOCK_RAW => (Counter::LeakRaw, DROP),
        _ => (Counter::LeakOther, DROP),
    };
    count(what);
    Some(stop)
}

/// Sockets that are not the target's, that it accepted, that lead to us, or that the user wants to be left alone.
#[inline(always)]
fn may_send(role: u32) -> bool {
    role == Role::Ignored as u32
        || role == Role::Inbound as u32
        || role == Role::OlderInbound as u32
        || role == Role::Redirected as u32
        || role == Role::Live as u32
}

/// To our DNS port, or to where the user wants it to go. By the packet, not by what its socket is: several threads may
/// send on one.
#[inline(always)]
fn datagram_may(ctx: &SkBuffContext, network: &Network, socket: *mut bpf_sock, role: u32) -> bool {
    let Some((source, destination)) = packet::udp(ctx, network.transport) else { return false };
    if role == Role::Resolver as u32
        && network.destination.is_loopback()
        // SAFETY: a full socket, see `stops`.
        && let Some(asked) = unsafe { ASKING.get(socket.cast()) }
        && asked.port == u32::from(destination)
    {
        // Only now is its port known: connect(2) runs before it is chosen.
        let (netns, address) = (asked.flow.netns, network.source);
        let key = FlowKey { netns, address, port: u32::from(source), reserved: 0 };
        let _ = ASKED.insert(&key, &asked.flow, 0);
        return true;
    }
    verdict::is_live(network.destination, u32::from(destination))
}
