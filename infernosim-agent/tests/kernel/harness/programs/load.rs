use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::say;

/// Asks a tally for each of `requests` numbers from `first` on, once, over `threads` connections at a time: kept
/// alive, or a new one each. Says `DONE` and how many were answered rightly.
pub fn run(arguments: &Value) -> usize {
    let addr: SocketAddr = arguments["addr"].as_str().unwrap().parse().unwrap();
    let number = |name: &str| arguments[name].as_u64().unwrap() as usize;
    let (threads, first, requests) = (number("threads"), number("first"), number("requests"));
    let keep_alive = arguments["keep_alive"].as_bool().unwrap();
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let mine = (first..first + requests).skip(thread).step_by(threads);
            std::thread::spawn(move || mine.filter_map(client(addr, keep_alive)).count())
        })
        .collect();
    let answered = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    say(&format!("DONE {answered}"));
    answered
}

fn client(addr: SocketAddr, keep_alive: bool) -> impl FnMut(usize) -> Option<()> {
    let mut kept: Option<TcpStream> = None;
    move |number| {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(addr).unwrap();
                stream.set_nodelay(true).unwrap();
                stream
            }
        };
        ask(&mut stream, number).unwrap();
        kept = keep_alive.then_some(stream);
        Some(())
    }
}

/// One request and its whole answer.
pub fn ask(stream: &mut TcpStream, number: usize) -> std::io::Result<()> {
    // In one write: pieces would wait for each other's acknowledgement.
    stream.write_all(format!("GET /n/{number} HTTP/1.1\r\nHost: tally.test\r\n\r\n").as_bytes())?;
    let body = number.to_string();
    let expected = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer)?;
    assert_eq!(String::from_utf8_lossy(&answer), expected);
    Ok(())
}
