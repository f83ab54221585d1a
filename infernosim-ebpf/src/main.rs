//! The kernel half: maps and entry points. Each entry point makes one call; each hook has a file of its own,
//! named as the kernel names it. Policy (which ports, which state) lives in the agent.
#![no_std]
#![no_main]

mod cgroup_skb;
mod connect;
mod counter;
mod getpeername;
mod sock_release;
mod sockops;

use aya_ebpf::macros::{cgroup_skb, cgroup_sock, cgroup_sock_addr, map, sock_ops};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue};
use aya_ebpf::programs::{SkBuffContext, SockAddrContext, SockContext, SockOpsContext};
use infernosim_common::{COUNTERS as COUNTER_SLOTS, FLOWS_DEFAULT_ENTRIES, Flow, FlowKey, Ip, Listeners};

/// Slot 0: a `State`.
#[map]
static STATE: Array<u32> = Array::with_max_entries(1, 0);
/// Slot 0: when the agent was last seen alive, on `bpf_ktime_get_ns`'s clock.
#[map]
static HEARTBEAT: Array<u64> = Array::with_max_entries(1, 0);
/// Network namespace cookie to where the proxy listens in it.
#[map]
static LISTENERS: HashMap<u64, Listeners> = HashMap::with_max_entries(1024, 0);
/// This host's own addresses besides loopback.
#[map]
static LOCAL_ADDRESSES: HashMap<Ip, u8> = HashMap::with_max_entries(4096, 0);
/// Socket cookie to flow, from connect(2) until the socket is closed.
#[map]
static BY_COOKIE: LruHashMap<u64, Flow> = LruHashMap::with_max_entries(FLOWS_DEFAULT_ENTRIES, 0);
/// The target's end of a redirected connection to its flow: filled before the proxy can accept.
#[map]
static BY_SOURCE: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOWS_DEFAULT_ENTRIES, 0);
/// As `BY_SOURCE`, but kept: for getpeername where the socket's cookie is not the one that connected (MPTCP).
#[map]
static PEERS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOWS_DEFAULT_ENTRIES, 0);
/// Connects to closed local ports: they fail natively, so nobody else will tell the agent of them.
#[map]
static REFUSED: Queue<Flow> = Queue::with_max_entries(4096, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_SLOTS, 0);

#[cgroup_sock_addr(connect4)]
pub fn on_connect4(ctx: SockAddrContext) -> i32 {
    connect::connect4(&ctx)
}

#[cgroup_sock_addr(connect6)]
pub fn on_connect6(ctx: SockAddrContext) -> i32 {
    connect::connect6(&ctx)
}

#[cgroup_sock_addr(getpeername4)]
pub fn on_getpeername4(ctx: SockAddrContext) -> i32 {
    getpeername::getpeername4(&ctx)
}

#[cgroup_sock_addr(getpeername6)]
pub fn on_getpeername6(ctx: SockAddrContext) -> i32 {
    getpeername::getpeername6(&ctx)
}

#[sock_ops]
pub fn on_sockops(ctx: SockOpsContext) -> u32 {
    sockops::sockops(&ctx)
}

#[cgroup_sock(sock_release)]
pub fn on_sock_release(ctx: SockContext) -> i32 {
    sock_release::sock_release(&ctx)
}

#[cgroup_skb(egress)]
pub fn on_egress(ctx: SkBuffContext) -> i32 {
    cgroup_skb::egress(&ctx)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

// Some helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
