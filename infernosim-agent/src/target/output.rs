use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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
/// So much of what CMD writes is kept of a replay, in bytes; a file that has more of earlier ones is begun anew.
const MOST: u64 = 64 << 20;

/// The file that takes what CMD writes, of all runs.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    log: Arc<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    room: Mutex<Room>,
}

/// What the file takes.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    left: u64,
    dropped: u64,
}

/// What one run of CMD writes, on its way to the file.
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
        Self::limited(path, identity, MOST)
    }

    fn limited(path: &Path, identity: &Identity, most: u64) -> Result<Self> {
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
        begin_anew(&log, most).map_err(|error| cannot(path, &error))?;
        let room = Mutex::new(Room { left: most, dropped: 0 });
        Ok(Self { path: path.to_owned(), log: Arc::new(Log { file: log, room }) })
    }

    /// How many bytes that CMD wrote were not kept.
    pub fn dropped(&self) -> u64 {
        self.log.room().dropped
    }

    /// Writes a line of our own, and gives the streams for a CMD: nothing to read, and what it writes goes here by way of us.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor or thread left, or the file cannot be written.
    pub fn begin(&self, header: &str) -> Result<(Streams, Written)> {
        let failed = |error: io::Error| cannot(&self.path, &error);
        (&self.log.file).write_all(format!("{header}\n").as_bytes()).map_err(failed)?;
        let input: OwnedFd = File::open("/dev/null").map_err(failed)?.into();
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|error| failed(error.into()));
        let ((read_output, output), (read_error, error)) = (pipe()?, pipe()?);
        let log = Arc::clone(&self.log);
        let tail = Arc::<Mutex<Tail>>::default();
        let (told, over) = mpsc::channel::<()>();
        let kept = Arc::clone(&tail);
        let pass_on = move || {
            pass_on(File::from(read_output), File::from(read_error), &log, &kept);
            drop(told);
        };
        privilege::thread("target-output", pass_on).map_err(failed)?;
        Ok((Streams { input, output, error }, Written { tail, over }))
    }
}

/// A file that is full of earlier replays makes room.
fn begin_anew(mut file: &File, most: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length < most {
        return Ok(());
    }
    file.set_len(0)?;
    file.write_all(format!("--- {length} bytes of earlier replays were removed\n").as_bytes())
}

impl Log {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what there is room for. A file that takes no more, on a full disk, must not stop CMD.
    fn keep(&self, bytes: &[u8]) {
        let mut room = self.room();
        let fits = usize::try_from(room.left).unwrap_or(usize::MAX).min(bytes.len());
        let _ = (&self.file).write_all(&bytes[..fits]);
        room.left -= fits as u64;
        if fits < bytes.len() && room.dropped == 0 {
            let _ =
                (&self.file).write_all(b"\n--- it is full: what CMD writes from here on is counted only\n");
        }
        room.dropped += (bytes.len() - fits) as u64;
    }
}

impl Written {
    /// Waits for what is on its way to the file. To be called when CMD has ended.
    pub fn wait(&self) {
        // Somebody whom CMD left behind may hold its streams for ever.
        let _ = self.over.recv_timeout(REST);
    }

    /// The last lines that were written to stderr. To be called when CMD has ended: then waits for what is on its way.
    pub fn last_lines(self) -> Vec<String> {
        self.wait();
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).lines()
    }
}

/// Until nobody can write any more.
fn pass_on(output: File, error: File, log: &Log, tail: &Mutex<Tail>) {
    let mut from = [Some(output), Some(error)];
    let mut buffer = [0; 16 << 10];
    while from.iter().any(Option::is_some) {
        let ready = ready(&from);
        for (at, place) in from.iter_mut().enumerate().filter(|(at, _)| ready[*at]) {
            let Some(stream) = place else { continue };
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => {
                    log.keep(&buffer[..count]);
                    // stderr is the second.
                    if at == 1 {
                        tail.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..count]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => *place = None,
            }
        }
    }
}

/// Waits until something can be read, or somebody has ended; which of them.
fn ready(from: &[Option<File>; 2]) -> [bool; 2] {
    let present = || (0..).zip(from).filter_map(|(at, place)| Some((at, place.as_ref()?)));
    let mut looked: Vec<PollFd<'_>> =
        present().map(|(_, file)| PollFd::new(file.as_fd(), PollFlags::POLLIN)).collect();
    let mut ready = [false; 2];
    if poll(&mut looked, PollTimeout::NONE).is_ok() {
        for ((at, _), looked) in present().zip(&looked) {
            let at: usize = at;
            ready[at] = looked.any().unwrap_or(true);
        }
    }
    ready
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
    #[test]
    fn what_is_written_is_bounded_and_counted_and_stops_nobody() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("target.log");
        let identity = Identity::of_caller(None).unwrap();
        let run = |output: &Output, script: &str| {
            let (streams, written) = output.begin("---").unwrap();
            let mut command = std::process::Command::new("sh");
            command.args(["-c", script]).stdin(streams.input).stdout(streams.output).stderr(streams.error);
            assert!(command.status().unwrap().success());
            drop(command);
            written.last_lines()
        };
        let output = Output::limited(&path, &identity, 1_000).unwrap();
        assert_eq!(run(&output, "head -c 300000 /dev/zero; echo last >&2"), ["last"]);
        // What comes after is not kept either.
        run(&output, "echo more");
        assert_eq!(output.dropped(), 300_000 + 5 + 5 - 1_000);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("--- it is full").count(), 1, "{text}");
        assert!(text.len() < 1_200 && text.ends_with("---\n"), "{text}");
        let length = text.len();
        let output = Output::limited(&path, &identity, 1_000).unwrap();
        assert_eq!((run(&output, "echo anew"), output.dropped()), (Vec::new(), 0));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("--- {length} bytes of earlier replays were removed\n---\nanew\n"));
    }
}
