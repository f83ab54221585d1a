//! Lookups of the target: passed on to whom it asked, and what they gave is learned.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::shared::Shared;
use crate::fault::{Effect, Kind, Occasion, Rcode};
use crate::protocol::DnsMessage;
use crate::replay::stub::Query;

/// Lookups under way at a time; more are dropped, as a resolver would.
const MOST: usize = 1024;
/// How long whom it asked may take; the target asks again sooner (resolv.conf(5): 5 s).
const FORWARDED: Duration = Duration::from_secs(10);
/// The longest message.
const MESSAGE: usize = 65_535;

/// What a lookup meets.
pub enum Met {
    /// The resolver is asked.
    Passes,
    /// This is the answer.
    Own(Vec<u8>),
    /// There is none.
    Nothing,
}

/// Answers datagrams.
pub async fn serve(shared: Arc<Shared>, socket: Arc<UdpSocket>, namespace: u64) {
    let places = Arc::new(Semaphore::new(MOST));
    let mut buffer = vec![0; MESSAGE];
    loop {
        // An error is that of an answer that could not be delivered.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let query = buffer[..length].to_vec();
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        tokio::spawn(async move {
            if let Some(resolver) = shared.resolver(namespace, from)
                && let Some(answer) = answer(&shared, &query, resolver).await
            {
                let _ = socket.send_to(&answer, from).await;
            }
            drop(place);
        });
    }
}

/// What a lookup is answered; none: nothing.
async fn answer(shared: &Shared, query: &[u8], resolver: SocketAddr) -> Option<Vec<u8>> {
    match meet(shared, query).await {
        Met::Own(answer) => return Some(answer),
        Met::Nothing => return None,
        Met::Passes => {}
    }
    let answer = timeout(FORWARDED, forward(query, resolver)).await.ok()?.ok()?;
    learn(shared, &answer);
    Some(answer)
}

/// What a lookup meets; counts it.
pub async fn meet(shared: &Shared, query: &[u8]) -> Met {
    let question = DnsMessage::parse(query).ok().and_then(|message| message.question);
    let (Some(question), Some(asked)) = (question, Query::parse(query)) else { return Met::Passes };
    let hits = shared.rules.decide(&Occasion {
        kind: Kind::Lookup,
        names: &[&question.name],
        port: None,
        method: &question.kind,
        target: "",
        headers: &[],
        at_ns: 0,
    });
    let mut met = Met::Passes;
    for hit in &hits {
        match hit.effect() {
            Effect::Delay(ns) => {
                sleep(Duration::from_nanos(*ns)).await;
                hit.observed(format!("answered after {:.1}ms more", *ns as f64 / 1e6));
            }
            Effect::Hang | Effect::Blackhole => {
                hit.observed("nothing was answered");
                return Met::Nothing;
            }
            Effect::Rcode(code) => {
                let (number, word) = match code {
                    Rcode::NxDomain => (3, "NXDOMAIN"),
                    Rcode::ServFail => (2, "SERVFAIL"),
                    Rcode::Refused => (5, "REFUSED"),
                };
                met = Met::Own(asked.own(number, &[]));
                hit.observed(word);
            }
            Effect::WrongAddress(address) => {
                let fits = question.kind == if address.is_ipv4() { "A" } else { "AAAA" };
                let addresses = if fits { &[*address][..] } else { &[] };
                met = Met::Own(asked.own(0, addresses));
                shared.learn(&question.name, [*address]);
                hit.observed(if fits { address.to_string() } else { "no address".to_owned() });
            }
            _ => {}
        }
    }
    met
}

/// Takes in what a resolver answered: before the target knows the addresses, so that its first connect meets what it should.
pub fn learn(shared: &Shared, answer: &[u8]) {
    let Ok(message) = DnsMessage::parse(answer) else { return };
    let Some(question) = message.question else { return };
    shared.learn(&question.name, message.answers.iter().filter_map(|record| record.data.parse().ok()));
}

/// Asks the resolver that the target asked.
async fn forward(query: &[u8], resolver: SocketAddr) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(query).await?;
    let mut answer = vec![0; MESSAGE];
    loop {
        let length = socket.recv(&mut answer).await?;
        if answer.get(..2) == query.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}
