//! What faults do to requests on their way to the target.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;

use super::connection::Connection;
use super::state::{Behind, Shared, Turn};
use crate::clock;
use crate::fault::{Effect, Fired, FiredId, Kind, Occasion};
use crate::replay::script::Request;
use crate::replay::seen::Outcome;

/// Asks what befalls a request, and keeps it until it is sent.
pub fn decide(shared: &Shared, turn: Turn) {
    let Some(faults) = &shared.faults else { return };
    let step = shared.step(turn);
    // One that cannot be read is not sent, and said so where it would be.
    let Ok(request) = shared.exchanges.borrow_mut().request(step.exchange, turn.worker) else { return };
    let occasion = Occasion {
        kind: Kind::Request,
        names: &[],
        port: step.port,
        method: &request.method,
        target: &request.target,
        headers: &request.headers,
        at_ns: shared.now_ns(),
    };
    let fired = faults.decide(&occasion);
    if !fired.is_empty() {
        shared.state.borrow_mut().fired.insert(turn.key(), fired);
    }
}

/// How many that follow are sent before it.
pub fn reorder(shared: &Shared, turn: Turn) -> Option<(FiredId, u32)> {
    let state = shared.state.borrow();
    let fired = state.fired.get(&turn.key())?;
    fired.iter().find_map(|it| match it.effect {
        Effect::Reorder(behind @ 1..) => Some((it.id, behind)),
        _ => None,
    })
}

/// Waits until those are sent that one is to be sent behind.
pub async fn wait_for_those_before(shared: &Shared, turn: Turn) {
    let behind = shared.state.borrow_mut().behind.remove(&turn.key());
    let Some(Behind { begun, passed, fired }) = behind else { return };
    shared.wait_until(turn.worker, |worker| worker.begun >= begun).await;
    if passed > 0 {
        observed(shared, fired, format!("sent behind {passed} that came after it"));
    }
}

/// What else befalls it, in the order of the rules.
pub fn take(shared: &Shared, turn: Turn) -> Vec<Fired> {
    shared.state.borrow_mut().fired.remove(&turn.key()).unwrap_or_default()
}

/// Lets pass what is to pass before it is sent; gives how long that was, in ns.
pub async fn delay(shared: &Shared, fired: &[Fired]) -> u64 {
    let mut all_ns = 0_u64;
    for Fired { id, effect, .. } in fired {
        let Effect::Delay(ns) = *effect else { continue };
        let began = clock::now();
        shared.be_patient_until(clock::Nanos(began.0.saturating_add(ns)));
        tokio::time::sleep(Duration::from_nanos(ns)).await;
        let waited_ns = clock::now().since(began);
        all_ns = all_ns.saturating_add(waited_ns);
        observed(shared, *id, format!("sent {} later", milliseconds(waited_ns)));
    }
    all_ns
}

/// How long its client waits, in ns.
pub fn patience(fired: &[Fired]) -> Option<(FiredId, u64)> {
    let given = fired.iter().filter_map(|it| match it.effect {
        Effect::Cancel(ns) => Some((it.id, ns)),
        _ => None,
    });
    given.min_by_key(|(_, ns)| *ns)
}

/// Sends it a second time, on a connection of its own, if that befalls it.
pub fn send_again(shared: &Rc<Shared>, turn: Turn, fired: &[Fired], request: &Request) {
    for Fired { id, .. } in fired.iter().filter(|it| it.effect == Effect::DuplicateRequest) {
        shared.state.borrow_mut().again += 1;
        spawn_local(second(Rc::clone(shared), Turn { again: true, ..turn }, *id, request.clone()));
    }
}

async fn second(shared: Rc<Shared>, turn: Turn, id: FiredId, request: Request) {
    let base = shared.bases.of(shared.step(turn).port);
    let Ok(mut open) = Connection::open(base).await else { return shared.over(turn, None, Outcome::Closed) };
    shared.sending(turn, &request, open.local());
    let moved = || shared.moved();
    match open.exchange(&request, base, &moved).await {
        Ok((answer, _)) => {
            observed(&shared, id, format!("asked twice, the second answered {}", answer.status));
            shared.over(turn, Some(&answer), Outcome::Closed);
        }
        Err(_) => {
            observed(&shared, id, "asked twice, the second not answered".to_owned());
            shared.over(turn, None, Outcome::Closed);
        }
    }
}

/// It came about.
pub fn observed(shared: &Shared, id: FiredId, what: String) {
    if let Some(faults) = &shared.faults {
        faults.observed(id, what);
    }
}

/// `213.4ms`.
pub fn milliseconds(ns: u64) -> String {
    format!("{}.{}ms", ns / 1_000_000, ns / 100_000 % 10)
}
