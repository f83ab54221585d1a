//! One run: admits what is due, and sees to its end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::admit::Admission;
use super::alarm::Alarm;
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
    let shared = Rc::new(Shared::new(job, progress, most_busy()));
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
        if shared.plan.by_order {
            send_in_order(shared, began_ns).await;
        } else {
            send_on_time(shared, &alarm, began_ns).await;
        }
        while !shared.is_round_over() {
            shared.changed.notified().await;
        }
        began_ns = shared.now_ns().max(began_ns + shared.plan.round_ns);
        if began_ns >= shared.limits.window_ns || shared.plan.steps.is_empty() {
            return if shared.plan.cut { End::EnoughEvents } else { End::Completed };
        }
        shared.begin_round();
    }
}

/// Each request when it is due, by all workers at once.
async fn send_on_time(shared: &Rc<Shared>, alarm: &Alarm, began_ns: u64) {
    let round = shared.state.borrow().driven.rounds;
    let mut admission = Admission::default();
    for (at, step) in (0_u32..).zip(&shared.plan.steps) {
        let due_ns = began_ns + step.due_ns;
        let due = Nanos(shared.begun.0 + due_ns);
        shared.be_patient_until(due);
        // A timer that fails costs the pace, which shows in the lateness of the others.
        let _ = alarm.until(due).await;
        for worker in 0..shared.plan.fanout {
            admission.due(shared, Turn { round, at, worker, again: false, due_ns }).await;
        }
    }
    admission.end(shared).await;
}

/// Without gaps: each worker for itself, in the recorded order.
async fn send_in_order(shared: &Rc<Shared>, began_ns: u64) {
    let mut workers = JoinSet::new();
    for worker in 0..shared.plan.fanout {
        workers.spawn_local(work(Rc::clone(shared), worker, began_ns));
    }
    while workers.join_next().await.is_some() {}
}

async fn work(shared: Rc<Shared>, worker: u32, due_ns: u64) {
    let round = shared.state.borrow().driven.rounds;
    let mut admission = Admission::default();
    for (at, step) in (0_u32..).zip(&shared.plan.steps) {
        shared.wait_until(worker, |it| it.order.may_begin(step)).await;
        admission.due(&shared, Turn { round, at, worker, again: false, due_ns }).await;
        // Else a request whose connection takes longer to make would come behind later ones.
        shared.wait_until(worker, |it| it.begun == it.admitted).await;
    }
    admission.end(&shared).await;
}

/// Half of the descriptors are for the others of this process.
fn most_busy() -> usize {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    (soft / 2).clamp(16, MOST_BUSY) as usize
}
