//! Patterns in which `*` stands for any text and `?` for any one character; and the shape of paths.

mod path;

pub use path::{is_id, mask_path, split_target};

/// Does all of `text` match?
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to try again: behind the last star, one character further in the text. Earlier stars need not be
    // tried again, so this takes at most pattern × text steps.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), retry) {
            (Some('*'), _) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            (Some(c), _) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            (_, Some((after_star, from))) => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Does a service match, in any case (host names have none), with its port or without?
pub fn matches_service(pattern: &str, service: &str) -> bool {
    let (pattern, service) = (pattern.to_lowercase(), service.to_lowercase());
    matches(&pattern, &service) || matches(&pattern, without_port(&service))
}

fn without_port(service: &str) -> &str {
    match service.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => service,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, with no thought for speed.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
            (['?', p @ ..], [_, t @ ..]) => by_definition(p, t),
            ([c, p @ ..], [d, t @ ..]) => c == d && by_definition(p, t),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_defined(pattern in "[ab*?é]{0,6}", text in "[abé]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), by_definition(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn services_with_and_without_port() {
        assert!(matches_service("[::1]", "[::1]:80") && matches_service("[::1]:80", "[::1]:80"));
        assert!(matches_service("api", "API") && !matches_service("api:80", "api"));
        assert!(!matches_service("[:", "[::1]"), "an address ends in no port");
    }
}
