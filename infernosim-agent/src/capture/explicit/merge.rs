use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::proxy::{Note, Slab};

/// Slabs come within 20 ms of what they tell of. After so long, in ns, nothing older can come.
const LAG_NS: u64 = 50_000_000;

/// What several relay threads noted, told in order of time: the log's order is that of the notes, and a line of
/// another process may lie between.
pub struct Merge {
    /// By worker, oldest first; in each slab the notes stand the other way round, so that the next is the last.
    workers: Vec<VecDeque<Slab>>,
    /// By worker: of nothing before that it can still tell.
    heard: Vec<Nanos>,
    /// Slabs that are held here.
    held: usize,
    /// With more than so many, nobody is waited for: the relay needs them.
    most: usize,
}

impl Merge {
    /// For so many workers, which share so many slabs.
    pub fn new(workers: usize, slabs: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| VecDeque::new()).collect(),
            heard: vec![Nanos(0); workers],
            held: 0,
            most: slabs / 4,
        }
    }

    /// Takes a slab in.
    pub fn push(&mut self, worker: usize, mut slab: Slab) {
        let (Some(queue), Some(heard)) = (self.workers.get_mut(worker), self.heard.get_mut(worker)) else {
            return;
        };
        if let Some(last) = slab.notes.last() {
            *heard = last.at.max(*heard);
        }
        slab.notes.reverse();
        queue.push_back(slab);
        self.held += 1;
    }

    /// Tells what is certain to come next at `now`, or with `all` everything, to `tell`, and gives slabs that are
    /// empty to `back`.
    pub fn take(
        &mut self,
        now: Nanos,
        all: bool,
        mut tell: impl FnMut(usize, Note, &[u8]),
        mut back: impl FnMut(Slab),
    ) {
        let silent_since = Nanos(now.0.saturating_sub(LAG_NS));
        loop {
            let certain = self.heard.iter().map(|heard| (*heard).max(silent_since)).min();
            let Some((worker, at)) = self.next() else { return };
            if !all && self.held <= self.most && certain.is_none_or(|certain| at > certain) {
                return;
            }
            let Some(queue) = self.workers.get_mut(worker) else { return };
            let Some(slab) = queue.front_mut() else { return };
            if let Some(note) = slab.notes.pop() {
                tell(worker, note, &slab.bytes);
            }
            if slab.notes.is_empty()
                && let Some(mut slab) = queue.pop_front()
            {
                self.held -= 1;
                slab.clear();
                back(slab);
            }
        }
    }

    /// Whose note is the oldest, and of when it is. A slab without notes is over at once.
    fn next(&self) -> Option<(usize, Nanos)> {
        let heads = self.workers.iter().enumerate().filter_map(|(worker, queue)| {
            let slab = queue.front()?;
            Some((worker, slab.notes.last().map_or(Nanos(0), |note| note.at)))
        });
        heads.min_by_key(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Sender;
    use crate::proxy::What;

    /// A slab with notes of these times; `slot` names them.
    fn slab(times: &[u64]) -> Slab {
        let note = |&at| Note { at: Nanos(at), slot: at as u32, what: What::Fin(Sender::Client) };
        Slab { bytes: Box::default(), used: 0, notes: times.iter().map(note).collect() }
    }

    fn told(merge: &mut Merge, now: u64, all: bool) -> (Vec<u32>, usize) {
        let (mut told, mut emptied) = (Vec::new(), 0);
        merge.take(Nanos(now), all, |_, note, _| told.push(note.slot), |_| emptied += 1);
        (told, emptied)
    }

    #[test]
    fn one_worker_is_never_waited_for() {
        let mut merge = Merge::new(1, 64);
        merge.push(0, slab(&[10, 20]));
        assert_eq!(told(&mut merge, 20, false), (vec![10, 20], 1));
    }

    #[test]
    fn the_notes_of_two_are_told_in_order() {
        let mut merge = Merge::new(2, 64);
        merge.push(0, slab(&[10, 30, 50]));
        // The other may still tell of something older.
        assert_eq!(told(&mut merge, 60, false), (vec![], 0));
        merge.push(1, slab(&[20, 40]));
        assert_eq!(told(&mut merge, 60, false), (vec![10, 20, 30, 40], 1));
        // It has nothing to say.
        assert_eq!(told(&mut merge, 50 + LAG_NS, false), (vec![50], 1));
    }

    #[test]
    fn the_order_of_one_worker_is_kept_whatever_the_times_say() {
        let mut merge = Merge::new(2, 64);
        merge.push(0, slab(&[40, 10, 20]));
        merge.push(1, slab(&[30, 50]));
        assert_eq!(told(&mut merge, 0, true).0, [30, 40, 10, 20, 50]);
    }

    #[test]
    fn the_end_and_a_pool_that_runs_out_wait_for_nobody() {
        let mut merge = Merge::new(2, 64);
        merge.push(0, slab(&[10]));
        assert_eq!(told(&mut merge, 20, true), (vec![10], 1));
        let mut merge = Merge::new(2, 4);
        merge.push(0, slab(&[10, 11]));
        assert_eq!(told(&mut merge, 20, false), (vec![], 0));
        merge.push(0, slab(&[12]));
        assert_eq!(told(&mut merge, 20, false), (vec![10, 11], 1));
    }

    #[test]
    fn a_slab_without_notes_goes_back() {
        let mut merge = Merge::new(2, 64);
        merge.push(1, slab(&[]));
        assert_eq!(told(&mut merge, LAG_NS, false), (vec![], 1));
    }
}
