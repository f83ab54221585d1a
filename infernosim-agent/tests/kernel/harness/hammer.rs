use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::server::NUMBERS;
use super::wire::Wire;
use super::{Netns, eventually};

/// Clients that ask a [`Server`](super::Server) without end, from threads of the test's own process: each request has
/// a number of its own, which stands in the query, and each answer is compared with what it must be.
pub struct Hammer {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    addr: SocketAddr,
    keep_alive: bool,
    next: AtomicUsize,
    stop: AtomicBool,
    /// Who asked for each number that was answered rightly, as the client knows itself.
    answered: Mutex<BTreeMap<usize, SocketAddr>>,
    failures: Mutex<Vec<String>>,
}

impl Hammer {
    /// From so many connections at a time, each kept alive as long as the server lets it, or a new one a request.
    pub fn start(addr: SocketAddr, from: Option<&Netns>, clients: usize, keep_alive: bool) -> Self {
        let shared = Arc::new(Shared {
            addr,
            keep_alive,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            answered: Mutex::default(),
            failures: Mutex::default(),
        });
        let work = |_| {
            let (shared, netns) = (Arc::clone(&shared), from.map(Netns::path));
            std::thread::spawn(move || {
                if let Some(netns) = netns {
                    Netns::move_thread(&netns);
                }
                shared.work();
            })
        };
        let workers = (0..clients).map(work).collect();
        Self { shared, workers }
    }

    /// Every request with this number or a higher one begins from here on.
    pub fn mark(&self) -> usize {
        self.shared.next.load(Ordering::SeqCst)
    }

    /// Those that were answered so far: their numbers, and who asked.
    pub fn answered(&self) -> BTreeMap<usize, SocketAddr> {
        self.shared.answered.lock().unwrap().clone()
    }

    /// Waits until so many more have been answered, and gives all of them.
    pub fn more(&self, count: usize) -> BTreeMap<usize, SocketAddr> {
        let before = self.answered().len();
        eventually("the clients are answered", || {
            self.assert_no_failure();
            self.shared.answered.lock().unwrap().len() >= before + count
        });
        self.answered()
    }

    /// Ends them; each request of theirs must have been answered.
    pub fn stop(mut self) -> BTreeMap<usize, SocketAddr> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.workers.drain(..).for_each(|worker| worker.join().unwrap());
        self.assert_no_failure();
        assert_eq!(self.answered().len(), self.mark());
        self.answered()
    }

    fn assert_no_failure(&self) {
        let failures = self.shared.failures.lock().unwrap();
        assert!(failures.is_empty(), "requests failed: {failures:?}");
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn work(&self) {
        let mut kept = None;
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            match self.ask(number, &mut kept) {
                Ok(client) => {
                    self.answered.lock().unwrap().insert(number, client);
                }
                Err(error) => return self.failures.lock().unwrap().push(format!("{number}: {error}")),
            }
            // What is to be proved is no question of speed, and servers and other tests need the processors too.
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn ask(&self, number: usize, kept: &mut Option<Wire>) -> Result<SocketAddr, String> {
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => {
                let stream = TcpStream::connect(self.addr).map_err(|error| error.to_string())?;
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                Wire::new(stream)
            }
        };
        let client = wire.stream.local_addr().unwrap();
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let (residue, host) = (number % NUMBERS, self.addr);
        wire.send(format!(
            "GET /n/{residue}?{number} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n"
        ));
        let (head, body) = wire.response().ok_or_else(|| format!("no answer to {client}"))?;
        let head = head.to_ascii_lowercase();
        if !head.contains(" 200 ") || body != format!("{residue}\n").as_bytes() {
            return Err(format!("{head}{}", String::from_utf8_lossy(&body)));
        }
        if self.keep_alive && head.starts_with("http/1.1") && !head.contains("connection: close") {
            *kept = Some(wire);
        }
        Ok(client)
    }
}
