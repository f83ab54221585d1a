//! What of the script is sent, and whether it can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Options;
use super::driver::{Moment, Plan, Selection};
use super::script::{CallKind, ExchangeIndex, Script};
use super::stub::LiveRule;
use crate::error::{Exit, ExpectedError, Result};
use crate::pattern::matches_service;

/// So many dependencies are named.
const NAMED: usize = 10;

/// What is sent in each run.
pub struct Chosen {
    /// When.
    pub plan: Arc<Plan>,
    /// The id of the one that is sent, where it was chosen.
    pub request: Option<String>,
    /// The recorded ports of the target's listeners, which it must listen on.
    pub ports: BTreeSet<u16>,
    /// How many others could be sent, and are not.
    pub unsent: usize,
    /// Calls that are due because of them; of all of them if all are sent.
    pub calls: usize,
    /// From the last answer to the end of the last call, in ns: what the target does behind its answers.
    pub tail_ns: u64,
}

impl Chosen {
    /// What the options ask for.
    ///
    /// # Errors
    /// `Exit::Incident` if there is no such exchange, none that can be sent, or a dependency that no stub speaks to.
    pub fn of(script: &Script, options: &Options) -> Result<Self> {
        all_served(script, &options.live)?;
        let selection = match &options.request {
            Some(id) => Selection::of_request(script, id)?,
            None => Selection { only: None, most: options.max_events },
        };
        let only = selection.only.as_ref().and_then(|only| only.first().copied());
        let plan = Plan::new(Moment::all(script), &selection, &options.pace);
        let exchanges: BTreeSet<ExchangeIndex> = plan.exchanges().collect();
        if exchanges.is_empty() {
            return Err(ExpectedError::new(
                Exit::Incident,
                format!("nothing of {} can be sent to a target", options.incident.display()),
            )
            .help("replay an incident with inbound HTTP requests: see `infernosim inspect`"));
        }
        let all = exchanges.len() == script.exchanges().len();
        let due = script.calls().iter().filter(|it| matches!(it.kind, CallKind::Http | CallKind::Turn));
        let due = due.filter(|it| all || it.cause.is_some_and(|cause| exchanges.contains(&cause)));
        let (calls, last_call) = due.fold((0, 0), |(count, last), it| (count + 1, last.max(it.end_ns)));
        let answers = exchanges.iter().filter_map(|index| script.exchange(*index).end_ns);
        let ports = exchanges.iter().filter_map(|index| script.exchange(*index).listener).map(|it| it.port());
        Ok(Self {
            request: only.map(|one| script.exchange(one).id.to_string()),
            ports: ports.collect(),
            unsent: Moment::all(script).count().saturating_sub(exchanges.len()),
            calls,
            tail_ns: last_call.saturating_sub(answers.max().unwrap_or(last_call)),
            plan: Arc::new(plan),
        })
    }
}

/// Each dependency can be answered for by a stub, or is live.
fn all_served(script: &Script, live: &[LiveRule]) -> Result<()> {
    let mut unserved = BTreeMap::new();
    for dependency in script.dependencies().iter().filter(|it| it.unserved > 0) {
        let bare = dependency.name.rsplit_once(':').map_or(&*dependency.name, |(host, _)| host);
        let is_live = |rule: &LiveRule| {
            let names = [&*dependency.name, bare].map(str::to_owned).into_iter();
            let mut names = names.chain(dependency.addresses.iter().map(ToString::to_string));
            names.any(|name| matches_service(&rule.dependency, &name))
        };
        if !live.iter().any(is_live) {
            unserved.insert(&*dependency.name, (&*dependency.protocol, dependency.unserved));
        }
    }
    let Some(first) = unserved.keys().next() else { return Ok(()) };
    let each = unserved.iter().take(NAMED);
    let mut each: Vec<String> =
        each.map(|(name, (protocol, calls))| format!("{name} ({protocol}, {calls} calls)")).collect();
    if unserved.len() > NAMED {
        each.push(format!("{} more", unserved.len() - NAMED));
    }
    Err(ExpectedError::new(Exit::Incident, format!("no stub speaks the protocol of {} yet", each.join(", ")))
        .help(format!("let it be reached: --live {first}")))
}
