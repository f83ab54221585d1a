use std::ffi::{CString, OsString};
use std::path::PathBuf;

use nix::unistd::{Gid, Uid, User, getgrouplist};

use crate::error::{Exit, ExpectedError, Result};

/// Who the target runs as and the incident belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: Uid,
    /// The primary group.
    pub gid: Gid,
    /// Supplementary groups; empty where `switch` is false.
    pub groups: Vec<Gid>,
    /// The login name and home directory, if the user has an entry.
    pub account: Option<(String, PathBuf)>,
    /// Whether this is another user than the one we run as.
    pub switch: bool,
}

impl Identity {
    /// `--user NAME|UID` if given; else who called sudo (SUDO_UID, SUDO_GID); else who we are.
    pub fn of_caller(user: Option<&str>) -> Result<Self> {
        if let Some(name) = user {
            return Self::named(name);
        }
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        match (Uid::effective().is_root(), number("SUDO_UID"), number("SUDO_GID")) {
            (true, Some(uid), Some(gid)) if uid != 0 => Ok(Self::of(Uid::from_raw(uid), Gid::from_raw(gid))),
            _ => Ok(Self {
                uid: Uid::effective(),
                gid: Gid::effective(),
                groups: Vec::new(),
                account: None,
                switch: false,
            }),
        }
    }

    fn named(name: &str) -> Result<Self> {
        let unknown = || {
            ExpectedError::new(Exit::Usage, format!("there is no user {name} on this host"))
                .help("give --user a login name or a numeric user id")
        };
        let entry = match name.parse::<u32>() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid)),
            Err(_) => User::from_name(name),
        };
        let entry = entry.ok().flatten().ok_or_else(unknown)?;
        Ok(Self::of(entry.uid, entry.gid))
    }

    fn of(uid: Uid, gid: Gid) -> Self {
        let account = User::from_uid(uid).ok().flatten();
        let groups = account
            .as_ref()
            .and_then(|user| CString::new(user.name.as_str()).ok())
            .and_then(|name| getgrouplist(&name, gid).ok())
            .unwrap_or_else(|| vec![gid]);
        let account = account.map(|user| (user.name, user.dir));
        Self { uid, gid, groups, account, switch: uid != Uid::effective() }
    }

    /// Our environment as this user would have it: HOME, USER and LOGNAME are the user's own.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<_> = std::env::vars_os().collect();
        if let (true, Some((name, home))) = (self.switch, &self.account) {
            let own: [(&str, OsString); 3] =
                [("HOME", home.into()), ("USER", name.into()), ("LOGNAME", name.into())];
            for (key, value) in own {
                variables.retain(|(existing, _)| existing != key);
                variables.push((key.into(), value));
            }
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_has_a_home_of_its_own() {
        let daemon = Identity::named("daemon").unwrap();
        let environment = daemon.environment();
        let value = |key: &str| environment.iter().filter(|(k, _)| k == key).collect::<Vec<_>>();
        if daemon.switch {
            assert_eq!(value("USER"), [&("USER".into(), "daemon".into())]);
            assert_eq!(value("HOME").len(), 1);
        }
        assert!(daemon.groups.contains(&daemon.gid));
    }

    #[test]
    fn an_unknown_user_is_a_usage_error() {
        let error = Identity::named("no-such-user-here").unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("no-such-user-here"), "{}", error.message);
    }
}
