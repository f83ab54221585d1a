use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::replay::recorded::Recorded;

/// What a live call of `prices.test` is asked with.
#[derive(Clone, Debug, Default)]
struct Live {
    target: String,
    body: String,
    cause: Option<u32>,
    open: Vec<u32>,
}

fn get(target: &str, cause: Option<u32>) -> Live {
    Live { target: target.to_owned(), cause, ..Live::default() }
}

fn post(body: &str, cause: Option<u32>) -> Live {
    Live { target: "/charge".to_owned(), body: body.to_owned(), cause, ..Live::default() }
}

fn ask(matcher: &mut Matcher, live: &Live) -> Decision {
    let open: Vec<ExchangeIndex> = live.open.iter().map(|at| ExchangeIndex(*at)).collect();
    let body = Bytes::from(live.body.clone());
    let headers = vec![("Content-Type".to_owned(), b"application/json".to_vec())];
    let basis = match (live.cause, open.len()) {
        (Some(_), _) => Basis::Header,
        (None, 0) => Basis::None,
        (None, _) => Basis::Ambiguous,
    };
    let question = Question {
        dependency: &["Prices.test:80", "10.0.0.7:80"],
        method: if live.body.is_empty() { "GET" } else { "POST" },
        target: &live.target,
        headers: if live.body.is_empty() { &[] } else { &headers },
        body: &body,
        digest: None,
        cause: live.cause.map(ExchangeIndex),
        basis,
        open: &open,
        at_ns: 0,
    };
    matcher.ask(&question).unwrap()
}

/// Exchanges, each with calls (target, body, answer).
fn recording(exchanges: &[&[(&str, &str, &str)]]) -> (Recorded, Matcher) {
    recording_with(exchanges, MatchOptions::default())
}

fn caused(by: &str) -> Value {
    json!({"cause": by, "causeBasis": "header"})
}

fn recording_with(exchanges: &[&[(&str, &str, &str)]], options: MatchOptions) -> (Recorded, Matcher) {
    let mut recorded = Recorded::new();
    for (at, calls) in exchanges.iter().enumerate() {
        let at = at as u64 * 1000;
        let id = recorded.request(at, "GET", "/", json!({}));
        for (target, body, answer) in *calls {
            let mut more = caused(&id);
            if !body.is_empty() {
                more["body"] = (*body).into();
                more["headers"] = json!({"Host": ["prices.test"], "Content-Type": ["application/json"]});
            }
            recorded.call(at + 1, if body.is_empty() { "GET" } else { "POST" }, target, answer, more);
        }
        recorded.answer(at + 900, &id, 200, "{}", json!({}));
    }
    let script = recorded.script().unwrap();
    (recorded, Matcher::new(script, options))
}

fn reply(matcher: &mut Matcher, live: &Live) -> Option<u32> {
    ask(matcher, live).reply.map(|call| call.0)
}

fn names(call: &seen::Call) -> Vec<&str> {
    call.differences.iter().map(|difference| &*difference.field).collect()
}

#[test]
fn each_cause_has_occurrences_of_its_own() {
    let (_dir, mut matcher) = recording(&[&[("/a", "", "1"), ("/a", "", "2")], &[("/a", "", "3")]]);
    for _run in 0..2 {
        matcher.begin();
        assert_eq!(reply(&mut matcher, &get("/a", Some(1))), Some(2));
        assert_eq!(reply(&mut matcher, &get("/a", Some(0))), Some(0));
        assert_eq!(reply(&mut matcher, &get("/a", Some(0))), Some(1));
        let surplus = ask(&mut matcher, &get("/a", Some(1)));
        assert_eq!(surplus.reply, None, "what is another's is not given away");
        assert!(surplus.explanation.contains("none is left"), "{}", surplus.explanation);
        let calls = matcher.finish();
        assert!(
            calls[..3]
                .iter()
                .all(|call| call.differences.is_empty() && !call.ambiguous && call.asked.is_none())
        );
        assert_eq!(calls[3].asked.as_ref().unwrap().target, "/a");
    }
}

#[test]
fn copies_of_a_request_share_what_was_recorded_and_rounds_begin_anew() {
    let copies = MatchOptions { copies: 2, ..MatchOptions::default() };
    let (_dir, mut matcher) = recording_with(&[&[("/a", "", "1"), ("/charge", "{\"n\":1}", "2")]], copies);
    for _round in 0..2 {
        let live =
            [get("/a", Some(0)), get("/a", Some(0)), post("{\"n\":9}", Some(0)), post("{\"n\":1}", Some(0))];
        assert_eq!(live.map(|live| reply(&mut matcher, &live)), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(reply(&mut matcher, &get("/a", Some(0))), None);
        matcher.again();
    }
    let calls = matcher.finish();
    assert_eq!(calls.len(), 10);
    assert_eq!(names(&calls[2]), ["body.n"], "it keeps its counterpart: there was room for both");
}

#[test]
fn thirty_two_at_once_each_get_their_own() {
    let answers: Vec<String> = (0..32).map(|at| at.to_string()).collect();
    let calls: Vec<[(&str, &str, &str); 1]> =
        answers.iter().map(|answer| [("/a", "", answer.as_str())]).collect();
    let exchanges: Vec<&[(&str, &str, &str)]> = calls.iter().map(|calls| &calls[..]).collect();
    let (_dir, mut matcher) = recording(&exchanges);
    for cause in (0..32).rev() {
        let live = Live { open: (0..32).collect(), ..get("/a", Some(cause)) };
        assert_eq!(reply(&mut matcher, &live), Some(cause));
    }
    assert!(matcher.finish().iter().all(|call| !call.ambiguous));
}

#[test]
fn what_differs_is_named_and_the_recorded_answer_given() {
    let (_dir, mut matcher) =
        recording(&[&[("/charge", "{\"n\":1,\"m\":2}", "a"), ("/a?q=1", "", "b"), ("/o/5f0c6d1e", "", "c")]]);
    assert_eq!(reply(&mut matcher, &post("{\"m\":2,\"n\":1}", Some(0))), Some(0), "members in another order");
    assert_eq!(reply(&mut matcher, &get("/a?q=2", Some(0))), Some(1));
    assert_eq!(reply(&mut matcher, &get("/o/aa0c6d1e", Some(0))), Some(2));
    let wrong = ask(&mut matcher, &get("/b", Some(0)));
    assert!(
        wrong.reply.is_none() && wrong.explanation.contains("path[0]: recorded \"a\", asked \"b\""),
        "{}",
        wrong.explanation
    );
    let calls = matcher.finish();
    assert_eq!(
        calls.iter().map(names).collect::<Vec<_>>(),
        [vec![], vec!["query.q"], vec!["path[1]"], vec![]]
    );
}

#[test]
fn a_better_pair_takes_its_counterpart_back() {
    let (_dir, mut matcher) = recording(&[&[("/charge", "{\"n\":1}", "a"), ("/charge", "{\"n\":2}", "b")]]);
    // A surplus call comes first and takes what is there.
    assert_eq!(reply(&mut matcher, &post("{\"n\":9}", Some(0))), Some(0));
    assert_eq!(reply(&mut matcher, &post("{\"n\":1}", Some(0))), Some(0), "exact");
    assert_eq!(reply(&mut matcher, &post("{\"n\":2}", Some(0))), Some(1));
    let calls = matcher.finish();
    assert_eq!(
        calls.iter().map(|call| call.counterpart.map(|it| it.0)).collect::<Vec<_>>(),
        [None, Some(0), Some(1)]
    );
    assert!(calls[0].differences.is_empty() && calls[0].asked.is_some());
}

#[test]
fn whoever_loses_its_counterpart_gets_the_next_one() {
    let (_dir, mut matcher) = recording(&[&[("/charge", "{\"n\":1}", "a"), ("/charge", "{\"n\":2}", "b")]]);
    reply(&mut matcher, &post("{\"n\":9}", Some(0)));
    reply(&mut matcher, &post("{\"n\":1}", Some(0)));
    let calls = matcher.finish();
    assert_eq!(calls[0].counterpart, Some(CallIndex(1)), "it stands for the missing one: a mismatch");
    assert_eq!(calls[0].differences[0].recorded, Some(fields::Leaf::Number("2".into())));
}

#[test]
fn ids_in_a_body_do_not_pair_the_wrong_ones() {
    let body = |id: &str, item: &str| format!("{{\"id\":\"{id}\",\"item\":\"{item}\"}}");
    let (a, b) = (
        body("018f3b1e-7c1d-7f3a-9d55-0242ac120002", "apple"),
        body("018f3b1e-7c1d-7f3a-9d55-0242ac120003", "pear"),
    );
    let (_dir, mut matcher) = recording(&[&[("/charge", &a, "1"), ("/charge", &b, "2")]]);
    assert_eq!(
        reply(&mut matcher, &post(&body("aaaf3b1e-7c1d-7f3a-9d55-0242ac120002", "pear"), Some(0))),
        Some(1)
    );
    assert_eq!(
        reply(&mut matcher, &post(&body("bbbf3b1e-7c1d-7f3a-9d55-0242ac120002", "apple"), Some(0))),
        Some(0)
    );
    assert!(matcher.finish().iter().all(|call| names(call) == ["body.id"]));
}

#[test]
fn the_same_bytes_as_another_causes_call_are_compared_all_the_same() {
    let (_dir, mut matcher) =
        recording(&[&[("/charge", "{\"n\":1}", "a")], &[("/charge", "{\"n\":2}", "b")]]);
    assert_eq!(reply(&mut matcher, &post("{\"n\":1}", Some(1))), Some(1));
    assert_eq!(names(&matcher.finish()[0]), ["body.n"]);
}

/// An event loop that passes nothing on: recorded without causes, several open.
fn loop_recording(answers: &[&str], basis: &str) -> (Recorded, Matcher) {
    let mut recorded = Recorded::new();
    let ids: Vec<String> = answers.iter().map(|_| recorded.request(0, "GET", "/", json!({}))).collect();
    for (at, answer) in answers.iter().enumerate() {
        recorded.call(10 + at as u64, "GET", "/a", answer, json!({"causeBasis": basis}));
    }
    ids.iter().for_each(|id| recorded.answer(5000, id, 200, "{}", json!({})));
    let script = recorded.script().unwrap();
    (recorded, Matcher::new(script, MatchOptions::default()))
}

#[test]
fn what_cannot_be_told_apart_is_ambiguous_if_answers_differ() {
    for (answers, open, expected) in
        [(&["1", "2"][..], vec![0, 1], true), (&["1", "1"], vec![0, 1], false), (&["1", "2"], vec![0], false)]
    {
        let (_dir, mut matcher) = loop_recording(answers, "ambiguous");
        let live = Live { open: open.clone(), ..get("/a", None) };
        assert_eq!((reply(&mut matcher, &live), reply(&mut matcher, &live)), (Some(0), Some(1)), "in order");
        let calls = matcher.finish();
        // The last one that is left, too, need not be whose it seems.
        assert!(calls.iter().all(|call| call.ambiguous == expected), "{answers:?} {open:?}");
    }
    // The same, known in the recording and not now.
    let (_dir, mut matcher) = recording(&[&[("/a", "", "1")], &[("/a", "", "2")], &[("/a", "", "3")]]);
    let live = Live { open: vec![1, 2], ..get("/a", None) };
    assert_eq!(reply(&mut matcher, &live), Some(1), "of an open one");
    assert!(matcher.finish()[0].ambiguous);
}

#[test]
fn calls_that_nobody_is_known_to_have_caused_serve_any_cause() {
    let (_dir, mut matcher) = loop_recording(&["1", "2"], "ambiguous");
    assert_eq!(reply(&mut matcher, &get("/a", Some(1))), Some(0));
    assert_eq!(reply(&mut matcher, &get("/a", None)), Some(1));
}

#[test]
fn strict_matching_lets_only_ids_and_times_differ() {
    let strict =
        || MatchOptions { strict: true, ignore: vec!["body.x*".to_owned()], ..MatchOptions::default() };
    let calls: &[&[(&str, &str, &str)]] = &[&[("/charge", "{\"id\":\"5f0c6d1e\",\"n\":1,\"xy\":1}", "a")]];
    for (body, expected) in [
        ("{\"id\":\"5f0c6d1e\",\"n\":2,\"xy\":1}", None),
        ("{\"id\":\"apple\",\"n\":1,\"xy\":1}", None),
        ("{\"id\":\"aa0c6d1e\",\"n\":1,\"xy\":1}", Some(0)),
        ("{\"id\":\"5f0c6d1e\",\"n\":1,\"xy\":2}", Some(0)),
    ] {
        let (_dir, mut matcher) = recording_with(calls, strict());
        assert_eq!(reply(&mut matcher, &post(body, Some(0))), expected, "{body}");
    }
}

#[test]
fn the_closest_is_given_only_if_asked_for() {
    let closest = MatchOptions { on_unmatched: OnUnmatched::Closest, ..MatchOptions::default() };
    let (_dir, mut matcher) = recording_with(&[&[("/v1/a", "", "1"), ("/v1/b/c", "", "2")]], closest);
    let decision = ask(&mut matcher, &get("/v1/b/d", Some(0)));
    assert_eq!(decision.reply, Some(CallIndex(1)));
    let question = Question { dependency: &["unknown.test"], ..plain_question() };
    let decision = matcher.ask(&question).unwrap();
    assert!(decision.reply.is_none() && decision.explanation.contains("no call of this dependency"));
    assert!(matcher.finish().iter().all(|call| call.counterpart.is_none()), "it is no counterpart");
}

fn plain_question() -> Question<'static> {
    static NOTHING: Bytes = Bytes::new();
    Question {
        dependency: &["prices.test"],
        method: "GET",
        target: "/",
        headers: &[],
        body: &NOTHING,
        digest: None,
        cause: None,
        basis: Basis::None,
        open: &[],
        at_ns: 0,
    }
}

#[test]
fn secrets_are_matched_by_their_tokens_and_reach_no_report() {
    let mut recorded = Recorded::new();
    let token = "redacted-f26b540759235a9d2d6decc1";
    std::fs::write(
        recorded.dir.path().join("incident.json"),
        "{\"formatVersion\":\"1.0\",\"redaction\":{\"policy\":\"default\"}}",
    )
    .unwrap();
    let secrets = format!(
        "{{\"version\":1,\"key\":\"{}\"}}\n{{\"token\":\"{token}\",\"value\":\"hunter2\"}}\n",
        "01".repeat(32)
    );
    std::fs::write(recorded.dir.path().join("secrets.json"), secrets).unwrap();
    let id = recorded.request(0, "GET", "/", json!({}));
    let body = format!("{{\"password\":\"{token}\"}}");
    let headers = json!({"Host": ["prices.test"], "Content-Type": ["application/json"]});
    let more =
        json!({"cause": id, "causeBasis": "header", "body": body, "bodyRedacted": true, "headers": headers});
    recorded.call(1, "POST", &format!("/charge?token={token}"), "ok", more);
    recorded.answer(900, &id, 200, "{}", json!({}));
    let mut matcher = Matcher::new(recorded.script().unwrap(), MatchOptions::default());
    let mut live = post("{\"password\":\"hunter2\"}", Some(0));
    live.target = "/charge?token=hunter2".to_owned();
    assert_eq!(reply(&mut matcher, &live), Some(0));
    assert_eq!(names(&matcher.finish()[0]), [""; 0]);
    matcher.begin();
    live.body = "{\"password\":\"hunter3\"}".to_owned();
    assert_eq!(reply(&mut matcher, &live), Some(0));
    let calls = matcher.finish();
    assert_eq!(names(&calls[0]), ["body.password"]);
    assert!(!format!("{calls:?}").contains("hunter"), "{calls:?}");
}

/// What is recorded: for each exchange, calls as (path, body).
fn any_recording() -> impl Strategy<Value = Vec<Vec<(u8, u8)>>> {
    prop::collection::vec(prop::collection::vec((0u8..3, 0u8..3), 0..5), 1..5)
}

fn built(exchanges: &[Vec<(u8, u8)>]) -> (Recorded, Matcher) {
    let texts: Vec<Vec<(String, String, String)>> = exchanges
        .iter()
        .enumerate()
        .map(|(cause, calls)| {
            let text = |(at, (path, body)): (usize, &(u8, u8))| {
                (format!("/p{path}"), format!("{{\"b\":{body}}}"), format!("{cause}.{at}"))
            };
            calls.iter().enumerate().map(text).collect()
        })
        .collect();
    let borrowed: Vec<Vec<(&str, &str, &str)>> =
        texts.iter().map(|calls| calls.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect()).collect();
    recording(&borrowed.iter().map(|calls| &calls[..]).collect::<Vec<_>>())
}

fn live_of((path, body): (u8, u8), cause: usize) -> Live {
    Live { target: format!("/p{path}"), ..post(&format!("{{\"b\":{body}}}"), Some(cause as u32)) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In whichever way the causes interleave, as long as each keeps its order.
    #[test]
    fn the_recording_itself_is_all_exact(exchanges in any_recording(), picks in prop::collection::vec(any::<prop::sample::Index>(), 30)) {
        let (_dir, mut matcher) = built(&exchanges);
        let mut firsts: Vec<u32> = Vec::new();
        let mut total = 0;
        for calls in &exchanges {
            firsts.push(total);
            total += calls.len() as u32;
        }
        let mut done = vec![0; exchanges.len()];
        for pick in picks {
            let waiting: Vec<usize> = (0..exchanges.len()).filter(|at| done[*at] < exchanges[*at].len()).collect();
            if waiting.is_empty() {
                break;
            }
            let cause = *pick.get(&waiting);
            let at = done[cause];
            done[cause] += 1;
            prop_assert_eq!(reply(&mut matcher, &live_of(exchanges[cause][at], cause)), Some(firsts[cause] + at as u32));
        }
        prop_assert!(matcher.finish().iter().all(|call| call.differences.is_empty() && call.asked.is_none()));
    }

    /// Whatever is asked: no recorded call stands for two, all pairs that can be exact are, and what differs is said.
    #[test]
    fn each_recorded_call_is_used_at_most_once(exchanges in any_recording(), asked in prop::collection::vec((0u8..4, 0u8..4, 0usize..4), 0..30)) {
        let (_dir, mut matcher) = built(&exchanges);
        for (path, body, cause) in &asked {
            ask(&mut matcher, &live_of((*path, *body), *cause));
        }
        let calls = matcher.finish();
        let mut seen: Vec<CallIndex> = calls.iter().filter_map(|call| call.counterpart).collect();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), count);
        let (mut recorded, mut live) = (BTreeMap::new(), BTreeMap::new());
        for (cause, calls) in exchanges.iter().enumerate() {
            calls.iter().for_each(|(path, body)| *recorded.entry((*path, *body, cause)).or_insert(0) += 1);
        }
        asked.iter().for_each(|key| *live.entry(*key).or_insert(0) += 1);
        let exact: usize = live.iter().map(|(key, count)| *count.min(recorded.get(key).unwrap_or(&0))).sum();
        prop_assert_eq!(calls.iter().filter(|call| call.counterpart.is_some() && call.differences.is_empty()).count(), exact);
    }

    /// A surplus call under one cause changes nothing under another.
    #[test]
    fn a_call_elsewhere_shifts_nothing(exchanges in any_recording(), surplus in (0u8..4, 0u8..4), before in any::<prop::sample::Index>()) {
        let (_dir, mut matcher) = built(&exchanges);
        let mut all: Vec<(u8, u8, usize)> = Vec::new();
        for (cause, calls) in exchanges.iter().enumerate() {
            all.extend(calls.iter().map(|(path, body)| (*path, *body, cause)));
        }
        let others = |matcher: &mut Matcher, with: Option<usize>| {
            matcher.begin();
            let mut got = Vec::new();
            for (at, (path, body, cause)) in all.iter().enumerate() {
                if with == Some(at) {
                    ask(matcher, &live_of(surplus, 0));
                }
                let decision = reply(matcher, &live_of((*path, *body), *cause));
                if *cause != 0 {
                    got.push(decision);
                }
            }
            got
        };
        let without = others(&mut matcher, None);
        let with = others(&mut matcher, Some(before.index(all.len() + 1)));
        prop_assert_eq!(without, with);
    }
}
