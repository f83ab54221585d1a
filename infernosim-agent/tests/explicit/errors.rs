//! What goes wrong on the way is told to the client in words, or as it would happen without us, and recorded.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::{
    Folder, Recording, Running, Said, Tcp, Wire, closed_port, curl, curl_through, program, text,
};

/// The answer that we gave in a dependency's place.
fn assert_own_answer(said: &Said, status: u64, words: &[&str]) {
    let body = said.text();
    let (body, code) = body.rsplit_once('\n').unwrap();
    assert_eq!(code, status.to_string(), "{body}");
    for word in words.iter().chain(&["infernosim"]) {
        assert!(body.contains(word), "{word} is not in {body:?}");
    }
    assert!(body.lines().count() <= 3, "{body}");
}

fn ask(proxy: &Running, url: &str) -> Said {
    curl_through(proxy, &["-w", "\n%{http_code}", url])
}

/// The only exchange there is, to which the answer was ours.
fn answered_for<'a>(recording: &'a Recording, status: u64, errno: &str) -> &'a Value {
    let call = recording.call();
    assert_eq!(call["status"], status, "{call:#}");
    assert_eq!(text(&call["errno"]), errno, "{call:#}");
    assert!(!text(&call["error"]).is_empty(), "{call:#}");
    assert!(text(&call["responseBody"]).contains("infernosim"), "{call:#}");
    assert_eq!(recording.manifest["dependencies"][0]["failed"], 1, "{:#}", recording.manifest);
    call
}

#[test]
fn a_dependency_that_is_down() {
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let nowhere = format!("127.0.0.1:{}", closed_port());
    let url = format!("http://{nowhere}/pay");
    assert_own_answer(&ask(&proxy, &url), 502, &[&nowhere, "ECONNREFUSED"]);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = answered_for(&recording, 502, "ECONNREFUSED");
    assert_eq!((text(&call["url"]), text(&call["service"])), (url.as_str(), nowhere.as_str()));
}

/// A request with a body that nobody took is answered too, and the connection stays of use or is closed in order.
#[test]
fn a_dependency_that_is_down_while_much_is_sent() {
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let nowhere = format!("http://127.0.0.1:{}/upload", closed_port());
    let file = folder.join("upload");
    std::fs::write(&file, vec![7; 8 << 20]).unwrap();
    for length in [&["-H", "Expect:"][..], &["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]] {
        let words = [&["-w", "\n%{http_code}", "-T", file.to_str().unwrap(), &nowhere], length].concat();
        assert_own_answer(&curl_through(&proxy, &words), 502, &["ECONNREFUSED"]);
    }
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    assert!(recording.calls().iter().all(|call| call["status"] == 502), "{:#?}", recording.events);
}

#[test]
fn a_service_that_is_down_behind_inbound() {
    let folder = Folder::new();
    let nowhere = format!("localhost:{}", closed_port());
    let inbound = folder.inbound(&nowhere, &[]);
    let said = curl(&["-w", "\n%{http_code}", &inbound.url("/api/demo")]);
    assert_own_answer(&said, 502, &[&nowhere, "ECONNREFUSED"]);
    inbound.stop();
    let recording = folder.recorded("inbound.log");
    let (request, response) =
        (recording.of_type("InboundRequest")[0], recording.of_type("InboundResponse")[0]);
    assert_eq!(request["service"], nowhere);
    assert_eq!(response["status"], 502);
    assert_eq!(text(&response["errno"]), "ECONNREFUSED", "{response:#}");
}

#[test]
fn a_name_that_does_not_exist() {
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    // A label of more than 63 letters is in nobody's DNS, and no resolver is asked for it (RFC 1035 section 2.3.4).
    let name = format!("{}.test", "x".repeat(64));
    let url = format!("http://{name}/");
    assert_own_answer(&ask(&proxy, &url), 502, &[&name]);
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = recording.call();
    assert_eq!(
        (call["status"].as_u64(), text(&call["url"]), text(&call["service"])),
        (Some(502), url.as_str(), &*name)
    );
    assert!(call.get("peer").is_none(), "nobody was dialled: {call:#}");
    assert!(!text(&call["error"]).is_empty(), "{call:#}");
}

#[test]
fn a_dependency_that_does_not_answer_the_dial() {
    let (blackhole, _full) = blackhole();
    let folder = Folder::new();
    let proxy = folder.proxy(&["--connect-timeout", "300ms"]);
    let address = blackhole.local_addr().unwrap().as_socket().unwrap().to_string();
    assert_own_answer(&ask(&proxy, &format!("http://{address}/")), 504, &[&address, "300"]);
    proxy.stop();
    answered_for(&folder.recorded("outbound.log"), 504, "ETIMEDOUT");
}

/// A listener whose backlog is full: the kernel drops what asks for more (tcp_conn_request).
fn blackhole() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = Vec::new();
    for _ in 0..8 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address);
        full.push(client);
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    (listener, full)
}

/// A new connection that ends before a byte of the answer.
#[test]
fn a_dependency_that_says_nothing() {
    for linger in [None, Some(std::time::Duration::ZERO)] {
        let server = Tcp::start(move |stream| {
            socket2::SockRef::from(&stream).set_linger(linger).unwrap();
            let mut wire = Wire::new(stream);
            wire.head();
        });
        let folder = Folder::new();
        let proxy = folder.proxy(&[]);
        let said = ask(&proxy, &format!("http://{}/", server.addr));
        assert_own_answer(&said, 502, &[&server.addr.to_string()]);
        proxy.stop();
        let recording = folder.recorded("outbound.log");
        let call = recording.call();
        assert_eq!(call["status"], 502);
        assert!(!text(&call["error"]).is_empty(), "{call:#}");
        let errno = if linger.is_some() { "ECONNRESET" } else { "" };
        assert_eq!(text(&call["errno"]), errno, "{call:#}");
    }
}

/// However an answer is cut off, the client must not take it for a whole one.
#[test]
fn an_answer_that_is_cut_off_is_not_whole_for_the_client_either() {
    let heads = [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n"),
        ("until the end", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    ];
    for (name, head) in heads {
        for is_reset in [false, true] {
            if name == "until the end" && !is_reset {
                // That would be its end.
                continue;
            }
            let server = Tcp::start(move |mut stream| {
                let _ = stream.read(&mut [0; 4096]);
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&[b'x'; 50]).unwrap();
                // What was sent is to arrive before it breaks.
                std::thread::sleep(std::time::Duration::from_millis(100));
                if is_reset {
                    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                }
            });
            assert_cut(&server, is_reset, name);
        }
    }
}

fn assert_cut(server: &Tcp<()>, is_reset: bool, name: &str) {
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let mut client = TcpStream::connect(proxy.addr).unwrap();
    let request = format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr);
    client.write_all(request.as_bytes()).unwrap();
    let mut said = Vec::new();
    let error = client.read_to_end(&mut said).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name}, reset {is_reset}");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.ends_with(&"x".repeat(50)), "{name}: {said}");
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    let call = recording.call();
    assert_eq!(
        (call["status"].as_u64(), call["responseBodySize"].as_u64()),
        (Some(200), Some(50)),
        "{call:#}"
    );
    assert!(!text(&call["error"]).is_empty(), "{name}: {call:#}");
    let errno = if is_reset { "ECONNRESET" } else { "" };
    assert_eq!(text(&call["errno"]), errno, "{name}: {call:#}");
}

/// A client that goes away takes its call with it, as it would without us.
#[test]
fn a_client_that_breaks_off_is_noticed_by_the_dependency() {
    let (began, begun) = std::sync::mpsc::channel();
    let server = Tcp::start(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        began.send(()).unwrap();
        let block = [0; 65_536];
        loop {
            if let Err(error) = stream.write_all(&block) {
                return error.kind();
            }
        }
    });
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let client = proxy.connect();
    let mut writer = &client.stream;
    write!(writer, "GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr).unwrap();
    begun.recv_timeout(crate::harness::PATIENCE).unwrap();
    socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    assert!(matches!(server.result(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    assert!(!text(&recording.call()["error"]).is_empty(), "{:#}", recording.call());
}

/// An answer that comes before the request is whole: the client gets it, although it is still sending.
#[test]
fn an_early_answer_gets_through() {
    let server = Tcp::start(|stream| {
        let mut wire = Wire::new(stream);
        wire.head();
        wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate");
        wire.stream.shutdown(Shutdown::Write).unwrap();
        wire.rest();
    });
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let file = folder.join("upload");
    std::fs::write(&file, vec![7; 4 << 20]).unwrap();
    let url = format!("http://{}/", server.addr);
    let words = ["-H", "Expect:", "-w", " %{http_code}", "-T", file.to_str().unwrap(), &url];
    let said = curl_through(&proxy, &words);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "late 413", "{}", said.stderr);
    proxy.end();
}

/// A connection kept from before that is gone by now: a client that knows how tries again, as it would without us.
#[test]
fn a_kept_connection_that_has_ended_is_made_anew() {
    let server = Tcp::start(|stream| {
        let mut wire = Wire::new(stream);
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let folder = Folder::new();
    let proxy = folder.proxy(&[]);
    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr));
        let (head, body) = client.response().unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && body == b"ok", "{head}");
        server.result();
        // The end of it is on its way to us.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    proxy.stop();
    let recording = folder.recorded("outbound.log");
    assert!(recording.calls().len() == 3 && recording.events.len() == 3, "{:#?}", recording.events);
}

/// Our own descriptors run out: who is served goes on, who waits is served later, and nothing spins or dies.
#[test]
fn full_descriptors() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Tcp::on(listener, |stream| {
        let mut wire = Wire::new(stream);
        while wire.head().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let binary = crate::harness::INFERNOSIM;
    let limited = ["--nofile=64:64", binary, "proxy", "--listen", ":0"];
    let proxy = folder.start_as(program("prlimit").to_str().unwrap(), &limited);
    let request = format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr);
    let mut crowd: Vec<Wire> = (0..200).map(|_| proxy.connect()).collect();
    crowd.iter_mut().for_each(|client| client.send(&request));
    let before = proxy.cpu_ticks();
    std::thread::sleep(std::time::Duration::from_secs(1));
    // Of a hundred in a second; who asked again and again for a descriptor would take what it gets.
    let spent = proxy.cpu_ticks() - before;
    assert!(spent < 50, "{spent} ticks for waiting");
    drop(crowd);
    // All of them are gone: there is room again.
    crate::harness::eventually("it serves again", || {
        let mut client = proxy.connect();
        client.send(&request);
        client.response().is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200"))
    });
    let said = proxy.stop();
    assert!(!said.contains("panicked"), "{said}");
}
