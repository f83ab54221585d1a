//! Runs against a small recording: a shop with three requests and six calls.

mod changes;
mod edges;
mod fingerprint;
mod guesses;
mod neutral;
mod properties;
mod timeline;

use std::collections::BTreeMap;

use super::*;
use crate::replay::fields::{Content, Difference, Fields, Leaf, of_answer, of_request};
use crate::replay::script::{Basis, CallIndex, ExchangeIndex};
use crate::replay::seen::{Answer, Asked, Call, Outcome as Came, Refusal, Refused};

/// A recorded exchange: what is asked, its answer's body, its start and end in ms.
const EXCHANGES: [(&str, &str, u64, u64); 3] = [
    ("POST /orders?dry=0", r#"{"id":"o-1","total":50}"#, 0, 90),
    ("GET /stock", r#"[{"sku":7,"left":3}]"#, 100, 190),
    ("POST /orders", r#"{"id":"o-2","total":60}"#, 200, 290),
];

/// A recorded call: whom, method, target, body, cause, start and end in ms.
type Line = (&'static str, &'static str, &'static str, &'static str, Option<u32>, u64, u64);
const CALLS: [Line; 6] = [
    ("prices.test", "GET", "/price?sku=7", "", Some(0), 10, 20),
    ("pay.test:8443", "POST", "/charge", r#"{"amount":50,"key":"k1"}"#, Some(0), 30, 40),
    ("stock.test", "GET", "/a", "", Some(1), 110, 120),
    ("stock.test", "GET", "/b", "", Some(1), 130, 140),
    ("prices.test", "GET", "/price?sku=9", "", Some(2), 210, 220),
    ("pay.test:8443", "POST", "/charge", r#"{"amount":60,"key":"k2"}"#, Some(2), 230, 240),
];

/// 2026-01-02T03:04:05Z.
const BEGAN_NS: i128 = 1_767_323_045 * 1_000_000_000;

/// The recording.
#[derive(Clone, Debug)]
pub struct Tape {
    pub calls: Vec<Line>,
    pub statuses: [Option<u16>; 3],
    pub failed: BTreeMap<String, Vec<(Option<ExchangeIndex>, Basis)>>,
}

impl Default for Tape {
    fn default() -> Self {
        Self { calls: CALLS.to_vec(), statuses: [Some(201), Some(200), Some(201)], failed: BTreeMap::new() }
    }
}

fn headers() -> Vec<(String, Vec<u8>)> {
    vec![("content-type".into(), b"application/json".to_vec())]
}

impl Recording for Tape {
    fn exchanges(&self) -> usize {
        EXCHANGES.len()
    }

    fn exchange(&self, index: ExchangeIndex) -> Exchanged<'_> {
        let (asked, _, start, end) = EXCHANGES[index.0 as usize];
        Exchanged {
            id: ["0af7651916cd43dd8448eb211c80319c", "id-1", "id-2"][index.0 as usize],
            asked,
            status: self.statuses[index.0 as usize],
            is_replayable: true,
            start_ns: start * 1_000_000,
            end_ns: Some(end * 1_000_000),
        }
    }

    fn calls(&self) -> usize {
        self.calls.len()
    }

    fn call(&self, index: CallIndex) -> Called<'_> {
        let (dependency, method, target, _, cause, start, end) = self.calls[index.0 as usize];
        let before = EXCHANGES.iter().rposition(|it| it.2 <= start);
        let anchor = cause.map(ExchangeIndex).or_else(|| before.map(|at| ExchangeIndex(at as u32)));
        Called {
            dependency,
            method,
            target,
            cause: cause.map(ExchangeIndex),
            basis: if cause.is_some() { Basis::Thread } else { Basis::None },
            anchor,
            start_ns: start * 1_000_000,
            end_ns: end * 1_000_000,
            is_served: dependency != "tls.test",
        }
    }

    fn began_ns(&self) -> i128 {
        BEGAN_NS
    }

    fn failed_connects(&self, dependency: &str) -> Vec<(Option<ExchangeIndex>, Basis)> {
        self.failed.get(dependency).cloned().unwrap_or_default()
    }

    fn answer(&self, index: ExchangeIndex) -> Result<Fields> {
        let (status, body) = (self.statuses[index.0 as usize].unwrap(), EXCHANGES[index.0 as usize].1);
        Ok(of_answer(status, &headers(), Content::Bytes(body.as_bytes())))
    }

    fn asked(&self, index: CallIndex) -> Result<Fields> {
        let (_, _, target, body, ..) = self.calls[index.0 as usize];
        Ok(of_request(target, &headers(), Content::Bytes(body.as_bytes())))
    }
}

/// A run as recorded, at another speed.
pub fn run(tape: &Tape) -> Run {
    let answers = (0_u32..).map(ExchangeIndex).zip(EXCHANGES).map(|(exchange, (_, _, start, end))| Answer {
        exchange,
        outcome: tape.statuses[exchange.0 as usize].map_or(Came::Closed, Came::Answered),
        differences: Vec::new(),
        sent_ns: start * 500_000,
        late_ns: 1000,
        ended_ns: end * 500_000,
        is_second: false,
    });
    let calls =
        (0_u32..).map(CallIndex).zip(&tape.calls).filter(|(_, it)| it.0 != "tls.test").map(|(index, it)| {
            Call {
                counterpart: Some(index),
                differences: Vec::new(),
                cause: it.4.map(ExchangeIndex),
                basis: tape.call(index).basis,
                ambiguous: false,
                asked: None,
                at_ns: it.5 * 500_000,
                answered_ns: Some(it.6 * 500_000),
            }
        });
    Run {
        answers: answers.collect(),
        calls: calls.collect(),
        wall_ns: 145_000_000,
        paced_ns: 145_000_000,
        ..Run::default()
    }
}

/// A call without a counterpart.
pub fn surplus(
    cause: Option<u32>,
    at_ms: u64,
    dependency: &str,
    method: &str,
    target: &str,
    body: &str,
) -> Call {
    Call {
        counterpart: None,
        differences: Vec::new(),
        cause: cause.map(ExchangeIndex),
        basis: if cause.is_some() { Basis::Thread } else { Basis::Ambiguous },
        ambiguous: false,
        asked: Some(Box::new(Asked {
            dependency: dependency.into(),
            method: method.into(),
            target: target.into(),
            fields: of_request(target, &headers(), Content::Bytes(body.as_bytes())),
        })),
        at_ns: at_ms * 500_000,
        answered_ns: Some(at_ms * 500_000),
    }
}

pub fn text(value: &str) -> Option<Leaf> {
    Some(Leaf::Text(value.into()))
}

pub fn number(value: &str) -> Option<Leaf> {
    Some(Leaf::Number(value.into()))
}

pub fn other(field: &str, recorded: Option<Leaf>, live: Option<Leaf>) -> Difference {
    Difference { field: field.into(), recorded, live }
}

pub fn options() -> JudgeOptions {
    JudgeOptions {
        requested: 10,
        now_ns: BEGAN_NS + 86_400_000_000_000_000,
        repeat: Repeat {
            incident: "inc".into(),
            target: vec!["--".into(), "./app".into()],
            ..Repeat::default()
        },
        ..JudgeOptions::default()
    }
}

/// Ten runs, each changed with its number.
pub fn ten(tape: &Tape, change: impl Fn(u32, &mut Run)) -> Judgement {
    ten_with(tape, &options(), change)
}

pub fn ten_with(tape: &Tape, options: &JudgeOptions, change: impl Fn(u32, &mut Run)) -> Judgement {
    let runs: Vec<Run> = (0..10)
        .map(|number| {
            let mut run = run(tape);
            change(number, &mut run);
            run
        })
        .collect();
    judge(tape, &runs, options).unwrap()
}

/// `outbound 3 missing_outbound_call`, in the order in which they are told.
pub fn places(judgement: &Judgement) -> Vec<String> {
    judgement
        .told
        .iter()
        .map(|it| format!("{} {} {}", direction(it.direction), it.index, it.reason))
        .collect()
}
