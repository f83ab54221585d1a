//! How many answers a second the stub gives, matching included, beside a bare hyper server of the same answer: what
//! `cargo xtask bench --only stub` runs. Arguments: how many calls, how many rounds, how many connections.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use infernosim::clock;
use infernosim::incident::reader::Incident;
use infernosim::replay::causes::Live;
use infernosim::replay::matcher::{MatchOptions, Matcher, OnUnmatched};
use infernosim::replay::script::Script;
use infernosim::replay::stub::{Explicitly, Stub, StubSetup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What every call is answered: 1 KiB.
const BODY: usize = 1024;
/// Every path is asked for so many times.
const REPEATED: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default).max(1);
    let (calls, rounds, connections) = (number(0, 200_000), number(1, 5), number(2, 64));
    let directory = tempfile::tempdir()?;
    write(directory.path(), calls)?;
    let script = Script::load(&Incident::open(directory.path())?)?;
    let matcher = Arc::new(Mutex::new(Matcher::new(Arc::clone(&script), MatchOptions::default())));
    let stub = Stub::start(StubSetup {
        script,
        matcher: Arc::clone(&matcher),
        causes: Live::new(None),
        kernel: None,
        time_scale: 0.0,
        on_unmatched: OnUnmatched::Fail,
        live: Vec::new(),
        faults: Arc::default(),
    })?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stubbed = listener.local_addr()?;
    stub.listen(listener, Explicitly::Server)?;
    let bare = bare()?;
    for round in 0..rounds {
        let bare = || load(bare, calls, connections);
        let stubbed = || {
            lock(&matcher).begin();
            stub.begin(clock::now())?;
            let took = load(stubbed, calls, connections)?;
            stub.end();
            let unmatched = lock(&matcher).finish().iter().filter(|call| call.counterpart.is_none()).count();
            if unmatched > 0 {
                return Err(io::Error::other(format!("{unmatched} calls had no counterpart")).into());
            }
            Ok::<_, Box<dyn std::error::Error>>(took)
        };
        // Another one begins in each round.
        let (floor, own) = if round % 2 == 0 {
            let floor = bare()?;
            (floor, stubbed()?)
        } else {
            let own = stubbed()?;
            (bare()?, own)
        };
        println!("bench {floor:.0} {own:.0}");
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    println!("peak {}", peak.trim());
    stub.stop();
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An incident with one exchange and so many calls.
fn write(directory: &Path, calls: usize) -> io::Result<()> {
    let request = r#"{"id":"00000000000000000000000000000001","type":"InboundRequest","timestamp":"2026-01-01T00:00:00Z","sequence":1,"service":"127.0.0.1:8080","protocol":"http/1.1","method":"GET","url":"http://127.0.0.1:8080/","headers":{"Host":["127.0.0.1:8080"]},"bodySize":0}"#;
    std::fs::write(directory.join("inbound.log"), format!("{request}\n"))?;
    let mut log = String::new();
    let body = "x".repeat(BODY);
    for number in 0..calls {
        let sequence = number + 2;
        let _ = writeln!(
            log,
            r#"{{"id":"{sequence:032x}","type":"OutboundCall","timestamp":"2026-01-01T00:00:01Z","sequence":{sequence},"offsetNs":{sequence},"service":"stock.test","protocol":"http/1.1","method":"GET","url":"http://stock.test{}","headers":{{"Host":["stock.test"]}},"bodySize":0,"status":200,"responseHeaders":{{"Content-Type":["text/plain"],"Content-Length":["{BODY}"]}},"responseBody":"{body}","responseBodySize":{BODY},"duration":300000,"connection":1,"peer":"10.0.0.7:80"}}"#,
            path(number)
        );
    }
    std::fs::write(directory.join("outbound.log"), log)
}

fn path(number: usize) -> String {
    format!("/v1/items/{}?currency=eur", number / REPEATED)
}

/// A server that answers the same, and nothing else.
fn bare() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = Bytes::from("x".repeat(BODY));
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let body = body.clone();
                let service = service_fn(move |_: Request<_>| {
                    let mut response = Response::new(Full::new(body.clone()));
                    let plain = hyper::header::HeaderValue::from_static("text/plain");
                    response.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
                    std::future::ready(Ok::<_, Infallible>(response))
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            #[expect(unreachable_code, reason = "says what the block gives")]
            io::Result::Ok(())
        })
    });
    Ok(address)
}

/// Asks for every path over so many connections, on a thread of its own; answers a second.
fn load(address: SocketAddr, calls: usize, connections: usize) -> io::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = clock::now();
    runtime.block_on(async {
        let clients: Vec<_> = (0..connections)
            .map(|first| tokio::spawn(client(address, (first..calls).step_by(connections))))
            .collect();
        for client in clients {
            client.await.map_err(io::Error::other)??;
        }
        io::Result::Ok(())
    })?;
    Ok(calls as f64 * 1e9 / clock::now().since(begun) as f64)
}

async fn client(address: SocketAddr, numbers: impl Iterator<Item = usize>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 8 << 10];
    for number in numbers {
        let request = format!("GET {} HTTP/1.1\r\nHost: stock.test\r\n\r\n", path(number));
        stream.write_all(request.as_bytes()).await?;
        let mut held = 0;
        loop {
            let read = stream.read(&mut buffer[held..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            held += read;
            let head = buffer[..held].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if head.is_some_and(|head| held >= head + 4 + BODY) {
                break;
            }
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&buffer[..held]).into_owned()));
        }
    }
    Ok(())
}
