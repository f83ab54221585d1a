use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use super::socket;
use super::{Tee, What};
use crate::clock::{self, Nanos};
use crate::protocol::Sender;

/// The client's side of a connection's pair of sockets.
pub const CLIENT: usize = 0;
/// The server's side.
pub const SERVER: usize = 1;

const SENDERS: [Sender; 2] = [Sender::Client, Sender::Server];
/// One read takes at most this much.
const READ: usize = 256 << 10;
/// While this many bytes wait for slow readers, a read takes at most [`READ_SMALL`]: the memory that thousands
/// of stalled connections hold stays bounded.
const MUCH_PENDING: usize = 16 << 20;
const READ_SMALL: usize = 4 << 10;
/// A connection without a byte for so long is taken to be between exchanges, in ns.
const QUIET_NS: u64 = 50_000_000;
/// Reads in a row before other connections get their turn.
const ROUNDS: usize = 16;

/// What a worker's connections share.
pub struct Shared {
    /// The copy.
    pub tee: Tee,
    /// Bytes read and not yet sent, over all connections.
    pub pending: usize,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for the next event.
    Open,
    /// There may be more to read without another event.
    Again,
    /// It is over.
    Done,
}

/// A relayed connection: the target's socket, and ours to the dependency.
pub struct Connection {
    slot: u32,
    streams: [TcpStream; 2],
    connected: bool,
    /// By who sends: what the client sends, what the server sends.
    lanes: [Lane; 2],
    /// The lanes that stopped reading to give others their turn.
    more: [bool; 2],
    /// Whether [`Connection::again`] is due already.
    due: bool,
    /// The side that broke, while the other has not got everything that it sent before.
    broken: Option<usize>,
}

/// One direction.
#[derive(Default)]
struct Lane {
    /// Read and not yet sent: the tail of one read at most.
    pending: Vec<u8>,
    sent: usize,
    last_read: Nanos,
    /// The sender's FIN has been read.
    ended: bool,
    /// It has been passed on.
    shut: bool,
    /// The sender's connection broke: what it sent before is still read, but an end of file is no FIN (once
    /// an error has been reported, recv(2) gives zero).
    broken: bool,
}

enum Pump {
    Idle,
    Again,
    Broke(usize, Errno),
}

impl Connection {
    /// A connection whose dial is under way.
    pub fn new(slot: u32, client: TcpStream, server: TcpStream) -> Self {
        Self {
            slot,
            streams: [client, server],
            connected: false,
            lanes: [Lane::default(), Lane::default()],
            more: [false; 2],
            due: false,
            broken: None,
        }
    }

    /// Its two sockets, the client's first.
    pub const fn streams(&self) -> &[TcpStream; 2] {
        &self.streams
    }

    /// What epoll said of one side.
    pub fn ready(&mut self, side: usize, events: EpollFlags, shared: &mut Shared) -> Verdict {
        let failed = events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        if !self.connected {
            return self.dialling(side, failed, events.contains(EpollFlags::EPOLLOUT), shared);
        }
        if let Some(broken) = self.broken {
            return self.last_bytes(broken, side, events, shared);
        }
        let ended = failed || events.contains(EpollFlags::EPOLLRDHUP);
        let readable = ended || events.contains(EpollFlags::EPOLLIN);
        if readable && self.pump(side, ended, shared) == Verdict::Done {
            return Verdict::Done;
        }
        let other = 1 - side;
        // The lane stopped reading when it could not send, so what it has not read gave no new event.
        let unblocked = events.contains(EpollFlags::EPOLLOUT) && self.lanes[other].waits();
        if unblocked && self.broken.is_none() && self.pump(other, true, shared) == Verdict::Done {
            return Verdict::Done;
        }
        if events.contains(EpollFlags::EPOLLERR) && self.broken.is_none() {
            // A RST that no read has met, because the lane waits for a slow reader.
            if let Some(errno) = self.error_of(side) {
                return self.broke(side, errno, shared);
            }
        }
        self.open()
    }

    /// Reads on where [`Verdict::Again`] stopped.
    pub fn again(&mut self, shared: &mut Shared) -> Verdict {
        self.due = false;
        for side in [CLIENT, SERVER] {
            let more = std::mem::take(&mut self.more[side]);
            if more && self.broken.is_none() && self.pump(side, true, shared) == Verdict::Done {
                return Verdict::Done;
            }
        }
        self.open()
    }

    /// Whether [`Connection::again`] has to be arranged for; once, until it is called.
    pub const fn becomes_due(&mut self) -> bool {
        !std::mem::replace(&mut self.due, true)
    }

    /// Ends it from our side: with a FIN if nothing is under way as far as can be told, else with a RST.
    pub fn abandon(mut self, shared: &mut Shared) {
        shared.tee.note(self.slot, What::Abandoned);
        let waits = self.lanes.iter().any(Lane::waits);
        let last = self.lanes.iter().map(|lane| lane.last_read).max().unwrap_or_default();
        if self.connected && !waits && clock::now().since(last) > QUIET_NS {
            self.close_with_fin();
        }
        self.forget_pending(shared);
    }

    fn close_with_fin(&self) {
        self.streams.iter().for_each(socket::close_with_fin);
    }

    fn dialling(&mut self, side: usize, failed: bool, writable: bool, shared: &mut Shared) -> Verdict {
        if side == CLIENT {
            if !failed {
                // What it sends waits in the kernel until there is somebody to send it to.
                return Verdict::Open;
            }
            let errno = self.error_of(CLIENT).unwrap_or(Errno::ECONNRESET);
            shared.tee.note(self.slot, What::Broke(Sender::Client, errno));
            return Verdict::Done;
        }
        if let Some(errno) = self.error_of(SERVER) {
            shared.tee.note(self.slot, What::DialFailed(errno));
            return Verdict::Done;
        }
        if !writable {
            return Verdict::Open;
        }
        self.connected = true;
        shared.tee.note(self.slot, What::Connected);
        for side in [CLIENT, SERVER] {
            if self.broken.is_none() && self.pump(side, true, shared) == Verdict::Done {
                return Verdict::Done;
            }
        }
        self.open()
    }

    /// It goes on.
    fn open(&self) -> Verdict {
        if self.more.contains(&true) { Verdict::Again } else { Verdict::Open }
    }

    fn pump(&mut self, from: usize, drain: bool, shared: &mut Shared) -> Verdict {
        let (source, sink) = (&self.streams[from], &self.streams[1 - from]);
        match self.lanes[from].pump(self.slot, from, source, sink, drain, shared) {
            Pump::Broke(side, errno) => self.broke(side, errno, shared),
            _ if self.lanes.iter().all(|lane| lane.shut) => {
                self.close_with_fin();
                Verdict::Done
            }
            Pump::Again => {
                self.more[from] = true;
                Verdict::Again
            }
            Pump::Idle => self.open(),
        }
    }

    /// One side's connection broke: the other gets what that side sent before, and then a RST.
    fn broke(&mut self, side: usize, errno: Errno, shared: &mut Shared) -> Verdict {
        // A send may find the break before the reads got to it.
        self.lanes[side].broken = true;
        let (source, sink) = (&self.streams[side], &self.streams[1 - side]);
        while let Pump::Again = self.lanes[side].pump(self.slot, side, source, sink, true, shared) {}
        shared.tee.note(self.slot, What::Broke(SENDERS[side], errno));
        if self.lanes[side].waits() {
            self.broken = Some(side);
            return Verdict::Open;
        }
        self.end_with_reset(shared)
    }

    /// After one side broke: flushes to the other what is left, unless that one sends, which must fail now.
    fn last_bytes(&mut self, broken: usize, side: usize, events: EpollFlags, shared: &mut Shared) -> Verdict {
        let survivor = 1 - broken;
        if side == broken {
            return Verdict::Open;
        }
        let closing = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP;
        if !events.intersects(closing | EpollFlags::EPOLLERR) {
            let flushed = self.lanes[broken].flush(&self.streams[survivor], shared);
            if flushed.is_ok() && self.lanes[broken].waits() {
                return Verdict::Open;
            }
        }
        self.end_with_reset(shared)
    }

    /// Its sockets close with a RST, as they do unless told otherwise.
    fn end_with_reset(&mut self, shared: &mut Shared) -> Verdict {
        self.forget_pending(shared);
        Verdict::Done
    }

    /// SO_ERROR, which also clears it.
    fn error_of(&self, side: usize) -> Option<Errno> {
        let error = self.streams[side].take_error().ok()??;
        Some(socket::errno(&error))
    }

    fn forget_pending(&mut self, shared: &mut Shared) {
        for lane in &mut self.lanes {
            shared.pending -= lane.pending.len() - lane.sent;
            lane.pending = Vec::new();
            lane.sent = 0;
        }
    }
}

impl Lane {
    fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    fn pump(
        &mut self,
        slot: u32,
        from: usize,
        mut source: &TcpStream,
        mut sink: &TcpStream,
        drain: bool,
        shared: &mut Shared,
    ) -> Pump {
        if let Err(errno) = self.flush(sink, shared) {
            return Pump::Broke(1 - from, errno);
        }
        let mut rounds = 0;
        while !self.ended && !self.waits() {
            let limit = if shared.pending > MUCH_PENDING { READ_SMALL } else { READ };
            let room = shared.tee.room(limit);
            let room_bytes = room.len();
            let read = match source.read(room) {
                Ok(0) if self.broken => break,
                Ok(0) => {
                    self.ended = true;
                    shared.tee.note(slot, What::Fin(SENDERS[from]));
                    break;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Pump::Broke(from, socket::errno(&error)),
            };
            // Before the send, which may well take longer than the peer's answer.
            let at = clock::now();
            self.last_read = at;
            let sent = sink.write(shared.tee.last_read(read));
            if let Ok(sent) = would_block_is_nothing(sent) {
                if sent < read {
                    self.pending = shared.tee.last_read(read)[sent..].to_vec();
                    shared.pending += self.pending.len();
                }
                shared.tee.bytes(at, slot, SENDERS[from], read);
            } else {
                shared.tee.bytes(at, slot, SENDERS[from], read);
                return Pump::Broke(1 - from, self.sink_error(sink));
            }
            // A short read has emptied the socket: what comes later makes a new event.
            if read < room_bytes && !drain {
                break;
            }
            rounds += 1;
            if rounds == ROUNDS {
                return Pump::Again;
            }
        }
        self.pass_on_fin(sink);
        Pump::Idle
    }

    fn flush(&mut self, mut sink: &TcpStream, shared: &mut Shared) -> Result<(), Errno> {
        while self.waits() {
            match would_block_is_nothing(sink.write(&self.pending[self.sent..])) {
                Ok(0) => return Ok(()),
                Ok(sent) => {
                    self.sent += sent;
                    shared.pending -= sent;
                }
                Err(errno) => return Err(errno),
            }
            if self.sent == self.pending.len() {
                self.pending = Vec::new();
                self.sent = 0;
            }
        }
        self.pass_on_fin(sink);
        Ok(())
    }

    fn pass_on_fin(&mut self, sink: &TcpStream) {
        if self.ended && !self.shut && !self.waits() {
            self.shut = true;
            // Fails only where the other end has broken meanwhile, which the next read finds.
            let _ = sink.shutdown(Shutdown::Write);
        }
    }

    fn sink_error(&self, sink: &TcpStream) -> Errno {
        sink.take_error().ok().flatten().map_or(Errno::ECONNRESET, |error| socket::errno(&error))
    }
}

fn would_block_is_nothing(sent: std::io::Result<usize>) -> Result<usize, Errno> {
    match sent {
        Ok(sent) => Ok(sent),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(socket::errno(&error)),
    }
}
