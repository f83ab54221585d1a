//! What is wrong with a rule, and the word that was likely meant.

use crate::error::{Exit, ExpectedError};

/// So many characters of a rule or a value are said.
const LONGEST: usize = 200;

/// A mistake in a rule, without which rule it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    message: String,
    help: Option<String>,
}

impl Wrong {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What helps, where nothing better is known.
    pub fn or_help(self, help: String) -> Self {
        Self { help: self.help.or(Some(help)), ..self }
    }

    /// Says which word it is of.
    pub fn of(mut self, word: &str) -> Self {
        self.message = format!("`{word}`: {}", self.message);
        self
    }

    /// As the error of a rule's text.
    pub fn in_rule(self, text: &str) -> ExpectedError {
        let (rule, why) = (line(&format!("{text:?}")), line(&self.message));
        let error = ExpectedError::new(Exit::Usage, format!("the rule {rule} cannot be used: {why}"));
        match self.help {
            Some(help) => error.help(line(&help)),
            None => error.help("docs/faults.md has the grammar and an example of each action"),
        }
    }

    /// As the error of a rule of a plan, from 1.
    pub fn in_plan(self, plan: &str, number: usize) -> ExpectedError {
        let why = line(&self.message);
        let error = ExpectedError::new(Exit::Usage, format!("rule {number} of {plan} cannot be used: {why}"));
        match self.help {
            Some(help) => error.help(line(&help)),
            None => error.help("docs/faults.md has the grammar and an example of each action"),
        }
    }
}

/// One line, of a length that can be read: a value may be anything.
fn line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    let line: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() { line + "…" } else { line }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Wrong {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

/// Words that others use, and ours.
const SYNONYMS: [(&str, &str); 22] = [
    ("delay", "latency"),
    ("lag", "latency"),
    ("jitter", "latency"),
    ("toxicity", "p"),
    ("probability", "p"),
    ("chance", "p"),
    ("rate", "bandwidth"),
    ("throttle", "bandwidth"),
    ("host", "dep"),
    ("dependency", "dep"),
    ("service", "dep"),
    ("upstream", "stream"),
    ("downstream", "stream"),
    ("method", "op"),
    ("url", "path"),
    ("rst", "reset"),
    ("hang", "timeout"),
    ("error", "fail"),
    ("body", "set-body"),
    ("abort", "reset"),
    ("retry", "retries"),
    ("json", "set-json"),
];

/// The word that was likely meant: that of the same meaning, or one in which every third letter may be another.
pub fn near<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase().replace('_', "-");
    let synonym = SYNONYMS.iter().find(|(theirs, _)| *theirs == wanted).map(|(_, ours)| *ours);
    let ranked = words.into_iter().filter_map(|candidate| {
        if Some(candidate) == synonym {
            return Some((0, candidate));
        }
        let distance = strsim::damerau_levenshtein(&wanted, candidate);
        let long = wanted.chars().count().max(candidate.chars().count());
        (distance * 3 <= long && distance < long).then_some((distance, candidate))
    });
    ranked.min().map(|(_, candidate)| candidate)
}

/// That `word` is not one of `words`, and which was likely meant.
pub fn unknown(what: &str, word: &str, words: &[&str]) -> Wrong {
    let wrong = Wrong::new(format!("`{word}` is no {what}"));
    match near(word, words.iter().copied()) {
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None => wrong.help(format!("one of {}", words.join(", "))),
    }
}
