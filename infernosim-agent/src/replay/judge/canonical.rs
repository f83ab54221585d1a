//! The fingerprint: SHA-256 over a run's canonical lines. `docs/replay.md` describes them; who changes them counts up
//! the version in the first.

use sha2::{Digest as _, Sha256};

use super::condensed::Condensed;
use super::place::Place;
use super::recording::Recording;
use super::volatile::site::site;
use super::volatile::{Volatile, Why, type_of};
use crate::error::Result;
use crate::replay::fields::{Difference, Fields, Leaf, split_target};
use crate::replay::script::{CallIndex, ExchangeIndex};

const FIRST_LINE: &str = "infernosim fingerprint 1\n";

/// A run and what of it is unlike the recording in earnest, in order of the places.
#[derive(Debug)]
pub struct Real<'a> {
    pub run: &'a Condensed,
    pub differences: Vec<(Place, Vec<Difference>)>,
}

impl Real<'_> {
    fn of(&self, place: Place) -> Option<&[Difference]> {
        let at = self.differences.binary_search_by_key(&place, |it| it.0).ok()?;
        Some(&self.differences[at].1)
    }
}

/// The fingerprint of each run. Goes through the recording once.
pub fn fingerprints(
    recording: &impl Recording,
    runs: &[Real<'_>],
    volatile: &Volatile,
) -> Result<Vec<[u8; 32]>> {
    let mut hashes = vec![Sha256::new_with_prefix(FIRST_LINE); runs.len()];
    let exchanges = (0..count(recording.exchanges())).map(|it| Place::Answer(ExchangeIndex(it)));
    let calls = (0..count(recording.calls())).map(|it| Place::Call(CallIndex(it)));
    for place in exchanges.chain(calls) {
        let mut as_recorded = None;
        for (real, hash) in runs.iter().zip(&mut hashes) {
            if !counts(recording, real.run, place) {
                continue;
            }
            match real.of(place) {
                _ if real.run.absent.binary_search(&place).is_ok() => {
                    hash.update(format!("{} absent\n", head(recording, place, None)));
                }
                Some(differences) => hash.update(line(recording, place, volatile, differences)?),
                None => {
                    if as_recorded.is_none() {
                        as_recorded = Some(line(recording, place, volatile, &[])?);
                    }
                    hash.update(as_recorded.as_deref().unwrap_or_default());
                }
            }
        }
    }
    let ends = runs.iter().zip(hashes).map(|(real, mut hash)| {
        hash.update(format!("extras {}\n", hex(&real.run.extras)));
        if let Some((exchange, reason)) = real.run.cut {
            hash.update(format!("end {reason} {}\n", exchange.0));
        }
        hash.finalize().into()
    });
    Ok(ends.collect())
}

/// Was it due, and before the target was gone?
fn counts(recording: &impl Recording, run: &Condensed, place: Place) -> bool {
    match place {
        Place::Answer(exchange) => {
            run.cut.is_none_or(|(cut, _)| exchange < cut) && run.undue.binary_search(&exchange).is_err()
        }
        Place::Call(call) => {
            run.cut.is_none_or(|(cut, _)| recording.call(call).anchor <= Some(cut))
                && run.undue_calls.binary_search(&call).is_err()
        }
    }
}

/// `in 0 POST /orders`, `out 0 1 GET /v1/quote`: the index, of calls that of their cause too; never host or port.
fn head(recording: &impl Recording, place: Place, path: Option<&str>) -> String {
    match place {
        Place::Answer(exchange) => format!("in {} {}", exchange.0, recording.exchange(exchange).asked),
        Place::Call(index) => {
            let call = recording.call(index);
            let cause = call.cause.map_or_else(|| "-".to_owned(), |it| it.0.to_string());
            let path = path.unwrap_or_else(|| split_target(call.target).0);
            format!("out {} {cause} {} {path}", index.0, call.method)
        }
    }
}

/// The line of a message, recorded but for these differences.
fn line(
    recording: &impl Recording,
    place: Place,
    volatile: &Volatile,
    differences: &[Difference],
) -> Result<String> {
    let mut fields = match place {
        Place::Answer(exchange) if recording.exchange(exchange).status.is_none() => {
            return Ok(format!("{} -\n", head(recording, place, None)));
        }
        Place::Answer(exchange) => recording.answer(exchange)?,
        Place::Call(call) => recording.asked(call)?,
    };
    let site = site(recording, place);
    let mut earnest = Vec::new();
    for difference in differences {
        match &difference.live {
            Some(live) => fields.insert(difference.field.clone(), live.clone()),
            None => fields.remove(&difference.field),
        };
        earnest.push(&*difference.field);
    }
    let path = match place {
        Place::Call(call) => Some(live_path(split_target(recording.call(call).target).0, &mut fields)),
        Place::Answer(_) => None,
    };
    let status = fields.remove("status").filter(|_| !volatile.ignores("status"));
    let status = status.map_or_else(String::new, |it| format!(" {}", text(&it)));
    let mut hash = Sha256::new();
    for (name, leaf) in &fields {
        if volatile.ignores(name) {
            continue;
        }
        let is_masked = match volatile.why(&site, name) {
            // What is no time any more is not masked.
            Some(Why::Time) => !earnest.contains(&&**name),
            Some(_) => true,
            None => false,
        };
        let value = if is_masked { format!("<{}>", type_of(leaf)) } else { text(leaf) };
        hash.update(format!("{name}={value}\n"));
    }
    Ok(format!("{}{status} {}\n", head(recording, place, path.as_deref()), hex(&hash.finalize())))
}

/// The path with the segments that differ, which are then no fields any more.
fn live_path(path: &str, fields: &mut Fields) -> String {
    let segments = path.split('/').enumerate().map(|(at, segment)| {
        // Before the first slash there is nothing: segments count from the one behind it.
        let name = at.checked_sub(1).map(|at| format!("path[{at}]"));
        match name.and_then(|name| fields.remove(name.as_str())) {
            Some(Leaf::Text(live)) => live.into(),
            _ => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// A value, so that no two are alike: text as JSON has it.
pub fn text(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Null => "null".into(),
        Leaf::Bool(value) => value.to_string(),
        Leaf::Number(number) => number.to_string(),
        Leaf::Text(text) => serde_json::to_string(text).unwrap_or_default(),
        Leaf::Digest(size, sha256) => format!("{size} bytes, SHA-256 {}", hex(sha256)),
        Leaf::Empty(brackets) => brackets.to_string(),
    }
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = std::fmt::Write::write_fmt(&mut out, format_args!("{byte:02x}"));
        out
    })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
