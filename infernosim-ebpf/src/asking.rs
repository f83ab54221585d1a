//! In replay, what is kept with a socket that asks a resolver: whom it asked last. One that asks several in turn gets
//! all their answers from the last one, which every client that does so bears: it knows all of them.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::helpers::bpf_sk_storage_get;
use infernosim_common::Asked;

/// As [`crate::socket::Sockets`]; without BPF_F_CLONE, for nobody accepts on it.
#[repr(C)]
pub struct Asking {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Asked,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the pointers only carry types for the loader; they are never followed.
unsafe impl Sync for Asking {}

impl Asking {
    pub const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    /// What is kept with this socket.
    ///
    /// # Safety
    /// `socket` is one that the verifier takes for a socket.
    #[inline(always)]
    pub unsafe fn get(&self, socket: *mut c_void) -> Option<&Asked> {
        // SAFETY: the caller's; the value lives as long as the socket, which the program holds.
        unsafe {
            bpf_sk_storage_get(ptr::from_ref(self).cast_mut().cast(), socket, ptr::null_mut(), 0)
                .cast::<Asked>()
                .as_ref()
        }
    }

    /// Keeps `asked` with this socket. Without memory for it the answers have the agent's address.
    ///
    /// # Safety
    /// As [`Asking::get`].
    #[inline(always)]
    pub unsafe fn keep(&self, socket: *mut c_void, asked: &mut Asked) {
        // SAFETY: as above; the kernel copies `asked`.
        unsafe {
            let kept = bpf_sk_storage_get(
                ptr::from_ref(self).cast_mut().cast(),
                socket,
                ptr::from_mut(asked).cast(),
                BPF_SK_STORAGE_GET_F_CREATE.into(),
            );
            if let Some(kept) = kept.cast::<Asked>().as_mut() {
                *kept = *asked;
            }
        }
    }
}
