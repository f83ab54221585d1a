//! Finds the tokens of a recording again.

use memchr::memmem;

use super::token::{LENGTH, PREFIX};

/// The tokens in these bytes, in order, with where each begins.
pub fn tokens(bytes: &[u8]) -> impl Iterator<Item = (usize, &str)> {
    memmem::find_iter(bytes, PREFIX).filter_map(|at| {
        let token = bytes.get(at..at + LENGTH)?;
        let is_hex = token[PREFIX.len()..].iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
        Some((at, std::str::from_utf8(token).ok().filter(|_| is_hex)?))
    })
}

/// The text with the same word in the place of each token: those of two incidents have different keys.
pub fn mask(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(PREFIX) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, token) in tokens(text.as_bytes()) {
        out.push_str(&text[done..at]);
        out.push_str("redacted-…");
        done = at + token.len();
    }
    out.push_str(&text[done..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_and_nothing_else() {
        let hex = "5f0c6d1e9b7a4c3d8e2f1a0b";
        let text = format!(
            "é redacted-{hex}, redacted-redacted-{hex}-number redacted-{} redacted-12",
            "x".repeat(24)
        );
        let found: Vec<_> = tokens(text.as_bytes()).map(|(_, token)| token.to_owned()).collect();
        assert_eq!(found, vec![format!("redacted-{hex}"); 2]);
        let masked = mask(&text);
        assert!(masked.starts_with("é redacted-…, redacted-redacted-…-number redacted-x"), "{masked}");
        assert_eq!(mask("none"), "none");
    }
}
