//! One run: admits what is due, and sees to its end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::alarm::Alarm;
use super::lane;
use super::state::{Shared, Turn};
use super::{Driven, Job, Progress};
use crate::clock::{self, Nanos};
use crate::replay::seen::{End, Outcome};

/// Requests that are due and not over at a time; more wait, and are sent late. A target that answers none shall not
/// cost us all descriptors and memory.
const MOST_BUSY: u64 = 4096;
/// How often the limits are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// When the target has ended, the kernel closes its connections at once; another holder's are not waited for.
const CLOSING: Duration = Duration::from_millis(100);

/// Does it.
pub async fn run(job: Job, mut stop: watch::Receiver<Option<End>>, progress: Arc<Progress>) -> Driven {
    let shared = Rc::new(Shared::new(job, progress));
    let tasks = LocalSet::new();
    let end = tasks
        .run_until(async {
            let end = tokio::select! {
                biased;
                end = told(&mut stop) => end,
                end = watch_limits(&shared) => end,
                end = send_all(&shared) => end,
            };
            shared.ending.set(true);
            if matches!(end, End::TargetExited(_)) {
                let _ = timeout(CLOSING, all_closed(&shared)).await;
            }
            end
        })
        .await;
    let open = if matches!(end, End::TargetExited(_)) { Outcome::Closed } else { Outcome::Unanswered };
    shared.finish(open);
    // The tasks go with their connections, and what they share is ours alone.
    drop(tasks);
    let mut driven = std::mem::take(&mut shared.state.borrow_mut().driven);
    driven.lateness = super::Lateness::of(&driven.answers);
    driven.end = end;
    driven
}

/// Waits until the session says that it is over.
async fn told(stop: &mut watch::Receiver<Option<End>>) -> End {
    match stop.wait_for(Option::is_some).await {
        Ok(end) => end.clone().unwrap_or(End::Interrupted),
        // Nobody can say so any more.
        Err(_) => std::future::pending().await,
    }
}

async fn watch_limits(shared: &Shared) -> End {
    loop {
        sleep(LOOK).await;
        if shared.now_ns() >= shared.limits.wall_ns {
            return End::OutOfTime(shared.limits.wall_ns);
        }
        let quiet_ns = clock::now().since(shared.quiet_since());
        if quiet_ns >= shared.limits.idle_ns {
            return End::Stalled(quiet_ns);
        }
    }
}

async fn all_closed(shared: &Shared) {
    while !shared.is_calm() {
        shared.changed.notified().await;
    }
}

/// Sends round after round until the window is full, and waits for the answers.
async fn send_all(shared: &Rc<Shared>) -> End {
    let Ok(alarm) = Alarm::new() else { return End::Interrupted };
    let mut began_ns = 0;
    loop {
        send_round(shared, &alarm, began_ns).await;
        while !shared.state.borrow().order.is_finished() {
            shared.changed.notified().await;
        }
        began_ns = shared.now_ns().max(began_ns + shared.plan.round_ns);
        if began_ns >= shared.limits.window_ns || shared.plan.steps.is_empty() {
            return if shared.plan.cut { End::EnoughEvents } else { End::Completed };
        }
        let mut state = shared.state.borrow_mut();
        state.order = super::order::Order::new(&shared.plan);
        state.driven.rounds += 1;
        drop(state);
        shared.exchanges.borrow_mut().again();
    }
}

async fn send_round(shared: &Rc<Shared>, alarm: &Alarm, began_ns: u64) {
    let most = most_busy();
    let mut lanes = BTreeMap::new();
    for (at, step) in shared.plan.steps.iter().enumerate() {
        let due_ns = began_ns + step.due_ns;
        let due = Nanos(shared.begun.0 + due_ns);
        shared.be_patient_until(due);
        // A timer that fails costs the pace, which shows in the lateness of the others.
        let _ = alarm.until(due).await;
        wait_until(shared, || shared.state.borrow().order.may_begin(step)).await;
        for copy in 0..shared.plan.fanout {
            wait_until(shared, || shared.state.borrow().busy < most).await;
            let mut state = shared.state.borrow_mut();
            state.admitted += 1;
            state.busy += 1;
            let round = state.driven.rounds;
            drop(state);
            let key = (step.lane, copy);
            let lane = lanes.entry(key).or_insert_with(|| {
                let (lane, turns) = mpsc::unbounded_channel();
                spawn_local(lane::serve(Rc::clone(shared), turns));
                lane
            });
            let _ = lane.send(Turn { round, at: at as u32, copy, due_ns });
            if step.last {
                lanes.remove(&key);
            }
        }
        if shared.plan.by_order {
            // Else a request whose connection takes longer to make would come behind later ones.
            wait_until(shared, || {
                let state = shared.state.borrow();
                state.begun == state.admitted
            })
            .await;
        }
    }
}

async fn wait_until(shared: &Shared, is_so: impl Fn() -> bool) {
    while !is_so() {
        shared.changed.notified().await;
    }
}

/// Half of the descriptors are for the others of this process.
fn most_busy() -> usize {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    (soft / 2).clamp(16, MOST_BUSY) as usize
}
