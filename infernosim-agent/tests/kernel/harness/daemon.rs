use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::{eventually, program};

/// A server that is a program of its own; killed when dropped.
pub struct Daemon {
    child: Child,
    pub addr: SocketAddr,
}

impl Daemon {
    /// Starts it on a port of loopback that `words` is told, and waits until it listens.
    pub fn start(name: &str, words: impl FnOnce(u16) -> Vec<String>) -> Self {
        // Free a moment ago, and the kernel gives it to nobody else so soon.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program(name));
        command.args(words(addr.port())).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        eventually(&format!("{name} listens"), || {
            assert_eq!(child.try_wait().unwrap(), None, "{command:?} ended");
            TcpStream::connect(addr).is_ok()
        });
        Self { child, addr }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
