use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::PATIENCE;

/// A TCP server that does one thing with each connection, on a thread of its own.
pub struct Tcp<T> {
    pub addr: SocketAddr,
    results: Receiver<T>,
}

impl<T: Send + 'static> Tcp<T> {
    /// On loopback, IPv4.
    pub fn start(act: impl Fn(TcpStream) -> T + Send + Clone + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), act)
    }

    /// On this listener.
    pub fn on(listener: TcpListener, act: impl Fn(TcpStream) -> T + Send + Clone + 'static) -> Self {
        let addr = listener.local_addr().unwrap();
        let (sender, results) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, sender) = (act.clone(), sender.clone());
                std::thread::spawn(move || {
                    // Nobody need ask.
                    let _ = sender.send(act(stream));
                });
            }
        });
        Self { addr, results }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// What the next connection to end came to.
    pub fn result(&self) -> T {
        self.results.recv_timeout(PATIENCE).expect("no connection ended in time")
    }
}
