use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::wire::Wire;

/// An HTTP server that answers `/n/NUMBER` with the number and counts how often each was asked for.
pub struct Tally {
    pub addr: SocketAddr,
    counts: Arc<[AtomicU32]>,
}

impl Tally {
    /// For numbers below `size`.
    pub fn start(size: usize) -> Self {
        // std's backlog of 4096 holds a burst of connections.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let counts: Arc<[AtomicU32]> = (0..size).map(|_| AtomicU32::new(0)).collect();
        let theirs = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&theirs);
                // Thousands of them at a time.
                let small = std::thread::Builder::new().stack_size(128 << 10);
                small.spawn(move || serve(stream, &counts)).unwrap();
            }
        });
        Self { addr, counts }
    }

    pub fn counts(&self) -> Vec<u32> {
        self.counts.iter().map(|count| count.load(Ordering::SeqCst)).collect()
    }
}

fn serve(stream: TcpStream, counts: &[AtomicU32]) {
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head() {
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default();
        let number: usize = target.strip_prefix("/n/").and_then(|text| text.parse().ok()).unwrap();
        counts[number].fetch_add(1, Ordering::SeqCst);
        let body = number.to_string();
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
}
