//! What the tasks of a run share. One thread: nothing is held across an await.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::order::Order;
use super::pace::{Plan, Step};
use super::{Bases, Driven, Exchanges, Job, LiveAnswer, Progress};
use crate::clock::{self, Nanos};
use crate::replay::limits::Limits;
use crate::replay::script::Request;
use crate::replay::seen::{Answer, Outcome};

/// One request to send: a step, which of its copies, and when it is due, in ns since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The round, from 1.
    pub round: u64,
    pub at: u32,
    pub copy: u32,
    pub due_ns: u64,
}

impl Turn {
    const fn key(self) -> (u64, u32, u32) {
        (self.round, self.at, self.copy)
    }
}

/// What the tasks of a run share.
pub struct Shared {
    pub plan: Arc<Plan>,
    pub bases: Bases,
    pub limits: Limits,
    pub begun: Nanos,
    pub activity: Box<dyn Fn() -> Nanos + Send>,
    pub exchanges: RefCell<Box<dyn Exchanges>>,
    pub state: RefCell<State>,
    /// Something was sent, or is over. One task waits for it, the one that admits.
    pub changed: Notify,
    /// Nothing more is to be sent.
    pub ending: Cell<bool>,
    progress: Arc<Progress>,
}

/// Where the run stands.
pub struct State {
    pub order: Order,
    pub driven: Driven,
    /// Turns that were given to their connections, and how many of them have been sent or are over.
    pub admitted: u64,
    pub begun: u64,
    /// Admitted and not over.
    pub busy: usize,
    /// Sent and not over.
    flying: BTreeMap<(u64, u32, u32), Flight>,
    /// Steps that others wait for.
    awaited: BTreeMap<u32, Rc<Notify>>,
    /// When bytes last moved.
    moved: Nanos,
    /// Until when it is no wonder that nothing moves.
    patience: Nanos,
}

/// A request in flight.
#[derive(Clone, Copy)]
struct Flight {
    sent_ns: u64,
    late_ns: u64,
    local: SocketAddr,
}

impl Shared {
    pub fn new(job: Job, progress: Arc<Progress>) -> Self {
        let Job { plan, bases, limits, begun, exchanges, activity } = job;
        let state = State {
            order: Order::new(&plan),
            driven: Driven { paced_ns: plan.paced_ns(), rounds: 1, ..Driven::default() },
            admitted: 0,
            begun: 0,
            busy: 0,
            flying: BTreeMap::new(),
            awaited: BTreeMap::new(),
            moved: begun,
            patience: begun,
        };
        Self {
            plan,
            bases,
            limits,
            begun,
            activity,
            exchanges: RefCell::new(exchanges),
            state: RefCell::new(state),
            changed: Notify::new(),
            ending: Cell::new(false),
            progress,
        }
    }

    pub fn step(&self, turn: Turn) -> &Step {
        &self.plan.steps[turn.at as usize]
    }

    /// Now, in ns since the run began.
    pub fn now_ns(&self) -> u64 {
        clock::now().since(self.begun)
    }

    /// Bytes moved.
    pub fn moved(&self) {
        self.state.borrow_mut().moved = clock::now();
    }

    /// Until this moment it is no wonder that nothing moves.
    pub fn be_patient_until(&self, at: Nanos) {
        let patience = &mut self.state.borrow_mut().patience;
        *patience = at.max(*patience);
    }

    /// Since when nothing has moved that should have.
    pub fn quiet_since(&self) -> Nanos {
        let state = self.state.borrow();
        state.moved.max(state.patience).max((self.activity)())
    }

    /// Waits for the answers without which this one cannot be sent.
    pub async fn wait_for_others(&self, turn: Turn) {
        let step = *self.step(turn);
        let needed = self.exchanges.borrow().needs(step.exchange);
        let needed = needed.and_then(|exchange| self.state.borrow().order.step_of(exchange));
        // What comes later in the order cannot be waited for: it may wait for this.
        let mut others =
            [step.after, needed.filter(|needed| *needed < turn.at)].into_iter().flatten().peekable();
        let mut held = false;
        while let Some(other) = others.peek() {
            let awaited = {
                let mut state = self.state.borrow_mut();
                if state.order.is_over(*other) {
                    others.next();
                    continue;
                }
                Rc::clone(state.awaited.entry(*other).or_default())
            };
            held = true;
            awaited.notified().await;
        }
        self.state.borrow_mut().driven.held += u64::from(held);
    }

    /// It is being sent, from here on in flight.
    pub fn sending(&self, turn: Turn, request: &Request, local: SocketAddr) {
        let step = self.step(turn);
        self.exchanges.borrow_mut().sending(step.exchange, request, local);
        let now = clock::now();
        self.be_patient_until(Nanos(now.0.saturating_add(step.took_ns)));
        self.take_off(turn, now.since(self.begun), local);
    }

    /// In flight, unless it is already (it is sent again).
    fn take_off(&self, turn: Turn, sent_ns: u64, local: SocketAddr) {
        let mut state = self.state.borrow_mut();
        if let Some(flight) = state.flying.get_mut(&turn.key()) {
            flight.local = local;
            return;
        }
        let late_ns = sent_ns.saturating_sub(turn.due_ns);
        state.flying.insert(turn.key(), Flight { sent_ns, late_ns, local });
        state.begun += 1;
        state.driven.sent += 1;
        state.moved = clock::now();
        let in_flight = state.flying.len() as u64;
        state.driven.most_in_flight = in_flight.max(state.driven.most_in_flight);
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        self.progress.in_flight.store(in_flight, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// It is over: with this answer, or without one.
    pub fn over(&self, turn: Turn, answer: Option<&LiveAnswer>, without: Outcome) {
        let ended_ns = self.now_ns();
        let step = self.step(turn);
        let exchange = step.exchange;
        let flight = self.state.borrow_mut().flying.remove(&turn.key());
        let local = flight.map(|flight| flight.local);
        let differences = self.exchanges.borrow_mut().over(exchange, local, answer);
        let outcome = answer.map_or(without, |answer| Outcome::Answered(answer.status));
        let mut state = self.state.borrow_mut();
        state.begun += u64::from(flight.is_none());
        let late_ns = ended_ns.saturating_sub(turn.due_ns);
        let (sent_ns, late_ns) =
            flight.map_or((ended_ns, late_ns), |flight| (flight.sent_ns, flight.late_ns));
        state.driven.answers.push(Answer { exchange, outcome, differences, sent_ns, late_ns, ended_ns });
        state.busy -= 1;
        state.moved = clock::now();
        // What nobody waited for may end in a later round.
        if turn.round == state.driven.rounds
            && state.order.over(turn.at, step)
            && let Some(awaited) = state.awaited.remove(&turn.at)
        {
            awaited.notify_waiters();
        }
        self.progress.over.fetch_add(1, Ordering::Relaxed);
        self.progress.in_flight.store(state.flying.len() as u64, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Nothing is in flight.
    pub fn is_calm(&self) -> bool {
        self.state.borrow().flying.is_empty()
    }

    /// The run is over, for those too that are in flight (`open`) and that were never sent.
    pub fn finish(&self, open: Outcome) {
        let ended_ns = self.now_ns();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let flying = std::mem::take(&mut state.flying);
        for ((_, at, _), Flight { sent_ns, late_ns, local }) in flying {
            let exchange = self.plan.steps[at as usize].exchange;
            let differences = self.exchanges.borrow_mut().over(exchange, Some(local), None);
            let answer = Answer { exchange, outcome: open, differences, sent_ns, late_ns, ended_ns };
            state.driven.answers.push(answer);
        }
        if state.driven.rounds == 1 {
            let answered: std::collections::BTreeSet<_> =
                state.driven.answers.iter().map(|answer| answer.exchange).collect();
            let missing = self.plan.exchanges().filter(|exchange| !answered.contains(exchange));
            let (outcome, differences) = (Outcome::NotSent, Vec::new());
            state.driven.answers.extend(missing.map(|exchange| Answer {
                exchange,
                outcome,
                differences: differences.clone(),
                sent_ns: ended_ns,
                late_ns: 0,
                ended_ns,
            }));
        }
        state.driven.answers.sort_by_key(|answer| (answer.exchange, answer.sent_ns));
        state.driven.wall_ns = ended_ns;
    }
}
