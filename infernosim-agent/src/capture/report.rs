use std::collections::BTreeMap;
use std::fmt::Write as _;

use infernosim_common::Counter;

use crate::incident::manifest::{Host, Manifest, Target, Tool, now};
use crate::incident::{LeftAlone, Losses, Reason, Sums};
use crate::redirect::Redirect;
use crate::tap::Unread;

/// So many incidents and dependencies are named; there may be thousands.
const NAMED: usize = 10;

/// Everything that a capture has to say about itself at its end.
pub struct Outcome {
    /// Of all its incidents.
    pub sums: Sums,
    /// Connections that the end of the capture cut.
    pub cut: u64,
    /// Packets that were held back where the ring was full (`--strict-capture`).
    pub held: u64,
    /// What an explicit proxy did not pass on, by reason; it is not recorded.
    pub refused: Vec<(&'static str, u64)>,
}

impl Outcome {
    /// The loss in words.
    pub fn loss(&self) -> String {
        let lost = &self.sums.lost;
        if lost.is_empty() {
            return "0 lost".to_owned();
        }
        let at_least = if self.sums.gaps > 0 { "at least " } else { "" };
        let mut text = format!("{at_least}{} lost (", lost.events());
        if lost.bytes() > 0 {
            let _ = write!(text, "{} bytes; ", lost.bytes());
        }
        let reasons: Vec<String> =
            lost.iter().map(|(reason, count)| format!("{} {}", reason.as_str(), count.events)).collect();
        text + &reasons.join(", ") + ")"
    }

    /// Whether all that was seen, and was to be kept, is in the incident.
    pub fn is_complete(&self) -> bool {
        self.sums.lost.is_empty() && self.sums.errors.is_empty()
    }

    /// What is wrong, if it is not complete.
    pub fn faults(&self) -> String {
        let mut text = format!("the recording is incomplete: {}", self.loss());
        self.sums.errors.iter().for_each(|error| text.push_str(&format!("\n  {error}")));
        text
    }

    /// What a person reads at the end.
    pub fn summary(&self) -> String {
        let Sums { incidents, excluded, dependencies, unmediated, errors, notes, .. } = &self.sums;
        let first = incidents.first().map(|it| it.path.display().to_string()).unwrap_or_default();
        let events: u64 = incidents.iter().map(|it| it.events).sum();
        let mut text = format!("infernosim: captured {events} events in {first}");
        if incidents.len() > 1 {
            let _ = write!(text, " and {} more", incidents.len() - 1);
        }
        let _ = write!(text, ", {}{}", self.loss(), excluded_in_words(excluded));
        if incidents.len() > 1 {
            let each = incidents.iter().map(|it| format!("{} ({})", it.path.display(), it.events)).collect();
            let _ = write!(text, "\n  incidents: {}", some_of(each, incidents.len()));
        }
        for error in errors.iter().chain(notes) {
            let _ = write!(text, "\n  {error}");
        }
        if self.cut > 0 {
            let _ = write!(text, "\n  {} connections were still open at the end and were closed", self.cut);
        }
        if self.held > 0 {
            let _ = write!(
                text,
                "\n  held back by --strict-capture: {} packets, which TCP sends again",
                self.held
            );
        }
        if !self.refused.is_empty() {
            let each: Vec<String> =
                self.refused.iter().map(|(why, count)| format!("{count} {why}")).collect();
            let _ = write!(text, "\n  requests not passed on, and not recorded: {}", each.join(", "));
        }
        let each = dependencies.iter().take(NAMED).map(|(name, it)| match it.failed {
            0 => format!("{name} ({}, {})", it.protocol, it.calls),
            failed => format!("{name} ({}, {}, {failed} failed)", it.protocol, it.calls),
        });
        if !dependencies.is_empty() {
            let _ = write!(text, "\n  dependencies: {}", some_of(each.collect(), dependencies.len()));
        }
        let unmediated: Vec<String> =
            unmediated.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if !unmediated.is_empty() {
            let _ = write!(text, "\n  unmediated: {}", unmediated.join(", "));
        }
        let _ = write!(text, "\n  next: infernosim inspect {first}");
        text
    }
}

/// The first and the last of many.
fn some_of(mut each: Vec<String>, count: usize) -> String {
    if each.len() > NAMED {
        let last = each.pop().unwrap_or_default();
        each.truncate(NAMED - 1);
        return format!("{} … {last}", each.join(", "));
    }
    let more = count.saturating_sub(each.len());
    each.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn excluded_in_words(excluded: &Losses) -> String {
    let word = |reason| match reason {
        Reason::AfterEnd => "after the last incident was full",
        _ => "left out by --only and --exclude",
    };
    excluded.iter().map(|(reason, count)| format!(", {} {}", count.events, word(reason))).collect()
}

/// What the kernel half left alone, by kind, since the capture began, and what was known to be so at the start.
pub fn left_alone(
    redirect: &Redirect,
    known: Option<&BTreeMap<String, u64>>,
    unread: Option<&Unread>,
) -> LeftAlone {
    let counted = Counter::UNMEDIATED
        .into_iter()
        .map(|(counter, name)| (name.to_owned(), redirect.count(counter)))
        .filter(|(_, count)| *count > 0);
    let mut unmediated: BTreeMap<String, u64> = known.cloned().unwrap_or_default();
    let Unread { older, too_many } = unread.copied().unwrap_or_default();
    let unread = [("older-connections", older), ("agent-at-limit", too_many)];
    let unread = unread.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count));
    // What was open before and what was opened since may be of one kind.
    for (name, count) in counted.chain(redirect.unix_connects()).chain(unread) {
        *unmediated.entry(name).or_default() += count;
    }
    LeftAlone {
        unmediated,
        unseen: redirect.count(Counter::RefusalUnseen),
        excluded: redirect.count(Counter::Excluded),
    }
}

/// The manifest of a capture that begins.
pub fn manifest(target: Target) -> Manifest {
    let host = nix::sys::utsname::uname().ok();
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let host = host.map_or_else(Host::default, |host| Host {
        kernel: text(host.release()),
        arch: text(host.machine()),
        hostname: text(host.nodename()),
    });
    Manifest { tool: Tool::this(), target, host, started_at: now(), ..Manifest::default() }
}
