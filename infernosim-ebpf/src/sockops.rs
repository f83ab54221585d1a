//! sockops: TCP_CONNECT_CB runs before the SYN leaves and already knows the local port, so the proxy never
//! accepts a connection whose flow it cannot find.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE,
};
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SockOpsContext;
use infernosim_common::{FlowKey, Ip, Via};

use crate::{BY_COOKIE, BY_SOURCE, PEERS};

const IPPROTO_MPTCP: u32 = 262;

pub fn sockops(ctx: &SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => note_source(ctx),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => {
            // SAFETY: the helper takes the program's context.
            let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
            let _ = BY_COOKIE.remove(&cookie);
        }
        _ => {}
    }
    1
}

#[inline(always)]
fn note_source(ctx: &SockOpsContext) {
    // SAFETY: the helper takes the program's context; values are never changed in place.
    let flow = unsafe {
        let cookie = bpf_get_socket_cookie(ctx.as_ptr());
        BY_COOKIE.get(&cookie)
    };
    let Some(flow) = flow else { return };
    if flow.protocol == IPPROTO_MPTCP {
        // What connected is a subflow, a socket of the kernel's own, which is never released by a task: its flow
        // goes when its connection does.
        let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
    }
    // Both are read before the choice, and volatile: LLVM would make one load with a chosen offset of them,
    // which the verifier refuses for a context.
    // SAFETY: fields that the verifier lets every sockops program read.
    let (v4, v6) = unsafe {
        let ops = ctx.ops;
        let word = (&raw const (*ops).local_ip6).cast::<u32>();
        let v6 = [
            word.read_volatile(),
            word.add(1).read_volatile(),
            word.add(2).read_volatile(),
            word.add(3).read_volatile(),
        ];
        ((&raw const (*ops).local_ip4).read_volatile(), v6)
    };
    let address = if flow.via == Via::V6 as u32 { Ip(v6) } else { Ip::from_v4(v4) };
    // local_port is in host order, alone among the port fields.
    let key = FlowKey { netns: flow.netns, address, port: ctx.local_port(), reserved: 0 };
    let _ = BY_SOURCE.insert(&key, flow, 0);
    // The proxy takes its entry out; getpeername of an MPTCP socket has no other way to its flow.
    let _ = PEERS.insert(&key, flow, 0);
}
