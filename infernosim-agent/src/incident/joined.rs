//! An exchange as it is read back: one line of what the target asked, or two of what it was asked.

use std::collections::BTreeMap;

use super::Direction;
use super::event::{Body, Event, Headers, Kind};

/// Text of requests that may wait for their answers, in bytes, and how many.
const MOST_HELD: usize = 64 << 20;
const MOST_OPEN: usize = 100_000;

/// An exchange.
#[derive(Clone, Debug, Default)]
pub struct Joined {
    /// An `OutboundCall`, or an `InboundRequest`; or an `InboundResponse` whose request is not there.
    pub event: Event,
    /// The `InboundResponse` of an `InboundRequest`.
    pub answer: Option<Event>,
}

impl Joined {
    /// One line alone.
    pub const fn of(event: Event) -> Self {
        Self { event, answer: None }
    }

    /// Which way it went.
    pub fn direction(&self) -> Direction {
        Direction::of_type(self.event.kind.as_str())
    }

    /// The line that has the status and the duration.
    pub fn outcome(&self) -> &Event {
        self.answer.as_ref().unwrap_or(&self.event)
    }

    /// Nothing is known of what was asked but its url.
    pub fn lacks_request(&self) -> bool {
        self.event.kind == Kind::InboundResponse
    }

    /// Nothing is known of the answer.
    pub fn lacks_answer(&self) -> bool {
        self.event.kind == Kind::InboundRequest && self.answer.is_none()
    }

    /// Header fields of the request.
    pub fn request_headers(&self) -> Headers {
        if self.lacks_request() { Headers::default() } else { self.event.headers.clone() }
    }

    /// Header fields of the answer. An `InboundResponse` has them where other lines have the request's.
    pub fn response_headers(&self) -> Headers {
        let event = self.outcome();
        match event.kind {
            Kind::InboundRequest => Headers::default(),
            Kind::InboundResponse if event.response_headers.is_empty() => event.headers.clone(),
            _ => event.response_headers.clone(),
        }
    }

    /// The body of the request.
    pub fn request_body(&self) -> Body<'_> {
        if self.lacks_request() { Body::Empty } else { self.event.request_body() }
    }

    /// The body of the answer.
    pub fn response_body(&self) -> Body<'_> {
        let event = self.outcome();
        match (&event.kind, event.response_body()) {
            (Kind::InboundRequest, _) => Body::Empty,
            (Kind::InboundResponse, Body::Empty) => event.request_body(),
            (_, body) => body,
        }
    }

    /// Of either line.
    pub fn error(&self) -> Option<&str> {
        self.outcome().error.as_deref().or(self.event.error.as_deref())
    }

    /// Of either line.
    pub fn errno(&self) -> Option<&str> {
        self.outcome().errno.as_deref().or(self.event.errno.as_deref())
    }
}

/// Joins the lines of inbound exchanges as they come. What it holds is bounded: where too much waits for its
/// answer, the oldest is given out without it, and the answer later alone.
#[derive(Debug, Default)]
pub struct Join {
    /// `traceId` → when it came, how long its text was, and it.
    open: BTreeMap<String, (u64, usize, Event)>,
    /// When they came → whose.
    order: BTreeMap<u64, String>,
    next: u64,
    held: usize,
}

impl Join {
    /// Takes in the next event, whose text is so long, and gives what is whole by now or cannot wait.
    pub fn add(&mut self, event: Event, length: usize) -> Vec<Joined> {
        let mut whole = Vec::new();
        match event.kind {
            Kind::InboundRequest if !event.trace_id.is_empty() => {
                // No capture writes a trace id twice; whoever does, loses the joint and nothing else.
                whole.extend(self.take(&event.trace_id).map(Joined::of));
                self.order.insert(self.next, event.trace_id.clone());
                self.held += length;
                self.open.insert(event.trace_id.clone(), (self.next, length, event));
                self.next += 1;
            }
            Kind::InboundResponse => match self.take(&event.trace_id) {
                Some(request) => whole.push(Joined { event: request, answer: Some(event) }),
                None => whole.push(Joined::of(event)),
            },
            _ => whole.push(Joined::of(event)),
        }
        while self.held > MOST_HELD || self.open.len() > MOST_OPEN {
            whole.extend(self.oldest());
        }
        whole
    }

    /// The next that will get no answer any more.
    pub fn oldest(&mut self) -> Option<Joined> {
        let (_, trace) = self.order.first_key_value()?;
        let trace = trace.clone();
        self.take(&trace).map(Joined::of)
    }

    fn take(&mut self, trace: &str) -> Option<Event> {
        let (at, length, event) = self.open.remove(trace)?;
        self.order.remove(&at);
        self.held -= length;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, trace: &str, sequence: u64) -> Event {
        Event { kind, trace_id: trace.into(), sequence: Some(sequence), ..Event::default() }
    }

    fn said(joined: &[Joined]) -> Vec<(u64, Option<u64>)> {
        let number = |event: &Event| event.sequence.unwrap();
        joined.iter().map(|one| (number(&one.event), one.answer.as_ref().map(number))).collect()
    }

    #[test]
    fn requests_meet_their_answers_in_any_order() {
        let mut join = Join::default();
        assert!(join.add(event(Kind::InboundRequest, "a", 1), 1).is_empty());
        assert!(join.add(event(Kind::InboundRequest, "b", 2), 1).is_empty());
        assert_eq!(said(&join.add(event(Kind::OutboundCall, "", 3), 1)), [(3, None)]);
        assert_eq!(said(&join.add(event(Kind::InboundResponse, "b", 4), 1)), [(2, Some(4))]);
        assert_eq!(said(&join.add(event(Kind::InboundResponse, "b", 5), 1)), [(5, None)], "no request");
        assert_eq!(said(&join.add(event(Kind::InboundRequest, "a", 6), 1)), [(1, None)], "said twice");
        assert_eq!(said(&join.oldest().into_iter().collect::<Vec<_>>()), [(6, None)]);
        assert!(join.oldest().is_none() && join.held == 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut join = Join::default();
        let mut out = Vec::new();
        for n in 0..10 {
            out.extend(join.add(event(Kind::InboundRequest, &n.to_string(), n), MOST_HELD / 4));
            assert!(join.held <= MOST_HELD);
        }
        assert_eq!(said(&out), (0..6).map(|n| (n, None)).collect::<Vec<_>>());
        assert_eq!(said(&join.add(event(Kind::InboundResponse, "0", 10), 1)), [(10, None)], "too late");
    }
}
