use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{MapData, RingBuf};

/// Processes of the target that the kernel half saw in a network namespace where nobody listens, or that may
/// have entered one.
pub struct Announced {
    ring: RingBuf<MapData>,
}

impl Announced {
    pub(super) const fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// The next one, as numbered in our own pid namespace.
    pub fn take(&mut self) -> Option<u32> {
        let item = self.ring.next()?;
        Some(u32::from_ne_bytes(item.get(..4)?.try_into().ok()?))
    }
}

impl AsFd for Announced {
    /// Readable when there is one.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
