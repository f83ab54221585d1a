//! Which steps are over, and which may begin. Pure.

use super::pace::{Plan, Step};
use crate::replay::script::ExchangeIndex;

/// Where a round stands.
#[derive(Debug)]
pub struct Order {
    /// Of each step, how many of its copies are not over yet.
    open: Vec<u32>,
    /// Whether what ended at this place of the recorded order is over.
    ended: Vec<bool>,
    /// How many of these, from the first, are.
    prefix: usize,
    /// Steps that are not over and whose end is waited for.
    left: usize,
    /// The step of an exchange.
    steps: Vec<Option<u32>>,
    by_order: bool,
}

impl Order {
    /// Of a round in which nothing has been sent.
    pub fn new(plan: &Plan) -> Self {
        let exchanges = plan.steps.iter().map(|step| step.exchange.0 as usize + 1).max().unwrap_or(0);
        let mut steps = vec![None; exchanges];
        for (at, step) in plan.steps.iter().enumerate() {
            steps[step.exchange.0 as usize] = Some(at as u32);
        }
        Self {
            open: vec![plan.fanout; plan.steps.len()],
            ended: vec![false; plan.steps.iter().filter(|step| step.rank.is_some()).count()],
            prefix: 0,
            left: plan.steps.iter().filter(|step| is_waited_for(step)).count(),
            steps,
            by_order: plan.by_order,
        }
    }

    /// Whether all is over that in the recording was over before this step began, where only the order counts.
    pub fn may_begin(&self, step: &Step) -> bool {
        !self.by_order || self.prefix >= step.ended_before as usize
    }

    /// Whether a step is over, all copies of it.
    pub fn is_over(&self, at: u32) -> bool {
        self.open.get(at as usize).is_none_or(|open| *open == 0)
    }

    /// The step of an exchange, if it is one of this run's.
    pub fn step_of(&self, exchange: ExchangeIndex) -> Option<u32> {
        self.steps.get(exchange.0 as usize).copied().flatten()
    }

    /// Whether nothing is left that the round waits for.
    pub const fn is_finished(&self) -> bool {
        self.left == 0
    }

    /// One copy of a step is over; whether with it the step is.
    pub fn over(&mut self, at: u32, step: &Step) -> bool {
        let open = &mut self.open[at as usize];
        *open = open.saturating_sub(1);
        if *open > 0 {
            return false;
        }
        self.left -= usize::from(is_waited_for(step));
        if let Some(rank) = step.rank {
            self.ended[rank as usize] = true;
            while self.ended.get(self.prefix) == Some(&true) {
                self.prefix += 1;
            }
        }
        true
    }
}

/// What was still open when the recording ended may be open for ever.
const fn is_waited_for(step: &Step) -> bool {
    !matches!(step.give_up_ns, Some(u64::MAX))
}
