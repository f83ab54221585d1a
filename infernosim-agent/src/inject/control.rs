//! Rules changed while they are in force, by another process: a UNIX socket, one JSON line there and one back.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use super::callers::Callers;
use super::{rules, shared::Shared};
use crate::error::{Exit, ExpectedError, Result};
use crate::fault::{Rule, RuleLedger};
use crate::privilege::{self, Repeating};
use crate::target::Identity;

/// How long the session may take for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody has come.
const LOOK: Duration = Duration::from_millis(20);
/// Where sockets are, besides XDG_RUNTIME_DIR.
const RUN: &str = "/run";
const PREFIX: &str = "infernosim-";
const SUFFIX: &str = ".sock";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// One rule more.
    Add(String),
    /// This rule less.
    Remove(u32),
    /// The rules in force.
    List(bool),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The rule's number.
    Added(u32),
    /// The rule's number.
    Removed(u32),
    /// The rules in force.
    Rules(Vec<Listed>),
    /// What is wrong, and what to do.
    Error(String),
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its number.
    pub number: u32,
    /// As it was written.
    pub rule: String,
    /// Occasions that it is for.
    pub reached: u64,
    /// Of these, those that it hit.
    pub fired: u64,
    /// Of these, those whose effect came about.
    pub observed: u64,
}

/// The socket; it is taken away when this is dropped.
pub struct Control {
    path: PathBuf,
    answering: Option<Repeating>,
}

impl Control {
    /// Listens, for the user whose the session is and for root.
    ///
    /// # Errors
    /// `Exit::Host` if the socket cannot be made.
    pub fn start(path: Option<&Path>, identity: &Identity, shared: &Arc<Shared>) -> Result<Self> {
        let path = path.map_or_else(usual, Path::to_owned);
        let cannot = |error: std::io::Error| {
            ExpectedError::new(Exit::Host, format!("cannot listen at {}: {error}", path.display()))
                .help("choose another path: --control SOCKET")
        };
        sweep(&path);
        // Not by its name, behind which somebody else may have put another file by then.
        let mask = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(&path);
        umask(mask);
        let listener = listener.map_err(cannot)?;
        let _ = lchown(&path, Some(identity.uid.as_raw()), Some(identity.gid.as_raw()));
        listener.set_nonblocking(true).map_err(cannot)?;
        let (shared, mut callers) = (Arc::clone(shared), Callers::default());
        let answering = privilege::repeat("control", LOOK, move || {
            callers.step(&listener, |line| answer(line, &shared));
        });
        Ok(Self { answering: Some(answering.map_err(cannot)?), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.answering.take());
        let _ = std::fs::remove_file(&self.path);
    }
}

fn answer(line: std::result::Result<&[u8], &str>, shared: &Arc<Shared>) -> String {
    let ask = line
        .map_err(str::to_owned)
        .and_then(|line| serde_json::from_slice(line).map_err(|error| error.to_string()));
    let answer = match ask {
        Ok(ask) => perform(ask, shared),
        Err(error) => Answer::Error(format!("this is no request: {error}")),
    };
    serde_json::to_string(&answer).unwrap_or_default()
}

fn perform(ask: Ask, shared: &Arc<Shared>) -> Answer {
    match ask {
        Ask::Add(text) => match Rule::parse(&text).and_then(|rule| rules::check(&rule).map(|()| rule)) {
            Ok(rule) => {
                let number = shared.rules.add(rule);
                shared.resolve(Some(number));
                shared.rules_changed();
                Answer::Added(number)
            }
            Err(error) => {
                let help = error.help.map(|help| format!("; {help}")).unwrap_or_default();
                Answer::Error(error.message + &help)
            }
        },
        Ask::Remove(number) if shared.rules.remove(number) => {
            shared.rules_changed();
            Answer::Removed(number)
        }
        Ask::Remove(number) => {
            Answer::Error(format!("there is no rule {number}; --list tells which there are"))
        }
        Ask::List(_) => {
            let ledger = shared.rules.ledger();
            let listed = |(number, rule): (u32, Rule)| {
                let became = ledger.rules.get(number as usize - 1).cloned().unwrap_or_default();
                let RuleLedger { reached, fired, observed, .. } = became;
                Listed { number, rule: rule.text, reached, fired, observed }
            };
            Answer::Rules(shared.rules.list().into_iter().map(listed).collect())
        }
    }
}

/// Asks the session whose socket this is; without one, the only one there is.
///
/// # Errors
/// `Exit::Usage` if it refuses, or if it is not known which one is meant; `Exit::Host` if it cannot be asked.
pub fn ask(control: Option<&Path>, ask: &Ask) -> Result<Answer> {
    let path = control.map_or_else(only, |path| Ok(path.to_owned()))?;
    let cannot = |error: std::io::Error| {
        ExpectedError::new(Exit::Host, format!("nobody answers at {}: {error}", path.display()))
            .help("the line `infernosim: injecting …` tells where its socket is: --control SOCKET")
    };
    let stream = UnixStream::connect(&path).map_err(cannot)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(cannot)?;
    let line = serde_json::to_string(ask).map_err(|error| cannot(error.into()))?;
    writeln!(&mut &stream, "{line}").map_err(cannot)?;
    let mut line = String::new();
    BufReader::new((&stream).take(1 << 20)).read_line(&mut line).map_err(cannot)?;
    match serde_json::from_str(&line).map_err(|error| cannot(error.into()))? {
        Answer::Error(text) => {
            Err(ExpectedError::new(Exit::Usage, format!("the session that runs refuses it: {text}")))
        }
        answer => Ok(answer),
    }
}

/// A socket of a session that did not end by itself. A file refuses to be connected to, too (unix_find_bsd), and is
/// somebody's.
fn is_left_over(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && knock(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether somebody listens. Does not wait for who accepts nobody any more (EAGAIN, unix_stream_connect).
fn knock(path: &Path) -> std::io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        knocked => knocked,
    }
}

/// Takes away what sessions left there that were killed: this one, and what is named as one beside it.
fn sweep(path: &Path) {
    let beside = path.parent().filter(|_| is_session(path)).and_then(|parent| std::fs::read_dir(parent).ok());
    let beside = beside.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|it| is_session(it));
    for path in beside.chain([path.to_owned()]).filter(|path| is_left_over(path)) {
        let _ = std::fs::remove_file(path);
    }
}

/// `infernosim-<pid>.sock`.
fn is_session(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let pid = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

fn directories() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    own.into_iter().chain([PathBuf::from(RUN)]).collect()
}

fn usual() -> PathBuf {
    let directory = directories().into_iter().next().unwrap_or_default();
    directory.join(format!("{PREFIX}{}{SUFFIX}", std::process::id()))
}

fn only() -> Result<PathBuf> {
    let mut found = Vec::new();
    for directory in directories() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && knock(&entry.path()).is_ok() {
                found.push(entry.path());
            }
        }
    }
    match &found[..] {
        [path] => Ok(path.clone()),
        [] => Err(ExpectedError::new(Exit::Usage, "no session of `infernosim inject` is to be found")
            .help("name its socket, which its first line tells: --control SOCKET")),
        several => {
            let paths: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(ExpectedError::new(Exit::Usage, "there are several sessions")
                .help(format!("name one: --control {}", paths.join(" or "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_nobody_listens_on_are_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "precious").unwrap();
        let listener = UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("socket"), at("link")).unwrap();
        let found = || ["file", "socket", "link", "none"].map(|name| is_left_over(&at(name)));
        assert_eq!(found(), [false; 4]);
        drop(listener);
        assert_eq!(found(), [false, true, false, false]);
    }

    #[test]
    fn what_killed_sessions_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let names = ["infernosim-7.sock", "infernosim-x.sock", "other-7.sock", "mine"];
        for name in names {
            drop(UnixListener::bind(at(name)).unwrap());
        }
        let _alive = UnixListener::bind(at("infernosim-8.sock")).unwrap();
        std::fs::write(at("infernosim-9.sock"), "precious").unwrap();
        let left = || {
            let all = names.iter().chain(&["infernosim-8.sock", "infernosim-9.sock"]);
            all.copied().filter(|name| at(name).exists()).collect::<Vec<_>>()
        };
        sweep(&at("mine"));
        assert_eq!(
            left(),
            [
                "infernosim-7.sock",
                "infernosim-x.sock",
                "other-7.sock",
                "infernosim-8.sock",
                "infernosim-9.sock"
            ]
        );
        sweep(&at("infernosim-10.sock"));
        assert_eq!(left(), ["infernosim-x.sock", "other-7.sock", "infernosim-8.sock", "infernosim-9.sock"]);
    }

    #[test]
    fn requests_are_one_line_of_json() {
        let text = |ask: &Ask| serde_json::to_string(ask).unwrap();
        assert_eq!(text(&Ask::Add("status=503".into())), r#"{"add":"status=503"}"#);
        assert_eq!(text(&Ask::Remove(2)), r#"{"remove":2}"#);
        assert_eq!(text(&Ask::List(true)), r#"{"list":true}"#);
        assert!(serde_json::from_str::<Ask>(r#"{"ad":"x"}"#).is_err());
        assert_eq!(serde_json::to_string(&Answer::Added(1)).unwrap(), r#"{"added":1}"#);
    }
}
