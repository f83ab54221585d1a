use aya::maps::{MapData, Queue};
use infernosim_common::{Fate, Flow};

/// Connects that do not reach our listener and that we must be told of: those to local ports on which nobody listened,
/// which fail as they would without us; in replay, all that the kernel half refuses, fails, hangs or leaves alone.
pub struct Refused {
    queue: Queue<MapData, Flow>,
}

impl Refused {
    pub(super) const fn new(queue: Queue<MapData, Flow>) -> Self {
        Self { queue }
    }

    /// The next one not told yet; its time is `connected_ns`, what became of it says [`fate`].
    pub fn take(&mut self) -> Option<Flow> {
        self.queue.pop(0).ok()
    }
}

/// What became of a connect that [`Refused`] told of; with [`Fate::Failed`] its errno is `flow.errno`.
pub fn fate(flow: &Flow) -> Fate {
    Fate::ALL.into_iter().find(|fate| *fate as u16 == flow.fate).unwrap_or(Fate::Unserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_known_by_its_number() {
        for (number, expected) in (0..).zip(Fate::ALL) {
            assert_eq!(fate(&Flow { fate: number, ..Flow::default() }), expected);
        }
        assert_eq!(fate(&Flow { fate: 99, ..Flow::default() }), Fate::Unserved);
    }
}
