//! What a client gets where the dependency is not asked.

use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::sleep;

use super::answer::Answer;
use super::connection::silence;
use super::http::After;
use super::side::{Side, fill, gone, write_all};
use super::treatment::{Instead, Treatment};
use crate::clock;
use crate::proxy::explicit::Body;

/// Does so, and says what follows.
pub async fn answer(
    instead: &Instead,
    client: &mut Side<'_>,
    body: &mut Option<Body>,
    treatment: &Treatment,
) -> After {
    match instead {
        Instead::Hang(hit) => {
            hit.observed("nothing was answered");
            silence(client.stream).await;
            After::Reset
        }
        Instead::Reset(hit) => {
            if waits(client, body, treatment.delay_ns()).await {
                return After::Reset;
            }
            treatment.waited();
            hit.observed("reset before any byte");
            After::Reset
        }
        Instead::HalfClose(hit) => {
            if waits(client, body, treatment.delay_ns()).await {
                return After::Reset;
            }
            treatment.waited();
            let _ = SockRef::from(client.stream).shutdown(Shutdown::Write);
            hit.observed("a FIN instead of an answer");
            silence(client.stream).await;
            After::Close
        }
        Instead::Answer { after_ns, status, hit } => {
            let began = clock::now();
            if waits(client, body, treatment.delay_ns().saturating_add(*after_ns)).await {
                return After::Reset;
            }
            treatment.waited();
            let written = Answer::own(*status).written();
            if write_all(client.stream, &written.before).await.is_err() {
                return After::Reset;
            }
            hit.observed(format!("{status} after {:.1}ms", clock::now().since(began) as f64 / 1e6));
            if body.as_ref().is_none_or(Body::is_over) { After::Next } else { After::Close }
        }
    }
}

/// Waits so long, in ns; true if the client gave up meanwhile.
async fn waits(client: &mut Side<'_>, body: &mut Option<Body>, ns: u64) -> bool {
    tokio::select! {
        biased;
        gave_up = drain(client, body) => gave_up,
        () = sleep(Duration::from_nanos(ns)) => false,
    }
}

/// Reads the request's body and throws it away, and then waits until the client gives up; true then.
async fn drain(client: &mut Side<'_>, body: &mut Option<Body>) -> bool {
    while let Some(body) = body.as_mut().filter(|body| !body.is_over()) {
        let Ok(taken) = body.read(client.buffer.bytes()) else { return true };
        client.buffer.take(taken);
        if !body.is_over() && !fill(client).await.unwrap_or(false) {
            return true;
        }
    }
    gone(client.stream).await;
    true
}
