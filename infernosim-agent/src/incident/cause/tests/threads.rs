//! Who reads and writes.

use super::*;

const PID: u32 = 1;

impl Target {
    fn touch(&mut self, request: u32, tid: u32, reads: bool) {
        self.touch_in(request, Who { pid: PID, tid }, reads, false);
    }

    pub(super) fn touch_in(&mut self, request: u32, who: Who, reads: bool, strays: bool) {
        let at = self.tick();
        let (socket, offset) = (u64::from(request), Some(0));
        self.causes.touched(&Touch { socket, at, reads, offset, who, strays });
    }

    fn reads(&mut self, request: u32, tid: u32) {
        self.touch(request, tid, true);
    }

    fn writes(&mut self, request: u32, tid: u32) {
        self.touch(request, tid, false);
    }

    fn thread_calls(&mut self, tid: u32) -> Found<u32> {
        let at = self.tick();
        self.called_at(at, &Identifiers::default(), Some(Who { pid: PID, tid }))
    }
}

#[test]
fn the_thread_that_reads_a_request_calls_for_it() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let tickets: Vec<Ticket> = (1..=32).map(|n| target.asks(n, &no)).collect();
    // Until somebody has read them nobody can call for them.
    assert_eq!(target.thread_calls(101), AMBIGUOUS);
    for n in 1..=32 {
        target.reads(n, 100 + n);
    }
    for n in (1..=32).rev() {
        assert_eq!(target.thread_calls(100 + n), known(n, Basis::Thread));
    }
    // A thread that has read none.
    assert_eq!(target.thread_calls(99), AMBIGUOUS);
    // The same again, with the same threads.
    for (n, ticket) in (1..=32).zip(tickets) {
        target.writes(n, 100 + n);
        target.answered(ticket);
    }
    for n in 1..=32 {
        target.asks(50 + n, &no);
    }
    for n in 1..=32 {
        target.reads(50 + n, 100 + n);
        assert_eq!(target.thread_calls(100 + n), known(50 + n, Basis::Thread));
    }
    assert_eq!(target.causes.take_loosened(), [0; 0]);
}

#[test]
fn one_thread_with_two_requests_open_ends_it_for_good() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let first = target.asks(1, &no);
    target.reads(1, 7);
    assert_eq!(target.thread_calls(7), known(1, Basis::Thread));
    let second = target.asks(2, &no);
    // It has not read it yet.
    assert_eq!(target.thread_calls(7), known(1, Basis::Thread));
    target.reads(2, 7);
    assert_eq!(target.thread_calls(7), AMBIGUOUS);
    target.answered(first);
    target.answered(second);
    assert_eq!(target.causes.take_loosened(), [PID]);
    target.asks(3, &no);
    target.reads(3, 8);
    assert_eq!(target.thread_calls(8), known(3, Basis::OnlyOneInFlight));
    target.asks(4, &no);
    assert_eq!(target.thread_calls(8), AMBIGUOUS);
    assert_eq!(target.causes.take_loosened(), [0; 0]);
}

#[test]
fn an_answer_written_by_another_thread_ends_it_for_good() {
    for told_before_the_answer_ends in [true, false] {
        let (mut target, no) = (Target::default(), Identifiers::default());
        let first = target.asks(1, &no);
        target.reads(1, 7);
        if told_before_the_answer_ends {
            target.writes(1, 8);
            target.answered(first);
        } else {
            target.answered(first);
            target.writes(1, 8);
        }
        target.asks(2, &no);
        target.asks(3, &no);
        target.reads(2, 7);
        assert_eq!(target.thread_calls(7), AMBIGUOUS);
        assert_eq!(target.causes.take_loosened(), [PID]);
    }
}

#[test]
fn a_thread_that_strays_ends_it_for_good() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    target.asks(1, &no);
    target.reads(1, 7);
    target.writes(1, 7);
    // Its answer may be whole, and on its way: so it is not known whether the call is for it.
    target.asks(2, &no);
    target.reads(2, 7);
    assert_eq!(target.thread_calls(7), AMBIGUOUS);
    target.touch_in(1, Who { pid: PID, tid: 7 }, false, true);
    assert_eq!(target.causes.take_loosened(), [PID]);
}

#[test]
fn an_answer_still_on_its_way_is_settled_when_it_has_come() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let first = target.asks(1, &no);
    target.reads(1, 7);
    target.writes(1, 7);
    target.asks(2, &no);
    target.asks(3, &no);
    target.reads(2, 7);
    let then = target.tick();
    target.answered(first);
    let who = Some(Who { pid: PID, tid: 7 });
    assert_eq!(target.called_at(then, &no, who), known(2, Basis::Thread));
}

#[test]
fn one_process_says_nothing_of_another() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    for process in [11, 12] {
        target.asks_in(process, &no, Some(process));
        target.touch_in(process, Who { pid: process, tid: process }, true, false);
    }
    for process in [11, 12] {
        let at = target.tick();
        let asking = Asking { at, identifiers: &no, who: None, process: Some(process), named: None };
        assert_eq!(target.causes.find(&asking), known(process, Basis::OnlyOneInFlight));
    }
    // One that serves nobody: a child that a request has started, or somebody else altogether.
    let at = target.tick();
    let asking = Asking { at, identifiers: &no, who: None, process: Some(13), named: None };
    assert_eq!(target.causes.find(&asking), AMBIGUOUS);
    // One that serves, and nobody now: it does something of itself.
    target.asks_in(14, &no, Some(14));
    target.touch_in(14, Who { pid: 14, tid: 14 }, true, false);
    let at = target.tick();
    target.causes.close(14, at);
    target.now += 6_000_000_000;
    let at = target.tick();
    assert_eq!(target.causes.find(&Asking { at, process: Some(14), ..asking }), NONE);
}

#[test]
fn a_thread_that_reads_requests_does_not_call_for_anothers() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let first = target.asks(1, &no);
    target.reads(1, 7);
    target.writes(1, 7);
    target.answered(first);
    target.asks(2, &no);
    target.reads(2, 8);
    assert_eq!(target.thread_calls(7), AMBIGUOUS);
    assert_eq!(target.thread_calls(9), known(2, Basis::OnlyOneInFlight));
}

#[test]
fn what_nobody_watches_makes_threads_unknown_while_it_is_open() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let at = target.tick();
    let asked = Asked { request: Some(1), socket: 1, at, identifiers: &no, process: None, watched: false };
    let older = target.causes.begin(&asked);
    target.asks(2, &no);
    target.reads(2, 7);
    assert_eq!(target.thread_calls(7), AMBIGUOUS);
    target.answered(older);
    target.asks(3, &no);
    assert_eq!(target.thread_calls(7), known(2, Basis::Thread));
    target.causes.blind();
    assert_eq!(target.thread_calls(7), AMBIGUOUS);
}

#[test]
fn a_connection_goes_from_thread_to_thread() {
    let (mut target, no) = (Target::default(), Identifiers::default());
    let who = |tid| Who { pid: PID, tid };
    let socket = 5;
    for (n, tid) in [(0, 7), (1, 8), (2, 7)] {
        let at = target.tick();
        let asked =
            Asked { request: Some(n), socket, at, identifiers: &no, process: Some(PID), watched: true };
        let ticket = target.causes.begin(&asked);
        let other = target.asks(100 + n, &no);
        // Its head came in two pieces, and the thread had the first before anybody could say what it was.
        let (begins, ends) = (u64::from(n) * 100, u64::from(n) * 100 + 100);
        let touch = Touch { socket, at, reads: true, offset: Some(begins), who: who(tid), strays: false };
        target.causes.touched(&touch);
        target.causes.whole(ticket, ends);
        assert_eq!(target.thread_calls(tid), known(n, Basis::Thread));
        target.causes.touched(&Touch { reads: false, ..touch });
        let at = target.tick();
        target.causes.end(ticket, at, Ending::Whole, Some(ends));
        target.answered(other);
    }
    assert_eq!(target.causes.take_loosened(), [0; 0]);
}

#[test]
fn the_turn_that_a_call_belongs_to_is_its_own() {
    let mut target = Target::default();
    let who = Who { pid: PID, tid: 7 };
    for offset in [0, 50, 120] {
        let at = target.tick();
        target.causes.turned(3, Turn { offset, at, who });
    }
    let offset = |turn: Option<Turn>| turn.map(|it| it.offset);
    assert_eq!(offset(target.causes.turn(3, 0, 50)), Some(0));
    assert_eq!(offset(target.causes.turn(3, 50, 120)), Some(50));
    // Nothing was told of a turn that begins here: an earlier one is not taken for it.
    assert_eq!(offset(target.causes.turn(3, 130, 200)), None);
    assert_eq!(offset(target.causes.turn(4, 0, 50)), None);
    target.causes.forget_turns(3);
    assert_eq!(offset(target.causes.turn(3, 0, 50)), None);
}
