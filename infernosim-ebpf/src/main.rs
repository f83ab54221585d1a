//! The kernel half: maps and entry points. Each entry point makes one call; each hook has a file of its own,
//! named as the kernel names it. Policy (which ports, which state) lives in the agent.
#![no_std]
#![no_main]
// For one instruction that the compiler does not make.
#![feature(asm_experimental_arch)]

mod ahead;
mod asking;
mod cgroup_skb;
mod connect;
mod counter;
mod getpeername;
mod iter_task;
mod leak;
mod packet;
mod process;
mod recvmsg;
mod replay;
mod ring;
mod scope;
mod sendmsg;
mod sk_data_ready;
mod sock_create;
mod sock_length;
mod sock_release;
mod socket;
mod sockops;
mod task;
mod unix_connect;
mod verdict;

use core::ffi::c_void;

use aya_ebpf::Global;
use aya_ebpf::macros::{
    btf_tracepoint, cgroup_skb, cgroup_sock, cgroup_sock_addr, map, raw_tracepoint, sock_ops,
};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, Queue, RingBuf};
use aya_ebpf::programs::{
    BtfTracePointContext, RawTracePointContext, SkBuffContext, SockAddrContext, SockContext, SockOpsContext,
};
use infernosim_common::{
    Ahead, COUNTERS as COUNTER_SLOTS, Destination, FLOWS_DEFAULT_ENTRIES, Flow, FlowKey, Listeners,
    LocalAddress, SocketOffsets, TaskOffsets, UNIX_PATHS, UnixPath, Verdict,
};

// Set by the loader and then constant, so that the verifier drops what they switch off.

/// Not 0: only processes in `TARGETS` are the target, whoever else is in the cgroup.
#[unsafe(no_mangle)]
static BY_PROCESS: Global<u32> = Global::new(0);
/// Not 0: `OFFSETS` is right for this kernel, and its memory may be read.
#[unsafe(no_mangle)]
static KNOWS_TASKS: Global<u32> = Global::new(0);
/// Not 0: there are ports with `PortRule::Only`.
#[unsafe(no_mangle)]
static ONLY_PORTS: Global<u32> = Global::new(0);
/// Not 0: outbound connections are tapped and none is redirected.
#[unsafe(no_mangle)]
static TAP_OUTBOUND: Global<u32> = Global::new(0);
/// Not 0: a packet for which the ring has no room is dropped, so that TCP sends it again.
#[unsafe(no_mangle)]
static STRICT: Global<u32> = Global::new(0);
/// A `Replay`, or 0: then nothing of replay is there.
#[unsafe(no_mangle)]
static REPLAY: Global<u32> = Global::new(0);
/// Not 0: the kernel has bpf_set_retval.
#[unsafe(no_mangle)]
static EXACT_ERRNO: Global<u32> = Global::new(0);
/// The agent is woken as the ring gets so full, in bytes.
#[unsafe(no_mangle)]
static TAP_WAKE: Global<u64> = Global::new(u64::MAX);
#[unsafe(no_mangle)]
static OFFSETS: Global<TaskOffsets> = Global::new(TaskOffsets {
    tgid: 0,
    leader: 0,
    signal: 0,
    live: 0,
    thread_pid: 0,
    level: 0,
    numbers: 0,
    number_size: 0,
    nr: 0,
    namespace: 0,
    inum: 0,
    own_namespace: 0,
});
#[unsafe(no_mangle)]
static SOCKET_OFFSETS: Global<SocketOffsets> = Global::new(SocketOffsets {
    family: 0,
    state: 0,
    address: 0,
    name: 0,
    error: 0,
    call_address: 0,
    call_length: 0,
});

/// Slot 0: a `State`.
#[map]
static STATE: Array<u32> = Array::with_max_entries(1, 0);
/// Slot 0: when the agent was last seen alive, on `bpf_ktime_get_ns`'s clock.
#[map]
static HEARTBEAT: Array<u64> = Array::with_max_entries(1, 0);
/// Network namespace cookie to where the proxy listens in it.
#[map]
static LISTENERS: HashMap<u64, Listeners> = HashMap::with_max_entries(1024, 0);
/// Addresses of the network namespaces' own besides loopback.
#[map]
static LOCAL_ADDRESSES: HashMap<LocalAddress, u8> = HashMap::with_max_entries(16384, 0);
/// Destination port (host order) to `PortRule`.
#[map]
static PORTS: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);
/// Slot 0: the agent's own process in the initial pid namespace.
#[map]
static AGENT: Array<u32> = Array::with_max_entries(1, 0);
/// The processes that are followed, in the initial pid namespace.
#[map]
static TARGETS: HashMap<u32, u8> = HashMap::with_max_entries(65536, 0);
/// Process number in the agent's pid namespace to that in the initial one, 0 until found.
#[map]
static WANTED: HashMap<u32, u32> = HashMap::with_max_entries(65536, 0);
/// Ids of the cgroups that are the target.
#[map]
static CGROUPS: HashMap<u64, u8> = HashMap::with_max_entries(1024, 0);
/// Processes (numbers in the agent's pid namespace) whose network namespace the agent should look at.
#[map]
static ANNOUNCED: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);
/// What each socket is to the target.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
static SOCKETS: socket::Sockets = socket::Sockets::new();
/// Cookies of sockets that the target had before the hooks were there, to their roles.
#[map]
static OLDER: HashMap<u64, u32> = HashMap::with_max_entries(65536, 0);
/// Slot 0: a `TapState`.
#[map]
static TAP_STATE: Array<u32> = Array::with_max_entries(1, 0);
/// Who accepted what: `Owner`s.
#[map]
static OWNERS: RingBuf = RingBuf::with_byte_size(1024 * 1024, 0);
/// Processes in which no thread does one request at a time: nothing is told of those.
#[map]
static LOOSE: LruHashMap<u32, u8> = LruHashMap::with_max_entries(4096, 0);
/// Thread to the cookie of the accepted connection from which it read last.
#[map]
static SERVING: LruHashMap<u32, u64> = LruHashMap::with_max_entries(16384, 0);
/// What the tap copied: `Record`s. The loader sizes it.
#[map]
static TAP: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);
/// Socket cookie to flow, from connect(2) until the socket is closed. Its size is the limit of connections: the
/// agent cannot look after more, however fast they come, and a connect that finds no room goes direct.
#[map]
static BY_COOKIE: HashMap<u64, Flow> = HashMap::with_max_entries(FLOWS_DEFAULT_ENTRIES, 0);
/// The target's end of a redirected connection to its flow: filled before the proxy can accept.
#[map]
static BY_SOURCE: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOWS_DEFAULT_ENTRIES, 0);
/// As `BY_SOURCE`, but kept: for getpeername where the socket's cookie is not the one that connected (MPTCP).
#[map]
static PEERS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOWS_DEFAULT_ENTRIES, 0);
/// Connects that do not reach the agent and that it is told of here: to closed local ports, where they fail natively;
/// in replay, whatever is refused.
#[map]
static REFUSED: Queue<Flow> = Queue::with_max_entries(4096, 0);
/// Where the target connected to UNIX sockets, and how often; with no room for more only `Counter::UnixConnects` tells.
#[map]
static UNIX_SOCKETS: PerCpuHashMap<UnixPath, u64> = PerCpuHashMap::with_max_entries(UNIX_PATHS, 0);
/// In replay, what becomes of a connect. The loader sizes it.
#[map]
static VERDICTS: HashMap<Destination, Verdict> = HashMap::with_max_entries(1, 0);
/// In replay, of which series of connects one to there is, of those that may fail on purpose. The loader sizes these.
#[map]
static AHEAD_OF: HashMap<Destination, u32> = HashMap::with_max_entries(1, 0);
/// What becomes of the connects of a series.
#[map]
static AHEAD_PLANS: Array<Ahead> = Array::with_max_entries(1, 0);
/// How many connects there were of a series.
#[map]
static AHEAD_SEEN: Array<i64> = Array::with_max_entries(1, 0);
/// In replay, whom each socket asked that asks resolvers.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
static ASKING: asking::Asking = asking::Asking::new();
/// In replay, UNIX sockets that the target must not reach.
#[map]
static UNIX_REFUSED: HashMap<UnixPath, u8> = HashMap::with_max_entries(16, 0);
/// In replay, the target's end of a lookup to whom it was meant for. The loader sizes it.
#[map]
static ASKED: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(1, 0);
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

#[cgroup_sock_addr(sendmsg4)]
pub fn on_sendmsg4(ctx: SockAddrContext) -> i32 {
    sendmsg::sendmsg4(&ctx)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn on_sendmsg6(ctx: SockAddrContext) -> i32 {
    sendmsg::sendmsg6(&ctx)
}

// The library does not know BPF_CGROUP_UNIX_CONNECT: in the object it looks like another of connect4's.
#[cgroup_sock_addr(connect4)]
pub fn on_connect_unix(ctx: SockAddrContext) -> i32 {
    unix_connect::connects(&ctx)
}

#[cgroup_sock_addr(recvmsg4)]
pub fn on_recvmsg4(ctx: SockAddrContext) -> i32 {
    recvmsg::recvmsg4(&ctx)
}

#[cgroup_sock_addr(recvmsg6)]
pub fn on_recvmsg6(ctx: SockAddrContext) -> i32 {
    recvmsg::recvmsg6(&ctx)
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

#[cgroup_sock(sock_create)]
pub fn on_sock_create(ctx: SockContext) -> i32 {
    sock_create::sock_create(&ctx)
}

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn on_fork(ctx: RawTracePointContext) -> i32 {
    process::fork(&ctx);
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn on_exec(_ctx: RawTracePointContext) -> i32 {
    process::exec();
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn on_exit(_ctx: RawTracePointContext) -> i32 {
    process::exit();
    0
}

#[raw_tracepoint(tracepoint = "sk_data_ready")]
pub fn on_data_ready(ctx: RawTracePointContext) -> i32 {
    sk_data_ready::sk_data_ready(&ctx);
    0
}

#[btf_tracepoint(function = "sock_send_length")]
pub fn on_sock_send_length(ctx: BtfTracePointContext) -> i32 {
    sock_length::sent(&ctx);
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn on_sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    sock_length::received(&ctx);
    0
}

// The library has no macro for iterators.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn on_task(ctx: *mut c_void) -> i32 {
    iter_task::task(ctx);
    0
}

#[cgroup_skb(ingress)]
pub fn on_ingress(ctx: SkBuffContext) -> i32 {
    cgroup_skb::ingress(&ctx)
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
