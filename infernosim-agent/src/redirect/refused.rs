use aya::maps::{MapData, Queue};
use infernosim_common::Flow;

/// Connects to local ports on which nobody listened. The kernel half leaves them alone, so that they fail as
/// they would without us, and notes them here.
pub struct Refused {
    queue: Queue<MapData, Flow>,
}

impl Refused {
    pub(super) const fn new(queue: Queue<MapData, Flow>) -> Self {
        Self { queue }
    }

    /// The next one not told yet; its time is `connected_ns`.
    pub fn take(&mut self) -> Option<Flow> {
        self.queue.pop(0).ok()
    }
}
