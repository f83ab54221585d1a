//! cgroup/sock_create: the first that is seen of a socket, in the task that makes it.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_netns_cookie;
use aya_ebpf::programs::SockContext;
use infernosim_common::tap::Role;

use crate::{LISTENERS, SOCKETS, scope};

pub fn sock_create(ctx: &SockContext) -> i32 {
    let role = if scope::is_target() {
        // SAFETY: the helper takes the program's context.
        let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
        // SAFETY: the value is not read.
        if unsafe { LISTENERS.get(&netns) }.is_none() {
            scope::namespace_seen(netns);
        }
        Role::Unconnected
    } else {
        Role::Ignored
    };
    // Without room for it the socket is taken for an older one.
    // SAFETY: for these programs the helper takes the context, which is the socket.
    let _ = unsafe { SOCKETS.get_or(ctx.as_ptr(), role) };
    1
}
