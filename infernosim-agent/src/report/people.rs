//! Numbers for people, and recorded text made harmless.

use std::borrow::Cow;
use std::fmt::Write;

/// Must this character not reach a terminal as it is? Controls would steer it; the marks that reorder text would
/// make a line read as something else (CVE-2021-42574); U+2028 and U+2029 end a line.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` on one line, controls written out: `\n`, `\t`, `\u{1b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    replace(text, is_unsafe, |c, out| out.extend(c.escape_default()))
}

/// As [`escape`], but lines stay lines.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_unsafe(c) && c != '\n' && c != '\t', |c, out| out.extend(c.escape_default()))
}

/// JSON that means the same and controls nothing. Outside of its strings there is nothing to escape.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    // Of the characters below U+0020 valid JSON has only white space.
    let unsafe_in_json = |c| is_unsafe(c) && !matches!(c, '\t' | '\n' | '\r');
    replace(json, unsafe_in_json, |c, out| {
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    })
}

fn replace(text: &str, wanted: impl Fn(char) -> bool, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if wanted(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The first `width` characters of `text`, the last of them `…` if that is not all.
pub fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(width.saturating_sub(1)).chain(['…']).collect())
}

/// Nanoseconds as people say them: `950ns`, `12.3µs`, `4.5ms`, `1.23s`, `2m05s`, `1h02m`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn duration(ns: u64) -> String {
    let n = ns as f64;
    match ns {
        0..1_000 => format!("{ns}ns"),
        // Bounds lie where rounding would otherwise show 1000.0 of the smaller unit.
        1_000..999_950 => format!("{:.1}µs", n / 1e3),
        999_950..999_950_000 => format!("{:.1}ms", n / 1e6),
        999_950_000..59_995_000_000 => format!("{:.2}s", n / 1e9),
        _ => {
            let seconds = ns / 1_000_000_000 + u64::from(ns % 1_000_000_000 >= 500_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            if hours > 0 {
                format!("{hours}h{minutes:02}m")
            } else {
                format!("{minutes}m{:02}s", seconds % 60)
            }
        }
    }
}

/// Bytes as people say them: `512 B`, `1.5 KiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    for unit in ["KiB", "MiB", "GiB"] {
        value /= 1024.0;
        if value < 1023.95 {
            return format!("{value:.1} {unit}");
        }
    }
    format!("{:.1} TiB", value / 1024.0)
}

/// `1 event`, `2 events`.
pub fn count(n: u64, noun: &str) -> String {
    let plural = match noun.strip_suffix('y') {
        _ if n == 1 => noun.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    };
    format!("{n} {plural}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.0µs"),
            (999_949, "999.9µs"),
            (999_950, "1.0ms"),
            (12_345_678, "12.3ms"),
            (999_949_999, "999.9ms"),
            (999_950_000, "1.00s"),
            (59_994_999_999, "59.99s"),
            (59_995_000_000, "1m00s"),
            (125_400_000_000, "2m05s"),
            (3_599_600_000_000, "1h00m"),
            (u64::MAX, "5124095h34m"),
        ] {
            assert_eq!(duration(ns), text, "{ns}");
        }
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (70_000, "68.4 KiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shortened_text_has_the_width() {
        assert_eq!(shorten("/äöü", 4), "/äöü");
        assert_eq!(shorten("/äöü!", 4), "/äö…");
        assert_eq!(shorten("ab", 0), "…", "never nothing at all");
    }

    #[test]
    fn plain_text_stays() {
        assert_eq!(escape("GET /ä?x=\\ 日本"), "GET /ä?x=\\ 日本");
        assert_eq!(escape("a\x1b[31m\r\n\t\u{9b}\u{202e}"), "a\\u{1b}[31m\\r\\n\\t\\u{9b}\\u{202e}");
        assert_eq!(escape_lines("a\tb\r\nc"), "a\tb\\r\nc");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in "[\\x00-\\x7f]*|\\PC*|[\u{7f}-\u{a0}]*|.*") {
            prop_assert!(!escape(&text).contains(is_unsafe));
            prop_assert!(!escape_lines(&text).contains(|c| is_unsafe(c) && c != '\n' && c != '\t'));
        }

        #[test]
        fn escaped_json_means_the_same(text: String, controls in "[\u{7f}-\u{a0}]*") {
            let text = text + &controls;
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escape_json(&json);
            prop_assert!(!escaped.contains(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
