//! What a capture has written, counted from the outside.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A line that a request becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What a client asked the target.
    Request,
    /// What it was answered.
    Response,
    /// What the target asked, and the answer.
    Call,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Request, Self::Response, Self::Call];

    /// As a line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "InboundRequest",
            Self::Response => "InboundResponse",
            Self::Call => "OutboundCall",
        }
    }
}

/// What one capture wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Lines in the logs, counted here.
    pub lines: BTreeMap<Kind, u64>,
    /// Events that incident.json says were lost.
    pub lost: u64,
    /// It lost stretches of connections: `lost` is then the least there were.
    pub gaps: bool,
    /// Of both logs.
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
        let gaps = !manifest["lost"]["byReason"]["gap"].is_null();
        let (mut lines, mut bytes) = (BTreeMap::new(), 0);
        for name in ["inbound.log", "outbound.log"] {
            let log = File::open(incident.join(name)).with_context(|| format!("there is no {name}"))?;
            bytes += log.metadata()?.len();
            count(BufReader::with_capacity(1 << 20, log), &mut lines)?;
        }
        let counts = manifest["counts"].as_object().into_iter().flatten();
        let others = counts.filter(|(name, _)| Kind::ALL.iter().all(|kind| *name != kind.name()));
        let others = others.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect();
        Ok(Self { lines, lost, gaps, bytes, others })
    }

    /// Lines of this kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.lines.get(&kind).copied().unwrap_or(0)
    }
}

/// Counts lines by type, which stands near the start of a line; the rest, which may be long, is skipped.
fn count(mut log: impl BufRead, lines: &mut BTreeMap<Kind, u64>) -> Result<()> {
    let mut start = Vec::new();
    loop {
        start.clear();
        if log.by_ref().take(160).read_until(b'\n', &mut start)? == 0 {
            return Ok(());
        }
        if let Some(kind) = kind(&start) {
            *lines.entry(kind).or_default() += 1;
        }
        if !start.ends_with(b"\n") {
            log.skip_until(b'\n')?;
        }
    }
}

fn kind(line: &[u8]) -> Option<Kind> {
    const FIELD: &[u8] = br#""type":""#;
    let at = line.windows(FIELD.len()).position(|window| window == FIELD)?;
    let rest = &line[at + FIELD.len()..];
    Kind::ALL
        .into_iter()
        .find(|kind| rest.strip_prefix(kind.name().as_bytes()).is_some_and(|rest| rest.starts_with(b"\",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(log: &str) -> BTreeMap<Kind, u64> {
        let mut lines = BTreeMap::new();
        count(log.as_bytes(), &mut lines).unwrap();
        lines
    }

    #[test]
    fn lines_are_counted_by_their_type_whatever_their_length() {
        let call = r#"{"id":"0","type":"OutboundCall","body":"#;
        let long = format!("{call}\"{}\"}}\n", "x".repeat(5000));
        let other = format!(
            "{{\"type\":\"Connection\",\"body\":\"{}\\\"type\\\":\\\"OutboundCall\\\",\"}}\n",
            "y".repeat(200)
        );
        let request = "{\"id\":\"1\",\"type\":\"InboundRequest\",\"timestamp\":\"\"}\n";
        let log = format!("{long}{other}{request}{call}0}}\n{long}{{}}\n");
        assert_eq!(counted(&log), [(Kind::Call, 3), (Kind::Request, 1)].into());
        assert_eq!(counted(""), BTreeMap::new());
    }
}
