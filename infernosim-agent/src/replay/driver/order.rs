//! Which steps are over, and which may begin. Pure.

use std::collections::BTreeSet;

use super::pace::{Plan, Step};

/// Where a worker stands in a round.
#[derive(Debug)]
pub struct Order {
    /// Of each step, whether it is not over yet.
    open: Vec<bool>,
    /// Steps that are sent later on purpose: nobody waits for them.
    waived: BTreeSet<u32>,
    /// Whether what ended at this place of the recorded order is over.
    ended: Vec<bool>,
    /// How many of these, from the first, are.
    prefix: usize,
    /// Steps that are not over and whose end is waited for.
    left: usize,
    by_order: bool,
}

impl Order {
    /// Of a round in which nothing has been sent.
    pub fn new(plan: &Plan) -> Self {
        Self {
            open: vec![true; plan.steps.len()],
            waived: BTreeSet::new(),
            ended: vec![false; plan.steps.iter().filter(|step| step.rank.is_some()).count()],
            prefix: 0,
            left: plan.steps.iter().filter(|step| is_waited_for(step)).count(),
            by_order: plan.by_order,
        }
    }

    /// Whether all is over that in the recording was over before this step began, where only the order counts.
    pub fn may_begin(&self, step: &Step) -> bool {
        !self.by_order || self.prefix >= step.ended_before as usize
    }

    /// Whether a step is over, or others need not wait for it.
    pub fn is_over(&self, at: u32) -> bool {
        self.open.get(at as usize).is_none_or(|open| !open) || self.waived.contains(&at)
    }

    /// Whether nothing is left that the round waits for.
    pub const fn is_finished(&self) -> bool {
        self.left == 0
    }

    /// A step is over; whether it was not before.
    pub fn over(&mut self, at: u32, step: &Step) -> bool {
        if !std::mem::replace(&mut self.open[at as usize], false) {
            return false;
        }
        self.left -= usize::from(is_waited_for(step));
        self.pass(step);
        true
    }

    /// A step is to be sent behind later ones: for them it is as if it were over.
    pub fn waive(&mut self, at: u32, step: &Step) {
        self.waived.insert(at);
        self.pass(step);
    }

    /// Whether it is sent behind later ones.
    pub fn is_waived(&self, at: u32) -> bool {
        self.waived.contains(&at)
    }

    /// It is waited for after all.
    pub fn claim(&mut self, at: u32) {
        self.waived.remove(&at);
    }

    fn pass(&mut self, step: &Step) {
        let Some(rank) = step.rank else { return };
        self.ended[rank as usize] = true;
        while self.ended.get(self.prefix) == Some(&true) {
            self.prefix += 1;
        }
    }
}

/// What was still open when the recording ended may be open for ever.
const fn is_waited_for(step: &Step) -> bool {
    !matches!(step.give_up_ns, Some(u64::MAX))
}
