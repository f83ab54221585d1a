//! cgroup_skb/ingress and egress: copies what the target's sockets receive and send, TCP and DNS, into the ring,
//! and counts the other datagrams that it sends. There is no task here: whose a socket is, is kept with it.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_fullsock};
use aya_ebpf::programs::SkBuffContext;
use infernosim_common::Counter;
use infernosim_common::tap::{Kind, Record, Role, TapState, flag};

use crate::counter::count;
use crate::packet::{self, IPPROTO_TCP, IPPROTO_UDP, Network, UDP_HEADER};
use crate::ring::{self, Copied};
use crate::socket::{self, LISTEN};
use crate::{leak, replay};

const ALLOW: i32 = 1;
const DROP: i32 = 0;
pub const DNS_PORT: u16 = 53;

pub fn ingress(ctx: &SkBuffContext) -> i32 {
    try_tap(ctx, flag::INGRESS).unwrap_or(ALLOW)
}

pub fn egress(ctx: &SkBuffContext) -> i32 {
    if replay::is_on()
        && let Some(stopped) = leak::stops(ctx)
    {
        return stopped;
    }
    try_tap(ctx, 0).unwrap_or(ALLOW)
}

#[inline(always)]
fn try_tap(ctx: &SkBuffContext, direction: u16) -> Option<i32> {
    let network = packet::network(ctx)?;
    match network.protocol {
        IPPROTO_TCP => segment(ctx, &network, direction),
        IPPROTO_UDP => datagram(ctx, &network, direction),
        _ => None,
    }
}

/// The socket whose packet it is.
#[inline(always)]
pub fn socket_of(ctx: &SkBuffContext) -> Option<*mut bpf_sock> {
    // SAFETY: a field that the verifier lets every cgroup_skb program read, its null check included.
    unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        let full = bpf_sk_fullsock(socket);
        (!full.is_null()).then_some(full)
    }
}

#[inline(always)]
fn segment(ctx: &SkBuffContext, network: &Network, direction: u16) -> Option<i32> {
    let tcp = packet::tcp(ctx, network.transport)?;
    let header = network.transport + tcp.length;
    let length = ctx.len().saturating_sub(header);
    let socket = socket_of(ctx)?;
    let marks = tcp.flags & (flag::FIN | flag::RST);
    // SAFETY: a field that the verifier lets be read.
    let listens = unsafe { (*socket).state } == LISTEN;
    // Bare acknowledgments are most packets and tell nothing; but those of a handshake come to the listener, which
    // must be known before its connection inherits what it is.
    if length == 0 && marks == 0 && !listens {
        return None;
    }
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: a full socket, see above.
    let role = unsafe { socket::role_of(socket, cookie) };
    if socket::tap_state() == TapState::Touches as u32 {
        return None;
    }
    // The client's FIN may overtake all that it sent, the end of the handshake included. A reset there ends nothing.
    if role == Role::Ignored as u32 || (length == 0 && listens && marks != flag::FIN) {
        return None;
    }
    let mut record = record(network, (tcp.source, tcp.destination), direction, Kind::Segment, role, cookie);
    // A SYN takes a number of its own (RFC 9293 section 3.4); data with it comes after.
    record.sequence = tcp.sequence.wrapping_add(u32::from(tcp.flags & flag::SYN != 0));
    record.acknowledgment = tcp.acknowledgment;
    record.flags |= tcp.flags;
    match ring::packet(ctx, &mut record, header, length) {
        // A reset is sent once: if it were held, the other side would never hear of it.
        Copied::Not(bytes) if marks & flag::RST != 0 => {
            ring::lost(bytes);
            None
        }
        Copied::Not(bytes) if ring::hold(bytes) => Some(DROP),
        _ => None,
    }
}

#[inline(always)]
fn datagram(ctx: &SkBuffContext, network: &Network, direction: u16) -> Option<i32> {
    let (source, destination) = packet::udp(ctx, network.transport)?;
    let server = if direction == 0 { destination } else { source };
    if direction != 0 && server != DNS_PORT {
        return None;
    }
    let socket = socket_of(ctx)?;
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: a full socket, see above.
    let role = unsafe { socket::role_of(socket, cookie) };
    if role == Role::Ignored as u32 {
        return None;
    }
    // Where the packet goes is not always whom the target asked.
    if server != DNS_PORT && role != Role::Resolver as u32 {
        count(Counter::UdpDatagrams);
        return None;
    }
    if socket::tap_state() == TapState::Touches as u32 {
        return None;
    }
    let header = network.transport + UDP_HEADER;
    let length = ctx.len().saturating_sub(header);
    let mut record = record(network, (source, destination), direction, Kind::Datagram, role, cookie);
    if let Copied::Not(bytes) = ring::packet(ctx, &mut record, header, length) {
        // A datagram that is dropped is not sent again by the kernel, so it is never held.
        ring::lost(bytes);
    }
    None
}

#[inline(always)]
fn record(
    network: &Network,
    (source, destination): (u16, u16),
    direction: u16,
    kind: Kind,
    role: u32,
    cookie: u64,
) -> Record {
    let egress = direction == 0;
    Record {
        // SAFETY: the helper has no argument.
        at_ns: unsafe { bpf_ktime_get_ns() },
        cookie,
        local: if egress { network.source } else { network.destination },
        remote: if egress { network.destination } else { network.source },
        local_port: if egress { source } else { destination },
        remote_port: if egress { destination } else { source },
        kind: kind as u16,
        role: role as u16,
        sequence: 0,
        acknowledgment: 0,
        length: 0,
        unseen: 0,
        flags: direction,
        errno: 0,
        reserved: [0; 2],
    }
}
