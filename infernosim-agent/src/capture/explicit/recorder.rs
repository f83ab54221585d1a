use std::os::fd::AsFd as _;
use std::sync::mpsc::TryRecvError;
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::merge::Merge;
use super::super::relayed::Relayed;
use crate::clock::{self, Nanos};
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::{Lines, Totals};
use crate::privilege;
use crate::proxy::{Feed, UNNOTED_NS};

/// How often lines are handed on while nobody wakes us, in milliseconds.
const TICK_MS: u16 = 20;

/// Turns copied bytes into events, on a thread of its own; it never waits for the disk.
struct Recorder {
    feed: Feed,
    merge: Merge,
    relayed: Relayed,
    lines: Lines,
}

/// Starts recording what is relayed; the thread ends, with the totals, when the relay has.
pub fn start(feed: Feed, lines: Lines) -> Result<JoinHandle<Totals>> {
    let recorder = Recorder { feed, merge: Merge::default(), relayed: Relayed::default(), lines };
    privilege::thread("recorder", move || recorder.run())
        .map_err(|error| ExpectedError::new(Exit::Host, format!("no thread for the recorder: {error}")))
}

impl Recorder {
    fn run(mut self) -> Totals {
        loop {
            self.wait();
            let now = clock::now();
            let whole_until = self.feed.whole_until(now, UNNOTED_NS);
            let goes_on = self.receive();
            let Self { feed, merge, relayed, lines } = &mut self;
            let until = if goes_on { whole_until } else { Nanos(u64::MAX) };
            let tell = |worker, note, memory: &[u8]| relayed.note(worker, note, memory, &|_, _| None, lines);
            // Giving back fails only once no relay is left to use it.
            merge.take(until, feed.spare(), tell, |slab| drop(feed.back.send(slab)));
            lines.tick();
            if !goes_on {
                let Self { relayed, mut lines, .. } = self;
                relayed.end(now, &|_, _| None, &mut lines);
                return lines.finish();
            }
        }
    }

    fn wait(&self) {
        let mut bell = [PollFd::new(self.feed.bell.as_fd(), PollFlags::POLLIN)];
        // An interrupted or failed wait is looked at like one that ended.
        let _ = poll(&mut bell, PollTimeout::from(TICK_MS));
        let _ = self.feed.bell.read();
    }

    /// Takes in the slabs that are there. False once no more will come.
    fn receive(&mut self) -> bool {
        loop {
            match self.feed.slabs.try_recv() {
                Ok((worker, slab)) => self.merge.push(worker as usize, slab),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}
