use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;

use super::connection::{CLIENT, Connection, SERVER, Shared, Verdict};
use super::{Limit, Listener, Opened, Tee, What, socket};
use crate::redirect::OriginalDst;

/// Accept and relay.
pub const RUN: u8 = 0;
/// Relay what is there until it ends.
pub const DRAIN: u8 = 1;
/// Close everything now.
pub const ABANDON: u8 = 2;

const LISTENER_V4: u64 = u64::MAX;
const LISTENER_V6: u64 = u64::MAX - 1;
const WAKE: u64 = u64::MAX - 2;
const EVENTS: usize = 512;
/// Connections accepted before those that exist get their turn.
const ACCEPTS: usize = 64;

/// What the workers share.
pub struct Common {
    /// Where connections come from.
    pub listener: Listener,
    /// What they were meant for.
    pub original_dst: Arc<OriginalDst>,
    /// How many there may be.
    pub limit: Arc<Limit>,
    /// [`RUN`] and so on; only ever grows.
    pub phase: AtomicU8,
}

/// One relay thread.
pub struct Worker {
    common: Arc<Common>,
    epoll: Epoll,
    wake: Arc<EventFd>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    /// Slots closed in this batch of events, whose later events in it must not reach a new connection.
    closed: Vec<u32>,
    again: Vec<u32>,
    open: usize,
    shared: Shared,
}

impl Worker {
    /// Makes it; [`Worker::run`] is its thread.
    pub fn new(common: Arc<Common>, wake: Arc<EventFd>, tee: Tee) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        // One worker is woken for a connection, not all.
        let exclusive = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        epoll.add(&common.listener.v4, EpollEvent::new(exclusive, LISTENER_V4))?;
        if let Some(v6) = &common.listener.v6 {
            epoll.add(v6, EpollEvent::new(exclusive, LISTENER_V6))?;
        }
        Ok(Self {
            common,
            epoll,
            wake,
            connections: Vec::new(),
            free: Vec::new(),
            closed: Vec::new(),
            again: Vec::new(),
            open: 0,
            shared: Shared { tee, pending: 0 },
        })
    }

    /// Relays until the phase says to end.
    pub fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let timeout = self.shared.tee.tick();
            let timeout = if self.again.is_empty() {
                timeout.map_or(EpollTimeout::NONE, Into::into)
            } else {
                EpollTimeout::ZERO
            };
            let ready = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            for event in &events[..ready] {
                match event.data() {
                    WAKE => drop(self.wake.read()),
                    LISTENER_V4 | LISTENER_V6 => drop(self.accept(event.data())),
                    token => self.ready((token >> 1) as u32, (token & 1) as usize, event.events()),
                }
            }
            for slot in std::mem::take(&mut self.again) {
                if let Some(Some(connection)) = self.connections.get_mut(slot as usize) {
                    let verdict = connection.again(&mut self.shared);
                    self.settle(slot, verdict);
                }
            }
            self.free.append(&mut self.closed);
            if self.is_over() {
                break;
            }
        }
        self.shared.tee.finish();
    }

    fn is_over(&mut self) -> bool {
        let phase = self.common.phase.load(Ordering::Acquire);
        if phase == RUN {
            return false;
        }
        // The target may have connected, sent and ended before we came to accept.
        while self.accept(LISTENER_V4) + self.accept(LISTENER_V6) > 0 {}
        if phase == ABANDON {
            for slot in 0..self.connections.len() as u32 {
                self.abandon(slot);
            }
        }
        self.open == 0
    }

    fn abandon(&mut self, slot: u32) {
        if let Some(connection) = self.connections[slot as usize].take() {
            connection.abandon(&mut self.shared);
            self.close(slot);
        }
    }

    /// Accepts what waits; returns how many.
    fn accept(&mut self, which: u64) -> usize {
        for accepted in 0..ACCEPTS {
            let common = Arc::clone(&self.common);
            let listener = match (which, &common.listener.v6) {
                (LISTENER_V4, _) => &common.listener.v4,
                (_, Some(v6)) => v6,
                (_, None) => return 0,
            };
            match socket::accept(listener) {
                Ok((client, from)) => self.open(client, from),
                // The client gave up meanwhile.
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                    self.common.limit.exhausted();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    return accepted;
                }
                Err(_) => return accepted,
            }
        }
        ACCEPTS
    }

    fn open(&mut self, client: std::net::TcpStream, local: std::net::SocketAddr) {
        let Some(flow) = self.common.original_dst.take(self.common.listener.namespace, local) else {
            // Not from the target: somebody else found our port, and is reset.
            return;
        };
        let id = self.common.limit.opened();
        let slot = self.free.pop().unwrap_or(self.connections.len() as u32);
        if slot as usize == self.connections.len() {
            self.connections.push(None);
        }
        self.open += 1;
        self.shared.tee.note(slot, What::Opened(Box::new(Opened { id, flow, local })));
        let failure = match socket::dial(&flow) {
            Ok(server) => {
                let connection = Connection::new(slot, client, server);
                match self.watch(slot, &connection) {
                    Ok(()) => {
                        self.connections[slot as usize] = Some(Box::new(connection));
                        return;
                    }
                    Err(errno) => errno,
                }
            }
            // Dropping the client resets it.
            Err(errno) => errno,
        };
        self.shared.tee.note(slot, What::DialFailed(failure));
        self.close(slot);
    }

    /// Both sockets, edge-triggered and once for all.
    fn watch(&self, slot: u32, connection: &Connection) -> nix::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        for side in [SERVER, CLIENT] {
            let token = u64::from(slot) << 1 | side as u64;
            self.epoll.add(connection.streams()[side].as_fd(), EpollEvent::new(flags, token))?;
        }
        Ok(())
    }

    fn ready(&mut self, slot: u32, side: usize, events: EpollFlags) {
        if let Some(Some(connection)) = self.connections.get_mut(slot as usize) {
            let verdict = connection.ready(side, events, &mut self.shared);
            self.settle(slot, verdict);
        }
    }

    fn settle(&mut self, slot: u32, verdict: Verdict) {
        match verdict {
            Verdict::Open => {}
            Verdict::Again => {
                let connection = self.connections[slot as usize].as_mut();
                if connection.is_some_and(|connection| connection.becomes_due()) {
                    self.again.push(slot);
                }
            }
            Verdict::Done => {
                self.connections[slot as usize] = None;
                self.close(slot);
            }
        }
    }

    fn close(&mut self, slot: u32) {
        self.shared.tee.note(slot, What::Closed);
        self.common.limit.closed();
        self.open -= 1;
        self.closed.push(slot);
    }
}
