//! One recorded connection: its requests in order, on one live connection where the target lets them.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::LiveAnswer;
use super::connection::{Broken, Connection};
use super::state::{Shared, Turn};
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
        if shared.ending.get() {
            return;
        }
        let exchange = shared.step(turn).exchange;
        let request = shared.exchanges.borrow_mut().request(exchange);
        match request {
            Ok(request) => {
                let answer = send(&shared, &mut lane, turn, request).await;
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
    shared: &Shared,
    lane: &mut Lane,
    turn: Turn,
    mut request: Request,
) -> Result<LiveAnswer, Outcome> {
    let step = *shared.step(turn);
    let base = shared.bases.of(step.port);
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
        let moved = || shared.moved();
        let exchange = open.exchange(&request, base, &moved);
        let answer = match step.give_up_ns {
            None | Some(u64::MAX) => exchange.await,
            // Its client had no answer either, and went.
            Some(after) => match timeout(Duration::from_nanos(after).max(LEAST), exchange).await {
                Ok(answer) => answer,
                Err(_) => return Err(Outcome::Unanswered),
            },
        };
        match answer {
            Ok((answer, stays)) => {
                lane.connection = stays.then_some(open);
                return Ok(answer);
            }
            Err(Broken { unread: true }) if !shared.ending.get() => {
                shared.state.borrow_mut().driven.resent += 1;
                shared.exchanges.borrow_mut().unread(step.exchange, open.local());
                let again = shared.exchanges.borrow_mut().request(step.exchange);
                request = again.map_err(|_| Outcome::Closed)?;
            }
            Err(Broken { .. }) => return Err(Outcome::Closed),
        }
    }
}
