//! What this replay was told, for the command that shows it again.

use super::Options;
use super::judge::Repeat;

/// Of its command line: what it is given again, and the target.
pub fn of(options: &Options) -> Repeat {
    let mut words = options.command_line.iter();
    let (mut kept, mut target) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        match name {
            "--" => {
                target.push(word.clone());
                target.extend(words.by_ref().cloned());
            }
            // These are given anew, or are about how it is told.
            "--incident" | "--runs" | "--request" | "--into" | "--report" => {
                drop(value.or_else(|| words.next().cloned()))
            }
            "replay" | "--json" | "-q" | "--quiet" => {}
            "--pid" | "--cgroup" | "--container" | "--unit" => {
                target.push(name.to_owned());
                target.extend(value.or_else(|| words.next().cloned()));
            }
            _ => kept.push(word.clone()),
        }
    }
    let is_seeded = kept.iter().any(|word| word == "--seed" || word.starts_with("--seed="));
    if !options.faults.is_empty() && !is_seeded {
        kept.extend(["--seed".to_owned(), options.faults.seed().to_string()]);
    }
    let incident = options.incident.display().to_string();
    // Without a target nothing of it needs privileges.
    let sudo = std::env::var_os("SUDO_UID").is_some() && !target.is_empty();
    Repeat { sudo, incident, options: kept, target, ..Repeat::default() }
}
