use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::proxy::{Note, Slab};

/// What several relay threads noted, told in order of time: the log's order is that of the notes, and what was tapped,
/// or a line of another process, may lie between.
#[derive(Default)]
pub struct Merge {
    /// By worker, oldest first; in each slab the notes stand the other way round, so that the next is the last.
    workers: Vec<VecDeque<Slab>>,
    /// Slabs that are held here.
    held: usize,
}

impl Merge {
    /// Takes a slab in.
    pub fn push(&mut self, worker: usize, mut slab: Slab) {
        if self.workers.len() <= worker {
            self.workers.resize_with(worker + 1, VecDeque::new);
        }
        slab.notes.reverse();
        self.workers[worker].push_back(slab);
        self.held += 1;
    }

    /// Tells what happened until then to `tell`, and gives slabs that are empty to `back`. While more than `most`
    /// slabs are held nobody is waited for: the relay needs them.
    pub fn take(
        &mut self,
        until: Nanos,
        most: usize,
        mut tell: impl FnMut(usize, Note, &[u8]),
        mut back: impl FnMut(Slab),
    ) {
        while let Some((worker, at)) = self.next()
            && (at <= until || self.held > most)
        {
            let queue = &mut self.workers[worker];
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

    fn told(merge: &mut Merge, until: u64, most: usize) -> (Vec<u32>, usize) {
        let (mut told, mut emptied) = (Vec::new(), 0);
        merge.take(Nanos(until), most, |_, note, _| told.push(note.slot), |_| emptied += 1);
        (told, emptied)
    }

    #[test]
    fn the_notes_of_two_are_told_in_order_as_far_as_they_are_whole() {
        let mut merge = Merge::default();
        merge.push(0, slab(&[10, 30, 50]));
        // The other may still tell of something older.
        assert_eq!(told(&mut merge, 9, 16), (vec![], 0));
        merge.push(1, slab(&[20, 40]));
        assert_eq!(told(&mut merge, 40, 16), (vec![10, 20, 30, 40], 1));
        assert_eq!(told(&mut merge, 50, 16), (vec![50], 1));
    }

    #[test]
    fn the_order_of_one_worker_is_kept_whatever_the_times_say() {
        let mut merge = Merge::default();
        merge.push(0, slab(&[40, 10, 20]));
        merge.push(1, slab(&[30, 50]));
        assert_eq!(told(&mut merge, u64::MAX, 16).0, [30, 40, 10, 20, 50]);
    }

    #[test]
    fn a_pool_that_runs_out_waits_for_nobody() {
        let mut merge = Merge::default();
        merge.push(0, slab(&[10, 11]));
        assert_eq!(told(&mut merge, 0, 1), (vec![], 0));
        merge.push(0, slab(&[12]));
        assert_eq!(told(&mut merge, 0, 1), (vec![10, 11], 1));
    }

    #[test]
    fn a_slab_without_notes_goes_back() {
        let mut merge = Merge::default();
        merge.push(1, slab(&[]));
        assert_eq!(told(&mut merge, 0, 16), (vec![], 1));
    }
}
