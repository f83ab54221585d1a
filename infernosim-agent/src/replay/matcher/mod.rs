//! Which recorded call a live one is.
//!
//! ```text
//! question ─▶ redacted ─▶ site (dependency, method, path) ─▶ of its cause ─┬▶ exact ─▶ but for ids and times ─▶ relaxed
//!                                                                         └▶ of those without a cause, likewise
//! ```
//!
//! Invariants: a recorded call stands for one live call at most (of each copy of a request); what happens under one cause changes nothing under another;
//! a better pair is never kept from being found by a worse one that came earlier (it takes the counterpart over). Nothing is
//! guessed: several that could be meant, with different answers, are `ambiguous`.

mod find;
mod loans;
mod nearest;
mod order;
mod sites;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use super::fields::{self, Content, Fields};
use super::script::{Basis, CallIndex, ExchangeIndex, Keys, Script, normal_dependency, raw_key, sha256};
use super::seen;
use crate::clock;
use crate::error::Result;
use crate::incident::redact::Live;
use loans::Loans;
use sites::{Level, Sites};

/// Of so many calls that are not exact it is kept what was asked.
const MOST_ASKED: usize = 10_000;

/// What to do with a call that has no counterpart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnmatched {
    /// It is refused.
    #[default]
    Fail,
    /// It is given the nearest answer of the same dependency.
    Closest,
    /// It goes to the dependency.
    Passthrough,
}

/// How calls are matched.
#[derive(Clone, Debug, Default)]
pub struct MatchOptions {
    /// Only ids and times by their shape, and what is ignored, may differ.
    pub strict: bool,
    /// What to do with a call that has no counterpart.
    pub on_unmatched: OnUnmatched,
    /// Fields that are not looked at; `*` and `?` match.
    pub ignore: Vec<String>,
    /// For so many live calls each recorded one stands, where each request is sent so many times at once (`--fanout`); 0 is 1.
    pub copies: u32,
}

/// A live call that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whom it is for, the likeliest first: Host header, names that DNS gave for the address, the address. In any case,
    /// with or without a default port.
    pub dependency: &'a [&'a str],
    /// `GET`, …
    pub method: &'a str,
    /// As on the wire.
    pub target: &'a str,
    /// As on the wire.
    pub headers: &'a [(String, Vec<u8>)],
    /// All of it.
    pub body: &'a Bytes,
    /// Of a body too long to be held (then `body` is empty): size and SHA-256.
    pub digest: Option<(u64, [u8; 32])>,
    /// The exchange that made it happen, if that is known.
    pub cause: Option<ExchangeIndex>,
    /// How that is known.
    pub basis: Basis,
    /// The exchanges that are open now.
    pub open: &'a [ExchangeIndex],
    /// Now, in ns since the run began.
    pub at_ns: u64,
}

/// What to do with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Its place among the calls of this run: for `answered`.
    pub id: usize,
    /// Whose answer it gets; none: it is to be refused, or passed through.
    pub reply: Option<CallIndex>,
    /// Where it has no counterpart: why, for people.
    pub explanation: String,
}

/// Gives each live call its recorded counterpart.
#[derive(Debug)]
pub struct Matcher {
    script: Arc<Script>,
    options: MatchOptions,
    live: Live,
    sites: Sites,
    loans: Loans,
    calls: Vec<seen::Call>,
    /// Of how many of them it was kept what was asked.
    kept: usize,
}

/// What of a live call decides which recorded one it is.
#[derive(Clone, Debug)]
struct Sought {
    site: u32,
    keys: Keys,
    cause: Option<ExchangeIndex>,
    open: Vec<ExchangeIndex>,
}

/// What a live call said, without its secrets.
#[derive(Clone, Debug, Default)]
struct Said {
    /// By its likeliest name first.
    dependencies: Vec<String>,
    method: String,
    target: String,
    /// The body, where there was a secret in it.
    body: Option<Vec<u8>>,
    /// None: recorded byte for byte like this.
    fields: Option<Fields>,
}

impl Matcher {
    /// For a script.
    pub fn new(script: Arc<Script>, options: MatchOptions) -> Self {
        Self {
            live: script.live(),
            sites: Sites::of(&script, options.copies),
            script,
            options,
            loans: Loans::default(),
            calls: Vec::new(),
            kept: 0,
        }
    }

    /// A new run begins: nothing was asked yet.
    pub fn begin(&mut self) {
        self.calls.clear();
        self.sites.reset();
        self.loans = Loans::default();
        self.kept = 0;
    }

    /// The recorded requests are sent once more in the same run (`--window`): its calls so far stay noted.
    pub fn again(&mut self) {
        self.sites.reset();
        self.loans = Loans::default();
    }

    /// A live call.
    ///
    /// # Errors
    /// Those of reading the recorded one, where they are to be compared.
    pub fn ask(&mut self, question: &Question<'_>) -> Result<Decision> {
        let (mut said, sought) = self.read(question);
        if self.options.strict {
            said.fill(question);
        }
        let id = self.calls.len();
        let mut call = seen::Call {
            counterpart: None,
            differences: Vec::new(),
            cause: question.cause,
            basis: question.basis,
            ambiguous: false,
            asked: None,
            at_ns: question.at_ns,
            answered_ns: None,
        };
        let mut decision = Decision { id, ..Decision::default() };
        let found = match &sought {
            Some(sought) => self.find(sought, &said)?,
            None => None,
        };
        if let (Some((counterpart, level)), Some(sought)) = (found, &sought) {
            call.counterpart = Some(counterpart);
            call.ambiguous = self.is_ambiguous(sought, counterpart, level);
            if level != Level::Exact {
                said.fill(question);
                call.differences = self.differences(&said, counterpart)?;
            }
            self.take(counterpart, level, id, sought)?;
            decision.reply = Some(counterpart);
        } else {
            said.fill(question);
            let nearest = self.nearest(&said, sought.as_ref());
            decision.explanation = self.explain(&said, sought.as_ref(), nearest)?;
            if self.options.on_unmatched == OnUnmatched::Closest {
                decision.reply = nearest;
            }
        }
        if (call.counterpart.is_none() || !call.differences.is_empty()) && self.kept < MOST_ASKED {
            self.kept += 1;
            call.asked = Some(Box::new(said.kept()));
        }
        self.calls.push(call);
        Ok(decision)
    }

    /// A call that was matched by another: a turn of a protocol that is not read. Gives its id.
    pub fn note(&mut self, call: seen::Call) -> usize {
        if let Some(counterpart) = call.counterpart {
            self.sites.mark(counterpart);
        }
        self.calls.push(call);
        self.calls.len() - 1
    }

    /// Whether a recorded call has stood for a live one in this run.
    pub fn is_used(&self, call: CallIndex) -> bool {
        self.sites.is_used(call)
    }

    /// The recorded call that was so many before this one, of the same dependency, method and path.
    pub fn earlier(&self, call: CallIndex, back: u32) -> Option<CallIndex> {
        self.sites.earlier(call, back)
    }

    /// How many calls there were in this run.
    pub const fn count(&self) -> usize {
        self.calls.len()
    }

    /// The answer was sent, at so many ns since the run began.
    pub fn answered(&mut self, id: usize, at_ns: u64) {
        if let Some(call) = self.calls.get_mut(id) {
            call.answered_ns = Some(at_ns);
        }
    }

    /// The run is over: its calls, in the order in which they were asked.
    pub fn finish(&mut self) -> Vec<seen::Call> {
        std::mem::take(&mut self.calls)
    }

    /// Without secrets, and by its fields where it is not known byte for byte; the latter only where its site is known.
    fn read(&mut self, question: &Question<'_>) -> (Said, Option<Sought>) {
        let redacted = self.live.request(question.target, question.headers, question.body);
        let target = redacted.target.unwrap_or_else(|| question.target.to_owned());
        let (path, _) = fields::split_target(&target);
        let dependencies: Vec<String> =
            question.dependency.iter().map(|name| normal_dependency(name)).collect();
        let site = self.sites.site(&dependencies, question.method, &fields::template(path));
        let body = redacted.body.as_deref().unwrap_or(question.body);
        let content =
            question.digest.map_or(Content::Bytes(body), |(size, digest)| Content::Digest(size, digest));
        let known = self.sites.known(raw_key(&target, question.headers, &sha256(content)));
        let (keys, fields) = match known {
            Some(keys) => (keys, None),
            None => {
                let mut fields = fields::of_request(&target, question.headers, content);
                if self.live.is_foreign() {
                    fields::mask_tokens(&mut fields);
                }
                (Keys::of(path, &fields, wall_now()), Some(fields))
            }
        };
        let (cause, open) = (question.cause, question.open.to_vec());
        let sought = site.map(|site| Sought { site, keys, cause, open });
        (
            Said { dependencies, method: question.method.to_owned(), target, body: redacted.body, fields },
            sought,
        )
    }
}

impl Said {
    /// Its fields, where they are needed after all: it was recorded like this, but for something else.
    fn fill(&mut self, question: &Question<'_>) {
        if self.fields.is_none() {
            let body = Content::Bytes(self.body.as_deref().unwrap_or(question.body));
            let body = question.digest.map_or(body, |(size, digest)| Content::Digest(size, digest));
            self.fields = Some(fields::of_request(&self.target, question.headers, body));
        }
    }

    /// For the report.
    fn kept(self) -> seen::Asked {
        let dependency = self.dependencies.into_iter().next().unwrap_or_default();
        let fields = self.fields.unwrap_or_default();
        seen::Asked { dependency, method: self.method, target: self.target, fields }
    }
}

fn wall_now() -> i128 {
    i128::from(clock::wall(clock::now()))
}
