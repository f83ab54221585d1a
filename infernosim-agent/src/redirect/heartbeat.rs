use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{Array, MapData};

use crate::clock;
use crate::privilege;

/// A tenth of what the kernel half bears (`HEARTBEAT_LIMIT_NS`): a busy host delays us, it does not stop us.
const PERIOD: Duration = Duration::from_millis(100);

/// Tells the kernel half that we are alive. When we are killed the links go; when we are stopped (SIGSTOP) they
/// stay, and only a heartbeat that grows old lets the target's connections go direct again.
pub struct Heartbeat {
    map: Array<MapData, u64>,
}

/// A heart that beats until this is dropped.
pub struct Beating {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    pub(super) const fn new(map: Array<MapData, u64>) -> Self {
        Self { map }
    }

    /// Beats at once and then from a thread of its own.
    pub fn start(mut self) -> std::io::Result<Beating> {
        let (stop, stopped) = channel();
        self.beat();
        let thread = privilege::thread("heartbeat", move || {
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                self.beat();
            }
        })?;
        Ok(Beating { stop: Some(stop), thread: Some(thread) })
    }

    fn beat(&mut self) {
        // An array element that exists cannot fail to be set.
        let _ = self.map.set(0, clock::now().0, 0);
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
