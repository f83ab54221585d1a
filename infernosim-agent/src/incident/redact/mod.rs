//! Secrets are replaced while a message is recorded, before any byte of it leaves the recorder: by tokens that are
//! equal for equal values. `docs/redaction.md` says what is secret and what is not.
//!
//! ```text
//! head ──▶ header (cookies, authorization), url ─┐
//! body ──▶ coding ─▶ shape ─▶ coding             ├─▶ token ─▶ the line, the body; secrets.json
//!          (gzip)    (json, form, multipart, …)  ─┘
//! ```
//!
//! Sans-IO. What is not secret comes out byte for byte, whatever it is; nothing recurses, and what is held is
//! bounded. Where the bytes are cut makes no difference. Imports `seed` and `incident::json`.

mod coding;
pub mod command;
mod echo;
mod events;
mod filter;
mod form;
mod header;
mod json;
mod lines;
mod live;
mod media;
mod memo;
mod multipart;
mod normal;
mod policy;
mod restore;
mod shape;
pub mod spot;
#[cfg(test)]
mod tests;
mod token;
mod url;

pub(super) use self::echo::Values;
pub(super) use self::filter::{End, Filter, Whole};
pub(super) use self::header::Class;
pub use self::live::{Live, Met, Redacted, decoded};
pub use self::media::{Kind, Media};
use self::memo::Memo;
pub use self::normal::percent_decoded;
pub use self::policy::Policy;
pub use self::restore::Restorer;
pub use self::token::Replaced;
use self::token::Tokens;
use super::manifest::Manifest;
use crate::error::Result;
use crate::seed;

/// What a recording does about secrets: replaces those that a policy names, under a key of its own, or nothing.
#[derive(Clone, Debug)]
pub struct Redaction {
    policy: Option<Policy>,
    key: [u8; 32],
}

/// Replaces secrets, for one recording.
#[derive(Debug)]
pub struct Redactor {
    policy: Policy,
    tokens: Tokens,
    headers: Memo<Class>,
    fields: Memo<bool>,
}

impl Redaction {
    /// By this policy, with a new key from the system; without one, everything is stored as it was sent.
    ///
    /// # Errors
    /// `Exit::Host` if the system gives no random bytes.
    pub fn new(policy: Option<Policy>) -> Result<Self> {
        Ok(Self { policy, key: seed::key()? })
    }

    /// The first line of a `secrets.json` with this key.
    pub(super) fn first_line(key: &[u8; 32]) -> Vec<u8> {
        token::first_line(key)
    }

    /// By this policy and key: the same key gives the same tokens.
    pub const fn with_key(policy: Option<Policy>, key: [u8; 32]) -> Self {
        Self { policy, key }
    }

    /// Says in the manifest what is done about secrets, and does it to the command line that stands there. What that
    /// tells nobody is put right at the end: see [`crate::incident::reader::Secrets::replace_in`].
    pub fn describe(&self, manifest: &mut Manifest) {
        let Some(policy) = &self.policy else { return };
        manifest.redaction.policy = policy.as_str().to_owned();
        manifest.redaction.names = policy.names();
        if let Some(mut redactor) = self.redactor() {
            redactor.command(&mut manifest.target.command);
        }
    }

    /// What does it; `None` if nothing is to be done.
    pub fn redactor(&self) -> Option<Redactor> {
        let policy = self.policy.clone()?;
        let (headers, fields) = (Memo::default(), Memo::default());
        Some(Redactor { policy, tokens: Tokens::new(&self.key), headers, fields })
    }
}

impl Redactor {
    /// Whether the value of a field of this name, its escapes decoded, is secret.
    fn is_secret_field(&mut self, name: &[u8]) -> bool {
        let Self { policy, fields, .. } = self;
        fields.verdict(name, |name| policy.is_secret_field(name))
    }

    /// What was replaced so far.
    pub const fn replaced(&self) -> Replaced {
        self.tokens.replaced()
    }

    /// Whether there are new lines for `secrets.json`.
    pub(super) const fn has_news(&self) -> bool {
        self.tokens.has_news()
    }

    /// The new lines for `secrets.json`; then comes `told` or `untold`.
    pub(super) fn news(&mut self) -> Vec<u8> {
        self.tokens.news()
    }

    /// They were taken over.
    pub(super) fn told(&mut self) {
        self.tokens.told();
    }

    /// Another `secrets.json` begins.
    pub(super) fn begin_file(&mut self) {
        self.tokens.begin_file();
    }

    /// There was no room for them.
    pub(super) fn untold(&mut self, news: Vec<u8>) {
        self.tokens.untold(news);
    }

    /// The values met since the last time: what answers them is looked through for them.
    pub(super) fn met(&mut self) -> Values {
        self.tokens.met()
    }

    /// These were met once more.
    pub(super) fn meet(&mut self, values: Values) {
        self.tokens.meet(values);
    }

    /// How many values were replaced so far: what has changed since may be told by it.
    fn values(&self) -> u64 {
        self.tokens.replaced().values
    }
}
