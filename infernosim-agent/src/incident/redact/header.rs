//! Header fields: by name, and by what their value looks like.

use super::policy::Policy;
use super::{Redactor, url};

/// What a header field is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing special; it may hold a URL.
    Plain,
    /// Known to hold none: its value is not even looked at.
    Inert,
    /// `Content-Type`.
    ContentType,
    /// `Content-Encoding`.
    ContentEncoding,
    /// Secret as a whole.
    Secret,
    /// A scheme, then what is secret (RFC 9110 section 11.4).
    Authorization,
    /// Pairs whose values are secret (RFC 6265 section 4.2).
    Cookie,
    /// One such pair, then attributes that are not (RFC 6265 section 4.1).
    SetCookie,
}

/// The value of a shorter cookie is replaced in cookies only.
const SHORTEST_COOKIE: usize = 16;
/// Names that stand in most messages and whose values hold no URL (RFC 9110, RFC 9111, RFC 9112).
const INERT: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "date",
    "etag",
    "expect",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "last-modified",
    "pragma",
    "range",
    "server",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "x-request-id",
];

fn judge(policy: &Policy, name: &[u8]) -> Class {
    if name.eq_ignore_ascii_case(b"content-type") {
        return Class::ContentType;
    }
    if name.eq_ignore_ascii_case(b"content-encoding") {
        return Class::ContentEncoding;
    }
    if !policy.is_secret_header(name) {
        let inert = INERT.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        return if inert { Class::Inert } else { Class::Plain };
    }
    let name = name.to_ascii_lowercase();
    match name.as_slice() {
        b"cookie" | b"cookie2" => Class::Cookie,
        b"set-cookie" | b"set-cookie2" => Class::SetCookie,
        name if name.ends_with(b"authorization") => Class::Authorization,
        _ => Class::Secret,
    }
}

impl Redactor {
    /// What a header field of this name is.
    pub fn class(&mut self, name: &[u8]) -> Class {
        let Self { policy, headers, .. } = self;
        headers.verdict(name, |name| judge(policy, name))
    }

    /// The value of a header field with its secrets replaced; `None` if there are none.
    pub fn value(&mut self, class: Class, value: &[u8]) -> Option<Vec<u8>> {
        match class {
            Class::Inert | Class::ContentType | Class::ContentEncoding => return None,
            Class::Plain => return self.url(value),
            _ => {}
        }
        let before = self.values();
        let mut out = Vec::with_capacity(value.len() + 64);
        match class {
            Class::Authorization => self.authorization(value, &mut out),
            Class::Cookie => value.split(|&byte| byte == b';').enumerate().for_each(|(index, pair)| {
                if index > 0 {
                    out.push(b';');
                }
                self.pair(pair, &mut out);
            }),
            Class::SetCookie => {
                let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
                self.pair(&value[..end], &mut out);
                out.extend_from_slice(&value[end..]);
            }
            _ => self.replace(value, true, &mut out),
        }
        (self.values() > before).then_some(out)
    }

    /// A URL, or a text that holds some, with the secrets in them replaced; `None` if there are none.
    pub fn url(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        memchr::memchr2(b'=', b'@', text)?;
        url::redact(self, text)
    }

    fn authorization(&mut self, value: &[u8], out: &mut Vec<u8>) {
        let leading = value.len() - value.trim_ascii_start().len();
        let core = &value[leading..];
        let scheme = core
            .iter()
            .position(|&byte| byte == b' ')
            .filter(|&at| core[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
        let (scheme, credentials) = value.split_at(leading + scheme.map_or(0, |at| at + 1));
        out.extend_from_slice(scheme);
        self.replace(credentials, true, out);
    }

    /// `name=value`; without a name all of it is secret.
    fn pair(&mut self, pair: &[u8], out: &mut Vec<u8>) {
        let start = pair.iter().position(|&byte| byte == b'=').map_or(0, |at| at + 1);
        let (name, value) = pair.split_at(start);
        out.extend_from_slice(name);
        // `theme=default` is no word to be looked for in the answer.
        self.replace(value, value.len() >= SHORTEST_COOKIE, out);
    }

    /// A token in the place of a value; white space around it stays, and nothing is nothing.
    fn replace(&mut self, value: &[u8], echoed: bool, out: &mut Vec<u8>) {
        let core = value.trim_ascii();
        if core.is_empty() {
            out.extend_from_slice(value);
            return;
        }
        let leading = value.len() - value.trim_ascii_start().len();
        out.extend_from_slice(&value[..leading]);
        let token = if echoed { self.tokens.token(core) } else { self.tokens.quiet_token(core) };
        out.extend_from_slice(&token);
        out.extend_from_slice(&value[leading + core.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{redactor, tokens_of};

    #[test]
    fn names_schemes_and_attributes_stay() {
        for (name, value, expected) in [
            ("Authorization", "Bearer abc", "Bearer {abc}"),
            ("authorization", "Basic YTpi", "Basic {YTpi}"),
            ("Proxy-Authorization", "abc", "{abc}"),
            (
                "Authorization",
                "Digest username=\"a\", response=\"b\"",
                "Digest {username=\"a\", response=\"b\"}",
            ),
            ("Authorization", "Bearer ", "Bearer "),
            ("Authorization", "a,b c", "{a,b c}"),
            ("Cookie", "sid=x; theme=dark;c=; bare", "sid={x}; theme={dark};c=; {bare}"),
            ("Cookie", "a=b=c", "a={b=c}"),
            ("Set-Cookie", "sid=x; Path=/; HttpOnly", "sid={x}; Path=/; HttpOnly"),
            ("Set-Cookie", "sid=; Max-Age=0", "sid=; Max-Age=0"),
            ("X-Api-Key", " k 1 ", " {k 1} "),
            ("X-Api-Key", "\u{e9}", "{\u{e9}}"),
            ("Referer", "http://h/p?token=x&y=1#z", "http://h/p?token={x}&y=1#z"),
            ("Location", "http://h/p#access_token=x&state=1", "http://h/p#access_token={x}&state=1"),
            ("Link", "<http://h/?api_key=x>; rel=\"next\"", "<http://h/?api_key={x}>; rel=\"next\""),
            ("Content-Type", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
            ("X-Plain", "password", "password"),
        ] {
            let mut redactor = redactor();
            let class = redactor.class(name.as_bytes());
            let got = redactor.value(class, value.as_bytes()).unwrap_or_else(|| value.as_bytes().to_vec());
            assert_eq!(tokens_of(&mut redactor, &got), expected.as_bytes(), "{name}: {value}");
        }
    }
}
