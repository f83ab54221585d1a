use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::Value;

use super::load::ask;
use super::{lines, say};

/// Requests on a connection; the numbers of connection C are C * REQUESTS and those after it.
pub const REQUESTS: usize = 8;

struct State {
    stop: AtomicBool,
    /// Connections begun.
    connections: AtomicUsize,
    answered: AtomicUsize,
    /// Connection and kind of each.
    errors: Mutex<Vec<(usize, String)>>,
}

/// A client of a tally that never rests and bears what happens. `mark` says how many connections it has begun and
/// how many requests were answered; `errors N` says what happened to connections from N on; `stop` ends it.
pub fn run(arguments: &Value) {
    let addr: SocketAddr = arguments["addr"].as_str().unwrap().parse().unwrap();
    let state = State {
        stop: AtomicBool::new(false),
        connections: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        errors: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments["threads"].as_u64().unwrap() {
            scope.spawn(|| {
                while !state.stop.load(SeqCst) {
                    connection(addr, &state);
                }
            });
        }
        say(&format!("READY main={}", std::process::id()));
        for line in lines() {
            match line.split_once(' ') {
                Some(("errors", first)) => {
                    let first: usize = first.parse().unwrap();
                    let errors = state.errors.lock().unwrap();
                    let late: Vec<&str> =
                        errors.iter().filter(|(at, _)| *at >= first).map(|(_, kind)| kind.as_str()).collect();
                    say(&format!("ERRORS {} {}", late.len(), late.join(" ")));
                }
                _ if line == "stop" => break,
                _ => mark("MARK", &state),
            }
        }
        state.stop.store(true, SeqCst);
    });
    mark("STOPPED", &state);
    // Its end is for who started it to say.
    lines().for_each(drop);
}

fn mark(word: &str, state: &State) {
    say(&format!("{word} {} {}", state.connections.load(SeqCst), state.answered.load(SeqCst)));
}

fn connection(addr: SocketAddr, state: &State) {
    let number = state.connections.fetch_add(1, SeqCst);
    let result = connect(addr).and_then(|mut stream| {
        for request in 0..REQUESTS {
            ask(&mut stream, number * REQUESTS + request)?;
            state.answered.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    if let Err(error) = result {
        state.errors.lock().unwrap().push((number, format!("{:?}", error.kind())));
    }
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}
