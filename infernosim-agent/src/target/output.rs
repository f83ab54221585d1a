use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe2;

use super::{Identity, Streams};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;

/// Lines of stderr that are kept for a report.
const LINES: usize = 20;
/// So much is kept of a line, in bytes.
const MOST_OF_LINE: usize = 4096;
/// What the target wrote before it ended is read within this.
const REST: Duration = Duration::from_millis(500);

/// The file that takes what CMD writes, of all runs.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    log: File,
}

/// What one run of CMD writes to stderr, on its way to the file.
#[derive(Debug)]
pub struct Written {
    tail: Arc<Mutex<Tail>>,
    over: mpsc::Receiver<()>,
}

impl Output {
    /// Opens it, to write on behind what is there; makes it, for its owner's eyes (0600).
    ///
    /// # Errors
    /// `Exit::Host` if it cannot be written, or is no plain file: a link that somebody put there is not followed.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self> {
        let name = path.to_owned();
        let open = move || {
            let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
            let log =
                OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(name)?;
            if log.metadata()?.is_file() { Ok(log) } else { Err(io::Error::other("it is no plain file")) }
        };
        // As its owner, who could have put the name of another's file there.
        let opened = if identity.switch {
            privilege::thread_as("target-log", (identity.uid, identity.gid), open).and_then(|thread| {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
            })
        } else {
            open()
        };
        let log = opened.map_err(|error| cannot(path, &error))?;
        Ok(Self { path: path.to_owned(), log })
    }

    /// Writes a line of our own, and gives the streams for a CMD: nothing to read, and all that it writes goes here, what it
    /// writes to stderr by way of us.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor or thread left, or the file cannot be written.
    pub fn begin(&self, header: &str) -> Result<(Streams, Written)> {
        let failed = |error: io::Error| cannot(&self.path, &error);
        (&self.log).write_all(format!("{header}\n").as_bytes()).map_err(failed)?;
        let input: OwnedFd = File::open("/dev/null").map_err(failed)?.into();
        let (read, error) = pipe2(OFlag::O_CLOEXEC).map_err(|error| failed(error.into()))?;
        let (output, log) = (self.log.try_clone().map_err(failed)?, self.log.try_clone().map_err(failed)?);
        let tail = Arc::<Mutex<Tail>>::default();
        let (told, over) = mpsc::channel::<()>();
        let kept = Arc::clone(&tail);
        let pass_on = move || {
            pass_on(&mut File::from(read), &log, &kept);
            drop(told);
        };
        privilege::thread("target-stderr", pass_on).map_err(failed)?;
        Ok((Streams { input, output: output.into(), error }, Written { tail, over }))
    }
}

impl Written {
    /// The last lines that were written to stderr. To be called when CMD has ended: then waits for what is on its way.
    pub fn last_lines(self) -> Vec<String> {
        // Somebody whom CMD left behind may hold its stderr for ever.
        let _ = self.over.recv_timeout(REST);
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }
}

/// Until nobody can write any more. A file that takes no more, on a full disk, must not stop CMD.
fn pass_on(from: &mut File, mut log: &File, tail: &Mutex<Tail>) {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let _ = log.write_all(&buffer[..count]);
                tail.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The last lines of a text.
#[derive(Debug, Default)]
struct Tail {
    whole: VecDeque<Vec<u8>>,
    begun: Vec<u8>,
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MOST_OF_LINE.saturating_sub(self.begun.len());
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.begun.extend_from_slice(&line[..line.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.whole.push_back(std::mem::take(&mut self.begun));
                if self.whole.len() > LINES {
                    self.whole.pop_front();
                }
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let begun = (!self.begun.is_empty()).then_some(&self.begun);
        let all: Vec<_> = self.whole.iter().chain(begun).collect();
        let last = all[all.len().saturating_sub(LINES)..].iter();
        last.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

fn cannot(path: &Path, error: &io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("{} cannot be written: {error}", path.display()))
        .help("a replay writes beside the recording: copy the incident to where you may write")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_last_lines_are_kept_however_they_come() {
        let text: String = (0..50).map(|at| format!("line {at}\n")).collect();
        let expected: Vec<_> = (31..50).map(|at| format!("line {at}")).chain(["torn".to_owned()]).collect();
        for size in [1, 7, 10_000] {
            let mut tail = Tail::default();
            (text.clone() + "torn").as_bytes().chunks(size).for_each(|piece| tail.add(piece));
            assert_eq!(tail.lines(), expected, "{size}");
        }
        let mut tail = Tail::default();
        for _ in 0..100 {
            tail.add(&[b'x'; 1 << 16]);
        }
        assert_eq!(tail.lines(), ["x".repeat(MOST_OF_LINE)]);
        tail.add(b"\n\n\xff\n");
        assert_eq!(tail.lines()[1..], ["", "\u{fffd}"]);
    }

    #[test]
    fn what_is_written_is_in_the_file_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("target.log");
        let identity = Identity::of_caller(None).unwrap();
        for run in 1..=2 {
            let output = Output::open(&path, &identity).unwrap();
            let (streams, written) = output.begin(&format!("=== run {run}")).unwrap();
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "cat; echo out; echo err >&2; echo last >&2"]);
            command.stdin(streams.input).stdout(streams.output).stderr(streams.error);
            assert!(command.status().unwrap().success());
            drop(command);
            assert_eq!(written.last_lines(), ["err", "last"]);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("=== run").count(), 2, "{text}");
        assert!(
            text.starts_with("=== run 1\n") && text.contains("out\n") && text.contains("err\n"),
            "{text}"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(Output::open(&link, &identity).unwrap_err().exit, Exit::Host);
        nix::unistd::mkfifo(&place.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Output::open(&place.path().join("pipe"), &identity).unwrap_err().exit, Exit::Host);
    }
}
