use clap::Args;

use crate::incident::Limits;
use crate::incident::redact::Policy;
use crate::quantity::size;

/// What is kept of bodies, and of secrets.
#[derive(Args, Debug)]
pub struct Keeping {
    /// Bodies longer than this go to files of their own.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size)]
    inline_body: u64,
    /// Cut bodies after this much, and mark them [default: never].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_body: Option<u64>,
    /// Replace the values of this header or field too: `header:NAME`, `field:NAME`, or NAME for both; `*` is any text.
    #[arg(long, value_name = "NAME", value_parser = redacted)]
    redact: Vec<String>,
    /// Store passwords, tokens and cookies as they are sent.
    #[arg(long, conflicts_with = "redact")]
    no_redact: bool,
}

impl Keeping {
    /// What is kept of bodies.
    pub fn limits(&self) -> Limits {
        Limits { inline_body: self.inline_body, max_body: self.max_body.unwrap_or(u64::MAX) }
    }

    /// Which names are secret; `None` stores everything as it was sent.
    pub fn policy(&self) -> Option<Policy> {
        if self.no_redact {
            return None;
        }
        let mut policy = Policy::default();
        // Each was tried when it was read.
        self.redact.iter().for_each(|name| policy.add(name).unwrap_or_default());
        Some(policy)
    }
}

fn redacted(name: &str) -> Result<String, String> {
    Policy::default().add(name).map(|()| name.to_owned())
}
