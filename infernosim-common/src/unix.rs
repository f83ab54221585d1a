/// `sun_path` of unix(7), NUL padded.
pub type UnixPath = [u8; 108];

/// Paths that are counted one by one.
pub const UNIX_PATHS: u32 = 256;

/// Where this kernel keeps what the programs need of a socket, in bytes; as [`crate::TaskOffsets`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOffsets {
    /// `sock.__sk_common.skc_family`.
    pub family: u32,
    /// `sock.__sk_common.skc_state`.
    pub state: u32,
    /// `unix_sock.addr`.
    pub address: u32,
    /// `unix_address.name`.
    pub name: u32,
    /// `sock.sk_err`.
    pub error: u32,
    /// `bpf_sock_addr_kern.uaddr`: where a connect goes that a program sees; 0 if it is not known.
    pub call_address: u32,
    /// `bpf_sock_addr_kern.uaddrlen` (Linux 6.7).
    pub call_length: u32,
}

const _: () = assert!(size_of::<SocketOffsets>() == 28);

#[cfg(feature = "user")]
// SAFETY: repr(C) of u32 only, size asserted above: any bytes are a value, no padding.
unsafe impl aya::Pod for SocketOffsets {}
