//! One request: whose it is, which recorded one it is, and what it is answered.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, pin::Pin};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use super::paced::Paced;
use super::replies::{Head, Ready};
use super::shared::Shared;
use super::thread::Facts;
use super::wire::{Cut, Line};
use super::{live, unmatched};
use crate::clock;
use crate::incident::cause::identifiers;
use crate::replay::causes::{Asking, Found};
use crate::replay::matcher::{Decision, OnUnmatched, Question};
use crate::replay::script::Ending;

/// A request's body is held up to here; of a longer one its size and digest.
const MOST_BODY: usize = 64 << 20;
/// A body beyond this is one of few that are held at a time.
const LARGE: usize = 1 << 20;
/// Waits shorter than this are not worth a timer, which counts whole milliseconds.
const SHORTEST_NS: u64 = 500_000;

/// What hyper sends as a body.
pub enum Sent {
    /// From the recording, or of our own.
    Paced(Paced),
    /// From a live dependency.
    Live(Incoming, Arc<Line>),
}

/// A request that is whole.
pub struct Asked {
    /// As hyper read it; none of a CONNECT.
    pub parts: Option<Parts>,
    pub method: String,
    pub body: Bytes,
    /// Of a body too long to be held: size and SHA-256.
    pub digest: Option<(u64, [u8; 32])>,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whom it may be for, the likeliest first.
    pub dependency: Vec<String>,
}

/// Answers a request.
pub async fn answer(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Response<Sent> {
    line.begin();
    shared.activity.moved();
    if !shared.running().await {
        return std::future::pending().await;
    }
    let (at, began) = (clock::now(), Instant::now());
    shared.called(facts.address);
    let asked = match Asked::read(&shared, &facts, request).await {
        Ok(asked) => asked,
        Err(refused) => return own(&shared, &line, refused),
    };
    let found = cause(&shared, &facts, line.offset(), &asked, at).await;
    let decision = match ask(&shared, &asked, &found) {
        Ok(decision) => decision,
        Err(explanation) => return own(&shared, &line, unmatched::response(&explanation)),
    };
    let Some(call) = decision.reply else {
        return without_counterpart(&shared, &facts, &line, asked, decision).await;
    };
    match shared.replies.of(&shared.setup.script, &shared.spellings, call) {
        Ok(ready) => reply(&shared, &line, &ready, decision.id, began).await,
        Err(error) => {
            shared.problem(error.to_string());
            own(&shared, &line, unmatched::response(&error.to_string()))
        }
    }
}

impl Asked {
    /// Reads all of a request; else what is answered to it.
    async fn read(
        shared: &Shared,
        facts: &Facts,
        request: Request<Incoming>,
    ) -> Result<Self, Response<Bytes>> {
        let (parts, mut incoming) = request.into_parts();
        let (body, digest) = collect(shared, &mut incoming).await?;
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
        let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok());
        let named = parts.uri.authority().map(hyper::http::uri::Authority::as_str).or(host);
        let named = named.filter(|named| !named.is_empty()).map(|named| {
            let named = named.to_ascii_lowercase();
            named.strip_suffix(":80").map(str::to_owned).unwrap_or(named)
        });
        let mut dependency: Vec<String> = named.into_iter().collect();
        for name in &facts.candidates {
            if !dependency.contains(name) {
                dependency.push(name.clone());
            }
        }
        let (headers, method) = (headers.collect(), parts.method.as_str().to_owned());
        Ok(Self { parts: Some(parts), method, body, digest, target, headers, dependency })
    }

    /// A CONNECT.
    pub fn connect(authority: &str, names: &[String]) -> Self {
        Self {
            parts: None,
            method: "CONNECT".to_owned(),
            body: Bytes::new(),
            digest: None,
            target: authority.to_owned(),
            headers: Vec::new(),
            dependency: names.to_vec(),
        }
    }
}

/// Reads a body.
async fn collect(
    shared: &Shared,
    incoming: &mut Incoming,
) -> Result<(Bytes, Option<(u64, [u8; 32])>), Response<Bytes>> {
    let mut held = BytesMut::new();
    let mut hashed: Option<(u64, Sha256)> = None;
    let mut place = None;
    while let Some(frame) = incoming.frame().await {
        // hyper ends the connection by itself where the body is no body.
        let Ok(frame) = frame else { return Err(unmatched::response("the request was cut")) };
        let Ok(data) = frame.into_data() else { continue };
        if place.is_none() && held.len() + data.len() > LARGE {
            place = shared.large.acquire().await.ok();
        }
        if hashed.is_none() && held.len() + data.len() > MOST_BODY {
            hashed = Some((held.len() as u64, Sha256::new_with_prefix(&held)));
            held = BytesMut::new();
        }
        match &mut hashed {
            Some((size, digest)) => {
                *size += data.len() as u64;
                digest.update(&data);
            }
            None => held.extend_from_slice(&data),
        }
    }
    Ok((held.freeze(), hashed.map(|(size, digest)| (size, digest.finalize().into()))))
}

/// Which exchange made a request happen that begins at this offset of its connection.
pub async fn cause(shared: &Shared, facts: &Facts, offset: u64, asked: &Asked, at: clock::Nanos) -> Found {
    let fields = asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let identifiers = identifiers(fields);
    let (cookie, process) = (facts.cookie, facts.process);
    let asking = Asking { cookie, offset, identifiers: &identifiers, process, at };
    shared.setup.causes.of_call(asking).await
}

/// Which recorded call a request is.
pub fn ask(shared: &Shared, asked: &Asked, found: &Found) -> Result<Decision, String> {
    let dependency: Vec<&str> = asked.dependency.iter().map(String::as_str).collect();
    let question = Question {
        dependency: &dependency,
        method: &asked.method,
        target: &asked.target,
        headers: &asked.headers,
        body: &asked.body,
        digest: asked.digest,
        cause: found.cause,
        basis: found.basis,
        open: &found.open,
        at_ns: shared.at_ns(),
    };
    shared.matcher().ask(&question).map_err(|error| {
        shared.problem(error.to_string());
        error.to_string()
    })
}

async fn without_counterpart(
    shared: &Arc<Shared>,
    facts: &Facts,
    line: &Arc<Line>,
    asked: Asked,
    decision: Decision,
) -> Response<Sent> {
    if shared.setup.on_unmatched == OnUnmatched::Passthrough {
        let to = facts.address.map(|address| address.to_string());
        let to = to.or_else(|| asked.dependency.first().cloned()).unwrap_or_default();
        shared.passed(asked.dependency.first().unwrap_or(&to));
        match live::forward(&to, asked).await {
            Ok(response) => return response.map(|body| Sent::Live(body, Arc::clone(line))),
            Err(error) => {
                let said = format!("{}\n{to} could not be asked either: {error}", decision.explanation);
                return own(shared, line, unmatched::response(&said));
            }
        }
    }
    shared.matcher().answered(decision.id, shared.at_ns());
    own(shared, line, unmatched::response(&decision.explanation))
}

/// Sends what was recorded, as it was recorded.
async fn reply(
    shared: &Arc<Shared>,
    line: &Arc<Line>,
    ready: &Ready,
    id: usize,
    began: Instant,
) -> Response<Sent> {
    for interim in &ready.interim {
        // hyper has sent this one itself where the client waits for it.
        if !interim.starts_with(b"HTTP/1.1 100") {
            line.between(interim.clone()).await;
        }
    }
    let waited = shared.scaled(ready.wait_ns);
    if waited.as_nanos() >= u128::from(SHORTEST_NS) {
        let _meant = shared.activity.on_purpose();
        sleep_until(began + waited).await;
    }
    let (ending, before_head) = match ready.ending {
        Ending::Whole => (None, false),
        Ending::ResetAfter(bytes) => (Some(Cut::Reset), bytes.is_none()),
        Ending::ClosedAfter(bytes) => (Some(Cut::Close), bytes.is_none()),
        Ending::Never => (Some(Cut::Silence), false),
    };
    let answered = {
        let shared = Arc::clone(shared);
        move || shared.matcher().answered(id, shared.at_ns())
    };
    let Some(head) = ready.head.as_ref().filter(|_| !before_head) else {
        line.cut(ending.unwrap_or(Cut::Reset));
        answered();
        return std::future::pending().await;
    };
    let start = Instant::now();
    let pieces = ready.chunks.iter().map(|(ns, bytes)| (start + shared.scaled(*ns), *bytes));
    let paced = shared.setup.time_scale > 0.0 && ready.chunks.len() > 1;
    let body = Paced::new(ready.body.clone(), Arc::clone(line), Arc::clone(&shared.activity))
        .at_times(if paced { pieces.collect() } else { Vec::new() })
        .trailers(ready.trailers.clone())
        .ending(ending)
        .then(answered);
    respond(head, body)
}

fn respond(head: &Head, body: Paced) -> Response<Sent> {
    let mut response = Response::new(Sent::Paced(body));
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers.clone();
    if let Some(extensions) = &head.extensions {
        *response.extensions_mut() = extensions.clone();
    }
    response
}

/// Sends an answer of our own.
fn own(shared: &Arc<Shared>, line: &Arc<Line>, response: Response<Bytes>) -> Response<Sent> {
    response.map(|body| Sent::Paced(Paced::new(body, Arc::clone(line), Arc::clone(&shared.activity))))
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Paced(body) => Pin::new(body).poll_frame(context),
            Self::Live(body, _) => {
                let frame = Pin::new(body).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
            }
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Self::Live(_, line) = self {
            line.complete();
        }
    }
}
