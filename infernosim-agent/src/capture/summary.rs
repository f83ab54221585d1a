use std::collections::BTreeMap;

use serde::Serialize;

use super::report::Outcome;
use crate::incident;
use crate::incident::manifest::{Dependency, Lost};

/// The end of a capture for programs (`--json`, docs/cli.md): what a person reads, and all of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    /// The command. First, so that the line is known by its beginning among those of CMD.
    infernosim: &'a str,
    incidents: Vec<Incident>,
    events: u64,
    /// Nothing was lost and nothing went wrong; else the exit status is 4 unless CMD's is another.
    complete: bool,
    lost: Lost,
    /// `lost` is the least there was.
    at_least: bool,
    excluded: Lost,
    dependencies: Vec<Dependency>,
    unmediated: &'a BTreeMap<String, u64>,
    refused: BTreeMap<&'a str, u64>,
    connections_cut: u64,
    packets_held: u64,
    errors: &'a [String],
    notes: &'a [String],
}

#[derive(Serialize)]
struct Incident {
    path: String,
    events: u64,
}

fn named(name: &str, it: &incident::Dependency) -> Dependency {
    let (service, protocol) = (name.to_owned(), it.protocol.to_string());
    Dependency { service, protocol, calls: it.calls, failed: it.failed }
}

/// One line.
pub fn to_json(command: &str, outcome: &Outcome) -> String {
    let sums = &outcome.sums;
    let incidents = sums.incidents.iter();
    let summary = Summary {
        infernosim: command,
        incidents: incidents
            .map(|it| Incident { path: it.path.display().to_string(), events: it.events })
            .collect(),
        events: sums.incidents.iter().map(|it| it.events).sum(),
        complete: outcome.is_complete(),
        lost: Lost::from(&sums.lost),
        at_least: sums.gaps > 0,
        excluded: Lost::from(&sums.excluded),
        dependencies: sums.dependencies.iter().map(|(name, it)| named(name, it)).collect(),
        unmediated: &sums.unmediated,
        refused: outcome.refused.iter().copied().collect(),
        connections_cut: outcome.cut,
        packets_held: outcome.held,
        errors: &sums.errors,
        notes: &sums.notes,
    };
    // Plain structs with string keys always serialise.
    serde_json::to_string(&summary).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Closed, Losses, Reason, Sums};

    /// As docs/cli.md shows it.
    const EXAMPLE: &str = include_str!("../../tests/golden/json/capture.json");

    #[test]
    fn the_summary_is_as_the_documents_show_it() {
        let mut lost = Losses::default();
        lost.add(Reason::Buffer, 2, 4096);
        let dependency = incident::Dependency { protocol: "http/1.1", calls: 9, failed: 1 };
        let sums = Sums {
            incidents: vec![Closed { path: "incident".into(), events: 21 }],
            lost,
            gaps: 1,
            dependencies: BTreeMap::from([("payments.test".into(), dependency)]),
            unmediated: BTreeMap::from([("udp-datagrams".to_owned(), 3)]),
            notes: vec!["a note".into()],
            ..Sums::default()
        };
        let refused = vec![("malformed (400)", 1)];
        let json = to_json("capture", &Outcome { sums, cut: 1, held: 0, refused });
        assert!(!json.contains('\n'));
        assert!(json.starts_with("{\"infernosim\":\"capture\","), "{json}");
        let [ours, shown] =
            [&json, EXAMPLE].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(ours, shown);
    }
}
