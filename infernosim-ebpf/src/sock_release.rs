//! cgroup/sock_release: the socket is closed, its flow is no longer asked for.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SockContext;

use crate::BY_COOKIE;

pub fn sock_release(ctx: &SockContext) -> i32 {
    // SAFETY: the helper takes the program's context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let _ = BY_COOKIE.remove(&cookie);
    1
}
