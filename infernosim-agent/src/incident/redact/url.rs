//! URLs, alone or in a text: what stands before the `@`, and parameters with secret names.

use super::Redactor;
use super::normal::percent_decoded;

/// Replaces the secrets in the URLs of `text`; `None` if there are none.
///
/// A parameter begins after `?`, `#`, `&` or `;` and is `name=value`, both percent-encoded; the value ends with `&` or
/// `#`, of a path's parameter (`/a;v=1/b`, RFC 3986 section 3.3) also with `;`, `/` or `?`, and where the URL does.
pub fn redact(redactor: &mut Redactor, text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // What of the text is in `out`, or what stands for it.
    let mut copied = 0;
    let (mut at, mut in_path) = (0, true);
    while let Some(&byte) = text.get(at) {
        at += 1;
        let secret = match byte {
            b':' if text[at..].starts_with(b"//") => {
                at += 2;
                in_path = true;
                userinfo(text, at)
            }
            b'?' | b'#' | b'&' | b';' => {
                in_path &= matches!(byte, b'&' | b';');
                parameter(redactor, text, at, in_path)
            }
            _ => {
                in_path |= ends_url(byte);
                continue;
            }
        };
        let Some((start, end)) = secret else { continue };
        let value = &text[start..end];
        // In userinfo `+` is itself.
        let value = if byte == b':' { userinfo_decoded(value).into() } else { percent_decoded(value) };
        out.extend_from_slice(&text[copied..start]);
        out.extend_from_slice(&redactor.tokens.token(&value));
        (at, copied) = (end, end);
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&text[copied..]);
    Some(out)
}

/// What is secret before the `@` of the authority that begins at `at` (RFC 3986 section 3.2.1): the password, or all of
/// it where there is none.
fn userinfo(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let authority = &text[at..];
    let ends = |&byte: &u8| matches!(byte, b'/' | b'?' | b'#') || ends_url(byte);
    let authority = &authority[..authority.iter().position(ends).unwrap_or(authority.len())];
    let end = authority.iter().rposition(|&byte| byte == b'@')?;
    let start = authority[..end].iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 1);
    (start < end).then_some((at + start, at + end))
}

/// The value of the parameter that begins at `at`, if it is secret.
fn parameter(redactor: &mut Redactor, text: &[u8], at: usize, in_path: bool) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let ends = |&byte: &u8| matches!(byte, b'=' | b'&' | b';' | b'#' | b'?') || ends_url(byte);
    let end = rest.iter().position(ends).filter(|&end| rest[end] == b'=')?;
    if !redactor.is_secret_field(&percent_decoded(&rest[..end])) {
        return None;
    }
    let value = &rest[end + 1..];
    let ends = |&byte: &u8| {
        matches!(byte, b'&' | b'#') || ends_url(byte) || in_path && matches!(byte, b';' | b'/' | b'?')
    };
    let length = value.iter().position(ends).unwrap_or(value.len());
    let start = at + end + 1;
    (length > 0).then_some((start, start + length))
}

fn userinfo_decoded(text: &[u8]) -> Vec<u8> {
    let plus = text.iter().flat_map(|&byte| if byte == b'+' { b"%2B".to_vec() } else { vec![byte] });
    percent_decoded(&plus.collect::<Vec<u8>>()).into_owned()
}

/// What stands in no URL, and so ends one in a text.
const fn ends_url(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'<' | b'>')
}

#[cfg(test)]
mod tests {
    use super::super::tests::{redactor, tokens_of};

    #[test]
    fn parameters_and_userinfo() {
        for (url, expected) in [
            ("/p?token=a%20b&x=1", "/p?token={a b}&x=1"),
            ("/p?x=1&pass%77ord=s&y", "/p?x=1&pass%77ord={s}&y"),
            ("/p?x=1;token=a;b&c=2", "/p?x=1;token={a;b}&c=2"),
            ("/p?token=&token", "/p?token=&token"),
            ("/a;jsessionid=S1/b?x=1", "/a;jsessionid={S1}/b?x=1"),
            ("/p?a=1?token=x/y?z#token=w", "/p?a=1?token={x/y?z}#token={w}"),
            ("http://ann:s3@h:80/p?x=1", "http://ann:{s3}@h:80/p?x=1"),
            ("http://ghp_1@h", "http://{ghp_1}@h"),
            ("http://a:b@c:d@h/", "http://a:{b@c:d}@h/"),
            ("http://:p%40q+r@h", "http://:{p@q+r}@h"),
            ("http://ann:@h/@x", "http://ann:@h/@x"),
            ("/mail@host/p?user[token]=x", "/mail@host/p?user[token]={x}"),
            (
                "see http://h/?token=a, or <http://h/?sig=b>.",
                "see http://h/?token={a,} or <http://h/?sig={b}>.",
            ),
            ("*", "*"),
            ("http://h/p?next=http://u:pw@g/?token=t", "http://h/p?next=http://u:{pw}@g/?token={t}"),
        ] {
            let mut redactor = redactor();
            let got = super::redact(&mut redactor, url.as_bytes()).unwrap_or_else(|| url.as_bytes().to_vec());
            let got = String::from_utf8(tokens_of(&mut redactor, &got)).unwrap();
            assert_eq!(got, expected);
        }
    }
}
