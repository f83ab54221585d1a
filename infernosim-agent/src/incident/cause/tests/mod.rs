//! Whom calls are told to be of, on logs that are made up; `property` has any log, `threads` who reads and writes.

mod property;
mod threads;

use super::*;
use crate::clock::Nanos;

/// A target of one process, seen from outside: times are in the order of the calls.
#[derive(Default)]
struct Target {
    causes: Causes<u32>,
    now: u64,
}

const NONE: Found<u32> = Found { cause: None, basis: None };
const AMBIGUOUS: Found<u32> = Found { cause: None, basis: Some(Basis::Ambiguous) };

fn known(request: u32, basis: Basis) -> Found<u32> {
    Found { cause: Some(request), basis: Some(basis) }
}

fn called(name: &str) -> Identifiers {
    identifiers([("x-request-id", name.as_bytes())])
}

fn traced(id: u128) -> Identifiers {
    let parent = format!("00-{id:032x}-00f067aa0ba902b7-01");
    identifiers([("traceparent", parent.as_bytes())])
}

impl Target {
    fn tick(&mut self) -> Nanos {
        self.now += 1_000_000;
        Nanos(self.now)
    }

    /// The request of this number comes on a connection of its own.
    fn asks(&mut self, request: u32, identifiers: &Identifiers) -> Ticket {
        self.asks_in(request, identifiers, Some(1))
    }

    fn asks_in(&mut self, request: u32, identifiers: &Identifiers, process: Option<u32>) -> Ticket {
        let at = self.tick();
        let socket = u64::from(request);
        let asked = Asked { request: Some(request), socket, at, identifiers, process, watched: true };
        let ticket = self.causes.begin(&asked);
        self.causes.whole(ticket, 100);
        ticket
    }

    fn answered(&mut self, ticket: Ticket) {
        let at = self.tick();
        self.causes.end(ticket, at, Ending::Whole, Some(100));
    }

    /// A call that begins and ends now.
    fn calls(&mut self, identifiers: &Identifiers) -> Found<u32> {
        let at = self.tick();
        self.called_at(at, identifiers, None)
    }

    fn called_at(&mut self, at: Nanos, identifiers: &Identifiers, who: Option<Who>) -> Found<u32> {
        self.causes.find(&Asking { at, identifiers, who, process: Some(1), named: None })
    }
}

#[test]
fn the_only_one_is_the_cause_and_of_nobody_or_several_there_is_none() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    assert_eq!(target.calls(&no), NONE);
    let first = target.asks(1, &no);
    assert_eq!(target.calls(&no), known(1, Basis::OnlyOneInFlight));
    let second = target.asks(2, &no);
    assert_eq!(target.calls(&no), AMBIGUOUS);
    target.answered(first);
    assert_eq!(target.calls(&no), known(2, Basis::OnlyOneInFlight));
    target.answered(second);
    assert_eq!(target.calls(&no), NONE);
}

#[test]
fn what_was_open_when_the_call_began_counts_and_not_what_is_when_it_ends() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let before = target.tick();
    let first = target.asks(1, &no);
    let alone = target.tick();
    let second = target.asks(2, &no);
    let both = target.tick();
    target.answered(first);
    target.answered(second);
    let third = target.asks(3, &no);
    assert_eq!(target.called_at(before, &no, None), NONE);
    assert_eq!(target.called_at(alone, &no, None), known(1, Basis::OnlyOneInFlight));
    assert_eq!(target.called_at(both, &no, None), AMBIGUOUS);
    target.answered(third);
}

#[test]
fn an_identifier_in_both_decides_among_many() {
    let mut target = Target::default();
    let tickets: Vec<Ticket> =
        (1..=32).map(|n| target.asks(n, &called(&format!("request-{n:04}")))).collect();
    for n in (1..=32).rev() {
        assert_eq!(target.calls(&called(&format!("request-{n:04}"))), known(n, Basis::Header));
    }
    assert_eq!(target.calls(&called("request-9999")), AMBIGUOUS);
    // Work after the answer: found while it is remembered, and nothing open has that identifier.
    target.answered(tickets[4]);
    assert_eq!(target.calls(&called("request-0005")), known(5, Basis::Header));
    // A session's requests one after the other have the same: the open one.
    target.asks(40, &called("request-0005"));
    assert_eq!(target.calls(&called("request-0005")), known(40, Basis::Header));
}

#[test]
fn an_identifier_of_several_decides_nothing() {
    let mut target = Target::default();
    let first = target.asks(1, &called("session-1234"));
    target.asks(2, &called("session-1234"));
    assert_eq!(target.calls(&called("session-1234")), AMBIGUOUS);
    target.answered(first);
    assert_eq!(target.calls(&called("session-1234")), known(2, Basis::Header));
}

#[test]
fn another_trace_contradicts_once_it_is_known_that_traces_are_passed_on() {
    let mut target = Target::default();
    let first = target.asks(1, &traced(0x1111_1111_1111));
    // It may begin a trace of its own with each call.
    assert_eq!(target.calls(&traced(0x2222_2222_2222)), known(1, Basis::OnlyOneInFlight));
    assert_eq!(target.calls(&traced(0x1111_1111_1111)), known(1, Basis::Header));
    assert_eq!(target.calls(&traced(0x2222_2222_2222)), AMBIGUOUS);
    assert_eq!(target.calls(&Identifiers::default()), known(1, Basis::OnlyOneInFlight));
    target.answered(first);
    assert_eq!(target.calls(&traced(0x2222_2222_2222)), NONE);
}

#[test]
fn a_request_that_was_cut_may_still_be_worked_for() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let first = target.asks(1, &no);
    let at = target.tick();
    target.causes.end(first, at, Ending::Cut, None);
    target.asks(2, &no);
    assert_eq!(target.calls(&no), AMBIGUOUS);
    target.now += 6_000_000_000;
    assert_eq!(target.calls(&no), known(2, Basis::OnlyOneInFlight));
}

#[test]
fn what_is_not_recorded_counts_as_open_and_is_nobodys_cause() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let at = target.tick();
    let hidden = target.causes.begin(&Asked {
        request: None,
        socket: 9,
        at,
        identifiers: &no,
        process: Some(1),
        watched: true,
    });
    assert_eq!(target.calls(&no), NONE);
    let seen = target.asks(1, &no);
    assert_eq!(target.calls(&no), AMBIGUOUS);
    target.answered(hidden);
    assert_eq!(target.calls(&no), known(1, Basis::OnlyOneInFlight));
    target.answered(seen);
}

#[test]
fn what_was_forgotten_is_not_taken_for_nothing() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let first = target.asks(1, &no);
    let then = target.tick();
    target.answered(first);
    assert_eq!(target.called_at(then, &no, None), known(1, Basis::OnlyOneInFlight));
    for n in 2..20_000 {
        let ticket = target.asks(n, &called(&format!("request-{n:08}")));
        target.answered(ticket);
        target.causes.close(u64::from(n), Nanos(target.now));
    }
    assert_eq!(target.called_at(then, &no, None), AMBIGUOUS);
    assert_eq!(target.calls(&called("request-00000002")), NONE);
    assert_eq!(target.calls(&called("request-00019999")), known(19_999, Basis::Header));
}
