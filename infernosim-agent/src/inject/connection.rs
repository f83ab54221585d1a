//! A redirected connection: whom it was meant for is dialled, and its first bytes say how it is disturbed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use infernosim_common::Flow;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::rules::Hit;
use super::session::LOOK;
use super::shared::Shared;
use super::side::speaks;
use super::standing::{self, Standing};
use super::{asking, connects, http};
use crate::fault::Effect;
use crate::protocol::{Detector, Protocol};
use crate::proxy::faulty::{Course, Toxic, relay};
use crate::proxy::{close_with_rst, dial};
use crate::redirect::destination;

/// One read takes at most this much.
const READ: usize = 32 << 10;

/// What is known of a connection.
pub struct Facts {
    /// Where the target connected to.
    pub address: SocketAddr,
    /// What it may have meant by that, the likeliest first.
    pub names: Vec<String>,
    /// Of all connections, from 0.
    pub number: u64,
}

/// Serves a connection that was accepted.
pub async fn admit(shared: Arc<Shared>, client: TcpStream, from: SocketAddr, namespace: u64) {
    // Nobody but the kernel half sends anybody here.
    let Some(flow) = shared.flow(namespace, from) else { return };
    let open = shared.open();
    tokio::select! {
        () = shared.over() => {}
        () = serve(&shared, client, &flow) => {}
    }
    drop(open);
}

async fn serve(shared: &Shared, client: TcpStream, flow: &Flow) {
    let address = destination(flow);
    let facts = Facts { address, names: shared.candidates(address), number: shared.number() };
    shared.seen.saw(&facts.names);
    if connects::is_behind(shared, flow) {
        sleep(LOOK * 3).await;
    }
    for hit in connects::accepted(shared, flow) {
        match hit.effect() {
            // The kernel half could not be told ahead. It closes with a RST, as it does unless told otherwise.
            Effect::Refuse | Effect::Reset(None) => return hit.observed("reset before any byte"),
            Effect::Blackhole | Effect::Hang => {
                hit.observed("nothing was answered");
                return silence(&client).await;
            }
            Effect::Delay(ns) => {
                sleep(Duration::from_nanos(*ns)).await;
                hit.observed(format!("connected on {:.1}ms later", *ns as f64 / 1e6));
            }
            _ => {}
        }
    }
    // A dial that fails becomes a reset before any byte.
    let Ok(server) = connect(flow).await else { return };
    if address.port() == asking::PORT {
        return asking::serve(shared, client, server).await;
    }
    let mut ahead = BytesMut::new();
    if speaks_http(&client, &server, &mut ahead).await {
        return http::serve(shared, &facts, client, server, ahead).await;
    }
    bytes(shared, &facts, client, server, ahead.freeze()).await;
}

/// Bytes that nobody reads: what is decided holds for the whole connection.
async fn bytes(shared: &Shared, facts: &Facts, client: TcpStream, server: TcpStream, ahead: Bytes) {
    let names: Vec<&str> = facts.names.iter().map(String::as_str).collect();
    let hits = shared.rules.decide(&standing::bytes(&names, facts.address.port()));
    let (standing, hits) = Standing::of(shared, hits);
    let mut toxics: Vec<Toxic> = hits.iter().flat_map(|hit| toxics(hit, facts.number)).collect();
    Toxic::in_order(&mut toxics);
    pass_as(standing, shared, facts, (client, server), ahead, toxics).await;
}

/// Relays with these disturbances, and those that rules bring about while it is open.
pub async fn pass(
    shared: &Shared,
    facts: &Facts,
    ends: (TcpStream, TcpStream),
    ahead: Bytes,
    toxics: Vec<Toxic>,
) {
    let (standing, _) = Standing::of(shared, Vec::new());
    pass_as(standing, shared, facts, ends, ahead, toxics).await;
}

async fn pass_as(
    standing: Standing,
    shared: &Shared,
    facts: &Facts,
    (client, server): (TcpStream, TcpStream),
    ahead: Bytes,
    toxics: Vec<Toxic>,
) {
    let (_keep, toxics) = watch::channel(Arc::new(toxics));
    let course = Course { toxics, passage: standing.passage(), connection: facts.number };
    tokio::select! {
        // A rule that came before some bytes is in force for them, however late we get the CPU.
        biased;
        () = standing.follow(shared, facts) => {}
        _ = relay(client, server, ahead, course) => {}
    }
}

/// What a hit does to bytes; nothing where it means nothing to them.
pub fn toxics(hit: &Hit, key: u64) -> Vec<Toxic> {
    let heard = hit.clone();
    Toxic::of(&hit.fired, key, Arc::new(move |text| heard.observed(text)))
}

/// Whether the client's first bytes are a request; not if the server speaks first, or the client says nothing.
async fn speaks_http(client: &TcpStream, server: &TcpStream, ahead: &mut BytesMut) -> bool {
    let mut detector = Detector::new();
    loop {
        let before = ahead.len();
        tokio::select! {
            biased;
            got = read(client, ahead) => match got {
                Ok(1..) => {
                    if let Some(protocol) = detector.push(&ahead[before..]) {
                        let http = matches!(protocol, Protocol::Http10 | Protocol::Http11);
                        return http && !ahead.starts_with(b"CONNECT ");
                    }
                }
                // What it was is found again by who relays.
                _ => return false,
            },
            () = speaks(server) => return false,
        }
    }
}

/// Dials whom the target wanted, from where it wanted.
async fn connect(flow: &Flow) -> io::Result<TcpStream> {
    let stream = dial(flow)?;
    let stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    close_with_rst(&stream)?;
    Ok(stream)
}

/// Takes what comes and says nothing, until the other end gives up.
pub async fn silence(stream: &TcpStream) {
    let mut room = BytesMut::new();
    while read(stream, &mut room).await.is_ok_and(|read| read > 0) {
        room.clear();
    }
}

/// Reads some bytes; 0 at the end.
pub async fn read(stream: &TcpStream, into: &mut BytesMut) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        into.reserve(READ);
        match stream.try_read_buf(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}
