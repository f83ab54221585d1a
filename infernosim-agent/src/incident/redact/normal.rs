//! Names as they are compared: in lower case, without `-` and `_`, at most so long.

use std::borrow::Cow;

/// Of a longer name only so much counts, in bytes.
pub const LONGEST_NAME: usize = 256;

/// A name in lower case without `-` and `_`, ready to be compared.
pub fn normalise(name: &[u8]) -> String {
    let name = &name[..name.len().min(LONGEST_NAME)];
    let kept = name.iter().filter(|&&byte| byte != b'-' && byte != b'_');
    kept.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// The parts of a path such as `user[password]`, `db.password` or `/db/password`; white space around a name is
/// no part of it.
pub fn components(name: &str) -> impl Iterator<Item = &str> {
    name.split(['[', ']', '.', ':', '/', ' ', '\t']).filter(|part| !part.is_empty())
}

/// Decodes the percent-encoding of a name (RFC 3986 section 2.1), `+` as a space; a `%` that begins none stays.
pub fn percent_decoded(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.iter().any(|&byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, behind @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = behind;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// The value of a hexadecimal digit.
pub const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding() {
        for (encoded, plain) in [("a%41+%2b", "aA +"), ("%", "%"), ("%4", "%4"), ("%zz%4a", "%zzJ"), ("", "")]
        {
            assert_eq!(*percent_decoded(encoded.as_bytes()), *plain.as_bytes());
        }
    }

    #[test]
    fn parts_of_a_path() {
        assert_eq!(
            components(&normalise(b"User_X[0][pass-word]")).collect::<Vec<_>>(),
            ["userx", "0", "password"]
        );
    }
}
