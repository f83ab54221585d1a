//! Calls of infernosim in lines of shell, as documents show them.

/// The words of each call of infernosim in a line, the program's name first.
pub fn calls(line: &str) -> Vec<Vec<String>> {
    simple_commands(line).iter().filter_map(|command| call(command)).collect()
}

/// The line, cut where one command ends and the next begins (`|`, `&&`, `;`, `$(…)`), without redirections.
fn simple_commands(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    let mut redirected = false;
    for c in line.chars() {
        let last = found.last().cloned().unwrap_or_default();
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if last.is_empty() || last.ends_with(' ') => break,
            (None, '|' | '&' | ';' | '(' | ')') => {
                found.push(String::new());
                redirected = false;
                continue;
            }
            (None, '<' | '>') => {
                redirected = true;
                continue;
            }
            (None, _) => {}
        }
        if !redirected {
            found.last_mut().unwrap().push(c);
        }
    }
    found
}

/// The words of a command, if it is infernosim that is called: after variables, and through sudo.
fn call(command: &str) -> Option<Vec<String>> {
    let words: Vec<String> = shlex::Shlex::new(command).collect();
    let mut words = words.into_iter().skip_while(|word| is_variable(word)).peekable();
    if words.next_if(|word| word == "sudo").is_some() {
        while words.next_if(|word| word.starts_with('-') || is_variable(word)).is_some() {}
    }
    let program = words.next()?;
    let name = program.rsplit('/').next().unwrap_or_default();
    if name != "infernosim" && program != "$(command -v infernosim)" {
        return None;
    }
    Some(["infernosim".to_owned()].into_iter().chain(words).collect())
}

fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::calls;

    fn shown(line: &str) -> Vec<String> {
        calls(line).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn calls_are_found_wherever_they_stand() {
        for (line, expected) in [
            ("infernosim doctor", &["infernosim doctor"][..]),
            ("sudo -E target/release/infernosim capture -- ./app &", &["infernosim capture -- ./app"]),
            ("sudo \"$(command -v infernosim)\" capture", &["infernosim capture"]),
            (
                "infernosim inspect x --json | jq '.a | infernosim no'  # infernosim no",
                &["infernosim inspect x --json"],
            ),
            ("A=1 ./infernosim man > x; infernosim man | man -l -", &["infernosim man", "infernosim man"]),
            (
                "diff <(infernosim inspect a) <(infernosim inspect b)",
                &["infernosim inspect a", "infernosim inspect b"],
            ),
            ("infernosim capture --exclude '/a b*'", &["infernosim capture --exclude /a b*"]),
            ("echo infernosim doctor; cd infernosim; sudo ls", &[]),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }
}
