//! `volatile.toml` in an incident's directory: what was learned, and what people write there.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{Volatile, Why};
use crate::error::{Exit, ExpectedError, Result};

/// Its name.
pub const FILE_NAME: &str = "volatile.toml";
/// What a new one begins with.
const HEAD: &str = "\
# Fields whose values may be others in each run: they keep presence and type, and any value passes.
# `infernosim replay` adds what it learns, and keeps what stands here. Yours: site and name, * and ? match.
# why = \"time\": only as long as it is a time on both sides.
";

/// The content of such a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolatileFile {
    text: String,
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    field: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    site: String,
    name: String,
    #[serde(default)]
    why: Option<Reason>,
}

/// Why it is there; nothing where people wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Reason {
    #[serde(rename = "time")]
    Time,
    #[serde(rename = "runs disagree")]
    Runs,
}

impl VolatileFile {
    /// Reads the text of one.
    ///
    /// # Errors
    /// `Exit::Incident` if it is malformed, with the place; the caller names the file.
    pub fn parse(text: &str) -> Result<Self> {
        let content: Content = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            ExpectedError::new(Exit::Incident, format!("line {line}: {}", error.message()))
                .help("mend it, or remove it so that what is volatile is learned again")
        })?;
        Ok(Self { text: text.to_owned(), fields: content.field })
    }

    /// Site, name and why, as they stand there.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str, Why)> {
        self.fields.iter().map(|field| {
            let why = match field.why {
                Some(Reason::Time) => Why::Time,
                Some(Reason::Runs) => Why::Runs,
                None => Why::Said,
            };
            (field.site.as_str(), field.name.as_str(), why)
        })
    }

    /// The text with what is new in `volatile` behind it; none if nothing is. What stands there stays as it is.
    pub fn with(file: Option<&Self>, volatile: &Volatile) -> Option<String> {
        let known = Volatile::known(file, &[]);
        let mut text = file.map_or_else(|| HEAD.to_owned(), |it| it.text.clone());
        let mut is_new = file.is_none();
        for (site, name, why) in volatile.fields() {
            if known.why(site, name).is_some_and(|it| it >= why) {
                continue;
            }
            is_new = true;
            if !text.ends_with('\n') {
                text.push('\n');
            }
            let (site, name) = (toml::Value::from(site), toml::Value::from(name));
            let _ = write!(text, "\n[[field]]\nsite = {site}\nname = {name}\n");
            if why != Why::Said {
                let _ = writeln!(text, "why = \"{}\"", why.as_str());
            }
        }
        is_new.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_kept() {
        let written = "# mine\n[[field]] # id\nsite = \"inbound POST /orders\"\nname = 'body.*_id'";
        let file = VolatileFile::parse(written).unwrap();
        let mut volatile = Volatile::known(Some(&file), &[]);
        assert_eq!(VolatileFile::with(Some(&file), &volatile), None, "nothing is new");
        assert_eq!(volatile.why("inbound POST /orders", "body.order_id"), Some(Why::Said));
        assert_eq!(volatile.why("inbound GET /orders", "body.order_id"), None);
        volatile.add("inbound POST /orders", "body.order_id", Why::Runs);
        assert_eq!(VolatileFile::with(Some(&file), &volatile), None, "it is known by the pattern");
        volatile.add("outbound a.test GET /", "query.\"t\"", Why::Time);
        let text = VolatileFile::with(Some(&file), &volatile).unwrap();
        assert_eq!(
            text.strip_prefix(written).unwrap(),
            "\n\n[[field]]\nsite = \"outbound a.test GET /\"\nname = 'query.\"t\"'\nwhy = \"time\"\n"
        );
        assert_eq!(
            Volatile::known(Some(&VolatileFile::parse(&text).unwrap()), &[])
                .why("outbound a.test GET /", "query.\"t\""),
            Some(Why::Time)
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, said) in [
            ("[[field]]\nsite = \"a\"\nnmae = \"b\"\n", "line 3: unknown field `nmae`"),
            ("\n\nfield = 1", "line 3: "),
            ("[[field]]\nsite = \"a\"\n", "line 1: missing field `name`"),
            ("[[field]]\nsite = \"a\"\nname = \"b\"\nwhy = \"so\"", "line 4: unknown variant `so`"),
            ("x", "line 1: "),
        ] {
            let error = VolatileFile::parse(text).unwrap_err();
            assert!(error.message.starts_with(said), "{text:?}: {error}");
            assert_eq!(error.exit, Exit::Incident);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(fields in proptest::collection::vec((any::<String>(), any::<String>(), 0..3), 0..4)) {
            let mut volatile = Volatile::default();
            for (site, name, why) in &fields {
                volatile.add(site, name, [Why::Time, Why::Runs, Why::Said][*why as usize]);
            }
            let text = VolatileFile::with(None, &volatile).unwrap();
            let file = VolatileFile::parse(&text).unwrap();
            let found = Volatile::known(Some(&file), &[]);
            prop_assert!(found.fields().eq(volatile.fields()));
            prop_assert_eq!(VolatileFile::with(Some(&file), &volatile), None);
        }
    }
}
