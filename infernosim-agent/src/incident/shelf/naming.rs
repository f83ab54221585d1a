use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::store::{Directory, Ownership, Place, Store};
use super::note;
use crate::error::{Exit, ExpectedError, Result};

/// So many names in a row may be taken before we give up.
const TRIES: u32 = 1000;

/// Which names the numbered incidents get.
#[derive(Debug)]
pub struct Naming {
    parent: Arc<Directory>,
    /// That of the first.
    path: PathBuf,
    name: OsString,
    /// The number given last; the first has none and counts as 1.
    number: u32,
    /// What was there when the capture began and may be replaced.
    replaceable: BTreeSet<u32>,
}

impl Naming {
    /// Looks at what is there. Refuses, as for the first, what is not to be replaced.
    pub fn survey(path: &Path, force: bool, most: Option<u32>) -> Result<Self> {
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            let message = format!("{} has no name to be numbered, as --max-size asks for", path.display());
            return Err(ExpectedError::new(Exit::Usage, message)
                .help("name a directory, for example --incident ./incident"));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unusable = |error: std::io::Error| {
            ExpectedError::new(Exit::Incident, format!("{} cannot be used: {error}", parent.display()))
                .help("make the incident's parent directory first, or name another with --incident")
        };
        let directory = Arc::new(Directory::at(parent).map_err(unusable)?);
        let names = directory.names().map_err(unusable)?;
        let mut naming =
            Self { parent: directory, path: path.to_owned(), name, number: 1, replaceable: BTreeSet::new() };
        let numbers = names.iter().filter_map(|found| number_of(&naming.name, found));
        let numbers: BTreeSet<u32> =
            numbers.filter(|number| most.is_none_or(|most| *number <= most)).collect();
        for number in numbers {
            if naming.place(number).check(force)? {
                naming.replaceable.insert(number);
            }
        }
        Ok(naming)
    }

    /// Makes the next one, under the next number that is free.
    pub fn next(&mut self, owner: Ownership, notes: &mut Vec<String>) -> Result<Store> {
        let mut tries = 0;
        loop {
            self.number = self.number.saturating_add(1);
            tries += 1;
            let place = self.place(self.number);
            let agreed = self.replaceable.remove(&self.number);
            let taken = |place: &Place| place.parent.look(&place.name).is_ok();
            let made = if !agreed && taken(&place) {
                None
            } else {
                Some(Store::create_at(place.clone(), owner, agreed))
            };
            match made {
                Some(Ok(store)) => return Ok(store),
                // Made by somebody else, before us or between our look and our making.
                None | Some(Err(_)) if taken(&place) && tries < TRIES => {
                    let shown = place.path.display();
                    note(notes, format!("{shown} was made by somebody else meanwhile and was left as it is"));
                }
                Some(Err(error)) => {
                    self.number -= 1;
                    return Err(error);
                }
                None => {
                    let message = format!("{TRIES} names up to {} are taken", place.path.display());
                    return Err(ExpectedError::new(Exit::Incident, message));
                }
            }
        }
    }

    fn place(&self, number: u32) -> Place {
        let mut name = self.name.clone();
        name.push(format!("-{number}"));
        Place { parent: Arc::clone(&self.parent), path: self.path.with_file_name(&name), name }
    }
}

/// The number in `NAME-7`; what has no number of ours (`NAME-07`, `NAME-1`) is none of ours.
fn number_of(name: &OsStr, found: &OsStr) -> Option<u32> {
    let digits = found.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"-")?;
    let ours = digits.first().is_some_and(|first| (b'1'..=b'9').contains(first))
        && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| ours)?.parse().ok().filter(|number| *number >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_we_would_give_are_ours() {
        let number = |found: &str| number_of(OsStr::new("run"), OsStr::new(found));
        assert_eq!((number("run-2"), number("run-4294967295")), (Some(2), Some(u32::MAX)));
        for other in [
            "run",
            "run-",
            "run-1",
            "run-0",
            "run-02",
            "run-2b",
            "run--2",
            "run-+2",
            "runs-2",
            "run-4294967296",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
