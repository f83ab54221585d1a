//! Lookups that arrive: answered at their time, by the way they came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use infernosim_common::Flow;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Told;
use super::message::Query;
use crate::clock;
use crate::fault::{Effect, Fired, Kind, Rcode};
use crate::protocol::DnsMessage;
use crate::redirect::destination;
use crate::replay::seen::Refused;
use crate::replay::stub::shared::Shared;

/// Lookups under way at a time, of those that wait or are forwarded; more are dropped, as a resolver would.
const MOST: usize = 256;
/// How long a resolver that a lookup is forwarded to may take.
const FORWARDED: Duration = Duration::from_secs(5);
/// How long a target may wait for an answer that it did not get in the recording either (resolv.conf(5): 5 s for
/// each of its attempts).
const UNANSWERED_NS: u64 = 6_000_000_000;
/// The longest message.
const MESSAGE: usize = 65_535;

/// Answers datagrams.
pub async fn over_udp(shared: Arc<Shared>, socket: Arc<UdpSocket>, namespace: u64) {
    let places = Arc::new(Semaphore::new(MOST));
    let mut buffer = vec![0; MESSAGE];
    loop {
        // An error is that of an answer that could not be delivered.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let query = buffer[..length].to_vec();
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        tokio::spawn(async move {
            let flow = shared.setup.kernel.as_ref().and_then(|kernel| kernel.resolver(namespace, from));
            if let Some(answer) = answer(&shared, &query, flow.as_ref(), true).await {
                let _ = socket.send_to(&answer, from).await;
            }
            drop(place);
        });
    }
}

/// Answers a connection to port 53 (RFC 1035 section 4.2.2: each message has its length before it).
pub async fn over_tcp(shared: Arc<Shared>, mut stream: TcpStream, flow: Flow) {
    let mut query = Vec::new();
    while let Ok(length) = stream.read_u16().await {
        query.resize(usize::from(length), 0);
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(answer) = answer(&shared, &query, Some(&flow), false).await else { continue };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        if stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await.is_err() {
            return;
        }
    }
    let _ = SockRef::from(&stream).set_linger(None);
}

/// What a lookup is answered; none: nothing.
async fn answer(shared: &Arc<Shared>, query: &[u8], flow: Option<&Flow>, datagram: bool) -> Option<Vec<u8>> {
    shared.activity.moved();
    if !shared.running().await {
        return None;
    }
    let told = shared.zone().ask(query, datagram);
    let met = meets(shared, query);
    let answer = told_to(shared, query, flow, told).await;
    if met.is_empty() { answer } else { disturb(shared, query, answer, met).await }
}

/// What a lookup meets.
fn meets(shared: &Shared, query: &[u8]) -> Vec<Fired> {
    let question = if shared.setup.faults.is_empty() { None } else { DnsMessage::parse(query).ok() };
    let Some(question) = question.and_then(|message| message.question) else { return Vec::new() };
    shared.meets(Kind::Lookup, &[&question.name], None, (&question.kind, "", &[]), clock::now())
}

/// What the faults make of an answer; none: nothing comes.
async fn disturb(
    shared: &Shared,
    query: &[u8],
    mut answer: Option<Vec<u8>>,
    met: Vec<Fired>,
) -> Option<Vec<u8>> {
    let asked = Query::parse(query)?;
    let kind = DnsMessage::parse(query).ok()?.question?.kind;
    for Fired { id, effect, .. } in met {
        let said = match effect {
            Effect::Delay(ns) => {
                let _meant = shared.activity.on_purpose();
                sleep(Duration::from_nanos(ns)).await;
                format!("answered {:.1}ms late", ns as f64 / 1e6)
            }
            Effect::Hang => {
                shared.activity.meant_for(UNANSWERED_NS);
                shared.setup.faults.observed(id, "nothing was answered".to_owned());
                return None;
            }
            Effect::Rcode(rcode) => {
                let (code, word) = match rcode {
                    Rcode::NxDomain => (3, "NXDOMAIN"),
                    Rcode::ServFail => (2, "SERVFAIL"),
                    Rcode::Refused => (5, "REFUSED"),
                };
                answer = Some(asked.own(code, &[]));
                word.to_owned()
            }
            Effect::WrongAddress(address) => {
                let is_of_kind = kind == if address.is_ipv4() { "A" } else { "AAAA" };
                answer = Some(asked.own(0, if is_of_kind { std::slice::from_ref(&address) } else { &[] }));
                format!("answered {address}")
            }
            _ => continue,
        };
        shared.setup.faults.observed(id, said);
    }
    answer
}

/// What a lookup is answered without faults.
async fn told_to(shared: &Arc<Shared>, query: &[u8], flow: Option<&Flow>, told: Told) -> Option<Vec<u8>> {
    match told {
        Told::Answer(answer, took_ns) => {
            let wait = shared.scaled(took_ns);
            if wait >= Duration::from_millis(1) {
                let _meant = shared.activity.on_purpose();
                sleep(wait).await;
            }
            Some(answer)
        }
        Told::Unknown(name, answer) => {
            shared.refuse(Refused::Lookup(name), flow, clock::now());
            Some(answer)
        }
        Told::Silence => {
            shared.activity.meant_for(UNANSWERED_NS);
            None
        }
        Told::Forward(name) => {
            let resolver = destination(flow?);
            let answer = timeout(FORWARDED, forward(query, resolver)).await.ok()?.ok()?;
            let message = DnsMessage::parse(&answer).ok();
            let records = message.into_iter().flat_map(|message| message.answers);
            for address in records.filter_map(|record| record.data.parse().ok()) {
                shared.learn_live(&name, address);
            }
            Some(answer)
        }
        Told::Malformed => None,
    }
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
