//! What the connections of one thread share, and their place in the recording.

use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Notify, watch};

use super::authority::Authority;
use super::count::Counters;
use super::engine::Phase;
use crate::clock::Nanos;
use crate::incident::{Direction, Numbers};
use crate::protocol::Sender;
use crate::proxy::{Dialled, Tee, What};
use crate::seed::Ids;

/// What all threads share.
#[derive(Debug)]
pub struct Common {
    /// The target that we stand before, and the text that named it; none for the forward proxy.
    pub forward: Option<(Authority, String)>,
    /// Where we listen.
    pub own: Vec<SocketAddr>,
    pub allow: Vec<IpNet>,
    pub healthz: bool,
    pub ids: Option<Mutex<Ids>>,
    pub connect_timeout: Duration,
    pub most: u64,
    pub numbers: Numbers,
    pub active: Arc<AtomicU64>,
    pub counters: Arc<Counters>,
}

/// What one thread's connections share.
pub struct Shared {
    pub common: Arc<Common>,
    pub phase: watch::Receiver<Phase>,
    tee: RefCell<Tee>,
    /// Rung when the tee has something to hand over and nobody waits for that.
    bell: Notify,
    resting: Cell<bool>,
    /// Bytes read and not yet sent, over all connections.
    pub pending: Cell<usize>,
    free: RefCell<Vec<u32>>,
    slots: Cell<u32>,
    /// Where heads are read to.
    pub scratch: RefCell<Box<[u8]>>,
    /// Client connections of this thread.
    open: Cell<usize>,
    closed: Notify,
}

/// The longest read of a head, and of what comes with it.
const SCRATCH: usize = 16 << 10;

impl Shared {
    pub fn new(common: Arc<Common>, phase: watch::Receiver<Phase>, tee: Tee) -> Rc<Self> {
        Rc::new(Self {
            common,
            phase,
            tee: RefCell::new(tee),
            bell: Notify::new(),
            resting: Cell::new(false),
            pending: Cell::new(0),
            free: RefCell::default(),
            slots: Cell::new(0),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            open: Cell::new(0),
            closed: Notify::new(),
        })
    }

    /// The copy. Never to be held over an await.
    pub fn tee(&self) -> RefMut<'_, Tee> {
        if self.resting.replace(false) {
            self.bell.notify_one();
        }
        self.tee.borrow_mut()
    }

    /// Hands over what the tee holds, in time, for ever.
    pub async fn hand_over(&self) {
        loop {
            let next = self.tee.borrow_mut().tick();
            match next {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
                None => {
                    self.resting.set(true);
                    self.bell.notified().await;
                }
            }
        }
    }

    /// Hands over the rest; once nothing else uses it.
    pub fn finish(self) {
        self.tee.into_inner().finish();
    }

    /// An identifier for an answer, where they get one.
    pub fn context(&self) -> Option<u128> {
        let ids = self.common.ids.as_ref()?;
        Some(ids.lock().unwrap_or_else(PoisonError::into_inner).draw())
    }

    /// Whether no more is to be begun.
    pub fn is_ending(&self) -> bool {
        *self.phase.borrow() > Phase::Run
    }

    /// Waits until no more is to be begun.
    pub async fn ending(&self) {
        let mut phase = self.phase.clone();
        // An error says that the engine itself is gone.
        let _ = phase.wait_for(|phase| *phase > Phase::Run).await;
    }

    /// Waits until no client connection is left.
    pub async fn all_closed(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

/// A client connection, counted while it is open. None if there are too many.
pub struct Place(Rc<Shared>);

impl Place {
    pub fn take(shared: &Rc<Shared>) -> Option<Self> {
        let active = &shared.common.active;
        if active.fetch_add(1, Ordering::AcqRel) >= shared.common.most {
            active.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        shared.open.set(shared.open.get() + 1);
        Some(Self(Rc::clone(shared)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.common.active.fetch_sub(1, Ordering::AcqRel);
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.notify_one();
    }
}

/// A pair of connections in the recording: closed there when it is dropped, as abandoned if something was under
/// way.
pub struct Slot {
    shared: Rc<Shared>,
    number: u32,
    under_way: Cell<bool>,
    /// Whose FIN was noted: once each.
    ended: RefCell<Vec<Sender>>,
}

impl Slot {
    /// Opens one for a pair whose first request came at `at`.
    pub fn open(
        shared: &Rc<Shared>,
        at: Nanos,
        client: SocketAddr,
        dialled: Option<SocketAddr>,
        name: &str,
    ) -> Self {
        let direction =
            if shared.common.forward.is_some() { Direction::Inbound } else { Direction::Outbound };
        let (local, peer) = match direction {
            Direction::Inbound => (dialled, Some(client)),
            Direction::Outbound => (Some(client), dialled),
        };
        let id = shared.common.numbers.next();
        let number =
            shared.free.borrow_mut().pop().unwrap_or_else(|| shared.slots.replace(shared.slots.get() + 1));
        let dialled = Dialled { id, direction, local, peer, name: Some(name.to_owned()) };
        shared.tee().note_at(at, number, What::Dialled(Box::new(dialled)));
        Self { shared: Rc::clone(shared), number, under_way: Cell::new(false), ended: RefCell::default() }
    }

    /// An exchange begins, with a head that came at `at`.
    pub fn begin(&self, at: Nanos, context: Option<u128>, head: &[u8]) {
        self.under_way.set(true);
        if let Some(context) = context {
            self.shared.tee().note_at(at, self.number, What::Named(Box::new(context)));
        }
        self.copy(at, Sender::Client, head);
    }

    /// Nothing is under way.
    pub fn rest(&self) {
        self.under_way.set(false);
    }

    pub fn note(&self, what: What) {
        if let What::Fin(side) = what {
            let mut ended = self.ended.borrow_mut();
            if ended.contains(&side) {
                return;
            }
            ended.push(side);
        }
        self.shared.tee().note(self.number, what);
    }

    /// What was received, in the recording.
    pub fn copy(&self, at: Nanos, from: Sender, bytes: &[u8]) {
        self.shared.tee().copy(at, self.number, from, bytes);
    }

    pub const fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.under_way.get() {
            self.note(What::Abandoned);
        }
        self.note(What::Closed);
        self.shared.free.borrow_mut().push(self.number);
    }
}
