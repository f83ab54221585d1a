//! What goes past us: what was open before the session, and what the kernel half leaves alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use crate::capture::older::{self, Plan};
use crate::capture::report::left_alone;
use crate::redirect::{OlderRoles, Redirect};
use crate::target::Scope;

/// Counts by kind, with the words of a capture (docs/capture.md).
pub type Kinds = BTreeMap<String, u64>;

/// What a running target has open. It goes on as it is, or is reset where the user says so. To be asked once connects
/// are redirected, with the privileges that it takes.
pub fn survey(scope: &Scope, ports: [u16; 2], roles: &mut OlderRoles, options: &Options) -> Kinds {
    let plan = Plan {
        processes: &scope.processes(),
        ports: ports.into(),
        recycle: options.recycle,
        tapped: false,
        launched: false,
        // Of listeners nothing is to be said: requests to the target are not disturbed.
        cgroups: BTreeSet::new(),
    };
    let found = older::survey(&plan, roles);
    found.complaints.iter().for_each(|text| options.voice.complain(text));
    if found.recycled > 0 {
        options.voice.complain(&format!("{} older connections were reset", found.recycled));
    }
    found.unmediated
}

/// That, and what went past us since.
pub fn until_now(redirect: &Redirect, before: &Kinds) -> Kinds {
    left_alone(redirect, Some(before), None).unmediated
}

/// For people; nothing where nothing did.
pub fn text(kinds: &Kinds) -> Option<String> {
    if kinds.is_empty() {
        return None;
    }
    let each: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let mut text = format!("infernosim: not disturbed: {}", each.join(", "));
    if kinds.contains_key("older-connections") {
        text += "\n  --recycle resets what the target had open before, so that it connects again";
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_and_what_helps() {
        let kinds =
            |of: &[(&str, u64)]| of.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        assert_eq!(text(&Kinds::new()), None);
        let other = text(&kinds(&[("redirected-by-another-capture", 3)])).unwrap();
        assert_eq!(other, "infernosim: not disturbed: redirected-by-another-capture 3");
        let older = text(&kinds(&[("older-connections", 1), ("unix-sockets", 2)])).unwrap();
        assert!(
            older.starts_with("infernosim: not disturbed: older-connections 1, unix-sockets 2\n"),
            "{older}"
        );
        assert!(older.ends_with("so that it connects again"), "{older}");
    }
}
