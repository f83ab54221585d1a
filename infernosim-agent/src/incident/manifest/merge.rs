//! What several sessions recorded, in one manifest.

use std::collections::BTreeMap;

use super::{Dependency, Lost, Manifest, Redaction};
use crate::incident::Direction;

/// So many dependencies are named; later ones are counted together.
const MOST_DEPENDENCIES: usize = 4096;
const OTHERS: &str = "(others)";

impl Manifest {
    /// Adds what another session counted.
    pub fn add(&mut self, session: &Self) {
        for (sums, more) in [(&mut self.counts, &session.counts), (&mut self.unmediated, &session.unmediated)]
        {
            for (name, count) in more {
                let sum = sums.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        self.lost.add(&session.lost);
        self.excluded.add(&session.excluded);
        self.redaction.add(&session.redaction);
        let mut by_name: BTreeMap<String, Dependency> =
            std::mem::take(&mut self.dependencies).into_iter().map(|it| (it.service.clone(), it)).collect();
        for more in &session.dependencies {
            let is_known = by_name.contains_key(&more.service) || by_name.len() < MOST_DEPENDENCIES;
            let name = if is_known { &more.service } else { OTHERS };
            let sum = by_name.entry(name.to_owned()).or_default();
            name.clone_into(&mut sum.service);
            // A connection on which nothing was said does not tell what it speaks.
            if sum.calls == 0 || sum.protocol == "tcp" {
                sum.protocol.clone_from(&more.protocol);
            }
            sum.calls = sum.calls.saturating_add(more.calls);
            sum.failed = sum.failed.saturating_add(more.failed);
        }
        self.dependencies = by_name.into_values().collect();
    }

    /// Takes out what was counted of one log: it is not there any more. `is_only` where there was no other.
    pub fn forget(&mut self, direction: Direction, is_only: bool) {
        self.counts.retain(|kind, _| !is_only && Direction::of_type(kind) != direction);
        if direction == Direction::Outbound {
            self.dependencies.clear();
        }
    }
}

impl Lost {
    fn add(&mut self, more: &Self) {
        self.events = self.events.saturating_add(more.events);
        self.bytes = self.bytes.saturating_add(more.bytes);
        for (reason, count) in &more.by_reason {
            let sum = self.by_reason.entry(reason.clone()).or_default();
            sum.events = sum.events.saturating_add(count.events);
            sum.bytes = sum.bytes.saturating_add(count.bytes);
        }
    }
}

impl Redaction {
    /// What no session has said yet.
    pub const UNSAID: &str = "";

    /// Takes in what a session does about secrets.
    pub fn join(&mut self, policy: &str, names: &[String]) {
        if self.policy == Self::UNSAID {
            policy.clone_into(&mut self.policy);
        } else if self.policy != policy || self.names != names {
            "mixed".clone_into(&mut self.policy);
        }
        let more: Vec<String> = names.iter().filter(|name| !self.names.contains(name)).cloned().collect();
        self.names.extend(more);
    }

    fn add(&mut self, more: &Self) {
        self.values = self.values.saturating_add(more.values);
        self.distinct = self.distinct.saturating_add(more.distinct);
        self.unstored = self.unstored.saturating_add(more.unstored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::manifest::Count;

    fn dependency(service: &str, protocol: &str, calls: u64, failed: u64) -> Dependency {
        Dependency { service: service.into(), protocol: protocol.into(), calls, failed }
    }

    fn session(calls: u64) -> Manifest {
        let lost = Count { events: 1, bytes: calls };
        Manifest {
            counts: BTreeMap::from([("OutboundCall".into(), calls), ("InboundRequest".into(), 2)]),
            lost: Lost { events: 1, bytes: calls, by_reason: BTreeMap::from([("disk".into(), lost)]) },
            dependencies: vec![dependency("b", "tcp", calls, 1)],
            ..Manifest::default()
        }
    }

    #[test]
    fn sessions_add_up() {
        let mut all = session(3);
        all.add(&session(4));
        let other = Manifest {
            dependencies: vec![dependency("b", "http/1.1", 1, 0), dependency("a", "tls", 1, 1)],
            ..Manifest::default()
        };
        all.add(&other);
        assert_eq!(all.counts["OutboundCall"], 7);
        assert_eq!((all.lost.events, all.lost.by_reason["disk"].bytes), (2, 7));
        assert_eq!(all.dependencies, [dependency("a", "tls", 1, 1), dependency("b", "http/1.1", 8, 2)]);
        all.forget(Direction::Outbound, false);
        assert_eq!((all.counts.len(), all.counts["InboundRequest"], all.dependencies.len()), (1, 4, 0));
    }

    #[test]
    fn dependencies_stay_few() {
        let many = (0..MOST_DEPENDENCIES + 10).map(|number| dependency(&format!("{number:05}"), "tls", 1, 0));
        let mut all = Manifest::default();
        all.add(&Manifest { dependencies: many.collect(), ..Manifest::default() });
        assert_eq!(all.dependencies.len(), MOST_DEPENDENCIES + 1);
        assert_eq!(all.dependencies.iter().find(|it| it.service == OTHERS).unwrap().calls, 10);
    }

    #[test]
    fn sessions_with_other_policies_are_said_to_have() {
        let mut redaction = Redaction { policy: Redaction::UNSAID.into(), ..Redaction::default() };
        redaction.join("default", &[]);
        redaction.join("default", &[]);
        assert_eq!(redaction.policy, "default");
        redaction.join("default+custom", &["x".into()]);
        assert_eq!((redaction.policy.as_str(), redaction.names.as_slice()), ("mixed", &["x".to_owned()][..]));
        redaction.join("default", &[]);
        assert_eq!(redaction.policy, "mixed");
    }
}
