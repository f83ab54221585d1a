//! Gives requests to their connections when they are due, and some of them later on purpose.

use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::befall;
use super::lane;
use super::state::{Behind, Shared, Turn};
use crate::fault::FiredId;

/// The connections of a round, and what is held back.
#[derive(Default)]
pub struct Admission {
    /// By the place in the plan, and the worker.
    lanes: BTreeMap<(u32, u32), mpsc::UnboundedSender<Turn>>,
    held: Vec<Held>,
}

/// A request that others are sent before.
struct Held {
    turn: Turn,
    /// How many of them are still to come.
    left: u32,
    passed: u32,
    fired: FiredId,
}

impl Admission {
    /// It is due.
    pub async fn due(&mut self, shared: &Rc<Shared>, turn: Turn) {
        befall::decide(shared, turn);
        if let Some((fired, left)) = befall::reorder(shared, turn) {
            shared.waive(turn);
            self.held.push(Held { turn, left, passed: 0, fired });
            return;
        }
        self.release_needed(shared, turn).await;
        self.admit(shared, turn).await;
        let (mut ready, mut held) = (Vec::new(), Vec::new());
        for mut it in std::mem::take(&mut self.held) {
            let has_passed = u32::from(it.turn.worker == turn.worker);
            (it.passed, it.left) = (it.passed + has_passed, it.left - has_passed);
            if it.left == 0 { ready.push(it) } else { held.push(it) }
        }
        self.held = held;
        for held in ready {
            self.release(shared, held).await;
        }
    }

    /// The round's last is due: nothing comes any more that could be sent before those that are held.
    pub async fn end(&mut self, shared: &Rc<Shared>) {
        for held in std::mem::take(&mut self.held) {
            self.release(shared, held).await;
        }
    }

    /// A request that repeats a value cannot be sent before the one whose answer brings it.
    async fn release_needed(&mut self, shared: &Rc<Shared>, turn: Turn) {
        let needed = shared.exchanges.borrow().needs(shared.step(turn).exchange);
        let needed = needed.and_then(|exchange| shared.plan.step_of(exchange));
        let is_it = |held: &Held| Some(held.turn.at) == needed && held.turn.worker == turn.worker;
        if let Some(at) = self.held.iter().position(is_it) {
            let held = self.held.remove(at);
            shared.state.borrow_mut().workers[turn.worker as usize].order.claim(held.turn.at);
            self.release(shared, held).await;
        }
    }

    /// One that was held is sent, once those are that were given to their connections until now.
    async fn release(&mut self, shared: &Rc<Shared>, Held { turn, passed, fired, .. }: Held) {
        {
            let mut state = shared.state.borrow_mut();
            let begun = state.workers[turn.worker as usize].admitted;
            state.behind.insert(turn.key(), Behind { begun, passed, fired });
        }
        self.admit(shared, turn).await;
    }

    async fn admit(&mut self, shared: &Rc<Shared>, turn: Turn) {
        if let Ok(permit) = shared.room.acquire().await {
            permit.forget();
        }
        shared.state.borrow_mut().workers[turn.worker as usize].admitted += 1;
        let step = *shared.step(turn);
        let key = (step.lane, turn.worker);
        let lane = self.lanes.entry(key).or_insert_with(|| {
            let (lane, turns) = mpsc::unbounded_channel();
            spawn_local(lane::serve(Rc::clone(shared), turns));
            lane
        });
        let _ = lane.send(turn);
        if step.last {
            self.lanes.remove(&key);
        }
    }
}
