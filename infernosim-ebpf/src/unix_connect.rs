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
    let mut path = Path([0; 16]);
    if !read(ctx, &mut path) {
        return ALLOW;
    }
    // SAFETY: it begins with as many bytes as a path has; the value is not read.
    if unsafe { UNIX_REFUSED.get(&*(&raw const path).cast::<UnixPath>()) }.is_none() {
        return ALLOW;
    }
    count(Counter::UnixRefused);
    replay::fail(ECONNREFUSED)
}

/// A path, in words, which cost fewer instructions, and with room for what its mask lets through.
struct Path([u64; 16]);

/// Where it wants to connect to. The context has no field for it, but what stands behind it is the kernel's own, a
/// `bpf_sock_addr_kern`; read back from the stack its address is a mere number, which the verifier lets be added to.
/// False where that cannot be read, or is no path.
#[inline(always)]
fn read(ctx: &SockAddrContext, path: &mut Path) -> bool {
    let offsets = SOCKET_OFFSETS.load();
    if offsets.call_address == 0 {
        return false;
    }
    let address = ctx.as_ptr() as u64;
    // SAFETY: the helper checks the address.
    let Ok(own) = (unsafe { bpf_probe_read_kernel(&raw const address) }) else { return false };
    let own = Address(own);
    let Some(address) = own.follow(offsets.call_address) else { return false };
    let Some(length) = own.read::<u32>(offsets.call_length) else { return false };
    // A path need not end with NUL; then its length says where it ends (unix(7)). One that the kernel lets through has
    // at most 108 bytes, and the helper ends it itself.
    let room = length.wrapping_sub(FAMILY_LEN) + 1;
    // Volatile: LLVM would know what the mask is for and leave it out, and the verifier does not.
    // SAFETY: a value on the stack.
    let room = unsafe { (&raw const room).read_volatile() } & 127;
    // SAFETY: `room` is less than what `path` has; the helper checks the address.
    let read = unsafe {
        let from = address.0.wrapping_add(u64::from(FAMILY_LEN)) as *const core::ffi::c_void;
        bpf_probe_read_kernel_str((&raw mut path.0).cast(), room, from)
    };
    // The NUL is one of them.
    read > 1
}
