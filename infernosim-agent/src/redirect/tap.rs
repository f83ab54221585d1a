//! What the tap's programs and the agent share: the ring of copies, the switch, and the roles of older sockets.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Array, HashMap, MapData, RingBuf};
use infernosim_common::tap::{Record, Role, TapState};

use crate::clock::Nanos;

/// The copies, in the order in which the kernel made them.
pub struct Ring {
    ring: RingBuf<MapData>,
    /// When the first record that was left was made.
    ahead: Nanos,
}

/// Starts and stops the tap.
pub struct Switch {
    map: Array<MapData, u32>,
}

/// What sockets are to the target that it had before the programs were attached.
pub struct OlderRoles {
    map: HashMap<MapData, u64, u32>,
}

impl Ring {
    pub(super) const fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring, ahead: Nanos(0) }
    }

    /// Shows each record of no later than `until`, and the bytes that follow it. Memory is given back to the kernel
    /// record by record.
    pub fn read(&mut self, until: Nanos, mut each: impl FnMut(&Record, &[u8])) {
        if self.ahead > until {
            return;
        }
        while let Some(item) = self.ring.next() {
            // A record of no kind was only submitted to wake us.
            if let Some((record, bytes)) = Record::read(&item).filter(|(record, _)| record.kind != 0) {
                if record.at_ns > until.0 {
                    // Not consumed unless dropped.
                    let _ = ManuallyDrop::new(item);
                    self.ahead = Nanos(record.at_ns);
                    return;
                }
                each(&record, bytes);
            }
        }
    }
}

impl AsFd for Ring {
    /// Becomes readable (edge-triggered) as the ring fills; never for a single record.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl Switch {
    pub(super) const fn new(map: Array<MapData, u32>) -> Self {
        Self { map }
    }

    /// From now on.
    pub fn set(&mut self, state: TapState) {
        // An array element that exists cannot fail to be set.
        let _ = self.map.set(0, state as u32, 0);
    }
}

impl OlderRoles {
    pub(super) const fn new(map: HashMap<MapData, u64, u32>) -> Self {
        Self { map }
    }

    /// Tells what a socket is; false where there is no room for it.
    pub fn tell(&mut self, cookie: u64, role: Role) -> bool {
        self.map.insert(cookie, role as u32, 0).is_ok()
    }
}
