use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use super::load::ask;
use super::{lines, say};

/// A client of a tally that does as it is told, a line at a time, and says what came of it:
/// `open N` opens N connections more and asks once on each; `ask` asks once more on all; `new` asks once on a
/// connection of its own.
pub fn run(arguments: &Value) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let addr: SocketAddr = arguments["addr"].as_str().unwrap().parse().unwrap();
    let mut open: Vec<TcpStream> = Vec::new();
    let mut numbers = 0..;
    say("READY");
    for line in lines() {
        let mut count = Count::default();
        match line.split_once(' ') {
            Some(("open", more)) => {
                for _ in 0..more.parse().unwrap() {
                    match connect(addr) {
                        Ok(mut stream) => {
                            count.add(ask(&mut stream, numbers.next().unwrap()));
                            open.push(stream);
                        }
                        Err(error) => count.add(Err(error)),
                    }
                }
            }
            _ if line == "ask" => {
                for stream in &mut open {
                    count.add(ask(stream, numbers.next().unwrap()));
                }
            }
            _ => count.add(connect(addr).and_then(|mut stream| ask(&mut stream, numbers.next().unwrap()))),
        }
        say(&format!("RESULT {} answered {}", count.answered, count.errors));
    }
}

#[derive(Default)]
struct Count {
    answered: usize,
    /// The kinds of the others.
    errors: String,
}

impl Count {
    fn add(&mut self, result: std::io::Result<()>) {
        match result {
            Ok(()) => self.answered += 1,
            Err(error) => self.errors.push_str(&format!("{:?} ", error.kind())),
        }
    }
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}
