//! What one row tells of: an event, or an inbound request together with its answer.
//!
//! The two are lines of their own, with what the target did because of the request between them. A row stands where
//! the request does; it waits for the answer so long as few enough events come between.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use crate::incident::event::{Event, Kind};

/// Entries that may wait behind an unanswered request.
const WINDOW: usize = 1000;

/// One row.
#[derive(Debug)]
pub(in crate::cli) struct Entry<'a> {
    pub event: Cow<'a, Event>,
    /// Of an inbound request its answer, where that came soon enough.
    pub answer: Option<Event>,
}

/// Joins requests with their answers.
#[derive(Debug, Default)]
pub(in crate::cli) struct Join {
    /// In order.
    waiting: VecDeque<Waiting>,
    /// How many have left `waiting`.
    gone: u64,
    /// `traceId` → place of the open request, counted from the first event of all.
    open: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Waiting {
    event: Event,
    answer: Option<Event>,
    open: bool,
}

impl<'a> Entry<'a> {
    /// One event alone.
    pub const fn of(event: &'a Event) -> Self {
        Self { event: Cow::Borrowed(event), answer: None }
    }

    /// The line that has the status and the duration.
    pub fn outcome(&self) -> &Event {
        self.answer.as_ref().unwrap_or(&self.event)
    }

    /// How many events it is.
    pub fn count(&self) -> u64 {
        1 + u64::from(self.answer.is_some())
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        std::iter::once(&*self.event).chain(&self.answer)
    }

    pub fn failed(&self) -> bool {
        self.events().any(Event::failed)
    }
}

impl Join {
    /// Takes in the next event.
    pub fn add(&mut self, event: &Event) {
        let event = slim(event);
        if event.kind == Kind::InboundResponse
            && let Some(place) = self.open.remove(&event.trace_id)
            && let Some(request) =
                usize::try_from(place - self.gone).ok().and_then(|at| self.waiting.get_mut(at))
        {
            (request.answer, request.open) = (Some(event), false);
            return;
        }
        let open = event.kind == Kind::InboundRequest && !event.trace_id.is_empty();
        if open {
            self.open.insert(event.trace_id.clone(), self.gone + self.waiting.len() as u64);
        }
        self.waiting.push_back(Waiting { event, answer: None, open });
    }

    /// The next entry that need not wait any longer; with `all`, the next one.
    pub fn next(&mut self, all: bool) -> Option<Entry<'static>> {
        let full = self.waiting.len() > WINDOW;
        let first = self.waiting.pop_front_if(|first| all || full || !first.open)?;
        self.gone += 1;
        if first.open && self.open.get(&first.event.trace_id) == Some(&(self.gone - 1)) {
            self.open.remove(&first.event.trace_id);
        }
        Some(Entry { event: Cow::Owned(first.event), answer: first.answer })
    }
}

/// Without what no row shows: a thousand of them must not hold a thousand bodies.
fn slim(event: &Event) -> Event {
    let (body_size, response_body_size) = (event.request_size(), event.response_size());
    Event {
        id: event.id.clone(),
        kind: event.kind.clone(),
        timestamp: event.timestamp.clone(),
        service: event.service.clone(),
        protocol: event.protocol.clone(),
        method: event.method.clone(),
        url: event.url.clone(),
        errno: event.errno.clone(),
        error: event.error.clone(),
        trace_id: event.trace_id.clone(),
        cause: event.cause.clone(),
        cause_basis: event.cause_basis.clone(),
        peer: event.peer.clone(),
        name: event.name.clone(),
        rcode: event.rcode.clone(),
        answers: event.answers.clone(),
        reason: event.reason.clone(),
        sequence: event.sequence,
        offset_ns: event.offset_ns,
        status: event.status,
        incomplete: event.incomplete,
        duration: event.duration,
        connection: event.connection,
        pid: event.pid,
        events: event.events,
        bytes: event.bytes,
        body_size,
        response_body_size,
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, trace: &str, sequence: u64) -> Event {
        Event { kind, trace_id: trace.into(), sequence: Some(sequence), ..Event::default() }
    }

    /// `request+answer` of each entry that is ready.
    fn ready(join: &mut Join, all: bool) -> Vec<String> {
        std::iter::from_fn(|| join.next(all))
            .map(|entry| {
                let numbers = entry.events().map(|event| event.sequence.unwrap().to_string());
                numbers.collect::<Vec<_>>().join("+")
            })
            .collect()
    }

    #[test]
    fn a_row_stands_where_the_request_does_and_waits_for_the_answer() {
        let mut join = Join::default();
        for (kind, trace, sequence) in [
            (Kind::Dns, "", 1),
            (Kind::InboundRequest, "a", 2),
            (Kind::InboundRequest, "b", 3),
            (Kind::OutboundCall, "", 4),
            (Kind::InboundResponse, "b", 5),
        ] {
            join.add(&event(kind, trace, sequence));
        }
        assert_eq!(ready(&mut join, false), ["1"]);
        join.add(&event(Kind::InboundResponse, "a", 6));
        assert_eq!(ready(&mut join, false), ["2+6", "3+5", "4"]);
        // Nothing to be joined with.
        join.add(&event(Kind::InboundResponse, "a", 7));
        join.add(&event(Kind::InboundRequest, "", 8));
        join.add(&event(Kind::InboundResponse, "", 9));
        join.add(&event(Kind::InboundRequest, "c", 10));
        assert_eq!(ready(&mut join, false), ["7", "8", "9"]);
        assert_eq!(ready(&mut join, true), ["10"]);
        join.add(&event(Kind::InboundResponse, "c", 11));
        assert_eq!(ready(&mut join, false), ["11"], "too late");
        assert!(join.open.is_empty() && join.waiting.is_empty());
    }

    #[test]
    fn no_request_holds_up_more_than_a_window() {
        let mut join = Join::default();
        join.add(&event(Kind::InboundRequest, "slow", 0));
        let mut seen = Vec::new();
        for sequence in 1..=3 * WINDOW as u64 {
            let trace = sequence.to_string();
            join.add(&event(Kind::InboundRequest, &trace, sequence));
            join.add(&event(Kind::InboundResponse, &trace, sequence));
            seen.extend(ready(&mut join, false));
            assert!(join.waiting.len() <= WINDOW);
        }
        assert_eq!((seen.len(), seen[0].as_str(), seen[1].as_str()), (3 * WINDOW + 1, "0", "1+1"));
    }

    /// A trace id that stands in two requests (no capture writes that) joins the later one.
    #[test]
    fn an_id_that_repeats_confuses_nothing() {
        let mut join = Join::default();
        for sequence in [1, 2] {
            join.add(&event(Kind::InboundRequest, "a", sequence));
        }
        assert_eq!(join.next(true).unwrap().event.sequence, Some(1));
        join.add(&event(Kind::InboundResponse, "a", 3));
        assert_eq!(ready(&mut join, false), ["2+3"]);
    }
}
