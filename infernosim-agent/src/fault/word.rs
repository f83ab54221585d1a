//! A rule's text as words, quoted as for a shell.

use super::wrong::Wrong;

/// A longer rule is none, in bytes.
const LONGEST_RULE: usize = 1 << 20;

/// `latency=+200ms`, `reset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What stands before the first `=`, as written.
    pub name: String,
    /// What stands behind it, without quotes.
    pub value: Option<String>,
}

impl Word {
    /// What stands before the first `=`.
    pub fn name_of(text: &str) -> &str {
        text.split('=').next().unwrap_or_default()
    }

    fn of(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Self { name: text.to_owned(), value: None },
        }
    }
}

/// The words of a rule (POSIX shell, XCU 2.2: `'…'` as it is, `"…"` and outside with a backslash before what is meant as
/// it is).
pub fn split(text: &str) -> Result<Vec<Word>, Wrong> {
    if text.len() > LONGEST_RULE {
        return Err(format!("it is longer than {LONGEST_RULE} bytes").into());
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let escaped = chars.next().ok_or("it ends with a backslash")?;
                let word = word.get_or_insert_default();
                if quote.is_some() && !['"', '\\', '$', '`'].contains(&escaped) {
                    word.push('\\');
                }
                word.push(escaped);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(Wrong::new(format!("a quote {open} is not closed")));
    }
    words.extend(word);
    Ok(words.iter().map(|word| Word::of(word)).collect())
}

/// A value as [`split`] reads it back.
pub fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !['\'', '"', '\\'].contains(&c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<(String, Option<String>)> {
        split(text).unwrap().into_iter().map(|word| (word.name, word.value)).collect()
    }

    #[test]
    fn quotes_are_a_shells() {
        let read = words(r#"dep=a  op='GET /x y' set-body="say \"it\" \n" b\ c=1 reset ''"#);
        let expected = [
            ("dep", Some("a")),
            ("op", Some("GET /x y")),
            ("set-body", Some(r#"say "it" \n"#)),
            ("b c", Some("1")),
            ("reset", None),
            ("", None),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
        for wrong in ["a='b", "a=\"b", "a\\"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
        assert!(split(&"a".repeat(LONGEST_RULE + 1)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(value in r#"[a '"\\=\n$é]{0,12}"#) {
            let read = words(&format!("  x={} y", quoted(&value)));
            prop_assert_eq!(&read[0], &("x".to_owned(), Some(value)));
            prop_assert_eq!(read.len(), 2);
        }

        #[test]
        fn as_shlex_reads_it(text in r#"[a='"\\ ]{0,16}"#) {
            let ours = split(&text).map(|words| words.into_iter().map(|word| match word.value {
                Some(value) => format!("{}={value}", word.name),
                None => word.name,
            }).collect::<Vec<_>>());
            prop_assert_eq!(ours.ok(), shlex::split(&text));
        }
    }
}
