//! URLs, alone or in a text: what stands before the `@`, and parameters with secret names.

use super::Redactor;
use super::normal::percent_decoded;

/// Replaces the secrets in the URLs of `text`; `None` if there are none.
///
/// A parameter begins after `?`, `#`, `&` or `;` and is `name=value`, both percent-encoded; the value ends with `&` or
/// `#`, of a path's parameter (`/a;v=1/b`, RFC 3986 section 3.3) also with `;`, `/` or `?`, and where the URL does.
pub fn redact(redactor: &mut Redactor, text: &[u8]) -> Option<Vec<u8>> {
    let before = redactor.values();
    let mut out = Vec::with_capacity(text.len() + 64);
    let (mut rest, mut in_path) = (text, true);
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(authority) = rest.strip_prefix(b"://") {
            out.extend_from_slice(b"://");
            rest = userinfo(redactor, authority, &mut out);
            in_path = true;
            continue;
        }
        out.push(byte);
        rest = after;
        match byte {
            b'?' | b'#' => in_path = false,
            b'&' | b';' => {}
            _ => {
                in_path |= ends_url(byte);
                continue;
            }
        }
        rest = parameter(redactor, rest, in_path, &mut out);
    }
    (redactor.values() > before).then_some(out)
}

/// Replaces what is before the `@` of an authority (RFC 3986 section 3.2.1): the password, or all of it where
/// there is none. Gives the rest.
fn userinfo<'t>(redactor: &mut Redactor, authority: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let ends = |&byte: &u8| matches!(byte, b'/' | b'?' | b'#') || ends_url(byte);
    let end = authority.iter().position(ends).unwrap_or(authority.len());
    let Some(at) = authority[..end].iter().rposition(|&byte| byte == b'@') else { return authority };
    let start = authority[..at].iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 1);
    out.extend_from_slice(&authority[..start]);
    if start < at {
        out.extend_from_slice(&redactor.tokens.token(&decoded(&authority[start..at])));
    }
    &authority[at..]
}

/// Replaces the value of the parameter that begins here, if it is secret. Gives the rest.
fn parameter<'t>(redactor: &mut Redactor, text: &'t [u8], in_path: bool, out: &mut Vec<u8>) -> &'t [u8] {
    let ends = |&byte: &u8| matches!(byte, b'=' | b'&' | b';' | b'#' | b'?') || ends_url(byte);
    let Some(end) = text.iter().position(ends).filter(|&end| text[end] == b'=') else { return text };
    if !redactor.is_secret_field(&percent_decoded(&text[..end])) {
        return text;
    }
    let (name, value) = text.split_at(end + 1);
    let ends = |&byte: &u8| {
        matches!(byte, b'&' | b'#') || ends_url(byte) || in_path && matches!(byte, b';' | b'/' | b'?')
    };
    let end = value.iter().position(ends).unwrap_or(value.len());
    out.extend_from_slice(name);
    if end > 0 {
        out.extend_from_slice(&redactor.tokens.token(&percent_decoded(&value[..end])));
    }
    &value[end..]
}

/// In userinfo `+` is itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    let plus = text.iter().flat_map(|&byte| if byte == b'+' { b"%2B".to_vec() } else { vec![byte] });
    percent_decoded(&plus.collect::<Vec<u8>>())
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
