//! One recorded connection: its requests in order, on one live connection where the target lets them.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::LiveAnswer;
use super::befall;
use super::connection::{Broken, Connection};
use super::pace::Step;
use super::state::{Shared, Turn};
use crate::fault::{Fired, FiredId};
use crate::replay::script::Request;
use crate::replay::seen::Outcome;

/// An answer that was not recorded gets at least this long, however short the recording's time is made.
const LEAST: Duration = Duration::from_millis(100);

/// A connection as far as it stands.
#[derive(Default)]
struct Lane {
    connection: Option<Connection>,
    /// Whether there has been one.
    opened: bool,
}

/// Sends what comes, one after the other; closes the connection behind the last.
pub async fn serve(shared: Rc<Shared>, mut turns: UnboundedReceiver<Turn>) {
    let mut lane = Lane::default();
    while let Some(turn) = turns.recv().await {
        shared.wait_for_others(turn).await;
        befall::wait_for_those_before(&shared, turn).await;
        if shared.ending.get() {
            return;
        }
        let fired = befall::take(&shared, turn);
        let delayed_ns = befall::delay(&shared, &fired).await;
        let turn = Turn { due_ns: turn.due_ns.saturating_add(delayed_ns), ..turn };
        let exchange = shared.step(turn).exchange;
        let request = shared.exchanges.borrow_mut().request(exchange, turn.worker);
        match request {
            Ok(request) => {
                let answer = send(&shared, &mut lane, turn, request, &fired).await;
                match answer {
                    Ok(answer) => shared.over(turn, Some(&answer), Outcome::Closed),
                    Err(outcome) => shared.over(turn, None, outcome),
                }
            }
            Err(error) => {
                shared.state.borrow_mut().driven.unreadable.get_or_insert(error);
                shared.over(turn, None, Outcome::NotSent);
            }
        }
    }
}

/// Sends a request, and once more if the target closed the connection, which had been used before, without reading it:
/// servers close idle connections when they like (RFC 9112 section 9.5).
async fn send(
    shared: &Rc<Shared>,
    lane: &mut Lane,
    turn: Turn,
    mut request: Request,
    fired: &[Fired],
) -> Result<LiveAnswer, Outcome> {
    let step = *shared.step(turn);
    let base = shared.bases.of(step.port);
    let cancel = befall::patience(fired);
    let mut again = false;
    loop {
        let mut open = match lane.connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => {
                let before = std::mem::replace(&mut lane.opened, true);
                shared.state.borrow_mut().driven.reopened += u64::from(before);
                Connection::open(base).await.map_err(|_| Outcome::Closed)?
            }
        };
        if shared.ending.get() {
            return Err(Outcome::NotSent);
        }
        shared.sending(turn, &request, open.local());
        if !again {
            befall::send_again(shared, turn, fired, &request);
        }
        let moved = || shared.moved();
        let exchange = open.exchange(&request, base, &moved);
        let answer = match until(&step, cancel) {
            None => exchange.await,
            Some((after, without)) => match timeout(after, exchange).await {
                Ok(answer) => answer,
                Err(_) => {
                    if let (Outcome::Cancelled, Some((id, _))) = (without, cancel) {
                        let what = format!("gave up after {}", befall::milliseconds(nanos(after)));
                        befall::observed(shared, id, what);
                    }
                    return Err(without);
                }
            },
        };
        match answer {
            Ok((answer, stays)) => {
                lane.connection = stays.then_some(open);
                return Ok(answer);
            }
            Err(Broken { unread: true }) if !shared.ending.get() => {
                again = true;
                shared.state.borrow_mut().driven.resent += 1;
                shared.exchanges.borrow_mut().unread(step.exchange, open.local());
                let again = shared.exchanges.borrow_mut().request(step.exchange, turn.worker);
                request = again.map_err(|_| Outcome::Closed)?;
            }
            Err(Broken { .. }) => return Err(Outcome::Closed),
        }
    }
}

/// How long an answer is waited for, and what came of it then: as long as its client did in the recording, which had none
/// either; and no longer than a client that a fault lets give up.
fn until(step: &Step, cancel: Option<(FiredId, u64)>) -> Option<(Duration, Outcome)> {
    let recorded = step.give_up_ns.filter(|after| *after != u64::MAX);
    let recorded = recorded.map(|after| (Duration::from_nanos(after).max(LEAST), Outcome::Unanswered));
    let cancelled = cancel.map(|(_, after)| (Duration::from_nanos(after), Outcome::Cancelled));
    recorded.into_iter().chain(cancelled).min_by_key(|(after, _)| *after)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
