use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::slab::{Note, SLAB_BYTES, SLAB_NOTES, Slab, What};
use crate::clock::{self, Nanos};
use crate::protocol::Sender;

/// A slab that is not full is handed over after this long, in ns.
const HAND_OVER_NS: u64 = 20_000_000;
/// A read gets at least this much room, so that the end of a slab does not chop streams small.
const MIN_READ: usize = 32 << 10;
/// Notes that may wait for a slab before the relay waits too. Only a recorder that gets no CPU at all can make
/// that happen, and then the relay gets none either.
const MAX_WAITING_NOTES: usize = 1 << 18;

/// Where tees hand slabs over, each with its worker's number.
pub type Copies = SyncSender<(u32, Slab)>;

/// Beyond this, in ns, a thread is not waited for: it gets no CPU, and what it holds is told out of order.
const MOST_HELD_NS: u64 = 2_000_000_000;
/// Of a tee that holds nothing.
const NOTHING: u64 = u64::MAX;

/// The slabs that may exist, and how they come back from the recorder.
#[derive(Debug)]
pub struct Pool {
    free: Mutex<Free>,
    bell: Arc<EventFd>,
    slabs: usize,
    /// By tee: when the first of what it has not handed over yet happened, or [`NOTHING`].
    held: Mutex<Vec<Arc<AtomicU64>>>,
}

#[derive(Debug)]
struct Free {
    returned: Receiver<Slab>,
    not_yet_made: usize,
}

/// The recorder's end.
#[derive(Debug)]
pub struct Feed {
    /// Slabs in the order they were handed over; of one worker, in order of time.
    pub slabs: Receiver<(u32, Slab)>,
    /// Where emptied slabs go.
    pub back: SyncSender<Slab>,
    /// Readable when there is a slab.
    pub bell: Arc<EventFd>,
    pool: Arc<Pool>,
}

/// One relay thread's copy of everything it relays.
#[derive(Debug)]
pub struct Tee {
    worker: u32,
    current: Option<Slab>,
    /// Notes made while there was no slab.
    waiting: Vec<Note>,
    /// Where bytes are read to while there is no slab: relayed, and then lost to the recording.
    scratch: Box<[u8]>,
    since: Nanos,
    held: Arc<AtomicU64>,
    pool: Arc<Pool>,
    out: Copies,
}

impl Pool {
    /// A pool of at most `bytes` (and at least four slabs), the sending end for tees, and the recorder's end.
    ///
    /// # Errors
    /// If there is no descriptor left for the bell.
    pub fn new(bytes: usize) -> nix::Result<(Arc<Self>, Copies, Feed)> {
        let slabs = (bytes / SLAB_BYTES).max(4);
        // Room for every slab in both directions: neither side ever waits to send.
        let (out, slabs_in) = sync_channel(slabs);
        let (back, returned) = sync_channel(slabs);
        let free = Mutex::new(Free { returned, not_yet_made: slabs });
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let pool = Arc::new(Self { free, bell: Arc::clone(&bell), slabs, held: Mutex::default() });
        let feed = Feed { slabs: slabs_in, back, bell, pool: Arc::clone(&pool) };
        Ok((pool, out, feed))
    }

    fn take(&self, wait: bool) -> Option<Slab> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.returned.try_recv() {
            Ok(slab) => Some(slab),
            Err(TryRecvError::Empty) if free.not_yet_made > 0 => {
                free.not_yet_made -= 1;
                Some(Slab::new())
            }
            Err(_) if wait => free.returned.recv().ok(),
            Err(_) => None,
        }
    }
}

impl Feed {
    /// Until when everything is in `slabs`, asked at `now` and before these are taken: what comes later is younger.
    /// What a relay thread read in the last `unnoted_ns` it may not have noted yet.
    pub fn whole_until(&self, now: Nanos, unnoted_ns: u64) -> Nanos {
        let held = self.pool.held.lock().unwrap_or_else(PoisonError::into_inner);
        let first = held.iter().map(|tee| tee.load(Ordering::Acquire)).min().unwrap_or(NOTHING);
        let noted = now.0.saturating_sub(unnoted_ns);
        Nanos(noted.min(first.saturating_sub(1)).max(now.0.saturating_sub(MOST_HELD_NS)))
    }

    /// Slabs that may be kept for a while: with fewer the relay might run out of them.
    pub fn spare(&self) -> usize {
        self.pool.slabs / 4
    }
}

impl Tee {
    /// The tee of one relay thread.
    pub fn new(worker: u32, pool: Arc<Pool>, out: Copies) -> Self {
        let scratch = vec![0; MIN_READ].into_boxed_slice();
        let held = Arc::new(AtomicU64::new(NOTHING));
        pool.held.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&held));
        Self { worker, current: None, waiting: Vec::new(), scratch, since: Nanos(0), held, pool, out }
    }

    /// Room to read at most `limit` bytes into; [`Tee::bytes`] then keeps them.
    pub fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.current.as_ref().is_some_and(|slab| SLAB_BYTES - slab.used < MIN_READ) {
            self.hand_over();
        }
        self.ensure_slab();
        match &mut self.current {
            Some(slab) => {
                let end = slab.bytes.len().min(slab.used + limit);
                &mut slab.bytes[slab.used..end]
            }
            None => {
                let end = self.scratch.len().min(limit);
                &mut self.scratch[..end]
            }
        }
    }

    /// What [`Tee::room`] gave last, to send from.
    pub fn last_read(&self, length: usize) -> &[u8] {
        match &self.current {
            Some(slab) => &slab.bytes[slab.used..slab.used + length],
            None => &self.scratch[..length],
        }
    }

    /// Keeps the `length` bytes that were read, at `at`, into the room given last.
    pub fn bytes(&mut self, at: Nanos, slot: u32, from: Sender, length: usize) {
        let what = match &mut self.current {
            Some(slab) => {
                let start = slab.used as u32;
                slab.used += length;
                What::Bytes { from, start, length: length as u32 }
            }
            None => What::Missed { from, length: length as u64 },
        };
        self.keep(Note { at, slot, what });
    }

    /// Keeps bytes that were read, at `at`, to somewhere else.
    pub fn copy(&mut self, at: Nanos, slot: u32, from: Sender, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room(bytes.len());
            let (now, rest) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            self.bytes(at, slot, from, now.len());
            bytes = rest;
        }
    }

    /// Keeps something else that happened, now.
    pub fn note(&mut self, slot: u32, what: What) {
        self.note_at(clock::now(), slot, what);
    }

    /// Keeps something else that happened at `at`.
    pub fn note_at(&mut self, at: Nanos, slot: u32, what: What) {
        self.keep(Note { at, slot, what });
    }

    fn keep(&mut self, note: Note) {
        if self.current.is_none() && matches!(note.what, What::Missed { .. }) {
            self.wait_for_slab(note);
            return;
        }
        self.ensure_slab();
        let Some(slab) = &mut self.current else {
            self.wait_for_slab(note);
            return;
        };
        if slab.notes.is_empty() {
            self.since = note.at;
            self.held.fetch_min(note.at.0, Ordering::Release);
        }
        slab.notes.push(note);
        if slab.notes.len() >= SLAB_NOTES {
            self.hand_over();
        }
    }

    fn wait_for_slab(&mut self, note: Note) {
        if self.waiting.is_empty() {
            self.held.fetch_min(note.at.0, Ordering::Release);
        }
        self.waiting.push(note);
    }

    /// Hands over what has waited long enough. Returns how long, in milliseconds, until there is cause to call
    /// this again; `None` for not before the next note.
    pub fn tick(&mut self) -> Option<u16> {
        if !self.waiting.is_empty() {
            self.ensure_slab();
            if self.current.is_none() {
                return Some(1);
            }
        }
        if !self.holds_notes() {
            return None;
        }
        let age = clock::now().since(self.since);
        if age < HAND_OVER_NS {
            return Some(1 + ((HAND_OVER_NS - age) / 1_000_000) as u16);
        }
        self.hand_over();
        None
    }

    /// Hands over all there is; at the end.
    pub fn finish(mut self) {
        if !self.waiting.is_empty() && self.current.is_none() {
            self.current = self.pool.take(true);
            self.ensure_slab();
        }
        self.hand_over();
    }

    fn holds_notes(&self) -> bool {
        self.current.as_ref().is_some_and(|slab| !slab.notes.is_empty())
    }

    fn ensure_slab(&mut self) {
        if self.current.is_none() {
            self.current = self.pool.take(self.waiting.len() >= MAX_WAITING_NOTES);
        }
        if let (Some(slab), false) = (&mut self.current, self.waiting.is_empty()) {
            slab.notes.append(&mut self.waiting);
            self.since = clock::now();
        }
    }

    fn hand_over(&mut self) {
        if self.holds_notes()
            && let Some(slab) = self.current.take()
        {
            // The recorder outlives the relay; were it gone, there would be nothing to record to.
            let _ = self.out.send((self.worker, slab));
            self.held.store(NOTHING, Ordering::Release);
            // Fails only where it rings so loudly already that the counter is at its end.
            let _ = self.pool.bell.write(1);
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        // Also of a thread that panicked: nobody must wait for it.
        self.held.store(NOTHING, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tee_holds_is_waited_for_until_it_is_handed_over() {
        let (pool, out, feed) = Pool::new(0).unwrap();
        let [mut early, mut late] = [0, 1].map(|number| Tee::new(number, Arc::clone(&pool), out.clone()));
        let second = 1_000_000_000;
        let now = Nanos(10 * second);
        let whole_until = |now| feed.whole_until(now, 20);
        let noted = Nanos(now.0 - 20);
        assert_eq!(whole_until(now), noted);
        late.note_at(Nanos(9 * second + 5), 0, What::Connected);
        early.note_at(Nanos(9 * second), 0, What::Connected);
        early.note_at(Nanos(9 * second + 1), 0, What::Connected);
        assert_eq!(whole_until(now), Nanos(9 * second - 1));
        early.finish();
        assert_eq!(whole_until(now), Nanos(9 * second + 4));
        assert_eq!(whole_until(Nanos(20 * second)), Nanos(18 * second), "nobody is waited for without end");
        drop(late);
        assert_eq!(whole_until(now), noted);
    }

    #[test]
    fn what_waits_for_a_slab_is_held_too() {
        let (pool, out, feed) = Pool::new(0).unwrap();
        let mut tee = Tee::new(0, pool, out);
        let block = vec![b'x'; SLAB_BYTES - MIN_READ + 1];
        (0..4).for_each(|_| keep(&mut tee, &block));
        tee.room(1);
        assert_eq!(feed.slabs.try_iter().count(), 4);
        let now = Nanos(1_000_000_000);
        tee.bytes(Nanos(now.0 / 2), 7, Sender::Client, 1);
        assert_eq!(feed.whole_until(now, 0), Nanos(now.0 / 2 - 1));
    }

    fn keep(tee: &mut Tee, bytes: &[u8]) {
        tee.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        assert_eq!(tee.last_read(bytes.len()), bytes);
        tee.bytes(Nanos(0), 7, Sender::Client, bytes.len());
    }

    fn what(slab: &Slab) -> Vec<String> {
        let text = |note: &Note| match &note.what {
            What::Bytes { start, length, .. } => {
                let (start, end) = (*start as usize, (*start + *length) as usize);
                String::from_utf8_lossy(&slab.bytes[start..end]).into_owned()
            }
            other => format!("{other:?}"),
        };
        slab.notes.iter().map(text).collect()
    }

    #[test]
    fn bytes_and_notes_arrive_in_order() {
        let (pool, out, feed) = Pool::new(0).unwrap();
        let mut tee = Tee::new(3, pool, out);
        keep(&mut tee, b"hello");
        tee.note(7, What::Fin(Sender::Client));
        keep(&mut tee, b"world");
        tee.finish();
        let (worker, slab) = feed.slabs.recv().unwrap();
        assert_eq!(worker, 3);
        assert_eq!(what(&slab), ["hello", "Fin(Client)", "world"]);
    }

    #[test]
    fn a_copy_may_be_longer_than_a_slab() {
        let (pool, out, feed) = Pool::new(0).unwrap();
        let mut tee = Tee::new(0, pool, out);
        let long: Vec<u8> = (0..SLAB_BYTES * 3 / 2).map(|at| at as u8).collect();
        tee.copy(Nanos(1), 7, Sender::Client, &long);
        tee.finish();
        let kept = feed.slabs.iter().flat_map(|(_, slab)| slab.bytes[..slab.used].to_vec());
        assert!(kept.eq(long));
    }

    #[test]
    fn without_a_slab_the_relay_goes_on_and_the_loss_is_noted_in_place() {
        let (pool, out, feed) = Pool::new(0).unwrap();
        let mut tee = Tee::new(0, pool, out);
        let block = vec![b'x'; SLAB_BYTES - MIN_READ + 1];
        for _ in 0..4 {
            keep(&mut tee, &block);
        }
        // All four slabs are full and nobody has emptied one.
        keep(&mut tee, b"lost");
        tee.note(7, What::Fin(Sender::Server));
        let (_, mut first) = feed.slabs.recv().unwrap();
        first.clear();
        feed.back.send(first).unwrap();
        keep(&mut tee, b"kept");
        tee.finish();
        let last = feed.slabs.iter().last().unwrap().1;
        assert_eq!(what(&last), ["Missed { from: Client, length: 4 }", "Fin(Server)", "kept"]);
    }
}
