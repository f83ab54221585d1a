use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// What a process writes to a pipe, as it comes.
#[derive(Clone)]
pub struct Output {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
    /// Lines before this byte were given already.
    given: usize,
}

impl Output {
    /// Reads in a thread of its own, until the end.
    pub fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = theirs.0.lock().unwrap();
                state.bytes.extend_from_slice(&buffer[..read]);
                state.ended = read == 0;
                theirs.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { shared }
    }

    /// The next line that begins with `start`, without its end; lines before it are passed over.
    pub fn line(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.0.lock().unwrap();
        loop {
            while let Some(length) = state.bytes[state.given..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&state.bytes[state.given..][..length]).into_owned();
                state.given += length + 1;
                if line.starts_with(start) {
                    return line;
                }
            }
            let text = String::from_utf8_lossy(&state.bytes).into_owned();
            assert!(!state.ended, "ended without a line {start:?}:\n{text}");
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "no line {start:?} in time:\n{text}");
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// All of it, once it has ended. A process that lives on with the pipe open costs five seconds.
    pub fn all(&self) -> Vec<u8> {
        let state = self.shared.0.lock().unwrap();
        let wait = self.shared.1.wait_timeout_while(state, Duration::from_secs(5), |state| !state.ended);
        wait.unwrap().0.bytes.clone()
    }

    /// As much as has come.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.shared.0.lock().unwrap().bytes).into_owned()
    }
}
