//! Files that are written when all is over: whether they can be is found out before.

use std::fs;
use std::path::Path;

use crate::error::{Exit, ExpectedError, Result};
use crate::incident::Directory;

/// Whether a file can be written there, as far as that is known without doing it.
///
/// # Errors
/// `Exit::Usage` if there is no such directory, or something that is no file has the name.
pub fn check(path: &Path, option: &str) -> Result<()> {
    let fail = |what: &str| {
        Err(ExpectedError::new(Exit::Usage, format!("{}: {what}", path.display()))
            .help(format!("give {option} a file, which is replaced if it is there")))
    };
    if !folder(path).is_dir() {
        return fail("there is no such directory");
    }
    let is_other = || fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
    if path.file_name().is_none() || is_other() {
        return fail("that is no file, and nothing else is written to");
    }
    Ok(())
}

/// Writes it: mode 0600, of its directory's owner, never through a link, in one step.
///
/// # Errors
/// `Exit::Host` if that cannot be done.
pub fn write(path: &Path, option: &str, text: &str) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let written = Directory::at(folder(path)).and_then(|folder| folder.replace(&name, text.as_bytes()));
    written.map_err(|error| {
        ExpectedError::new(Exit::Host, format!("cannot write {}: {error}", path.display()))
            .help(format!("give {option} a path where you may write"))
    })
}

/// Where a file lies.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn files_are_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("elsewhere"), "mine").unwrap();
        fs::write(at("old"), "old").unwrap();
        symlink(at("elsewhere"), at("link")).unwrap();
        for wrong in ["link", "nowhere/x", "..", ""] {
            assert_eq!(check(&at(wrong), "--ledger").unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        for name in ["old", "new"] {
            check(&at(name), "--ledger").unwrap();
            write(&at(name), "--ledger", "a line\n").unwrap();
            assert_eq!(fs::read_to_string(at(name)).unwrap(), "a line\n");
            assert_eq!(fs::metadata(at(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // A link that came in between is replaced, not followed.
        write(&at("link"), "--ledger", "a line\n").unwrap();
        assert_eq!(fs::read_to_string(at("elsewhere")).unwrap(), "mine");
    }
}
