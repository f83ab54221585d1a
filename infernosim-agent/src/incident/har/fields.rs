//! What HAR says a second time: cookies, and the parameters of a url.

use serde::Serialize;

use crate::incident::event::Headers;

/// A name and its value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Pair<'a> {
    pub name: &'a str,
    pub value: &'a str,
}

/// A cookie (RFC 6265).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cookie<'a> {
    pub name: &'a str,
    pub value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<bool>,
}

/// Header fields, one object each.
pub fn headers(headers: &Headers) -> Vec<Pair<'_>> {
    headers.iter().map(|(name, value)| Pair { name, value }).collect()
}

/// The parameters of a url's query, as they are spelt there.
pub fn query(url: &str) -> Vec<Pair<'_>> {
    let url = url.split('#').next().unwrap_or_default();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn pair(text: &str) -> Pair<'_> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Pair { name: name.trim(), value: value.trim() }
}

/// Of `Cookie`.
pub fn cookies(headers: &Headers) -> Vec<Cookie<'_>> {
    values(headers, "cookie")
        .flat_map(|value| value.split(';'))
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let Pair { name, value } = pair(part);
            Cookie { name, value, ..Cookie::default() }
        })
        .collect()
}

/// Of `Set-Cookie`.
pub fn set_cookies(headers: &Headers) -> Vec<Cookie<'_>> {
    values(headers, "set-cookie").map(set_cookie).collect()
}

fn values<'a>(headers: &'a Headers, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

fn set_cookie(text: &str) -> Cookie<'_> {
    let mut parts = text.split(';');
    let Pair { name, value } = pair(parts.next().unwrap_or_default());
    let mut cookie = Cookie { name, value, ..Cookie::default() };
    for part in parts {
        let Pair { name, value } = pair(part);
        match name.to_ascii_lowercase().as_str() {
            "path" => cookie.path = Some(value),
            "domain" => cookie.domain = Some(value),
            "httponly" => cookie.http_only = Some(true),
            "secure" => cookie.secure = Some(true),
            "expires" => {
                let time = jiff::fmt::rfc2822::parse(&value.replace('-', " ")).ok();
                cookie.expires = time.map(|time| time.timestamp().to_string());
            }
            _ => {}
        }
    }
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_taken_apart() {
        let mut headers = Headers::default();
        headers.push("Cookie", "a=1; b=x=y;;c");
        headers.push(
            "Set-Cookie",
            "sid=redacted-1; Path=/; HttpOnly; Expires=Wed, 21 Oct 2015 07:28:00 GMT; SameSite=Lax",
        );
        let found: Vec<_> = cookies(&headers).iter().map(|one| (one.name, one.value)).collect();
        assert_eq!(found, [("a", "1"), ("b", "x=y"), ("c", "")]);
        let expected = Cookie {
            name: "sid",
            value: "redacted-1",
            path: Some("/"),
            expires: Some("2015-10-21T07:28:00Z".into()),
            http_only: Some(true),
            ..Cookie::default()
        };
        assert_eq!(set_cookies(&headers), [expected]);
    }

    #[test]
    fn parameters_are_as_they_are_spelt() {
        let found: Vec<_> = query("http://x/?a=%20&b&=c#?d=e").iter().map(|it| (it.name, it.value)).collect();
        assert_eq!(found, [("a", "%20"), ("b", ""), ("", "c")]);
        assert!(query("http://x/").is_empty() && query("").is_empty());
    }
}
