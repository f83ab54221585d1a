//! Who has connected to the control socket: each sends a line and takes one, at its own pace, and nobody waits for anybody.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::clock::{self, Nanos};

/// The longest line.
const MAX_LINE: usize = 64 << 10;
/// How long one may take for its line, and for ours.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many are heard at once; who comes then takes the place of who came first.
const MOST: usize = 64;
/// So many are let in at once, before those are heard again that are there.
const MOST_AT_ONCE: usize = 256;

/// All of them.
#[derive(Default)]
pub struct Callers {
    all: VecDeque<Caller>,
}

struct Caller {
    stream: UnixStream,
    since: Nanos,
    line: Vec<u8>,
    /// What is left of the answer.
    answer: Option<Vec<u8>>,
}

impl Callers {
    /// Lets in who has come, and goes on with each as far as it goes without waiting; `perform` gives the answer to a line.
    pub fn step(&mut self, listener: &UnixListener, mut perform: impl FnMut(Result<&[u8], &str>) -> String) {
        self.all.retain_mut(|caller| caller.step(&mut perform));
        for _ in 0..MOST_AT_ONCE {
            let Ok((stream, _)) = listener.accept() else { return };
            let mut caller = Caller { stream, since: clock::now(), line: Vec::new(), answer: None };
            if caller.stream.set_nonblocking(true).is_ok() && caller.step(&mut perform) {
                if self.all.len() >= MOST {
                    self.all.pop_front();
                }
                self.all.push_back(caller);
            }
        }
    }
}

impl Caller {
    /// False when it is done with, or has taken too long.
    fn step(&mut self, perform: &mut impl FnMut(Result<&[u8], &str>) -> String) -> bool {
        if self.answer.is_none() {
            let text = match self.read() {
                Some(true) => perform(Ok(&self.line)),
                Some(false) if self.line.len() < MAX_LINE => return self.is_in_time(),
                Some(false) => perform(Err("it is longer than 64 KiB")),
                // Who breaks off is heard no more.
                None => return false,
            };
            self.answer = Some((text + "\n").into_bytes());
            self.since = clock::now();
        }
        self.write() && self.is_in_time()
    }

    fn is_in_time(&self) -> bool {
        u128::from(clock::now().since(self.since)) < PATIENCE.as_nanos()
    }

    /// Whether the line is whole; none if there will be none.
    fn read(&mut self) -> Option<bool> {
        let mut room = [0; 4096];
        while self.line.len() < MAX_LINE {
            match self.stream.read(&mut room) {
                Ok(0) => return (!self.line.is_empty()).then_some(true),
                Ok(read) => {
                    let got = &room[..read];
                    let end = got.iter().position(|byte| *byte == b'\n');
                    self.line.extend_from_slice(&got[..end.unwrap_or(read)]);
                    if end.is_some() {
                        return Some(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(false)
    }

    /// Whether some of it is left.
    fn write(&mut self) -> bool {
        let Some(answer) = &mut self.answer else { return true };
        while !answer.is_empty() {
            match self.stream.write(answer) {
                Ok(sent) => drop(answer.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: Result<&[u8], &str>) -> String {
        line.map_or_else(|wrong| wrong.to_owned(), |line| format!("{} bytes", line.len()))
    }

    fn answer(caller: &mut UnixStream) -> String {
        let mut text = String::new();
        caller.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = caller.read_to_string(&mut text);
        text
    }

    #[test]
    fn nobody_waits_for_who_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut callers = Callers::default();
        let mut silent = Vec::new();
        for number in 0..200_usize {
            silent.push(UnixStream::connect(&path).unwrap());
            callers.step(&listener, told);
            assert_eq!(callers.all.len(), MOST.min(number + 1));
        }
        let mut caller = UnixStream::connect(&path).unwrap();
        caller.write_all(b"ha").unwrap();
        callers.step(&listener, told);
        caller.write_all(b"lf\nmore").unwrap();
        callers.step(&listener, told);
        assert_eq!(answer(&mut caller), "4 bytes\n");
        assert_eq!(callers.all.len(), MOST - 1);
    }

    #[test]
    fn a_line_ends_or_is_too_long() {
        for (sent, expected) in [
            (&b"abc\n"[..], "3 bytes\n"),
            (b"abc", "3 bytes\n"),
            (b"\n", "0 bytes\n"),
            (b"", ""),
            (&[b'x'; 70_000], "it is longer than 64 KiB\n"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("socket");
            let listener = UnixListener::bind(&path).unwrap();
            listener.set_nonblocking(true).unwrap();
            let mut caller = UnixStream::connect(&path).unwrap();
            caller.write_all(sent).unwrap();
            caller.shutdown(std::net::Shutdown::Write).unwrap();
            let mut callers = Callers::default();
            callers.step(&listener, told);
            assert!(callers.all.is_empty());
            assert_eq!(answer(&mut caller), expected);
        }
    }

    #[test]
    fn an_answer_that_nobody_takes_waits_without_us() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut callers = Callers::default();
        let mut caller = UnixStream::connect(&path).unwrap();
        caller.write_all(b"x\n").unwrap();
        let long = "x".repeat(4 << 20);
        callers.step(&listener, |_| long.clone());
        assert_eq!(callers.all.len(), 1);
        let reading = std::thread::spawn(move || answer(&mut caller).len());
        while !callers.all.is_empty() {
            callers.step(&listener, |_| unreachable!());
        }
        assert_eq!(reading.join().unwrap(), long.len() + 1);
    }
}
