//! cgroup/sock_create: the first that is seen of a socket, in the task that makes it.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie};
use aya_ebpf::programs::SockContext;

use crate::{BY_PROCESS, DATAGRAM_SOCKETS, LISTENERS, scope};

const IPPROTO_UDP: u32 = 17;

pub fn sock_create(ctx: &SockContext) -> i32 {
    if scope::is_target() {
        // SAFETY: a field that the verifier lets every cgroup_sock program read.
        let protocol = unsafe { (*ctx.sock).protocol };
        if BY_PROCESS.load() != 0 && protocol == IPPROTO_UDP {
            // SAFETY: the helper takes the program's context.
            let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
            let _ = DATAGRAM_SOCKETS.insert(&cookie, &1, 0);
        }
        // SAFETY: as above.
        let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
        // SAFETY: the value is not read.
        if unsafe { LISTENERS.get(&netns) }.is_none() {
            scope::namespace_seen(netns);
        }
    }
    1
}
