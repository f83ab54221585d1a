//! Any bytes as words of a POSIX shell, harmless to look at and to paste.

use std::fmt::Write as _;

/// Longer ones are piped as base64, which is a third of the length.
const LONGEST_ESCAPED: usize = 4 << 10;

/// Text that may stand in single quotes as it is: no control steers a terminal or edits the line that is pasted
/// (but for line ends and tabs), and no mark makes it read as something else (CVE-2021-42574).
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let hidden = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(hidden))
}

/// One word: these bytes, whatever they are. A NUL cannot be in one (execve(2)); line ends at the end of what is not
/// plain are lost (POSIX XCU 2.6.3).
pub(super) fn word(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain(bytes) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => format!("\"$({})\"", printf(bytes)),
    }
}

/// A command that writes these bytes.
pub(super) fn producer(bytes: &[u8]) -> String {
    if is_plain(bytes) {
        return format!("printf %s {}", word(bytes));
    }
    if bytes.len() > LONGEST_ESCAPED {
        let text = base64_simd::STANDARD.encode_to_string(bytes);
        return format!("printf %s '{text}' | base64 -d");
    }
    printf(bytes)
}

/// `printf` with all of it in the format: octal escapes are the only ones that each shell knows there.
fn printf(bytes: &[u8]) -> String {
    let mut text = String::from("printf '");
    for (index, &byte) in bytes.iter().enumerate() {
        let bare = byte.is_ascii_alphanumeric() || b" ./:;,=&?+_{}[]()\"<>@#*!~^|$".contains(&byte);
        // A format that begins with a dash would be an option.
        if bare || byte == b'-' && index > 0 {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text + "'"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn of_shell(script: &str) -> Vec<u8> {
        let output = Command::new("sh").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        output.stdout
    }

    #[test]
    fn plain_text_is_only_quoted() {
        assert_eq!(word(b"a'b $x `y` \\ \n!"), "'a'\\''b $x `y` \\ \n!'");
        assert_eq!(word(b"\x1b[2J"), "\"$(printf '\\033[2J')\"");
        assert_eq!(word("a\u{202e}b".as_bytes()), "\"$(printf 'a\\342\\200\\256b')\"");
        assert_eq!(producer(b"-e %s\0"), "printf '\\055e \\045s\\000'");
        assert!(producer(&[0; LONGEST_ESCAPED + 1]).ends_with("| base64 -d"));
        assert_eq!(of_shell(&producer(&[0; LONGEST_ESCAPED + 1])), [0; LONGEST_ESCAPED + 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_shell_reads_what_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC*['\\\\%$`\n\t-]*.*") {
            for bytes in [&bytes[..], text.as_bytes()] {
                prop_assert_eq!(&of_shell(&producer(bytes)), bytes);
                prop_assert!(is_plain(producer(bytes).as_bytes()));
                let mut argument = bytes.to_vec();
                argument.retain(|byte| *byte != 0);
                argument.push(b'.');
                let script = format!("printf %s {}", word(&argument));
                prop_assert_eq!(of_shell(&script), argument);
            }
        }
    }
}
