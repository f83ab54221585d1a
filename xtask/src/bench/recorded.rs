//! What a capture has written, counted from the outside.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// What one capture wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// `OutboundCall` lines in the log, counted here.
    pub calls: u64,
    /// Events that incident.json says were lost.
    pub lost: u64,
    /// Of the log.
    pub bytes: u64,
    /// What incident.json says it holds besides: type → lines.
    pub others: BTreeMap<String, u64>,
}

impl Recorded {
    /// Counts what a recording holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(incident: &Path) -> Result<Self> {
        let manifest: serde_json::Value = serde_json::from_slice(&fs::read(incident.join("incident.json"))?)?;
        let lost = manifest["lost"]["events"].as_u64().context("incident.json does not say what was lost")?;
        let log = File::open(incident.join("outbound.log")).context("there is no outbound.log")?;
        let (bytes, calls) = (log.metadata()?.len(), count_calls(BufReader::with_capacity(1 << 20, log))?);
        let counts = manifest["counts"].as_object().into_iter().flatten();
        let others = counts.filter(|(name, _)| *name != "OutboundCall");
        let others = others.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect();
        Ok(Self { calls, lost, bytes, others })
    }
}

/// Lines of type `OutboundCall`. The type stands near the start of a line; the rest, which may be long, is skipped.
fn count_calls(mut log: impl BufRead) -> Result<u64> {
    let (mut calls, mut start) = (0, Vec::new());
    loop {
        start.clear();
        if log.by_ref().take(160).read_until(b'\n', &mut start)? == 0 {
            return Ok(calls);
        }
        let is_call = start.windows(22).any(|window| window == br#""type":"OutboundCall","#);
        calls += u64::from(is_call);
        if !start.ends_with(b"\n") {
            log.skip_until(b'\n')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_their_type_whatever_their_length() {
        let call = r#"{"id":"0","type":"OutboundCall","body":"#;
        let long = format!("{call}\"{}\"}}\n", "x".repeat(5000));
        let other = format!(
            "{{\"type\":\"Connection\",\"body\":\"{}\\\"type\\\":\\\"OutboundCall\\\",\"}}\n",
            "y".repeat(200)
        );
        let log = format!("{long}{other}{call}0}}\n{long}{{}}\n");
        assert_eq!(count_calls(log.as_bytes()).unwrap(), 3);
        assert_eq!(count_calls(&b""[..]).unwrap(), 0);
    }
}
