//! Dependencies that are not stubbed: their connections are relayed byte for byte.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::directory::host_and_port;
use super::replies::Ready;
use super::service::Asked;
use super::shared::Shared;
use super::thread::{self, Facts};
use super::{http, relayed};
use crate::fault::Need;
use crate::protocol::Protocol;

/// A live answer that a fault changes is held up to here.
const MOST_HELD: usize = 64 << 20;
/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(10);

/// One that is not stubbed (`--live DEP[=HOST:PORT]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRule {
    /// Its name or address, with its port or without; `*` and `?` match.
    pub dependency: String,
    /// Where it is instead of where the target looks for it, as `HOST:PORT`.
    pub to: Option<String>,
}

/// Relays a connection to `to` until both ends have finished.
pub async fn relay(client: TcpStream, to: &str) -> io::Result<()> {
    pass(client, dial(to).await?, &[]).await
}

/// Relays between both until they have finished. What was read already goes first.
async fn pass(mut client: TcpStream, mut server: TcpStream, ahead: &[u8]) -> io::Result<()> {
    server.write_all(ahead).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    let _ = SockRef::from(&client).set_linger(None);
    Ok(())
}

/// Serves what is said within a granted CONNECT to a live dependency.
pub async fn tunnel(
    shared: Arc<Shared>,
    facts: Facts,
    port: u16,
    (stream, ahead): (TcpStream, BytesMut),
    server: TcpStream,
) {
    if need(&shared, &facts.candidates, port) == Need::Nothing {
        let _ = pass(stream, server, &ahead).await;
        return;
    }
    read_or_relay(shared, Arc::new(facts), port, (stream, ahead), Some(server)).await;
}

/// How long a client may take until it says something, of which it is then known whether it speaks HTTP. A dependency that
/// speaks first is not kept waiting for longer.
const FIRST: Duration = Duration::from_millis(200);

/// What faults could do to calls of a dependency with these names.
pub fn need(shared: &Shared, names: &[String], port: u16) -> Need {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    shared.setup.faults.need(&names, Some(port))
}

/// Serves a connection to a live dependency that faults may hit.
pub async fn disturbed(shared: Arc<Shared>, facts: Arc<Facts>, stream: TcpStream) {
    let port = facts.address.map_or(0, |address| address.port());
    read_or_relay(shared, facts, port, (stream, BytesMut::new()), None).await;
}

/// Its requests one by one where it speaks HTTP/1, else byte for byte, over `server` where that is connected already.
async fn read_or_relay(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    port: u16,
    (stream, mut ahead): (TcpStream, BytesMut),
    server: Option<TcpStream>,
) {
    let protocol = timeout(FIRST, thread::first(&stream, &mut ahead)).await.ok().flatten();
    let is_http = matches!(protocol, Some(Protocol::Http10 | Protocol::Http11));
    if is_http && !ahead.starts_with(b"CONNECT ") {
        return http::serve(shared, facts, stream, ahead.freeze()).await;
    }
    let Some(to) = &facts.live else { return };
    let server = match server {
        Some(server) => server,
        // A dial that fails becomes a reset before any byte.
        None => match dial(to).await {
            Ok(server) => server,
            Err(_) => return,
        },
    };
    relayed::serve(shared, facts, port, (stream, server), ahead.freeze()).await;
}

/// Asks a live dependency for an answer; `to` is an address, or a name with its port unless that is 80.
pub async fn forward(to: &str, asked: Asked) -> io::Result<Response<Incoming>> {
    let server = dial(to).await?;
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(server)).await.map_err(io::Error::other)?;
    // Ends with the answer; what breaks it, the answer's body tells.
    tokio::spawn(connection);
    let parts = asked.parts.ok_or(io::ErrorKind::Unsupported)?;
    if asked.digest.is_some() {
        return Err(io::Error::other("the request has a body of more than 64 MiB, which is not held"));
    }
    let mut request = Request::from_parts(parts, Full::new(asked.body));
    *request.uri_mut() = asked.target.parse().map_err(io::Error::other)?;
    sender.send_request(request).await.map_err(io::Error::other)
}

/// The head of a live dependency's answer, and its body, which is still to come.
pub fn begun(response: Response<Incoming>) -> (Ready, Incoming) {
    let (mut parts, body) = response.into_parts();
    let extensions = std::mem::take(&mut parts.extensions);
    (Ready::at_once(parts, Some(extensions), Bytes::new(), None), body)
}

/// Reads a live dependency's answer to its end, so that faults can change it.
///
/// # Errors
/// Where it broke, or is longer than what is held of an answer.
pub async fn whole(response: Response<Incoming>) -> io::Result<Ready> {
    let (mut parts, body) = response.into_parts();
    let read = Limited::new(body, MOST_HELD).collect().await.map_err(io::Error::other)?;
    let trailers = read.trailers().cloned();
    let extensions = std::mem::take(&mut parts.extensions);
    Ok(Ready::at_once(parts, Some(extensions), read.to_bytes(), trailers))
}

/// Connects to `HOST:PORT`, in 10 s at most.
pub async fn dial(to: &str) -> io::Result<TcpStream> {
    let (host, port) = host_and_port(to);
    let host = host.trim_matches(['[', ']']);
    let stream = timeout(DIAL, TcpStream::connect((host, port.unwrap_or(80)))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
