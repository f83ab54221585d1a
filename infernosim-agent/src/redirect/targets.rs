use aya::maps::{HashMap, MapData};

/// The processes that are followed, by their numbers in the initial pid namespace. The kernel half adds the
/// children they fork and removes those that exit.
pub struct Targets {
    map: HashMap<MapData, u32, u8>,
}

impl Targets {
    pub(super) const fn new(map: HashMap<MapData, u32, u8>) -> Self {
        Self { map }
    }

    /// Follows a process; false where there is no room.
    pub fn add(&mut self, process: u32) -> bool {
        self.map.insert(process, 1, 0).is_ok()
    }

    /// Follows it no longer.
    pub fn remove(&mut self, process: u32) {
        let _ = self.map.remove(&process);
    }

    /// Whether it is followed.
    pub fn contains(&self, process: u32) -> bool {
        self.map.get(&process, 0).is_ok()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.map.keys().next().is_none()
    }
}
