use serde_json::{Map, Value, json};

use super::proxies::Refusal;
use crate::proxy::faulty::{Direction, Toxic, What};

const MS: u64 = 1_000_000;
const US: u64 = 1_000;
/// toxiproxy counts a thousand bytes to the KB (`toxics/bandwidth.go`: bytes a millisecond).
const KB: u64 = 1_000;

/// A toxic, as its client knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    name: String,
    kind: String,
    direction: Direction,
    toxicity: f64,
    attributes: Map<String, Value>,
    /// For what is drawn.
    key: u64,
}

impl Spec {
    /// Of a request to make one.
    ///
    /// # Errors
    /// As toxiproxy's.
    pub fn new(request: &Value, key: u64) -> Result<Self, Refusal> {
        let text = |name: &str| request.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let kind = text("type").unwrap_or_default().to_owned();
        let stream = text("stream").unwrap_or("downstream").to_ascii_lowercase();
        let direction = match stream.as_str() {
            "upstream" => Direction::Upstream,
            "downstream" => Direction::Downstream,
            _ => return Err(Refusal::bad("stream was invalid, can be either upstream or downstream")),
        };
        let name = text("name").map_or_else(|| format!("{kind}_{stream}"), str::to_owned);
        let mut spec = Self { name, kind, direction, toxicity: 1.0, attributes: Map::new(), key };
        spec.update(request)?;
        spec.what().ok_or(Refusal::bad("invalid toxic type"))?;
        Ok(spec)
    }

    /// Changes what a request names.
    ///
    /// # Errors
    /// As toxiproxy's.
    pub fn update(&mut self, request: &Value) -> Result<(), Refusal> {
        if let Some(toxicity) = request.get("toxicity").filter(|value| !value.is_null()) {
            self.toxicity = toxicity.as_f64().ok_or(Refusal::bad("bad request body"))?;
        }
        for (name, value) in request.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            if !value.is_number() {
                return Err(Refusal::bad("bad request body"));
            }
            self.attributes.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As its client reads it.
    pub fn json(&self) -> Value {
        let stream = if self.direction == Direction::Upstream { "upstream" } else { "downstream" };
        json!({
            "name": self.name,
            "type": self.kind,
            "stream": stream,
            "toxicity": self.toxicity,
            "attributes": self.attributes,
        })
    }

    /// What it does.
    pub fn toxic(&self) -> Option<Toxic> {
        let toxic = Toxic::new(self.direction, self.what()?, self.key);
        Some(Toxic { toxicity: self.toxicity, ..toxic })
    }

    fn what(&self) -> Option<What> {
        Some(match self.kind.as_str() {
            "latency" => {
                What::Latency { ns: self.number("latency", MS), jitter_ns: self.number("jitter", MS) }
            }
            "bandwidth" => match self.number("rate", KB) {
                // No limit, as there.
                0 => What::Bandwidth(u64::MAX),
                rate => What::Bandwidth(rate),
            },
            "slow_close" => What::SlowClose(self.number("delay", MS)),
            "timeout" => What::Silence(Some(self.number("timeout", MS)).filter(|ns| *ns > 0)),
            "reset_peer" => What::Reset { after_ns: self.number("timeout", MS), bytes: None },
            "slicer" => What::Slice {
                size: self.number("average_size", 1),
                variation: self.number("size_variation", 1),
                delay_ns: self.number("delay", US),
            },
            "limit_data" => What::Limit(self.number("bytes", 1)),
            "noop" => What::Latency { ns: 0, jitter_ns: 0 },
            _ => return None,
        })
    }

    /// An attribute; those below zero and those that are not there are zero.
    fn number(&self, name: &str, unit: u64) -> u64 {
        let value = self.attributes.get(name).and_then(Value::as_f64).unwrap_or_default();
        (value.max(0.0) as u64).saturating_mul(unit)
    }
}
