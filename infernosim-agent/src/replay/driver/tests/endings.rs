use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::harness::*;
use crate::clock::{self, Nanos};
use crate::replay::seen::{End, Outcome};

/// Answers all but `/hang`.
fn hanging() -> Server {
    Server::start(|arrived, stream, _| arrived.target() == "/hang" || stream.write_all(OK.as_bytes()).is_ok())
}

fn outcomes(driven: &super::super::Driven) -> Vec<Outcome> {
    driven.answers.iter().map(|answer| answer.outcome).collect()
}

/// The run ended before a connection was made, and all was said to be fine.
#[test]
fn requests_without_a_recorded_answer_are_sent() {
    let server = hanging();
    let mut setup = Setup::new(in_turn(1), vec![get("/")]);
    (setup.moments[0].answered, setup.moments[0].end_ns) = (false, None);
    setup.pace.time_scale = 1.0;
    let (driven, _) = setup.run(server.address);
    assert_eq!((driven.end.clone(), driven.sent), (End::Completed, 1));
    assert_ne!(outcomes(&driven), [Outcome::NotSent]);
}

#[test]
fn a_target_that_hangs_stalls_the_run() {
    let server = hanging();
    let mut setup = Setup::new(in_turn(3), vec![get("/"), get("/hang"), get("/")]);
    setup.limits.idle_ns = 500 * MS;
    let (driven, told) = setup.run(server.address);
    assert!(matches!(driven.end, End::Stalled(idle) if idle >= 500 * MS), "{:?}", driven.end);
    assert_eq!(outcomes(&driven), [Outcome::Answered(200), Outcome::Unanswered, Outcome::NotSent]);
    assert_eq!(told.answers[&1], [None]);
    assert_eq!(server.targets(), ["/", "/hang"]);
}

/// Neither a wait that the stub makes on purpose, nor one for what is scheduled later, nor one that the recording had.
#[test]
fn a_wait_on_purpose_is_no_stall() {
    let server = Server::start(|arrived, stream, _| {
        if arrived.target() == "/slow" {
            std::thread::sleep(std::time::Duration::from_millis(1200));
        }
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let slow = || vec![get("/slow"), get("/")];
    let mut setup = Setup::new(vec![moment(0, 0, 1), moment(1, 2, 3)], slow());
    setup.limits.idle_ns = 300 * MS;
    let (driven, _) = setup.run(server.address);
    assert!(matches!(driven.end, End::Stalled(_)), "{:?}", driven.end);
    let stub_waits = |setup: &mut Setup| setup.activity = Box::new(clock::now);
    let recorded_so = |setup: &mut Setup| setup.moments[0].end_ns = Some(3000 * MS);
    let scheduled = |setup: &mut Setup| {
        (setup.moments[1].start_ns, setup.moments[1].end_ns) = (1800 * MS, Some(1801 * MS));
        setup.pace.time_scale = 1.0;
    };
    type Change<'a> = &'a dyn Fn(&mut Setup);
    let why: [(&str, Change<'_>); 3] =
        [("the stub", &stub_waits), ("recorded", &recorded_so), ("scheduled", &scheduled)];
    for (name, change) in why {
        let mut setup = Setup::new(vec![moment(0, 0, 1), moment(1, 2, 3)], slow());
        setup.limits.idle_ns = 300 * MS;
        change(&mut setup);
        assert_eq!(setup.run(server.address).0.end, End::Completed, "{name}");
    }
}

#[test]
fn a_run_takes_no_longer_than_it_may() {
    let server = hanging();
    let moved = Arc::new(AtomicU64::new(0));
    let mut setup = Setup::new(in_turn(2), vec![get("/hang"), get("/")]);
    setup.limits.wall_ns = 400 * MS;
    let noted = Arc::clone(&moved);
    setup.activity = Box::new(move || {
        noted.fetch_add(1, Ordering::Relaxed);
        Nanos(0)
    });
    let (driven, _) = setup.run(server.address);
    assert_eq!(driven.end, End::OutOfTime(400 * MS));
    assert!(driven.wall_ns >= 100 * MS && moved.load(Ordering::Relaxed) > 0);
    assert_eq!(outcomes(&driven), [Outcome::Unanswered, Outcome::NotSent]);
}

#[test]
fn the_user_or_the_targets_end_ends_it() {
    let server = hanging();
    for (end, open) in
        [(End::Interrupted, Outcome::Unanswered), (End::TargetExited(Some(3)), Outcome::Closed)]
    {
        let requests = vec![get("/"), get("/hang"), get("/")];
        let before = server.arrived().len();
        let (running, _) = Setup::new(in_turn(3), requests).begin(server.address);
        server.wait_for(before + 2);
        assert!(running.outcome().is_none());
        running.stop().end(end.clone());
        // The first reason counts.
        running.stop().end(End::EnoughEvents);
        let mut ended = [PollFd::new(running.ended_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ended, PollTimeout::from(60_000_u16)), Ok(1));
        let driven = running.outcome().unwrap().unwrap();
        assert_eq!(driven.end, end);
        assert_eq!(outcomes(&driven), [Outcome::Answered(200), open, Outcome::NotSent]);
    }
}

/// What it had answered before it ended counts, though it is read afterwards.
#[test]
fn a_server_that_dies_takes_its_connections_with_it() {
    let script = "import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/die': os._exit(3)
        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H); print(s.server_port, flush=True); s.serve_forever()";
    let mut python = super::programs::Program::start("python3", &["-c", script]);
    let requests = vec![get("/"), get("/die"), get("/"), get("/")];
    let (running, _) = Setup::new(in_turn(4), requests).begin(python.address());
    let status = python.wait();
    running.stop().end(End::TargetExited(Some(status)));
    let driven = running.wait().unwrap();
    assert_eq!(outcomes(&driven)[..2], [Outcome::Answered(200), Outcome::Closed]);
    // Whether the others were tried before we heard of it is chance; none was answered.
    assert!(outcomes(&driven)[2..].iter().all(|it| matches!(it, Outcome::Closed | Outcome::NotSent)));
}

/// What was not answered in the recording either: its client went, and so do we.
#[test]
fn nobody_waits_for_what_was_never_answered() {
    let server = hanging();
    let unanswered = |moment| super::super::Moment { answered: false, ..moment };
    let open = super::super::Moment { end_ns: None, ..unanswered(moment(0, 0, 0)) };
    let gone = unanswered(moment(1, 10, 20));
    let requests = vec![get("/hang"), get("/hang"), get("/")];
    let (driven, told) = Setup::new(vec![open, gone, moment(2, 300, 310)], requests).run(server.address);
    assert_eq!(driven.end, End::Completed);
    assert_eq!(outcomes(&driven), [Outcome::Unanswered, Outcome::Unanswered, Outcome::Answered(200)]);
    assert_eq!(told.answers[&0], [None]);
    assert_eq!(server.targets().len(), 3);
}

/// One of the first round that is still open when the second begins is not taken for one of the second.
#[test]
fn what_stays_open_stays_open_through_the_rounds() {
    let server = hanging();
    let open = super::super::Moment { end_ns: None, answered: false, ..moment(0, 0, 0) };
    let mut setup = Setup::new(vec![open, moment(1, 300, 310)], vec![get("/hang"), get("/")]);
    setup.limits.window_ns = 200 * MS;
    let (driven, told) = setup.run(server.address);
    assert_eq!(driven.end, End::Completed);
    assert!(driven.rounds > 1);
    let rounds = driven.rounds as usize;
    assert_eq!(told.answers[&0], vec![None; rounds]);
    assert_eq!(told.answers[&1].len(), rounds);
    assert_eq!((driven.answers.len(), server.targets().len()), (2 * rounds, 2 * rounds));
}
