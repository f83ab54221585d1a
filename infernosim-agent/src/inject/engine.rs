//! The threads that accept, one runtime each: a socket connects from the network namespace of the thread that makes it.

use std::io;
use std::net::{TcpListener as StdListener, UdpSocket as StdUdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::shared::{Phase, Shared};
use super::{connection, lookups};
use crate::capture::namespaces::Station;
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;
use crate::proxy::Listener;

/// The shortest and the longest wait where no connection can be accepted.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));

/// All of them.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// They hold the ports; the threads have descriptors of their own.
    listeners: Mutex<Vec<Listener>>,
}

struct Doors {
    tcp: Vec<StdListener>,
    udp: Vec<StdUdpSocket>,
    namespace: u64,
}

impl Station for Engine {
    fn serve(&self, listener: Listener) -> Result<()> {
        Self::serve(self, listener, 1)
    }

    fn leave(&self, _namespace: u64) {}

    fn reap(&self) {}
}

impl Engine {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, threads: Mutex::default(), listeners: Mutex::default() }
    }

    /// Serves this thread's network namespace, that of `listener`, with so many threads.
    ///
    /// # Errors
    /// `Exit::Host` if there is no descriptor or thread left.
    pub fn serve(&self, mut listener: Listener, threads: u32) -> Result<()> {
        for _ in 0..threads.max(1) {
            let doors = Doors::of(&listener).map_err(|error| cannot(&error))?;
            self.run(doors)?;
        }
        listener.v6 = None;
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        Ok(())
    }

    /// Cuts what is open and ends.
    pub fn stop(&self) {
        self.shared.phase.send_replace(Phase::Over);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }

    fn run(&self, doors: Doors) -> Result<()> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = Arc::clone(&self.shared);
        let thread = privilege::thread(format!("inject-{}", threads.len()), move || {
            serve(runtime, doors, &shared);
        });
        threads.push(thread.map_err(|error| cannot(&error))?);
        Ok(())
    }
}

impl Doors {
    fn of(listener: &Listener) -> io::Result<Self> {
        let mut doors = Self { tcp: Vec::new(), udp: Vec::new(), namespace: listener.namespace };
        for socket in [Some(&listener.v4), listener.v6.as_ref()].into_iter().flatten() {
            doors.tcp.push(socket.try_clone()?);
        }
        if let Some(replay) = &listener.replay {
            for socket in [Some(&replay.dns_v4), replay.dns_v6.as_ref()].into_iter().flatten() {
                doors.udp.push(socket.try_clone()?);
            }
        }
        Ok(doors)
    }
}

fn serve(runtime: Runtime, doors: Doors, shared: &Arc<Shared>) {
    runtime.block_on(async {
        for listener in doors.tcp {
            if let Ok(listener) = TcpListener::from_std(listener) {
                tokio::spawn(accept_all(Arc::clone(shared), listener, doors.namespace));
            }
        }
        for socket in doors.udp {
            if let Ok(socket) = UdpSocket::from_std(socket) {
                tokio::spawn(lookups::serve(Arc::clone(shared), Arc::new(socket), doors.namespace));
            }
        }
        shared.over().await;
    });
    // With its tasks go the connections.
    runtime.shutdown_background();
}

async fn accept_all(shared: Arc<Shared>, listener: TcpListener, namespace: u64) {
    let mut back_off = BACK_OFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                back_off = BACK_OFF.0;
                tokio::spawn(connection::admit(Arc::clone(&shared), stream, from, namespace));
            }
            // The client gave up meanwhile.
            Err(error)
                if [Errno::ECONNABORTED, Errno::EINTR]
                    .iter()
                    .any(|errno| error.raw_os_error() == Some(*errno as i32)) => {}
            Err(_) => {
                // Out of descriptors or memory, most likely: waiting lets connections end.
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

fn cannot(error: &dyn std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("connections cannot be served: {error}"))
}
