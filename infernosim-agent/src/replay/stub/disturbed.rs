//! What faults make of one HTTP answer, wherever it comes from: recorded, or a live dependency's that is read whole.
//! Pure; [`super::sending`] sends what comes of it.
//!
//! Effects apply one after the other, each to what those before have left. One that cannot apply (`set-json` of a body
//! that is no JSON, `truncate` beyond the body's end) changes nothing and is not said to be observed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{StatusCode, Version};
use serde_json::Value;

use super::flow::{Flow, Slice};
use super::replies::{Head, Ready};
use super::unmatched::MARK;
use super::wire::Cut;
use crate::fault::{Effect, Fired, FiredId};
use crate::replay::script::Ending;
use crate::seed::mix;

/// An answer as it is to be sent.
#[derive(Clone, Debug)]
pub struct Disturbed {
    /// What. Its recorded waits are still to be scaled; its ending is in `cut`.
    pub ready: Arc<Ready>,
    /// Real time before it begins, in ns, beyond the recorded.
    pub delay_ns: u64,
    /// How its body goes out.
    pub flow: Flow,
    /// The connection's end that comes behind it; none where it goes on as HTTP says.
    pub cut: Option<Cut>,
    /// That end comes in its place.
    pub before_head: bool,
    /// It is sent twice.
    pub twice: bool,
    /// The most bytes of the connection.
    pub limit: Option<u64>,
    /// The connection's end comes so much later, in ns.
    pub linger_ns: u64,
    /// The effects that it is made of, and the length of the body that they met.
    pub applied: Vec<(FiredId, Effect)>,
    /// The body's length before it was cut; 0 where it is not known.
    pub whole: usize,
    /// The body is still to come, and so much of it goes out; none where `ready` has it.
    pub to_come: Option<u64>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// From the request to the answer's beginning, in ns.
    pub waited_ns: u64,
    /// From there to its end, in ns.
    pub took_ns: u64,
    /// Bytes of the body.
    pub bytes: usize,
}

impl Disturbed {
    /// An answer as it is.
    pub fn plain(ready: Arc<Ready>) -> Self {
        let (cut, before_head) = match ready.ending {
            Ending::Whole => (None, false),
            Ending::ResetAfter(bytes) => (Some(Cut::Reset), bytes.is_none()),
            Ending::ClosedAfter(bytes) => (Some(Cut::Close), bytes.is_none()),
            Ending::Never => (Some(Cut::Silence), false),
        };
        Self {
            whole: ready.body.len(),
            // What was never answered has no end but silence; what broke, a reset.
            cut: cut.or_else(|| ready.head.is_none().then_some(Cut::Reset)),
            before_head: before_head || ready.head.is_none(),
            ready,
            delay_ns: 0,
            flow: Flow::default(),
            twice: false,
            limit: None,
            linger_ns: 0,
            applied: Vec::new(),
            to_come: None,
        }
    }

    /// Whether an effect is of all of a body, which is read whole then.
    pub const fn reads(effect: &Effect) -> bool {
        matches!(effect, Effect::SetJson(..) | Effect::Corrupt { .. })
    }

    /// An answer of which only the head is there, that meets effects that do not read its body.
    pub fn of_stream(head: Arc<Ready>, met: &[Fired]) -> Self {
        Self { to_come: Some(u64::MAX), ..Self::plain(head) }.meeting(met, &|_| None)
    }

    /// An answer that meets these effects, in their order; `earlier` gives the answer of so many occurrences before.
    pub fn of(ready: Arc<Ready>, met: &[Fired], earlier: impl Fn(u32) -> Option<Arc<Ready>>) -> Self {
        Self::plain(ready).meeting(met, &earlier)
    }

    fn meeting(mut self, met: &[Fired], earlier: &impl Fn(u32) -> Option<Arc<Ready>>) -> Self {
        for Fired { id, effect, .. } in met {
            if self.apply(effect, earlier) {
                self.applied.push((*id, effect.clone()));
            }
        }
        self
    }

    fn apply(&mut self, effect: &Effect, earlier: &impl Fn(u32) -> Option<Arc<Ready>>) -> bool {
        match effect {
            Effect::Delay(ns) => self.delay_ns = self.delay_ns.saturating_add(*ns),
            Effect::Hang | Effect::Blackhole => self.instead(Cut::Silence),
            Effect::Answer { after, status } => return self.answer(*after, *status),
            Effect::Stale(back) => return self.replace(earlier(*back)),
            // A connection that is there cannot be refused any more.
            Effect::Reset(None) | Effect::Refuse => self.instead(Cut::Reset),
            Effect::HalfClose => self.instead(Cut::Half),
            Effect::Reset(Some(bytes)) if self.has_body() => self.cut_body(*bytes, Cut::Reset),
            Effect::Truncate(bytes)
                if self.has_body() && (self.to_come.is_some() || *bytes < self.ready.body.len() as u64) =>
            {
                self.cut_body(*bytes, Cut::Close);
            }
            Effect::SlowClose(ns) => self.linger_ns = self.linger_ns.max(*ns),
            Effect::LimitBytes(bytes) => {
                self.limit = Some(self.limit.map_or(*bytes, |limit| limit.min(*bytes)));
            }
            Effect::Bandwidth(rate) if self.has_body() => {
                self.flow.rate = Some(self.flow.rate.map_or(*rate, |other| other.min(*rate)));
            }
            Effect::Slice { size, variation, delay, key } if self.has_body() => {
                self.flow.slice =
                    Some(Slice { size: *size, variation: *variation, delay_ns: *delay, key: *key });
            }
            Effect::DuplicateResponse if !self.before_head => self.twice = true,
            _ => return !self.before_head && self.change(effect),
        }
        true
    }

    /// Changes what an answer says.
    fn change(&mut self, effect: &Effect) -> bool {
        let ready = Arc::make_mut(&mut self.ready);
        let Some(head) = &mut ready.head else { return false };
        match effect {
            Effect::Status(status) => {
                let Ok(status) = StatusCode::from_u16(*status) else { return false };
                head.status = status;
                if status.is_informational() || matches!(status.as_u16(), 204 | 304) {
                    set_body(ready, Bytes::new());
                    self.to_come = None;
                }
            }
            Effect::SetHeader(name, value) => {
                let (Ok(name), Ok(value)) =
                    (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
                else {
                    return false;
                };
                head.headers.insert(name, value);
            }
            Effect::DropHeader(name) => return head.headers.remove(name.as_str()).is_some(),
            Effect::SetBody(body) => {
                head.headers.remove(CONTENT_ENCODING);
                set_body(ready, body.clone());
                self.to_come = None;
            }
            Effect::SetJson(path, value) => {
                let Ok(mut json) = serde_json::from_slice::<Value>(&ready.body) else { return false };
                if !set_json(&mut json, path, value) {
                    return false;
                }
                set_body(ready, json.to_string().into());
            }
            Effect::Corrupt { bytes, key } => {
                if ready.body.is_empty() || *bytes == 0 {
                    return false;
                }
                ready.body = corrupt(&ready.body, *bytes, *key);
            }
            _ => return false,
        }
        self.whole = self.ready.body.len();
        true
    }

    fn has_body(&self) -> bool {
        !self.before_head && (self.to_come.is_some() || !self.ready.body.is_empty())
    }

    /// The connection ends so, and nothing is answered.
    fn instead(&mut self, cut: Cut) {
        (self.cut, self.before_head) = (Some(cut), true);
    }

    fn cut_body(&mut self, bytes: u64, cut: Cut) {
        if let Some(most) = &mut self.to_come {
            (*most, self.cut) = (bytes.min(*most), Some(cut));
            return;
        }
        let ready = Arc::make_mut(&mut self.ready);
        let kept = usize::try_from(bytes).unwrap_or(usize::MAX).min(ready.body.len());
        ready.body.truncate(kept);
        ready.trailers = None;
        self.cut = Some(cut);
    }

    /// Nothing of the dependency's: this status.
    fn answer(&mut self, after_ns: u64, status: u16) -> bool {
        let Ok(status) = StatusCode::from_u16(status) else { return false };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        headers.insert(MARK, HeaderValue::from_static("injected"));
        let head = Head { status, version: Version::HTTP_11, headers, extensions: None };
        self.delay_ns = self.delay_ns.saturating_add(after_ns);
        self.ready = Arc::new(Ready {
            head: Some(head),
            interim: Vec::new(),
            body: Bytes::new(),
            chunks: Vec::new(),
            trailers: None,
            wait_ns: 0,
            ending: Ending::Whole,
        });
        (self.cut, self.before_head, self.whole, self.to_come) = (None, false, 0, None);
        true
    }

    /// Another recorded answer; when it comes stays as it is.
    fn replace(&mut self, other: Option<Arc<Ready>>) -> bool {
        let Some(mut other) = other else { return false };
        Arc::make_mut(&mut other).wait_ns = self.ready.wait_ns;
        let Self { cut, before_head, whole, .. } = Self::plain(Arc::clone(&other));
        (self.ready, self.cut, self.before_head, self.whole) = (other, cut, before_head, whole);
        true
    }

    /// What came of an effect; none where it did not come about.
    pub fn observed(&self, effect: &Effect, sending: &Sending) -> Option<String> {
        let Sending { waited_ns, took_ns, bytes } = *sending;
        let milliseconds = |ns: u64| format!("{:.1}ms", ns as f64 / 1e6);
        let of_all = match self.to_come {
            Some(_) => format!("{bytes} bytes"),
            None => format!("{bytes} of {} bytes", self.whole),
        };
        Some(match effect {
            Effect::Delay(_) => format!("answered after {}", milliseconds(waited_ns)),
            Effect::Answer { status, .. } => format!("{status} after {}", milliseconds(waited_ns)),
            Effect::Hang | Effect::Blackhole => "nothing was answered".to_owned(),
            Effect::Status(status) => format!("status {status}"),
            Effect::SetHeader(name, _) => format!("header {name} set"),
            Effect::DropHeader(name) => format!("header {name} dropped"),
            Effect::SetBody(body) => format!("another body, {} bytes", body.len()),
            Effect::SetJson(path, value) => format!("{path} was {value}"),
            Effect::Stale(back) => format!("answered as {back} before"),
            Effect::Reset(None) | Effect::Refuse => "reset before any byte".to_owned(),
            Effect::Reset(Some(_)) => format!("reset after {of_all}"),
            Effect::HalfClose => "a FIN instead of an answer".to_owned(),
            Effect::Truncate(_) => format!("ended after {of_all}"),
            Effect::Corrupt { bytes, .. } => format!("{} bytes were others", bytes.min(&(self.whole as u64))),
            Effect::Bandwidth(_) => {
                let rate = bytes as f64 / (took_ns.max(1) as f64 / 1e9);
                format!("{bytes} bytes in {}, {rate:.0} bytes/s", milliseconds(took_ns))
            }
            Effect::Slice { .. } => format!("{bytes} bytes in pieces, in {}", milliseconds(took_ns)),
            Effect::DuplicateResponse => "answered twice".to_owned(),
            // Told at the connection's end, and of what is no answer elsewhere.
            _ => return None,
        })
    }
}

/// Another body, announced as long as it is unless it is chunked.
fn set_body(ready: &mut Ready, body: Bytes) {
    if let Some(head) = &mut ready.head
        && !head.headers.contains_key(TRANSFER_ENCODING)
    {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    (ready.body, ready.trailers) = (body, None);
    ready.chunks.clear();
}

/// Sets `items.0.price`; false where the path leads nowhere. A name that an object has not is added to it.
fn set_json(json: &mut Value, path: &str, value: &Value) -> bool {
    let mut at = json;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let is_last = steps.peek().is_none();
        let next = match at {
            Value::Object(fields) if is_last || fields.contains_key(step) => {
                Some(fields.entry(step).or_insert(Value::Null))
            }
            Value::Array(items) => step.parse().ok().and_then(|index: usize| items.get_mut(index)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    *at = value.clone();
    true
}

/// Makes so many bytes others, at places that follow from the key; all of them where there are no more.
pub fn corrupt(body: &Bytes, bytes: u64, key: u64) -> Bytes {
    let mut changed = BytesMut::from(&body[..]);
    let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(changed.len());
    let mut places = std::collections::BTreeSet::new();
    let mut draw = key;
    while places.len() < most {
        draw = mix(draw.wrapping_add(1));
        let mut place = (draw % changed.len() as u64) as usize;
        // The next one that is as it was: ends, since there is one.
        while !places.insert(place) {
            place = (place + 1) % changed.len();
        }
        changed[place] ^= (draw >> 56) as u8 | 1;
    }
    changed.freeze()
}
