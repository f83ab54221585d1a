//! What is handed to the writer.

use super::super::Both;
use super::super::loss::Reason;
use super::super::writer::{Block, Job, type_of};
use super::Lines;

impl Lines {
    /// A number for a body that goes to a file as it comes.
    pub fn next_spool(&mut self) -> u64 {
        self.spools += 1;
        self.spools
    }

    /// More of such a body, or why it cannot be kept.
    pub fn spool(&mut self, number: u64, bytes: Vec<u8>) -> std::result::Result<(), Reason> {
        self.say_secrets();
        let length = bytes.len();
        if !self.seam.spool_fits(number, length) {
            self.job(Job::DropSpool { number });
            return Err(Reason::Size);
        }
        if !self.budget.take(length) {
            return Err(Reason::Buffer);
        }
        if !self.job(Job::Spool { number, bytes }) {
            self.budget.give(length);
            return Err(Reason::Buffer);
        }
        Ok(())
    }

    /// A whole body for a file of its own, unless it has one already; false where there is no room for it.
    pub fn store_body(&mut self, sha256: [u8; 32], bytes: &[u8]) -> bool {
        if self.stored.contains(&sha256) {
            return true;
        }
        self.say_secrets();
        if !self.budget.take(bytes.len()) {
            return false;
        }
        if !self.job(Job::Body { sha256, bytes: bytes.to_vec() }) {
            self.budget.give(bytes.len());
            return false;
        }
        self.stored.insert(sha256)
    }

    /// Leaves a job for the writer; false where there is no place for it.
    pub(in crate::incident) fn job(&mut self, job: Job) -> bool {
        let then = self.seam.note(&job);
        let sent = self.outbox.send(job);
        self.seam.sent(then, sent);
        sent
    }

    /// What new tokens stand for, before anything in which they stand.
    pub(super) fn say_secrets(&mut self) {
        let Some(redactor) = self.redactor.as_mut().filter(|redactor| redactor.has_news()) else { return };
        let news = redactor.news();
        let length = news.len();
        if !self.budget.take(length) {
            return redactor.untold(news);
        }
        match self.outbox.offer(Job::Secrets(news)) {
            Err(Job::Secrets(news)) => {
                self.budget.give(length);
                redactor.untold(news);
            }
            _ => redactor.told(),
        }
    }

    /// Lines and bytes that are not handed over yet.
    pub(super) fn held(&self) -> (u64, usize) {
        let each = self.blocks.iter().map(|(_, block)| (block.lines, block.bytes.len()));
        each.fold((0, 0), |(lines, bytes), block| (lines + block.0, bytes + block.1))
    }

    /// Hands over what there is, of both logs together: their lines follow each other.
    pub(super) fn flush(&mut self) {
        if self.held().0 == 0 {
            return;
        }
        let blocks = Both::make(|direction| {
            let block = self.blocks.of_mut(direction);
            if block.lines == 0 {
                return Block::default();
            }
            std::mem::replace(block, Block { bytes: self.outbox.spare(), lines: 0 })
        });
        if let Err(Job::Log(blocks)) = self.outbox.offer(Job::Log(blocks)) {
            // The writer is hopelessly behind: its queue has no place, however much memory there is.
            for (_, block) in blocks.iter() {
                self.take_back(block);
            }
        }
    }

    fn take_back(&mut self, block: &Block) {
        self.budget.give(block.bytes.len());
        for line in block.bytes.split_inclusive(|&byte| byte == b'\n') {
            let kind = type_of(line);
            if kind == "Lost" {
                // What it said has to be said again.
                self.unsaid.add_line(line);
            } else {
                self.lost(Reason::Buffer, 1, line.len() as u64);
            }
            if let Some(count) = self.totals.events.get_mut(kind) {
                *count -= 1;
            }
        }
    }
}
