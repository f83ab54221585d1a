//! cgroup_skb/egress: counts the UDP datagrams that the target sends and that nobody records.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SkBuffContext;
use infernosim_common::Counter;

use crate::counter::count;
use crate::{BY_PROCESS, DATAGRAM_SOCKETS};

const ALLOW: i32 = 1;
const IPPROTO_UDP: u8 = 17;

pub fn egress(ctx: &SkBuffContext) -> i32 {
    // The packet begins with its IP header. IPv4: protocol at 9. IPv6: next header at 6 (a UDP datagram behind
    // extension headers is not counted).
    let at = match ctx.load::<u8>(0).map(|first| first >> 4) {
        Ok(4) => 9,
        Ok(6) => 6,
        _ => return ALLOW,
    };
    if ctx.load::<u8>(at) == Ok(IPPROTO_UDP) && is_target(ctx) {
        count(Counter::UdpDatagrams);
    }
    ALLOW
}

/// There is no task here, so sockets are known by their cookie where the cgroup is shared.
fn is_target(ctx: &SkBuffContext) -> bool {
    if BY_PROCESS.load() == 0 {
        return true;
    }
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: the value is not read.
    unsafe { DATAGRAM_SOCKETS.get(&cookie) }.is_some()
}
