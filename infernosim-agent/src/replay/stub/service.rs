//! One request: whose it is, which recorded one it is, and what it is answered.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::disturbed::Disturbed;
use super::paced::Paced;
use super::replies::Ready;
use super::sending::{self, Sent, Way};
use super::shared::Shared;
use super::thread::Facts;
use super::wire::Line;
use super::{live, met, unmatched};
use crate::clock;
use crate::fault::Fired;
use crate::incident::cause::identifiers;
use crate::replay::causes::{Asking, Found};
use crate::replay::matcher::{Decision, OnUnmatched, Question};
use crate::replay::script::CallIndex;

/// A request's body is held up to here; of a longer one its size and digest.
const MOST_BODY: usize = 64 << 20;
/// A body beyond this is one of few that are held at a time.
const LARGE: usize = 1 << 20;

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
    let met = met::by_request(&shared, &facts, &line, &asked);
    if let Some(to) = live(&shared, &facts, &asked) {
        let called = Called { line: &line, began, met, id: None };
        return called.ask(&shared, &to, asked).await;
    }
    let found = cause(&shared, &facts, line.offset(), &asked, at).await;
    let decision = match ask(&shared, &asked, &found) {
        Ok(decision) => decision,
        Err(explanation) => return own(&shared, &line, unmatched::response(&explanation)),
    };
    let called = Called { line: &line, began, met, id: Some(decision.id) };
    let Some(call) = decision.reply else {
        return called.without_counterpart(&shared, &facts, asked, decision).await;
    };
    match shared.replies.of(&shared.setup.script, &shared.spellings, call) {
        Ok(ready) => called.answer(&shared, ready, Some(call)).await,
        Err(error) => {
            shared.problem(error.to_string());
            own(&shared, &line, unmatched::response(&error.to_string()))
        }
    }
}

/// Where a live dependency is, if the request is for one.
fn live(shared: &Shared, facts: &Facts, asked: &Asked) -> Option<String> {
    if facts.live.is_some() || facts.explicit.is_none() {
        return facts.live.clone();
    }
    let name = asked.dependency.first()?;
    let rule = shared.live_rule(&asked.dependency)?;
    shared.passed(name);
    Some(rule.to.clone().unwrap_or_else(|| name.clone()))
}

/// A request whose answer is to be sent.
struct Called<'a> {
    line: &'a Arc<Line>,
    /// When it was there.
    began: Instant,
    /// The faults that it meets.
    met: Vec<Fired>,
    /// The matcher's, where it was asked.
    id: Option<usize>,
}

impl Called<'_> {
    /// Sends an answer, with what the faults make of it; `call` is the recorded call that it is of.
    async fn answer(
        self,
        shared: &Arc<Shared>,
        ready: Arc<Ready>,
        call: Option<CallIndex>,
    ) -> Response<Sent> {
        let earlier = |back| {
            let call = shared.matcher().earlier(call?, back)?;
            shared.replies.of(&shared.setup.script, &shared.spellings, call).ok()
        };
        let disturbed = Disturbed::of(ready, &self.met, earlier);
        let way = self.way(shared);
        let answered = {
            let (shared, id) = (Arc::clone(shared), self.id);
            move || id.into_iter().for_each(|id| shared.matcher().answered(id, shared.at_ns()))
        };
        sending::send(&way, disturbed, self.began, answered).await
    }

    fn way(&self, shared: &Shared) -> Way {
        Way {
            line: Arc::clone(self.line),
            activity: Arc::clone(&shared.activity),
            faults: Arc::clone(&shared.setup.faults),
            time_scale: shared.setup.time_scale,
        }
    }

    async fn without_counterpart(
        self,
        shared: &Arc<Shared>,
        facts: &Facts,
        asked: Asked,
        decision: Decision,
    ) -> Response<Sent> {
        let mut explanation = decision.explanation;
        if shared.setup.on_unmatched == OnUnmatched::Passthrough {
            let to = facts.address.map(|address| address.to_string());
            let to = to.or_else(|| asked.dependency.first().cloned()).unwrap_or_default();
            shared.passed(asked.dependency.first().unwrap_or(&to));
            match live::forward(&to, asked).await {
                Ok(response) => return self.pass_on(shared, response).await,
                Err(error) => {
                    explanation.push_str(&format!("\n{to} could not be asked either: {error}"));
                }
            }
        }
        self.refuse(shared, unmatched::response(&explanation)).await
    }

    /// Asks a live dependency.
    async fn ask(self, shared: &Arc<Shared>, to: &str, asked: Asked) -> Response<Sent> {
        if met::is_kept_from(&self.met) {
            return self.refuse(shared, unmatched::unreachable("it was not asked")).await;
        }
        match live::forward(to, asked).await {
            Ok(response) => self.pass_on(shared, response).await,
            Err(error) => {
                self.refuse(shared, unmatched::unreachable(&format!("{to} cannot be asked: {error}"))).await
            }
        }
    }

    /// Sends a live dependency's answer; whole only where a fault needs it so.
    async fn pass_on(self, shared: &Arc<Shared>, response: Response<Incoming>) -> Response<Sent> {
        if self.met.is_empty() {
            return response.map(|body| Sent::Live(body, Arc::clone(self.line)));
        }
        if !self.met.iter().any(|fired| Disturbed::reads(&fired.effect)) {
            let (ready, body) = live::begun(response);
            let disturbed = Disturbed::of_stream(Arc::new(ready), &self.met);
            return sending::stream(&self.way(shared), disturbed, body, self.began).await;
        }
        match live::whole(response).await {
            // It took as long by itself: what is injected comes on top.
            Ok(ready) => {
                let began = Instant::now();
                Called { began, ..self }.answer(shared, Arc::new(ready), None).await
            }
            Err(error) => {
                let said = format!("the live answer cannot be disturbed: {error}");
                shared.problem(said.clone());
                own(shared, self.line, unmatched::unreachable(&said))
            }
        }
    }

    /// Sends an answer of ours. A dependency that is slow is so whatever it is asked.
    async fn refuse(self, shared: &Arc<Shared>, response: Response<Bytes>) -> Response<Sent> {
        if self.met.is_empty() {
            self.id.into_iter().for_each(|id| shared.matcher().answered(id, shared.at_ns()));
            return own(shared, self.line, response);
        }
        let ready = Ready::own(response, &shared.spellings);
        self.answer(shared, Arc::new(ready), None).await
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
    if incoming.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
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

/// Sends an answer of our own.
fn own(shared: &Arc<Shared>, line: &Arc<Line>, mut response: Response<Bytes>) -> Response<Sent> {
    if let Some(spelled) = shared.spellings.of(unmatched::NAMES.into_iter()) {
        response.extensions_mut().extend(spelled);
    }
    response.map(|body| Sent::Paced(Paced::new(body, Arc::clone(line), Arc::clone(&shared.activity))))
}
