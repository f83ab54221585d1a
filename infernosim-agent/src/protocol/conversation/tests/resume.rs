//! Connections whose beginning, or a part of which, was not seen.

use proptest::prelude::*;

use super::*;

const TAIL: (Sender, &[u8]) = (S, b"the end of an earlier answer");
const GET: (Sender, &[u8]) = (C, b"GET /a HTTP/1.1\r\n\r\n");
const OK: (Sender, &[u8]) = (S, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const SAID: [&str; 5] = ["> GET /a http/1.1", "> end", "< 200 | Content-Length: 2", "< body ok", "< end"];

/// Plays a joined connection.
fn joined(steps: &[Step]) -> (Said, Conversation) {
    play_on(Conversation::joined(), steps)
}

fn feeds(steps: &[(Sender, &[u8])]) -> Vec<Step> {
    steps.iter().map(|&(from, bytes)| Step::Feed(from, bytes.to_vec())).collect()
}

/// What a joined connection says, and how many bytes it did not understand.
fn check_joined(steps: &[(Sender, &[u8])], expected: &[&str], unread: u64) -> Conversation {
    let (said, conversation) = joined(&feeds(steps));
    assert_eq!(said.lines(), expected);
    assert_eq!(conversation.unread(), unread);
    conversation
}

#[test]
fn a_joined_connection_begins_with_its_next_request() {
    check_joined(&[GET, OK], &SAID, 0);
    check_joined(&[TAIL, (S, b"more"), GET, OK], &SAID, 32);
    // The end of a body, then its answer, which is nobody's.
    check_joined(&[(C, b"a=b&c=d"), OK, GET, OK], &SAID, 7 + 40);
    let twice = [SAID, SAID].concat();
    check_joined(&[TAIL, GET, OK, GET, OK], &twice, 28);
    // A client that pipelines, and no answer is owed to it: each is told its own.
    let (gets, oks) = (GET.1.repeat(50), OK.1.repeat(50));
    let said = joined(&feeds(&[(C, gets.as_slice()), (S, &oks)])).0;
    assert_eq!(said.lines().iter().filter(|line| *line == "> GET /a http/1.1").count(), 50);
    assert_eq!(said.lines().iter().filter(|line| *line == "< body ok").count(), 50);
}

#[test]
fn heads_in_pieces_are_taken_up() {
    for size in [1, 2, 3, 5, 11, 12, 13] {
        let (said, conversation) = joined(&cut(&feeds(&[GET, OK]), size));
        assert_eq!(said.lines(), SAID, "in feeds of {size}");
        assert_eq!(conversation.unread(), 0);
    }
    // What looked like half a method was the end of a body.
    check_joined(&[(C, b"...P"), (C, b"GE"), OK, GET, OK], &SAID, 4 + 2 + 40);
    // What looked like a beginning was the end of an answer.
    check_joined(&[GET, (S, b"...H"), (S, b"HT"), OK], &SAID, 6);
}

#[test]
fn the_tail_of_an_earlier_answer_is_not_the_answer() {
    check_joined(&[GET, TAIL, (S, b"\r\n0\r\n\r\n"), OK], &SAID, 28 + 7);
    check_joined(&[GET, TAIL, (S, b"HTTP/1.1 2x0 not"), (S, b"HTTP/2 200"), OK], &SAID, 28 + 16 + 10);
    // Interim answers are answers.
    let interim = (S, b"HTTP/1.1 100 Continue\r\n\r\n".as_slice());
    let said = [&SAID[..2], &["< interim 100"], &SAID[2..]].concat();
    check_joined(&[GET, TAIL, interim, OK], &said, 28);
    // With two, nobody knows whose the next answer is.
    let dropped = ["> GET /a http/1.1", "> end", "gap Server 28"];
    check_joined(&[GET, TAIL, GET, OK, OK], &[&dropped[..2], &dropped].concat(), 28 + 80);
    check_joined(&[GET, GET, TAIL, OK, GET, OK], &[&dropped[..2], &dropped].concat(), 28 + 80 + 19);
}

#[test]
fn what_never_shows_http_is_counted_only() {
    let hello = (C, b"\x16\x03\x01\x00\x05\x01rest".as_slice());
    let conversation = check_joined(&[(S, b"220 hi\r\n"), (C, b"HELO x\r\n"), hello], &[], 8 + 8 + 10);
    assert_eq!(conversation.protocol(), None);
    let steps = [feeds(&[(C, b"GET /".as_slice()), (S, b"x")]), vec![Step::Fin(C), Step::Fin(S)]].concat();
    let (said, conversation) = joined(&steps);
    assert_eq!((said.lines().len(), conversation.unread()), (0, 6));
}

#[test]
fn chance_likenesses_are_given_up() {
    // A request line in a body, and then no head: nothing was said of it.
    let conversation = check_joined(&[(C, b"GET / HTTP/1.1\r\nno head at all"), (C, b"\r\n\r\n")], &[], 34);
    assert_eq!(conversation.protocol(), None);
    check_joined(&[(C, b"GET / HTTP/1.1\r\nno head at all\r\n\r\n"), GET, OK], &SAID, 34);
    // A whole head, and then no body: what was said is taken back by a gap.
    let post = (C, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n".as_slice());
    let said = ["> POST / http/1.1 | Transfer-Encoding: chunked", "gap Client 10"];
    check_joined(&[post, GET, OK], &[&said[..], &SAID].concat(), 10);
}

#[test]
fn a_client_that_pipelines_is_not_taken_up_after_a_gap() {
    let gap = |from| vec![Step::Gap(from, 9)];
    let both = [SAID, SAID].concat();
    for from in [C, S] {
        let steps = [feeds(&[GET, GET, OK, OK]), gap(from), feeds(&[GET, OK])].concat();
        let (said, conversation) = play_on(Conversation::new(), &steps);
        assert_eq!(said.lines().last().unwrap(), &format!("gap {from:?} 9"));
        assert_eq!(conversation.unread(), 19 + 40);
    }
    // Sent before the answer, and missed; a request after a gap, and the answer to what was missed is to come.
    for steps in [
        [feeds(&[GET]), gap(C), feeds(&[OK, GET, OK, OK])].concat(),
        [feeds(&[GET, OK]), gap(C), feeds(&[GET, OK, OK, GET, OK])].concat(),
    ] {
        let said = play_on(Conversation::new(), &steps).0.lines();
        assert!(said.last().unwrap().starts_with("gap"), "{said:?}");
    }
    // A client that waits for its answers is.
    let steps = [feeds(&[GET, OK]), gap(C), feeds(&[OK, GET, OK])].concat();
    assert_eq!(
        play_on(Conversation::new(), &steps).0.lines(),
        [&SAID[..], &["gap Client 9"], &SAID].concat()
    );
    let steps = [feeds(&[GET, OK, GET]), gap(S), feeds(&[TAIL, GET, OK])].concat();
    assert_eq!(
        play_on(Conversation::new(), &steps).0.lines(),
        [&both[..7], &["gap Server 9"], &SAID].concat()
    );
}

/// One exchange as each side sends it; its number is in its target and at the end of its answer's body.
fn exchange(number: usize, request: usize, response: usize) -> (String, String) {
    let request = match request {
        0 => format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"),
        1 => format!("POST /{number} HTTP/1.1\r\nContent-Length: 9\r\n\r\nsome body"),
        _ => format!(
            "PUT /{number} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n5\r\n body\r\n0\r\n\r\n"
        ),
    };
    let body = format!("an answer to {number}");
    let response = match response {
        0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        1 => {
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
        }
        _ => format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 No\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    };
    (request, response)
}

/// Exchanges of a client that has `depth` requests open, as feeds; which exchange each feed belongs to.
fn talk(depth: usize) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let one = (0usize..3, 0usize..3, 8usize..40, 12usize..40);
    prop::collection::vec(one, 2..12).prop_map(move |ones| {
        let mut steps = Vec::new();
        let mut owed = std::collections::VecDeque::new();
        for (number, (request, response, client, server)) in ones.into_iter().enumerate() {
            let (request, response) = exchange(number, request, response);
            let pieces = request.into_bytes().chunks(client).map(<[u8]>::to_vec).collect::<Vec<_>>();
            steps.extend(pieces.into_iter().map(|piece| (number, Step::Feed(C, piece))));
            owed.push_back((number, response, server));
            while owed.len() >= depth
                && let Some((number, response, size)) = owed.pop_front()
            {
                steps.extend(
                    response.as_bytes().chunks(size).map(|piece| (number, Step::Feed(S, piece.to_vec()))),
                );
            }
        }
        steps
    })
}

/// The numbers of the exchanges that were said whole. Each must have its own answer.
fn whole(said: Said) -> Vec<usize> {
    let (mut open, mut numbers) = (std::collections::VecDeque::new(), Vec::new());
    let mut body = Vec::new();
    for item in said.0 {
        match item {
            Item::Line(line) if line.starts_with("gap") => open.clear(),
            Item::Line(line) if line == "< end" => {
                let target: String = open.pop_front().expect("an answer to a request");
                let number: usize = target.trim_start_matches('/').parse().unwrap();
                assert_eq!(String::from_utf8_lossy(&body), format!("an answer to {number}"));
                numbers.push(number);
                body.clear();
            }
            Item::Line(line) if line.starts_with("> end") || line.starts_with("< ") => {}
            Item::Line(line) if line.starts_with("> ") => {
                open.push_back(line.split(' ').nth(2).unwrap().to_owned());
            }
            Item::Line(line) => panic!("{line}"),
            Item::Content("< body", bytes) => body.extend(bytes),
            Item::Content(..) => {}
        }
        if open.is_empty() {
            body.clear();
        }
    }
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Wherever a connection is joined: each request that begins later is told, with its own answer.
    #[test]
    fn joined_anywhere(steps in talk(1), at in any::<prop::sample::Index>()) {
        let at = at.index(steps.len());
        let begun = at.checked_sub(1).map(|before| steps[before].0);
        let seen: Vec<_> = steps[at..].iter().map(|(_, step)| step.clone()).collect();
        let last = steps.last().unwrap().0;
        prop_assert_eq!(whole(joined(&seen).0), (begun.map_or(0, |begun| begun + 1)..=last).collect::<Vec<_>>());
    }

    /// Whatever is missed of a client that waits for its answers: what was not harmed is told, the rest is not.
    #[test]
    fn with_gaps(steps in talk(1), lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let lost: Vec<_> = lost.iter().map(|at| at.index(steps.len())).collect();
        let harmed: Vec<_> = lost.iter().map(|at| steps[*at].0).collect();
        let expected: Vec<_> = (0..=steps.last().unwrap().0).filter(|number| !harmed.contains(number)).collect();
        prop_assert_eq!(whole(play_on(Conversation::new(), &without(&steps, &lost)).0), expected);
    }

    /// Of a client that pipelines, too, no answer is told of another request.
    #[test]
    fn with_gaps_and_pipelining(
        steps in (2usize..5).prop_flat_map(talk),
        lost in any::<prop::sample::Index>(),
    ) {
        whole(play_on(Conversation::new(), &without(&steps, &[lost.index(steps.len())])).0);
    }
}

/// The steps, with gaps in the places of those that were lost.
fn without(steps: &[(usize, Step)], lost: &[usize]) -> Vec<Step> {
    let mut steps: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
    for at in lost {
        if let Step::Feed(from, bytes) = &steps[*at] {
            steps[*at] = Step::Gap(*from, bytes.len() as u64);
        }
    }
    steps
}
