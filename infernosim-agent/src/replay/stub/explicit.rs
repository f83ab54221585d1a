//! Clients that were told of us (`--stub-listen`, `--stub-compat-listen`), and CONNECT wherever it comes.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{Response, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::directory::Speech;
use super::service::{self, Asked};
use super::shared::Shared;
use super::thread::{Facts, by_first_bytes, read};
use super::wire::Cut;
use super::{Explicitly, live, met, unmatched, wire};
use crate::clock;
use crate::fault::{Effect, Fired};
use crate::replay::script::CallKind;

/// A tunnel is granted.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// The longest head of a CONNECT.
const MOST_HEAD: usize = 64 << 10;

/// Serves a client's connection.
pub async fn serve(shared: Arc<Shared>, facts: Facts, stream: TcpStream, how: Explicitly) {
    let facts = Arc::new(facts);
    let ahead = BytesMut::new();
    match how {
        // Whatever comes is HTTP, and what is not gets 400.
        Explicitly::Server => super::http::serve(shared, facts, stream, ahead.freeze()).await,
        Explicitly::Proxy => by_first_bytes(shared, facts, stream, ahead, Speech::Http).await,
    }
}

/// Answers a CONNECT, and what is said within it.
pub async fn connect(shared: Arc<Shared>, facts: Arc<Facts>, mut stream: TcpStream, mut ahead: BytesMut) {
    let head = loop {
        if let Some(end) = memchr::memmem::find(&ahead, b"\r\n\r\n") {
            break end + 4;
        }
        if ahead.len() > MOST_HEAD || !matches!(read(&stream, &mut ahead).await, Ok(1..)) {
            return;
        }
    };
    let target = ahead[..head].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let authority = String::from_utf8_lossy(target).to_ascii_lowercase();
    ahead.advance(head);
    if !shared.running().await {
        return;
    }
    let (names, port) = met::named(&authority);
    let met = facts.explicit.map(|how| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        met::by_connect(&shared, how, &names, Some(port))
    });
    if let Some(fired) = met.iter().flatten().next() {
        // That it was asked for is to be known all the same.
        let _ = tunnel(&shared, &facts, &names, &authority).await;
        return out_of_reach(&shared, &facts, stream, fired).await;
    }
    if let Some(rule) = shared.live_rule(&names) {
        let to = rule.to.clone().unwrap_or_else(|| authority.clone());
        shared.passed(&names[0]);
        return live_tunnel(shared, facts.within(names), port, (stream, ahead), to).await;
    }
    let granted = match tunnel(&shared, &facts, &names, &authority).await {
        Ok(granted) => granted,
        Err(explanation) => Err(unmatched::response(&explanation)),
    };
    if let Err(response) = granted {
        let _ = stream.write_all(&whole(&response)).await;
        return wire::finish(stream).await;
    }
    if stream.write_all(ESTABLISHED).await.is_err() {
        return;
    }
    let within = facts.within(names);
    // Boxed: what is within may be a CONNECT again.
    Box::pin(by_first_bytes(shared, Arc::new(within), stream, ahead, Speech::Mixed)).await;
}

/// A CONNECT to a live dependency: granted once it is connected, else 502 and why.
async fn live_tunnel(
    shared: Arc<Shared>,
    mut facts: Facts,
    port: u16,
    (mut stream, ahead): (TcpStream, BytesMut),
    to: String,
) {
    let server = match live::dial(&to).await {
        Ok(server) => server,
        Err(error) => {
            let response = unmatched::unreachable(&format!("{to} cannot be reached: {error}"));
            let _ = stream.write_all(&whole(&response)).await;
            return wire::finish(stream).await;
        }
    };
    if stream.write_all(ESTABLISHED).await.is_ok() {
        facts.live = Some(to);
        live::tunnel(shared, facts, port, (stream, ahead), server).await;
    }
}

/// Ends a CONNECT whose dependency cannot be reached: 502, or nothing until the client gives up or the run is over.
async fn out_of_reach(shared: &Shared, facts: &Facts, mut stream: TcpStream, fired: &Fired) {
    let Effect::Answer { .. } = fired.effect else {
        let _meant = shared.activity.on_purpose();
        shared.setup.faults.observed(fired.id, "nothing was answered".to_owned());
        tokio::select! {
            () = wire::end(stream, Cut::Silence) => {}
            () = shared.over(facts.run()) => {}
        }
        return;
    };
    let response = whole(&unmatched::unreachable("a fault refuses the connect"));
    if stream.write_all(&response).await.is_ok() {
        shared.setup.faults.observed(fired.id, "502 instead of a tunnel".to_owned());
    }
    wire::finish(stream).await;
}

/// Whether a tunnel is granted; else what is answered instead: as recorded, or why there is nothing to answer.
async fn tunnel(
    shared: &Shared,
    facts: &Facts,
    names: &[String],
    authority: &str,
) -> Result<Result<(), Response<Bytes>>, String> {
    let script = &shared.setup.script;
    let is_asked = |name: &str| names.iter().any(|asked| asked == name);
    let of_it = || script.calls().iter().filter(|call| is_asked(&call.dependency));
    let recorded: Vec<CallKind> =
        of_it().filter(|call| &*call.method == "CONNECT").map(|call| call.kind).collect();
    // Over how many connections its calls go is not compared, and not counted.
    if !recorded.is_empty() && recorded.iter().all(|kind| *kind == CallKind::Tunnel) {
        return Ok(Ok(()));
    }
    if !recorded.is_empty() {
        let asked = Asked::connect(authority, names);
        let found = service::cause(shared, facts, 0, &asked, clock::now()).await;
        let decision = service::ask(shared, &asked, &found)?;
        let call = decision.reply.ok_or(decision.explanation)?;
        shared.matcher().answered(decision.id, shared.at_ns());
        let reply = script.reply(call).map_err(|error| error.to_string())?;
        if (200..300).contains(&reply.status) {
            return Ok(Ok(()));
        }
        let mut response = Response::new(reply.body);
        *response.status_mut() = StatusCode::from_u16(reply.status).map_err(|error| error.to_string())?;
        return Ok(Err(response));
    }
    // Recorded at its own connection, and asked for through a proxy now.
    if of_it().any(|call| call.kind != CallKind::Unserved) {
        return Ok(Ok(()));
    }
    let dependency = script.dependencies().iter().find(|dependency| is_asked(&dependency.name));
    Err(match dependency {
        Some(it) => format!("{authority} was recorded as {}, which no stub speaks yet", it.protocol),
        None => format!("no call to {authority} was recorded"),
    })
}

/// A response as on the wire, and the last.
fn whole(response: &Response<Bytes>) -> Vec<u8> {
    let (status, body) = (response.status(), response.body());
    let reason = status.canonical_reason().unwrap_or("Failed");
    let mark =
        if response.headers().contains_key(unmatched::MARK) { "X-InfernoSIM: unmatched\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n{mark}\
         Connection: close\r\n\r\n",
        status.as_u16(),
        body.len()
    );
    [head.as_bytes(), body].concat()
}
