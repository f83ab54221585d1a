//! HTTP/1 as servers meet it, and what is not HTTP.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{attached, connect, detach, service};
use crate::harness::{
    Capture, Daemon, GZIP, PYTHON, Recording, Service, Wire, eventually, long, program, sha256, text,
};
use crate::protocols::certificate;

/// Sends a request and gives the answer's body.
fn ask(wire: &mut Wire, request: &str) -> Vec<u8> {
    wire.send(request);
    wire.response().unwrap().1
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n")
}

#[test]
fn every_kind_of_message_on_one_connection() {
    let server = service();
    let capture = attached(&server.pid_text());
    let mut wire = connect(server.addr);
    let client = wire.stream.local_addr().unwrap();
    let chunked = "POST /echo?chunked HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n5;x=y\r\n\u{0}1234\r\n0\r\nX-Trailer: t\r\n\r\n";
    let plain =
        "POST /echo HTTP/1.1\r\nhost: shop.test\r\nX-B: 2\r\nX-a: 1\r\nContent-Length: 5\r\n\r\nplain";
    let bodies = [&get("/n/7"), plain, chunked, &get("/503"), &get("/chunked"), &get("/gzip")];
    let mut answers: Vec<Vec<u8>> = bodies.iter().map(|request| ask(&mut wire, request)).collect();
    assert_eq!(answers[1], format!("5 {}\n", sha256(b"plain")).as_bytes(), "the test is wrong");
    for request in [get("/204"), get("/304"), get("/hello").replace("GET", "HEAD")] {
        wire.send(request);
        wire.head().unwrap();
        answers.push(Vec::new());
    }
    wire.send(get("/hints"));
    wire.head().unwrap();
    answers.push(wire.response().unwrap().1);
    answers.push(ask(&mut wire, "GET /close HTTP/1.0\r\n\r\n"));

    let recording = detach(capture).recording();
    let exchanges = recording.exchanges();
    let paths =
        ["n/7", "echo", "echo?chunked", "503", "chunked", "gzip", "204", "304", "hello", "hints", "close"];
    let asked: Vec<&str> = exchanges.iter().map(|exchange| &exchange.path()[1..]).collect();
    assert_eq!(asked, paths);
    let statuses: Vec<u64> = exchanges.iter().map(|exchange| exchange.status()).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 200, 200, 204, 304, 200, 200, 200]);
    for (exchange, answer) in exchanges.iter().zip(&answers) {
        exchange.assert_whole();
        assert_eq!(exchange.answer(&recording), *answer, "{exchange:#?}");
        assert_eq!(exchange.client(), client);
        assert_eq!(exchange.request["connection"], exchanges[0].request["connection"]);
        let duration = exchange.response["duration"].as_u64().unwrap();
        assert!(duration > 0 && duration >= exchange.request["duration"].as_u64().unwrap(), "{exchange:#?}");
    }
    // One at a time: a request is told before the next one comes, its answer likewise.
    let order: Vec<&str> = recording.events.iter().map(|event| text(&event["traceId"])).collect();
    assert!(order.chunks(2).all(|pair| pair[0] == pair[1]), "{order:?}");

    let [first, plain, chunked] = [0, 1, 2].map(|at| exchanges[at]);
    assert_eq!(text(&first.request["url"]), "http://shop.test/n/7");
    assert_eq!(text(&first.request["protocol"]), "http/1.1");
    assert_eq!(plain.sent(&recording), b"plain");
    let fields = r#"{"host":["shop.test"],"X-B":["2"],"X-a":["1"],"Content-Length":["5"]}"#;
    assert_eq!(serde_json::to_string(&plain.request["headers"]).unwrap(), fields);
    assert_eq!(chunked.sent(&recording), b"abc\x001234");
    assert_eq!(chunked.request["requestTrailers"], json!({"X-Trailer": ["t"]}));
    assert_eq!(exchanges[4].response["responseTrailers"], json!({"X-Sum": ["12"]}));
    assert_eq!(exchanges[5].answer(&recording), GZIP);
    assert_eq!(exchanges[7].response["headers"]["Content-Length"], json!(["1000"]));
    assert_eq!(exchanges[8].response["headers"]["x-Apple"], json!(["2"]));
    assert_eq!(exchanges[9].response["interim"][0]["status"], 103);
    // Without a Host the url names the listener.
    assert_eq!(text(&exchanges[10].request["url"]), server.url("/close"));
    assert_eq!(text(&exchanges[10].request["protocol"]), "http/1.0");
}

#[test]
fn fifty_pipelined_requests_in_one_write() {
    let server = service();
    let capture = attached(&server.pid_text());
    let mut wire = connect(server.addr);
    let request = |number: usize| match number % 3 {
        0 => get(&format!("/p/{number}")),
        1 => {
            format!("POST /p/{number} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\n{number:02}")
        }
        _ => get(&format!("/bytes/{}", number * 100)),
    };
    wire.send((0..50).map(request).collect::<String>());
    let answers: Vec<Vec<u8>> = (0..50).map(|_| wire.response().unwrap().1).collect();
    let recording = detach(capture).recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 50);
    for (number, exchange) in exchanges.iter().enumerate() {
        exchange.assert_whole();
        let path = if number % 3 == 2 { format!("/bytes/{}", number * 100) } else { format!("/p/{number}") };
        assert_eq!(exchange.path(), path);
        assert_eq!(exchange.answer(&recording), answers[number]);
        let sent = if number % 3 == 1 { format!("{number:02}") } else { String::new() };
        assert_eq!(exchange.sent(&recording), sent.as_bytes());
    }
}

#[test]
fn a_client_that_expects_a_continue() {
    let server = service();
    let capture = attached(&server.pid_text());
    let data = "d".repeat(3000);
    let words = ["-sS", "-H", "Expect: 100-continue", "-d", &data, &server.url("/echo")];
    let output = Command::new(program("curl")).args(words).output().unwrap();
    assert_eq!(output.stdout, format!("3000 {}\n", sha256(data.as_bytes())).as_bytes());
    let recording = detach(capture).recording();
    let exchange = recording.exchange();
    exchange.assert_whole();
    assert_eq!(exchange.response["interim"][0]["status"], 100);
    assert_eq!((exchange.status(), exchange.sent(&recording)), (200, data.into_bytes()));
    assert_eq!(exchange.answer(&recording), output.stdout);
}

/// By length and in chunks, from curl. The disk may be slower than memory, so that there is room for both.
#[test]
fn uploads_of_100_mib() {
    let server = service();
    let capture =
        Capture::attached(&["--pid", &server.pid_text()]).option(&["--buffer", "512MiB"]).start().ready();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    let text: Vec<u8> =
        (0..1_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let text: Vec<u8> = text.into_iter().cycle().take(100 << 20).collect();
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    for fields in [&[][..], &["-H", "Transfer-Encoding: chunked"]] {
        let output = Command::new(program("curl"))
            .args(["-sS", "-X", "POST", "-T", file])
            .args(fields)
            .arg(server.url("/echo"))
            .output()
            .unwrap();
        assert!(output.stdout.starts_with(format!("{} ", text.len()).as_bytes()), "{output:?}");
    }
    let finished = detach(capture);
    assert!(finished.peak_rss_kib < 700 << 10, "{} KiB", finished.peak_rss_kib);
    let recording = finished.recording();
    let exchanges = recording.exchanges();
    assert_eq!(exchanges.len(), 2);
    for exchange in exchanges {
        exchange.assert_whole();
        assert!(exchange.sent(&recording) == text);
        assert_eq!(exchange.answer(&recording), format!("{} {}\n", text.len(), sha256(&text)).as_bytes());
    }
}

/// The request is told at once; the stream is one response with the times of its parts.
#[test]
fn a_stream_of_events() {
    let count = if long() { 500 } else { 20 };
    let server = service();
    let capture = attached(&server.pid_text());
    let mut wire = connect(server.addr);
    wire.send(get(&format!("/sse/{count}")));
    wire.head().unwrap();
    let mut got = wire.some().unwrap();
    let log = capture.incident.join("inbound.log");
    eventually("the request is told while it is answered", || {
        std::fs::read_to_string(&log).unwrap().contains("\"InboundRequest\"")
    });
    assert!(!std::fs::read_to_string(&log).unwrap().contains("\"InboundResponse\""));
    got.extend(wire.rest());
    let recording = detach(capture).recording();
    let exchange = recording.exchange();
    exchange.assert_whole();
    let expected: String = (0..count).map(|number| format!("data: {number}\n\n")).collect();
    assert_eq!((exchange.answer(&recording), &got), (expected.clone().into_bytes(), &expected.into_bytes()));
    let chunks = exchange.response["responseChunks"].as_array().unwrap();
    assert!(chunks.len() >= count, "{} of {count}", chunks.len());
    let sizes: u64 = chunks.iter().map(|chunk| chunk[1].as_u64().unwrap()).sum();
    assert_eq!(sizes, got.len() as u64);
    let times: Vec<u64> = chunks.iter().map(|chunk| chunk[0].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    // It slept 120 ms after each but the last; one may come late and the next one in time.
    let slept = 120_000_000 * (count as u64 - 1);
    assert!(times[times.len() - 1] - times[0] >= slept * 9 / 10, "{times:?}");
    assert!(exchange.response["duration"].as_u64().unwrap() >= slept);
}

/// All bytes of the requests, or of the responses, of these exchanges.
fn joined(recording: &Recording, upwards: bool) -> Vec<u8> {
    let exchanges = recording.exchanges();
    let bytes = exchanges[1..].iter().flat_map(|exchange| match upwards {
        true => exchange.sent(recording),
        false => exchange.answer(recording),
    });
    bytes.collect()
}

#[test]
fn after_an_upgrade_bytes_are_bytes() {
    let server = service();
    let capture = attached(&server.pid_text());
    let mut wire = connect(server.addr);
    wire.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    wire.head().unwrap();
    let words = [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\xff\x81", b"last"];
    for word in words {
        wire.send(word);
        assert_eq!(wire.exactly(word.len()).unwrap(), word);
    }
    drop(wire);
    let recording = detach(capture).recording();
    let exchanges = recording.exchanges();
    assert_eq!((exchanges[0].status(), exchanges[0].path()), (101, "/upgrade"));
    assert!(exchanges.iter().all(|exchange| exchange.is_whole()), "{exchanges:#?}");
    assert_eq!(joined(&recording, true), words.concat());
    assert_eq!(joined(&recording, false), words.concat());
    assert!(exchanges[1..].iter().all(|exchange| exchange.request["protocol"] != "http/1.1"));
}

const WEBSOCKETS: &str = r#"
import asyncio, os, sys, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def ask():
    async with websockets.connect(sys.argv[1], compression=None) as socket:
        for message in ("hello", b"\x00\xff" * 60000, "bye"):
            await socket.send(message)
            assert await socket.recv() == message
async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(f"READY main={os.getpid()} port={server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(ask() if len(sys.argv) > 1 else serve())
"#;

#[test]
fn websockets() {
    let server = Service::run(&[], &[PYTHON, "-c", WEBSOCKETS]);
    let capture = attached(&server.pid_text("main"));
    let url = format!("ws://127.0.0.1:{}/chat", server.pids["port"]);
    let output = Command::new(PYTHON).args(["-c", WEBSOCKETS, &url]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let recording = detach(capture).recording();
    let exchanges = recording.exchanges();
    assert_eq!((exchanges[0].status(), exchanges[0].path()), (101, "/chat"));
    assert!(exchanges[0].is_whole(), "{exchanges:#?}");
    // A server's frames are not masked (RFC 6455 section 5.1).
    let answers = joined(&recording, false);
    let found = |needle: &[u8]| answers.windows(needle.len()).any(|window| window == needle);
    assert!(found(b"\x81\x05hello") && found(b"\x81\x03bye") && found(&[0, 255].repeat(60_000)));
    // A masked frame is four bytes longer, six with the header of a short one.
    assert_eq!(joined(&recording, true).len(), answers.len() + 4 * 4);
}

#[test]
fn tls_is_one_pair_a_connection_with_the_name_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(place.path());
    let server = Daemon::start("openssl", |port| {
        let accept = format!("127.0.0.1:{port}");
        ["s_server", "-www", "-quiet", "-key", &key, "-cert", &cert, "-accept", &accept]
            .map(str::to_owned)
            .to_vec()
    });
    let capture = attached(&server.pid().to_string());
    let port = server.addr.port();
    for name in ["one.test", "two.test"] {
        let (resolve, url) = (format!("{name}:{port}:127.0.0.1"), format!("https://{name}:{port}/"));
        let words = ["-sSk", "--resolve", &resolve, "-o", "/dev/null", "-w", "%{http_code}", &url];
        let output = Command::new(program("curl")).args(words).output().unwrap();
        assert_eq!(output.stdout, b"200", "{output:?}");
    }
    // The server closes when it has read the client's close.
    std::thread::sleep(Duration::from_millis(200));
    let recording = detach(capture).recording();
    let exchanges = recording.exchanges();
    let lines: Vec<&Value> = exchanges.iter().map(|exchange| exchange.request).collect();
    assert_eq!(lines.iter().map(|line| text(&line["sni"])).collect::<Vec<_>>(), ["one.test", "two.test"]);
    for exchange in &exchanges {
        assert_eq!(exchange.request["protocol"], "tls");
        assert_eq!(exchange.request["alpn"], json!(["h2", "http/1.1"]));
        assert_eq!(exchange.request["service"], server.addr.to_string());
        assert!(exchange.request["bodySize"].as_u64().unwrap() > 200, "{exchange:#?}");
        assert!(exchange.response["bodySize"].as_u64().unwrap() > 500, "{exchange:#?}");
        assert!(exchange.response.get("status").is_none() && exchange.request.get("method").is_none());
    }
}
