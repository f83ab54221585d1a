//! One rule: where, when, what.

use std::fmt;

use super::action::{Action, ENTRIES, Entry, Need};
use super::occasion::{Host, Kind, Kinds, Occasion, Stream};
use super::selector::{Dir, SELECTORS, Selectors};
use super::when::{WHENS, When};
use super::word::{Word, split};
use super::wrong::{Wrong, near};
use crate::error::Result;

/// What changes an answer, and means nothing to bytes; of the others of messages a connection ends.
const OF_ANSWERS: [&str; 7] =
    ["status", "set-header", "drop-header", "set-body", "set-json", "stale", "duplicate-response"];

/// A rule: where, when, what.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// As it is written.
    pub text: String,
    pub(super) selectors: Selectors,
    pub(super) when: When,
    pub(super) actions: Vec<Action>,
    /// What it can happen to.
    kinds: Kinds,
}

/// Two are equal that say the same, however they are written.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Rule {
    /// Reads `dep=payments p=0.1 latency=+200ms`.
    ///
    /// # Errors
    /// `Exit::Usage` where it is none, with the near word where one is misspelt.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|wrong| wrong.in_rule(text.trim()))
    }

    pub(super) fn read(text: &str) -> Result<Self, Wrong> {
        let rule = Self::of(&split(text)?)?;
        Ok(Self { text: text.trim().to_owned(), ..rule })
    }

    /// Of its words; its text is the canonical one.
    pub(super) fn of(words: &[Word]) -> Result<Self, Wrong> {
        let mut rule = Self::default();
        for word in words {
            rule.take(word).map_err(|wrong| wrong.of(&word.name))?;
        }
        rule.check()?;
        rule.text = rule.to_string();
        Ok(rule)
    }

    fn take(&mut self, word: &Word) -> Result<(), Wrong> {
        let Some(name) = known(&word.name) else {
            let wrong = unknown(&word.name);
            let named =
                word.value.is_none() && word.name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
            return Err(if named {
                wrong.or_help(format!("a dependency is `dep={}`", word.name))
            } else {
                wrong
            });
        };
        if let Some(entry) = entry(name) {
            if self.actions.iter().any(|action| action.entry.word == entry.word) && !entry.repeats {
                return Err("it is there twice".into());
            }
            let action = Action::parse(entry, word.value.as_deref())?;
            if entry.word == "retries" {
                self.when.take(entry.word, word.value.as_deref().unwrap_or_default())?;
            }
            self.actions.push(action);
            return Ok(());
        }
        let Some(value) = word.value.as_deref().filter(|value| !value.is_empty()) else {
            let term = SELECTORS.iter().chain(&WHENS).find(|term| term.word == name);
            let help =
                term.map(|term| format!("write `{name}={}`, for example `{}`", term.value, term.example));
            return Err(Wrong::new("it needs a value").help(help.unwrap_or_default()));
        };
        if !self.selectors.take(name, value)? {
            self.when.take(name, value)?;
        }
        Ok(())
    }

    /// Whether all of it can come about.
    fn check(&mut self) -> Result<(), Wrong> {
        if self.actions.is_empty() {
            let wrong = Wrong::new("it says no action");
            return Err(wrong.help("add what is to happen, for example `latency=+200ms`"));
        }
        self.when.check()?;
        let kinds = self.selectors.kinds();
        let is_inbound = |action: &Action| action.entry.kinds == Kinds::REQUEST;
        let inbound = match self.selectors.dir {
            Some(dir) => dir == Dir::In,
            None => self.selectors.kinds() == Kinds::REQUEST || self.actions.iter().all(is_inbound),
        };
        let kinds = if inbound { kinds.within(Kinds::REQUEST) } else { kinds.without(Kinds::REQUEST) };
        for at in 0..self.actions.len() {
            let entry = self.actions[at].entry;
            let mut its = entry.kinds.within(kinds);
            if its.is_none() {
                return Err(self.impossible(entry).of(entry.word));
            }
            if self.selectors.stream == Some(Stream::Upstream) && entry.needs == Need::Messages {
                let wrong = Wrong::new("it is done to answers, and those go downstream").of(entry.word);
                return Err(wrong.help("leave `stream=upstream` away"));
            }
            // A connect that failed and the call of its retry would else both be a first occurrence.
            if self.when.counts() && its.has(Kind::Connect) {
                its = its.within(Kinds::CONNECT);
            }
            self.actions[at].kinds = its;
            self.kinds = self.kinds.and(its);
        }
        Ok(())
    }

    /// As [`super::Plan::check_for_replay`].
    pub(super) fn check_for_replay(&self) -> Result<()> {
        const UNFELT: [&str; 3] = ["corrupt", "half-close", "slow-close"];
        let unfelt = self.actions.iter().find(|action| UNFELT.contains(&action.entry.word));
        let Some(action) = unfelt.filter(|_| self.selectors.stream == Some(Stream::Upstream)) else {
            return Ok(());
        };
        let wrong = Wrong::new("a recording answers, whatever becomes of the bytes that the target sends");
        let wrong = wrong.of(action.entry.word);
        Err(wrong.help("leave `stream=upstream` away, or use it in `infernosim inject`").in_rule(&self.text))
    }

    /// Why an action can never happen to what the selectors choose.
    fn impossible(&self, entry: &Entry) -> Wrong {
        let Selectors { deps, dir, stream, .. } = &self.selectors;
        let of = entry.kinds.text();
        if entry.kinds == Kinds::REQUEST {
            let wrong = Wrong::new(format!("it happens to {of}, and the rule is about something else"));
            return wrong.help(match (deps.is_empty(), entry.word) {
                (_, "duplicate") => "twice the answer of a dependency is `duplicate-response`".to_owned(),
                (true, _) => "write `dir=in`, and other actions as a rule of their own".to_owned(),
                (false, _) => "leave `dep` away and write `dir=in`".to_owned(),
            });
        }
        if *dir == Some(Dir::In) || self.selectors.kinds() == Kinds::REQUEST {
            let wrong = Wrong::new(format!("it happens to {of}, and the rule is about inbound requests"));
            return wrong
                .help("inbound are latency, cancel, duplicate and reorder; else leave `dir=in` away");
        }
        if !deps.is_empty() && *dir == Some(Dir::In) {
            return Wrong::new("an inbound request has no dependency").help("leave `dep` away");
        }
        if self.selectors.reads_messages() {
            let wrong = Wrong::new(format!("it happens to {of}, and those have no method, path or field"));
            return wrong.help(
                "leave `op`, `path` and `header` away; calls can be hit by `reset`, `timeout` or `fail`",
            );
        }
        if stream.is_some() {
            return Wrong::new(format!("it happens to {of}, and those have no bytes"))
                .help("leave `stream` away");
        }
        if entry.kinds == Kinds::LOOKUP {
            return Wrong::new("a lookup is of a name, without a port")
                .help("write `dep=NAME`, as the target looks it up");
        }
        Wrong::new(format!("it happens to {of}, and `site` is something else"))
    }

    /// The dependencies that it names, by pattern or by site, each with a port where it says one; none where it is about any.
    pub fn dependencies(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        let of_site = self.selectors.site.as_deref().and_then(|site| {
            let (kind, rest) = site.split_once(' ')?;
            matches!(kind, "connect" | "outbound").then(|| rest.split(' ').next().unwrap_or(rest))
        });
        self.selectors.deps.iter().map(String::as_str).chain(of_site).map(|dep| {
            let Host { host, port } = Host::of(dep);
            (host, port)
        })
    }

    /// Where none of `known` (dependencies as a recording or a host calls them) is one that the rule names: the one that was
    /// likely meant. For a rule that never fired.
    pub fn likely_dependency<'a>(&self, known: &[&'a str]) -> Option<&'a str> {
        let deps = &self.selectors.deps;
        if deps.is_empty() || self.selectors.choose_dependency(known, None) {
            return None;
        }
        let hosts = || known.iter().map(|name| (Host::of(name).host, *name));
        deps.iter().find_map(|dep| {
            let wanted = Host::of(dep).host;
            let longer =
                hosts().find(|(host, _)| host.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.')));
            let alike = || near(wanted, hosts().map(|(host, _)| host));
            let other_port = hosts().find(|(host, _)| *host == wanted).map(|(_, name)| name);
            other_port.or_else(|| longer.map(|(_, name)| name)).or_else(alike)
        })
    }

    /// Whether it hits connects and what is open alike, for as long as it holds.
    pub(super) fn is_standing(&self) -> bool {
        self.actions.iter().any(|action| action.kinds.has(Kind::Call) && action.kinds.has(Kind::Connect))
    }

    /// Whether it is about an occasion, whichever its site and occurrence. What is done to messages cannot be done to bytes
    /// that nobody reads, and does not fire there.
    pub(super) fn chooses(&self, occasion: &Occasion<'_>) -> bool {
        let is_unread = occasion.kind == Kind::Call && occasion.method.is_empty();
        self.kinds.has(occasion.kind)
            && self.selectors.choose(occasion)
            && !(is_unread && self.actions.iter().all(|action| OF_ANSWERS.contains(&action.entry.word)))
    }

    /// What it does to an occasion that it hits, with each action's place among them.
    pub(super) fn actions(&self, kind: Kind) -> impl Iterator<Item = (u64, &Action)> {
        let others = self.actions.iter().any(|action| action.entry.word != "retries");
        let acts =
            move |action: &Action| action.kinds.has(kind) && !(others && action.entry.word == "retries");
        (0..).zip(&self.actions).filter(move |(_, action)| acts(action))
    }

    pub(super) const fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Whether it can only hit requests to the target.
    pub fn is_inbound(&self) -> bool {
        self.kinds.within(Kinds::CALL.and(Kinds::CONNECT).and(Kinds::LOOKUP)).is_none()
    }

    /// What must be understood of a connection.
    pub(super) fn need(&self) -> Need {
        let most = self.actions.iter().map(|action| action.entry.needs).max().unwrap_or_default();
        if self.selectors.reads_messages() { Need::Messages } else { most }
    }

    pub(super) fn stream(&self) -> Stream {
        self.selectors.stream.unwrap_or_default()
    }
}

/// A word as the grammar has it: of selectors, conditions, actions and their aliases.
fn known(name: &str) -> Option<&'static str> {
    let term = SELECTORS.iter().chain(&WHENS).map(|term| term.word).find(|word| *word == name);
    term.or_else(|| {
        let is = |entry: &&Entry| entry.word == name || entry.aliases.contains(&name);
        ENTRIES.into_iter().find(is).map(|entry| entry.word)
    })
}

fn entry(word: &str) -> Option<&'static Entry> {
    ENTRIES.into_iter().find(|entry| entry.word == word)
}

/// Every word that a rule may have, aliases left out.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    let terms = SELECTORS.iter().chain(&WHENS).map(|term| term.word);
    terms.chain(ENTRIES.into_iter().map(|entry| entry.word))
}

/// Of what stands before a first `=`.
pub(super) fn unknown(name: &str) -> Wrong {
    let wrong = Wrong::new("the grammar of faults has no such word");
    match near(name, words()) {
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None => match name.split_once([':', '=']).filter(|(word, _)| known(word).is_some()) {
            Some((word, value)) => wrong.help(format!("write `{word}={value}`")),
            None => wrong,
        },
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<String> = self.actions.iter().map(ToString::to_string).collect();
        let parts = [self.selectors.to_string(), self.when.to_string(), actions.join(" ")];
        f.write_str(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
    }
}
