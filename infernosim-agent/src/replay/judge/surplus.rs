//! Calls without a recorded counterpart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::divergence::{Divergence, Reason, Side};
use super::place::{Phase, Position};
use super::recording::Recording;
use super::volatile::type_of;
use crate::error::Result;
use crate::pattern::mask_path;
use crate::replay::fields::{Content, compare, of_request, split_target};
use crate::replay::script::{Basis, CallIndex, ExchangeIndex};
use crate::replay::seen::{Asked, Call, Refusal, Refused};

/// Lines about what has no counterpart, for the fingerprint: each once, in order.
#[derive(Debug, Default)]
pub struct Extras {
    /// What lies behind it is left out: how far the target got before it was gone differs from run to run.
    until: Option<ExchangeIndex>,
    lines: BTreeSet<String>,
}

impl Extras {
    /// Up to the exchange at which the target was gone, if it was.
    pub fn until(cut: Option<(ExchangeIndex, &str)>) -> Self {
        Self { until: cut.map(|it| it.0), lines: BTreeSet::new() }
    }

    /// A line about something at this exchange.
    pub fn add(&mut self, anchor: Option<ExchangeIndex>, line: String) {
        if self.until.is_none_or(|until| anchor <= Some(until)) {
            self.lines.insert(line);
        }
    }

    /// Their SHA-256, a line feed behind each.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for line in &self.lines {
            hash.update(line);
            hash.update("\n");
        }
        hash.finalize().into()
    }
}

/// Something that the target asked for and the recording does not have.
#[derive(Clone, Debug)]
pub struct Surplus {
    position: Position,
    actual: Side,
    cause: Option<ExchangeIndex>,
    basis: Option<Basis>,
}

impl Surplus {
    /// A call.
    pub fn call(call: &Call, position: Position) -> Self {
        let actual = call.asked.clone().map_or(Side::Unkept, Side::Asked);
        Self { position, actual, cause: call.cause, basis: Some(call.basis) }
    }

    /// A connect or a lookup.
    pub fn refused(refused: &Refusal, position: Position) -> Self {
        let actual = match &refused.what {
            Refused::Connect(address) => Side::Connect(*address),
            Refused::Lookup(name) => Side::Lookup(name.clone()),
        };
        Self { position, actual, cause: refused.cause, basis: None }
    }
}

/// Pairs what is surplus with what is missing: of one cause, the same dependency, method and path, but asked
/// otherwise. Takes both out.
pub fn pair(
    recording: &impl Recording,
    surplus: &mut Vec<Surplus>,
    missing: &mut Vec<(CallIndex, Phase)>,
    divergences: &mut Vec<Divergence>,
    extras: &mut Extras,
) -> Result<()> {
    let mut wanted: BTreeMap<(Option<ExchangeIndex>, String), Vec<CallIndex>> = BTreeMap::new();
    for (index, _) in missing.iter().rev() {
        let call = recording.call(*index);
        let key = (call.cause, whom_and_path(call.dependency, call.method, call.target));
        wanted.entry(key).or_default().push(*index);
    }
    let mut paired = BTreeSet::new();
    let mut left = Vec::with_capacity(surplus.len());
    for one in surplus.drain(..) {
        let asked = if let Side::Asked(asked) = &one.actual { Some(asked) } else { None };
        let found = asked.and_then(|asked| {
            let key = (one.cause, whom_and_path(&asked.dependency, &asked.method, &asked.target));
            wanted.get_mut(&key)?.pop().map(|index| (asked, index))
        });
        let Some((asked, index)) = found else {
            left.push(one);
            continue;
        };
        paired.insert(index);
        let mut fields = of_request(&asked.target, &[], Content::Bytes(&[]));
        fields.extend(asked.fields.clone());
        let differences = compare(&recording.asked(index)?, &fields);
        let mut line = format!("mismatch {}", index.0);
        for it in &differences {
            let _ = write!(line, " {}", it.field);
        }
        let recorded = recording.call(index);
        extras.add(recorded.anchor, line);
        let position = Position { anchor: recorded.anchor, phase: Phase::Calls, index: index.0 };
        let divergence =
            Divergence::outbound(Reason::RequestMismatch, position, Side::Call(index), one.actual);
        divergences.push(divergence.caused(recorded.cause, recorded.basis).differing(differences));
    }
    *surplus = left;
    missing.retain(|(index, _)| !paired.contains(index));
    Ok(())
}

/// Tells what is left: one divergence for what is alike at one place.
pub fn tell(one: Surplus, divergences: &mut Vec<Divergence>, extras: &mut Extras) {
    extras.add(one.position.anchor, line(&one));
    let unexpected = Reason::UnexpectedOutboundCall;
    let again = divergences
        .iter_mut()
        .rev()
        .take(8)
        .find(|it| (it.reason, it.position, &it.actual) == (unexpected, one.position, &one.actual));
    if let Some(again) = again {
        again.count += 1;
        return;
    }
    let mut divergence = Divergence::outbound(unexpected, one.position, Side::Nothing, one.actual);
    (divergence.cause, divergence.basis) = (one.cause, one.basis);
    divergences.push(divergence);
}

/// For the fingerprint: without values, hosts and ports, which may be others in each run, and without the index: whose it is
/// of several that are open at once is known in one run and not in the next.
fn line(one: &Surplus) -> String {
    match &one.actual {
        Side::Asked(asked) => asked_line(asked),
        Side::Connect(_) => "connect".to_owned(),
        Side::Lookup(name) => format!("lookup {name}"),
        _ => "call".to_owned(),
    }
}

fn asked_line(asked: &Asked) -> String {
    let mut line = format!("call {} {}", asked.method, mask_path(&asked.target));
    for (name, leaf) in &asked.fields {
        let _ = write!(line, " {name}=<{}>", type_of(leaf));
    }
    line
}

fn whom_and_path(dependency: &str, method: &str, target: &str) -> String {
    format!("{} {method} {}", dependency.to_ascii_lowercase(), split_target(target).0)
}
