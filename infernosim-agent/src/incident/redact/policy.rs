//! Which names are secret.

use super::normal::{components, normalise};

/// Header fields whose values are secret, letters only (see `normalise`); any name that ends with
/// `authorization`, and what holds for fields of bodies holds for headers too.
const HEADERS: &[&str] =
    &["cookie", "setcookie", "setcookie2", "ocpapimsubscriptionkey", "xauth", "xsession"];

/// Fields (JSON members, form fields, query parameters) that are secret by their whole name.
const FIELDS: &[&str] = &[
    "accesskey",
    "accountkey",
    "auth",
    "authkey",
    "authorization",
    "bearer",
    "clientassertion",
    "codeverifier",
    "connectionstring",
    "cookie",
    "cvc",
    "cvv",
    "encryptionkey",
    "jsessionid",
    "jwt",
    "masterkey",
    "otp",
    "pass",
    "passcode",
    "phpsessid",
    "pin",
    "proxyauthorization",
    "pwd",
    "samlresponse",
    "sessionid",
    "sessionkey",
    "setcookie",
    "sharedaccesskey",
    "sig",
    "signingkey",
    "totp",
    "xamzsignature",
    "xgoogsignature",
];

/// Fields that are secret wherever one of these stands in their name,
const CONTAINED: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "privatekey",
    "secretkey",
    "secretaccesskey",
    "credential",
];

/// or at its end,
const ENDINGS: &[&str] = &["secret", "token", "pwd"];

/// but not these, which say where a list goes on.
const NOT: &[&str] =
    &["nexttoken", "pagetoken", "nextpagetoken", "prevpagetoken", "continuationtoken", "synctoken"];

/// A name that the user added.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// As it was written.
    written: String,
    /// Letters and digits in lower case, and `*` for any of them.
    glob: String,
    header: bool,
    field: bool,
}

/// Which names are secret: the built-in ones and those that the user added.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    added: Vec<Pattern>,
}

impl Policy {
    /// Adds what `--redact` names: `header:NAME`, `field:NAME`, or `NAME` for both. Upper and lower case, `-` and
    /// `_` make no difference; `*` stands for any characters.
    ///
    /// # Errors
    /// What is wrong with it, as a lowercase sentence.
    pub fn add(&mut self, written: &str) -> Result<(), String> {
        let (header, field, name) = match written.split_once(':') {
            Some(("header", name)) => (true, false, name),
            Some(("field", name)) => (false, true, name),
            Some((other, _)) => {
                return Err(format!("`{other}:` is neither `header:` nor `field:`; a bare NAME is both"));
            }
            None => (true, true, written),
        };
        let mut glob = String::new();
        for character in name.chars() {
            match character {
                '-' | '_' => {}
                '*' | '!'..='~' => glob.push(character.to_ascii_lowercase()),
                _ => return Err(format!("{character:?} cannot stand in the name of a header or field")),
            }
        }
        if glob.is_empty() {
            return Err("a name is missing, such as `header:X-Tenant` or `field:iban`".to_owned());
        }
        self.added.push(Pattern { written: written.to_owned(), glob, header, field });
        Ok(())
    }

    /// The word for the manifest.
    pub const fn as_str(&self) -> &'static str {
        if self.added.is_empty() { "default" } else { "default+custom" }
    }

    /// The names that the user added, as they were written.
    pub fn names(&self) -> Vec<String> {
        self.added.iter().map(|pattern| pattern.written.clone()).collect()
    }

    /// Whether the value of a header field of this name is secret.
    pub fn is_secret_header(&self, name: &[u8]) -> bool {
        let name = normalise(name);
        HEADERS.contains(&name.as_str())
            || name.ends_with("authorization")
            || is_secret(&name)
            || self.added.iter().any(|pattern| pattern.header && matches(&pattern.glob, &name))
    }

    /// Whether the value of a JSON member, form field or parameter of this name, its escapes decoded, is secret.
    /// Of a path such as `user[password]` or `db.password` any part may make it so.
    pub fn is_secret_field(&self, name: &[u8]) -> bool {
        let name = normalise(name);
        components(&name).any(|part| FIELDS.contains(&part) || is_secret(part) || self.adds_field(part))
            || self.adds_field(&name)
    }

    fn adds_field(&self, name: &str) -> bool {
        self.added.iter().any(|pattern| pattern.field && matches(&pattern.glob, name))
    }
}

fn is_secret(name: &str) -> bool {
    !NOT.contains(&name)
        && (CONTAINED.iter().any(|part| name.contains(part)) || ENDINGS.iter().any(|end| name.ends_with(end)))
}

/// Whether a glob of literals and `*` matches all of a name. Linear: only the last `*` is ever tried again.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        if glob.get(at) == Some(&b'*') {
            star = Some((at, from));
            at += 1;
        } else if glob.get(at) == Some(&name[from]) {
            (at, from) = (at + 1, from + 1);
        } else if let Some((star_at, tried)) = star {
            (at, from) = (star_at + 1, tried + 1);
            star = Some((star_at, tried + 1));
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(added: &[&str]) -> Policy {
        let mut policy = Policy::default();
        added.iter().for_each(|name| policy.add(name).unwrap());
        policy
    }

    #[test]
    fn what_is_secret_by_default() {
        let policy = policy(&[]);
        for name in [
            "Authorization",
            "proxy-authorization",
            "X-Forwarded-Authorization",
            "Cookie",
            "SET-COOKIE",
            "X-Api-Key",
            "Api-Key",
            "apikey",
            "X-Auth-Token",
            "X-Amz-Security-Token",
            "X-CSRF-Token",
            "X-Vault-Token",
            "X-Client-Secret",
        ] {
            assert!(policy.is_secret_header(name.as_bytes()), "{name}");
        }
        for name in
            ["Host", "Accept", "ETag", "Content-Type", "X-Request-Id", "WWW-Authenticate", "Author", ""]
        {
            assert!(!policy.is_secret_header(name.as_bytes()), "{name}");
        }
        for name in [
            "password",
            "PassWord",
            "new_password",
            "user[password]",
            "spring.datasource.password",
            "passwd",
            "pwd",
            "client_secret",
            "clientSecret",
            "access-token",
            "id_token",
            "user[token]",
            "token[]",
            "api_key",
            "stripeApiKey",
            "private_key",
            "authorization",
            "credentials",
            "X-Amz-Credential",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(policy.is_secret_field(name.as_bytes()), "{name}");
        }
        for name in [
            "user",
            "next_page_token",
            "max_tokens",
            "secretary",
            "passenger",
            "key",
            "compass",
            "code",
            "",
            "[]",
        ] {
            assert!(!policy.is_secret_field(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_are_added_for_headers_for_fields_or_for_both() {
        let policy = policy(&["header:X-Tenant", "field:iban", "Card_*", "field:*.pan"]);
        assert!(policy.is_secret_header(b"x-tenant") && !policy.is_secret_field(b"x-tenant"));
        assert!(policy.is_secret_field(b"IBAN") && !policy.is_secret_header(b"IBAN"));
        assert!(policy.is_secret_field(b"cardNumber") && policy.is_secret_header(b"Card-Number"));
        assert!(!policy.is_secret_field(b"discard"));
        assert!(policy.is_secret_field(b"my.pan"), "a path as a whole");
        assert_eq!((policy.as_str(), policy.names()[0].as_str()), ("default+custom", "header:X-Tenant"));
        assert_eq!(Policy::default().as_str(), "default");
        for wrong in ["", "header:", "body:x", "a b", "é", "_"] {
            assert!(Policy::default().add(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_documentation_lists_all_of_them() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/redaction.md");
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("## What is replaced").next().unwrap();
        for name in [HEADERS, FIELDS, CONTAINED, ENDINGS, NOT].concat() {
            assert!(text.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn globs() {
        for (glob, name) in
            [("*", ""), ("*", "a"), ("a*", "abc"), ("*c", "abcc"), ("a*c*e", "abcde"), ("ab", "ab")]
        {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in
            [("", "a"), ("a", ""), ("a*", "ba"), ("*c", "abd"), ("a*c*e", "abcdf"), ("ab", "abc")]
        {
            assert!(!matches(glob, name), "{glob} {name}");
        }
    }
}
