//! Secrets in the command line of the target, which the manifest tells.

use super::shape::Shape;
use super::{Redactor, media::Kind};

/// A shorter value stands in a command line for other reasons.
const SHORTEST: usize = 4;

impl Redactor {
    /// Replaces what looks like a secret: `--password X`, `--token=X`, `PASSWORD=X`, `-u name:password`, header lines,
    /// URLs, forms and JSON.
    pub fn command(&mut self, command: &mut [String]) {
        let mut option = String::new();
        for argument in command {
            let before = std::mem::take(&mut option);
            if argument.starts_with('-') && !argument.contains(['=', ' ']) {
                option = argument.trim_start_matches('-').to_owned();
                continue;
            }
            let replaced = if before.is_empty() { None } else { self.option(&before, argument) };
            *argument = replaced.unwrap_or_else(|| self.argument(argument));
        }
    }

    /// The value of an option, if all of it is secret.
    fn option(&mut self, option: &str, value: &str) -> Option<String> {
        // As curl, wget and others have them.
        let login = ["u", "U", "user", "proxy-user"].contains(&option);
        let secret = match value.split_once(':') {
            Some((name, secret)) if login && !secret.starts_with("//") => (name.len() + 1, secret),
            _ if self.is_secret_field(option.as_bytes()) => (0, value),
            _ => return None,
        };
        let token = self.tokens.token(secret.1.as_bytes());
        Some(format!("{}{}", &value[..secret.0], String::from_utf8_lossy(&token)))
    }

    fn argument(&mut self, argument: &str) -> String {
        // `--data=…` hides what it holds.
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with('-') && !name.contains(' ') => (name.len() + 1, value),
            _ => (0, argument),
        };
        let option = argument[..name].trim_matches(['-', '=']);
        let mut out = argument.as_bytes()[..name].to_vec();
        if name > 0 && !value.is_empty() && self.is_secret_field(option.as_bytes()) {
            out.extend_from_slice(&self.tokens.token(value.as_bytes()));
            return String::from_utf8_lossy(&out).into_owned();
        }
        let mut shape = Shape::of(&Kind::Unknown, value.as_bytes());
        match self.url(value.as_bytes()) {
            Some(replaced) if !matches!(shape, Shape::Json(_)) => out.extend_from_slice(&replaced),
            _ => {
                shape.feed(self, value.as_bytes(), &mut out);
                shape.finish(self, &mut out);
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Replaces the values that were met in the traffic, wherever they stand in a command line: in a script, say, given with
/// `-c`. `secrets` are tokens and their values.
pub fn replace_known<'s>(command: &mut [String], secrets: impl Iterator<Item = (&'s str, &'s [u8])>) {
    let mut known: Vec<(String, String)> = Vec::new();
    for (token, value) in secrets {
        let Ok(text) = std::str::from_utf8(value) else { continue };
        known.push((text.to_owned(), token.to_owned()));
        // Basic credentials (RFC 7617) are not written into a command as they are sent.
        if let Some(decoded) =
            base64_simd::STANDARD.decode_to_vec(value).ok().and_then(|it| String::from_utf8(it).ok())
            && let Some((_, password)) = decoded.split_once(':')
        {
            known.push((password.to_owned(), token.to_owned()));
        }
    }
    known.retain(|(value, _)| value.len() >= SHORTEST);
    // A value that holds another one goes first.
    known.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
    for (value, token) in known {
        for argument in &mut *command {
            if argument.contains(&value) {
                *argument = argument.replace(&value, &token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{redactor, tokens_of};
    use super::*;

    #[test]
    fn what_looks_like_a_secret() {
        for (command, expected) in [
            ("curl -u ann:s3 http://u:pw@h/?token=t", "curl -u ann:{s3} http://u:{pw}@h/?token={t}"),
            (
                "curl -H Authorization:|Bearer|x -d {\"pwd\":\"a\"}",
                "curl -H Authorization:|Bearer|{x} -d {\"pwd\":\"{a}\"}",
            ),
            (
                "app --password s3 --name x --api-key=k --user=ann",
                "app --password {s3} --name x --api-key={k} --user=ann",
            ),
            ("env DB_PASSWORD=x app", "env DB_PASSWORD={x} app"),
            (
                "curl --data=user=ann&password=x --user http://h",
                "curl --data=user=ann&password={x} --user http://h",
            ),
            ("sh -c true", "sh -c true"),
        ] {
            let mut redactor = redactor();
            let mut command: Vec<String> = command.split(' ').map(|word| word.replace('|', " ")).collect();
            redactor.command(&mut command);
            let got = tokens_of(&mut redactor, command.join(" ").as_bytes());
            assert_eq!(String::from_utf8(got).unwrap(), expected.replace('|', " "));
        }
    }

    #[test]
    fn what_was_met_in_the_traffic() {
        let mut command =
            vec!["-c".to_owned(), "login('ann', 'hunter2'); pin = 1; get('hunter22')".to_owned()];
        let secrets: [(&str, &[u8]); 4] =
            [("A", b"hunter22"), ("B", b"1"), ("C", b"YW5uOmh1bnRlcjI="), ("D", b"\xff")];
        replace_known(&mut command, secrets.into_iter());
        assert_eq!(command[1], "login('ann', 'C'); pin = 1; get('A')");
    }
}
