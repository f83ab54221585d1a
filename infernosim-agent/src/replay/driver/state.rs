//! What the tasks of a run share. One thread: nothing is held across an await.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Notify, Semaphore};

use super::order::Order;
use super::pace::{Plan, Step};
use super::{Bases, Driven, Exchanges, Job, LiveAnswer, Progress};
use crate::clock::{self, Nanos};
use crate::fault::{Faults, Fired, FiredId, Kind};
use crate::replay::limits::Limits;
use crate::replay::script::Request;
use crate::replay::seen::{Answer, Outcome};

/// One request to send: a step, by which worker, and when it is due, in ns since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The round, from 1.
    pub round: u64,
    pub at: u32,
    /// Who sends it, from 0.
    pub worker: u32,
    /// It is sent a second time, by a fault.
    pub again: bool,
    pub due_ns: u64,
}

/// Round, step, worker, whether it is a second one.
pub type Key = (u64, u32, u32, bool);

impl Turn {
    pub const fn key(self) -> Key {
        (self.round, self.at, self.worker, self.again)
    }
}

/// What the tasks of a run share.
pub struct Shared {
    pub plan: Arc<Plan>,
    pub bases: Bases,
    pub limits: Limits,
    pub begun: Nanos,
    pub activity: Box<dyn Fn() -> Nanos + Send>,
    pub faults: Option<Arc<Faults>>,
    pub exchanges: RefCell<Box<dyn Exchanges>>,
    pub state: RefCell<State>,
    /// Something was sent, or is over: one task waits for it, the one that begins rounds.
    pub changed: Notify,
    /// The same, of each worker: any number of tasks may wait.
    pub progressed: Vec<Notify>,
    /// Room for requests that are due and not over.
    pub room: Semaphore,
    /// Nothing more is to be sent.
    pub ending: Cell<bool>,
    progress: Arc<Progress>,
}

/// Where the run stands.
pub struct State {
    pub workers: Vec<Worker>,
    pub driven: Driven,
    /// What befalls turns that were admitted.
    pub fired: BTreeMap<Key, Vec<Fired>>,
    /// Turns that are sent behind others that came after them.
    pub behind: BTreeMap<Key, Behind>,
    /// Second requests that are not over.
    pub again: u64,
    /// Sent and not over.
    flying: BTreeMap<Key, Flight>,
    /// When bytes last moved.
    moved: Nanos,
    /// Until when it is no wonder that nothing moves.
    patience: Nanos,
}

/// Whom a turn is sent behind.
#[derive(Clone, Copy)]
pub struct Behind {
    /// So many of its worker's are sent before it.
    pub begun: u64,
    /// How many of these came after it.
    pub passed: u32,
    pub fired: FiredId,
}

/// One clone of all the recorded clients: it waits for its own answers, and for nobody else's.
pub struct Worker {
    pub order: Order,
    /// Turns that were given to their connections, and how many of them have been sent or are over.
    pub admitted: u64,
    pub begun: u64,
    /// Steps that others wait for.
    awaited: BTreeMap<u32, Rc<Notify>>,
}

impl Worker {
    fn new(plan: &Plan) -> Self {
        Self { order: Order::new(plan), admitted: 0, begun: 0, awaited: BTreeMap::new() }
    }

    fn awaken(&mut self, at: u32) {
        if let Some(awaited) = self.awaited.remove(&at) {
            awaited.notify_waiters();
        }
    }
}

/// A request in flight.
#[derive(Clone, Copy)]
struct Flight {
    sent_ns: u64,
    late_ns: u64,
    local: SocketAddr,
}

impl Shared {
    /// `room` is how many requests may be due and not over.
    pub fn new(job: Job, progress: Arc<Progress>, room: usize) -> Self {
        let Job { plan, bases, limits, begun, exchanges, activity, faults } = job;
        let workers = || 0..plan.fanout.max(1);
        let state = State {
            workers: workers().map(|_| Worker::new(&plan)).collect(),
            driven: Driven { paced_ns: plan.paced_ns(), rounds: 1, ..Driven::default() },
            fired: BTreeMap::new(),
            behind: BTreeMap::new(),
            again: 0,
            flying: BTreeMap::new(),
            moved: begun,
            patience: begun,
        };
        let progressed = workers().map(|_| Notify::new()).collect();
        Self {
            plan,
            bases,
            limits,
            begun,
            activity,
            faults: faults.filter(|faults| faults.concerns(Kind::Request)),
            exchanges: RefCell::new(exchanges),
            state: RefCell::new(state),
            changed: Notify::new(),
            progressed,
            room: Semaphore::new(room),
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
        let needed = needed.and_then(|exchange| self.plan.step_of(exchange));
        // What comes later in the order cannot be waited for: it may wait for this.
        let after = self.after(turn, &step);
        let mut others = [after, needed.filter(|needed| *needed < turn.at)].into_iter().flatten().peekable();
        let mut held = false;
        while let Some(other) = others.peek() {
            let awaited = {
                let worker = &mut self.state.borrow_mut().workers[turn.worker as usize];
                if worker.order.is_over(*other) {
                    others.next();
                    continue;
                }
                Rc::clone(worker.awaited.entry(*other).or_default())
            };
            held = true;
            awaited.notified().await;
        }
        self.state.borrow_mut().driven.held += u64::from(held);
    }

    /// Whose answer its client waited for: of one that is sent behind it, whom that one waits for.
    fn after(&self, turn: Turn, step: &Step) -> Option<u32> {
        let state = self.state.borrow();
        let order = &state.workers[turn.worker as usize].order;
        let mut after = step.after;
        while let Some(at) = after.filter(|at| order.is_waived(*at)) {
            after = self.plan.steps[at as usize].after.filter(|earlier| *earlier < at);
        }
        after
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
        state.workers[turn.worker as usize].begun += u64::from(!turn.again);
        state.driven.sent += 1;
        state.moved = clock::now();
        let in_flight = state.flying.len() as u64;
        state.driven.most_in_flight = in_flight.max(state.driven.most_in_flight);
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        self.progress.in_flight.store(in_flight, Ordering::Relaxed);
        self.tell(turn);
    }

    fn tell(&self, turn: Turn) {
        self.changed.notify_one();
        self.progressed[turn.worker as usize].notify_waiters();
    }

    /// It is over: with this answer, or without one. Of a second one the status alone counts.
    pub fn over(&self, turn: Turn, answer: Option<&LiveAnswer>, without: Outcome) {
        let ended_ns = self.now_ns();
        let step = self.step(turn);
        let exchange = step.exchange;
        let flight = self.state.borrow_mut().flying.remove(&turn.key());
        let local = flight.map(|flight| flight.local);
        let compared = answer.filter(|_| !turn.again);
        let differences = self.exchanges.borrow_mut().over(exchange, turn.worker, local, compared);
        let outcome = answer.map_or(without, |answer| Outcome::Answered(answer.status));
        let mut state = self.state.borrow_mut();
        let late_ns = ended_ns.saturating_sub(turn.due_ns);
        let (sent_ns, late_ns) =
            flight.map_or((ended_ns, late_ns), |flight| (flight.sent_ns, flight.late_ns));
        let is_second = turn.again;
        let answer = Answer { exchange, outcome, differences, sent_ns, late_ns, ended_ns, is_second };
        state.driven.answers.push(answer);
        state.moved = clock::now();
        if turn.again {
            state.again -= 1;
        } else {
            self.room.add_permits(1);
            let is_now = turn.round == state.driven.rounds;
            let worker = &mut state.workers[turn.worker as usize];
            worker.begun += u64::from(flight.is_none());
            // What nobody waited for may end in a later round.
            if is_now && worker.order.over(turn.at, step) {
                worker.awaken(turn.at);
            }
        }
        self.progress.over.fetch_add(1, Ordering::Relaxed);
        self.progress.in_flight.store(state.flying.len() as u64, Ordering::Relaxed);
        drop(state);
        self.tell(turn);
    }

    /// It is sent behind later ones: they do not wait for it.
    pub fn waive(&self, turn: Turn) {
        let step = self.step(turn);
        let worker = &mut self.state.borrow_mut().workers[turn.worker as usize];
        worker.order.waive(turn.at, step);
        worker.awaken(turn.at);
    }

    /// Waits until this is so of a worker.
    pub async fn wait_until(&self, worker: u32, is_so: impl Fn(&Worker) -> bool) {
        loop {
            let progressed = self.progressed[worker as usize].notified();
            if is_so(&self.state.borrow().workers[worker as usize]) {
                return;
            }
            progressed.await;
        }
    }

    /// Whether nothing of the round is left that is waited for: what has no recorded answer is to be sent at least.
    pub fn is_round_over(&self) -> bool {
        let state = self.state.borrow();
        let is_over = |worker: &Worker| worker.order.is_finished() && worker.begun >= worker.admitted;
        state.again == 0 && state.workers.iter().all(is_over)
    }

    /// The next round begins.
    pub fn begin_round(&self) {
        let mut state = self.state.borrow_mut();
        state.workers.iter_mut().for_each(|worker| worker.order = Order::new(&self.plan));
        state.driven.rounds += 1;
        drop(state);
        self.exchanges.borrow_mut().again();
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
        for ((_, at, worker, is_second), Flight { sent_ns, late_ns, local }) in flying {
            let exchange = self.plan.steps[at as usize].exchange;
            let differences = self.exchanges.borrow_mut().over(exchange, worker, Some(local), None);
            let outcome = open;
            let answer = Answer { exchange, outcome, differences, sent_ns, late_ns, ended_ns, is_second };
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
                is_second: false,
            }));
        }
        state.driven.answers.sort_by_key(|answer| (answer.exchange, answer.sent_ns));
        state.driven.wall_ns = ended_ns;
    }
}
