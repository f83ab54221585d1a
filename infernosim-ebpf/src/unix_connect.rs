//! cgroup/connect_unix (Linux 6.7): in replay the target does not reach the resolvers that listen on UNIX sockets, so that
//! its libc asks by DNS, as it did where none listens. The agent loads this program itself, see its `unix_connect.rs`.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::programs::SockAddrContext;
use infernosim_common::{Counter, UnixPath};

use crate::counter::count;
use crate::task::Address;
use crate::{SOCKET_OFFSETS, UNIX_REFUSED, replay, scope};

const ALLOW: i32 = 1;
const ECONNREFUSED: u32 = 111;
/// `sun_family` stands before the path.
const FAMILY_LEN: u32 = 2;

pub fn connects(ctx: &SockAddrContext) -> i32 {
    if !replay::is_open() || !scope::is_target() {
        return ALLOW;
    }
    let Some(path) = path(ctx) else { return ALLOW };
    // SAFETY: the value is not read.
    if unsafe { UNIX_REFUSED.get(&path) }.is_none() {
        return ALLOW;
    }
    count(Counter::UnixRefused);
    replay::fail(ECONNREFUSED)
}

/// Where it wants to connect to. The context has no field for it, but what stands behind it is the kernel's own, a
/// `bpf_sock_addr_kern`; read back from the stack its address is a mere number, which the verifier lets be added to.
#[inline(always)]
fn path(ctx: &SockAddrContext) -> Option<UnixPath> {
    let offsets = SOCKET_OFFSETS.load();
    if offsets.call_address == 0 {
        return None;
    }
    let address = ctx.as_ptr() as u64;
    // SAFETY: the helper checks the address.
    let own = Address(unsafe { bpf_probe_read_kernel(&raw const address) }.ok()?);
    let address = own.follow(offsets.call_address)?;
    // A path need not end with NUL; then its length says where it ends (unix(7)).
    let length = own.read::<u32>(offsets.call_length)?.wrapping_sub(FAMILY_LEN);
    let mut path: UnixPath = [0; 108];
    let room = if length < 107 { length + 1 } else { 108 };
    // SAFETY: `room` is at most what `path` has; the helper checks the address.
    let read = unsafe {
        let from = address.0.wrapping_add(u64::from(FAMILY_LEN)) as *const core::ffi::c_void;
        bpf_probe_read_kernel_str((&raw mut path).cast(), room, from)
    };
    (read > 1).then_some(path)
}
