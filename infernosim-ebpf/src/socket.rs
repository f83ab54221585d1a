//! What each socket is to the target. It is kept with the socket, so that asking costs a packet next to nothing,
//! it goes when the socket goes, and a listener's accepted sockets inherit it (BPF_F_CLONE).

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::bpf_sk_storage_get;
use infernosim_common::tap::{Role, TapState};
use infernosim_common::{Counter, LISTENER_PRIORITY, PortRule};

use crate::counter::count;
use crate::{BY_PROCESS, OLDER, ONLY_PORTS, PORTS, SOCKETS, TAP_STATE};

/// `TCP_LISTEN`, net/tcp_states.h.
pub const LISTEN: u32 = 10;

/// What is kept with a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Socket {
    /// A [`Role`].
    pub role: u32,
    /// Not 0: the agent knows who accepted it.
    pub told: u32,
    /// Bytes that the target has read on it, since there was something to keep.
    pub read: u64,
    /// Bytes that it has written.
    pub written: u64,
    /// The thread that read last; 0 if none has.
    pub reader: u32,
    /// The thread that wrote last.
    pub writer: u32,
    /// What was done last, see [`turn`].
    pub turn: u32,
    /// See [`relayed`].
    pub relayed: u32,
}

/// What the target did last on a connection.
pub mod turn {
    pub const READ: u32 = 1;
    pub const WRITTEN: u32 = 2;
}

/// Whether the proxy has a connection.
pub mod relayed {
    pub const UNKNOWN: u32 = 0;
    pub const YES: u32 = 1;
    pub const NO: u32 = 2;
}

impl Socket {
    #[inline(always)]
    const fn new(role: Role) -> Self {
        Self {
            role: role as u32,
            told: 0,
            read: 0,
            written: 0,
            reader: 0,
            writer: 0,
            turn: 0,
            relayed: relayed::UNKNOWN,
        }
    }

    /// It connects again: what was done on it before belongs to another connection.
    #[inline(always)]
    pub fn connects_as(&mut self, role: Role) {
        *self = Self { told: self.told, ..Self::new(role) };
    }
}

/// A map of BPF_MAP_TYPE_SK_STORAGE. The library's own has no BPF_F_CLONE.
#[repr(C)]
pub struct Sockets {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Socket,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: the pointers only carry types for the loader; they are never followed.
unsafe impl Sync for Sockets {}

impl Sockets {
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
    pub unsafe fn get(&self, socket: *mut c_void) -> Option<&mut Socket> {
        // SAFETY: the caller's; the value lives as long as the socket, which the program holds.
        unsafe {
            bpf_sk_storage_get(ptr::from_ref(self).cast_mut().cast(), socket, ptr::null_mut(), 0)
                .cast::<Socket>()
                .as_mut()
        }
    }

    /// What is kept with this socket, after `role` was if nothing had been.
    ///
    /// # Safety
    /// As [`Sockets::get`].
    #[inline(always)]
    pub unsafe fn get_or(&self, socket: *mut c_void, role: Role) -> Option<&mut Socket> {
        let mut first = Socket::new(role);
        // SAFETY: as above.
        unsafe {
            bpf_sk_storage_get(
                ptr::from_ref(self).cast_mut().cast(),
                socket,
                (&raw mut first).cast(),
                BPF_SK_STORAGE_GET_F_CREATE.into(),
            )
            .cast::<Socket>()
            .as_mut()
        }
    }
}

/// Whether anything is copied at all.
#[inline(always)]
pub fn tap_state() -> u32 {
    TAP_STATE.get(0).copied().unwrap_or(TapState::Off as u32)
}

/// What this socket is to the target; of one that nothing is known of yet, it is found out. `cookie` is its own.
///
/// # Safety
/// `socket` is one that the verifier takes for a full socket.
#[inline(always)]
pub unsafe fn role_of(socket: *mut bpf_sock, cookie: u64) -> u32 {
    if tap_state() == TapState::Off as u32 {
        return Role::Ignored as u32;
    }
    // SAFETY: the caller's.
    match unsafe { known_role(socket, cookie) } {
        role if is_tapped(role) => role,
        _ => Role::Ignored as u32,
    }
}

/// Whether the tap looks at sockets of this role: not at those of replay's that it has decided of.
#[inline(always)]
pub fn is_tapped(role: u32) -> bool {
    role != Role::Ignored as u32 && role < Role::Redirected as u32
}

/// What this socket is to the target, whether anything is tapped or not.
///
/// # Safety
/// As [`role_of`].
#[inline(always)]
pub unsafe fn known_role(socket: *mut bpf_sock, cookie: u64) -> u32 {
    // SAFETY: the caller's.
    if let Some(known) = unsafe { SOCKETS.get(socket.cast()) } {
        return known.role;
    }
    // SAFETY: the caller's; fields that the verifier lets be read.
    let (priority, tcp_state) = unsafe { ((*socket).priority, (*socket).state) };
    let role = match guess(cookie, priority, tcp_state) {
        // It may still turn out to be the target's: ask again.
        Role::Ignored if tap_state() != TapState::On as u32 => return Role::Ignored as u32,
        role => role,
    };
    // SAFETY: as above.
    unsafe { SOCKETS.get_or(socket.cast(), role) }.map_or(role as u32, |kept| kept.role)
}

/// Of a socket that was there before the hooks were.
#[inline(always)]
fn guess(cookie: u64, priority: u32, tcp_state: u32) -> Role {
    // Listeners of captures, this one or another.
    if priority == LISTENER_PRIORITY {
        return Role::Ignored;
    }
    // SAFETY: the value is copied.
    match unsafe { OLDER.get(&cookie) }.copied() {
        Some(role) if role == Role::Unconnected as u32 => Role::Unconnected,
        Some(role) if role == Role::OlderInbound as u32 => Role::OlderInbound,
        Some(role) if role == Role::OlderOutbound as u32 => Role::OlderOutbound,
        Some(role) if role == Role::Older as u32 => Role::Older,
        Some(_) => Role::Ignored,
        // Everything in the cgroup is the target.
        None if BY_PROCESS.load() == 0 && tcp_state == LISTEN => Role::Unconnected,
        None if BY_PROCESS.load() == 0 => Role::Older,
        None => Role::Ignored,
    }
}

/// Whether the user chose that connections to this port (host order) be left alone.
#[inline(always)]
pub fn is_excluded(port: u32) -> bool {
    // SAFETY: rules are set before anything is attached.
    match unsafe { PORTS.get(&port) } {
        Some(rule) => *rule == PortRule::Exclude as u32,
        None => ONLY_PORTS.load() != 0,
    }
}

/// A connection to `port` that the target accepted: tapped, or excluded and counted.
#[inline(always)]
pub fn accepted(port: u32) -> Role {
    if is_excluded(port) {
        count(Counter::Excluded);
        return Role::Ignored;
    }
    Role::Inbound
}
