use super::{err, inject, out};
use crate::harness::{Kind, PYTHON, Place, Server, big};

/// Where nothing else is.
fn server() -> (Server, String) {
    let server = Server::start(Kind::Nginx, &Place::loopback());
    let base = format!("http://{}", server.addr);
    (server, base)
}

/// What curl says: its status, the HTTP status, the bytes and the seconds.
fn curl(rule: &str, url: &str) -> (i32, u16, u64, f64, String) {
    let format = "%{http_code} %{size_download} %{time_total}";
    let ended =
        inject(&["--inject", rule], &["curl", "-s", "-m", "20", "-o", "/dev/null", "-w", format, url]);
    let text = out(&ended);
    let words: Vec<&str> = text.split(' ').collect();
    let said = (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap());
    (ended.status.code().unwrap(), said.0, said.1, said.2, err(&ended))
}

#[test]
fn curl_sees_what_the_rule_says() {
    let (_server, base) = server();
    let (small, large) = (format!("{base}/n/7"), format!("{base}/big"));
    let whole = big().len() as u64;

    let (code, status, _, seconds, said) = curl("latency=+300ms", &small);
    assert_eq!((code, status), (0, 200), "{said}");
    assert!(seconds >= 0.3, "{seconds}");
    assert!(said.contains("latency=+300ms: reached 1, fired 1, observed 1"), "{said}");

    let (code, status, ..) = curl("status=503", &small);
    assert_eq!((code, status), (0, 503));
    let (code, status, _, seconds, _) = curl("timeout=300ms", &small);
    assert_eq!((code, status), (0, 504));
    assert!(seconds >= 0.3, "{seconds}");
    // curl(1): 7 failed to connect, 18 partial file, 52 nothing got, 56 failure in receiving.
    assert_eq!(curl("refuse", &small).0, 7);
    assert_eq!(curl("reset", &small).0, 56);
    assert_eq!(curl("half-close", &small).0, 52);
    let (code, _, bytes, ..) = curl("truncate=1000", &large);
    assert_eq!((code, bytes), (18, 1000));
    assert_eq!(curl("reset=1000", &large).0, 56);
    let (code, _, bytes, seconds, _) = curl("bandwidth=3MB/s", &large);
    assert_eq!((code, bytes), (0, whole));
    let rate = whole as f64 / seconds;
    assert!((2.4e6..3.3e6).contains(&rate), "{rate} bytes a second");
}

#[test]
fn what_never_fires_changes_nothing_and_is_named() {
    let (_server, base) = server();
    let url = format!("{base}/big");
    let ended = inject(&["--inject", "p=0 status=503"], &["curl", "-s", &url]);
    assert_eq!(ended.status.code(), Some(4), "{}", err(&ended));
    assert!(ended.stdout == big(), "{} bytes", ended.stdout.len());
    assert!(err(&ended).contains("the rule `p=0 status=503` never fired"), "{}", err(&ended));
    let ended = inject(&["--inject", "latncy=1s"], &["true"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(err(&ended).contains("`latency`"), "{}", err(&ended));
    // CMD's own status comes first.
    let ended = inject(&["--inject", "status=503"], &["sh", "-c", "exit 9"]);
    assert_eq!(ended.status.code(), Some(9));
}

/// A resolver, by UDP and by TCP; a lookup of shop.test there (by TCP one that is thrown away comes before it), and a connect to
/// what is asked for.
const LOOKUPS: &str = r#"
import socket, struct, sys, threading
question = b"\4shop\4test\0" + struct.pack(">HH", 1, 1)
query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + question
def answered(got):
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
    return got[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + got[12:] + record
def by_udp(server):
    while True:
        got, sender = server.recvfrom(512)
        server.sendto(answered(got), sender)
def by_tcp(listener):
    while True:
        stream, _ = listener.accept()
        while length := stream.recv(2):
            got = answered(stream.recv(int.from_bytes(length, "big")))
            stream.sendall(len(got).to_bytes(2, "big") + got)
        stream.close()
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
listener = socket.create_server(("127.0.0.1", 53))
threading.Thread(target=by_udp, args=(server,), daemon=True).start()
threading.Thread(target=by_tcp, args=(listener,), daemon=True).start()
if sys.argv[2] == "udp":
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.sendto(query, ("127.0.0.1", 53))
    answer, sender = client.recvfrom(512)
else:
    client = socket.create_connection(("127.0.0.1", 53), timeout=5)
    sender = client.getpeername()
    other = query.replace(b"shop", b"slop")
    framed = [len(one).to_bytes(2, "big") + one for one in (other, query)]
    client.sendall(b"".join(framed))
    client.shutdown(socket.SHUT_WR)
    messages, got = {}, client.makefile("rb").read()
    while got:
        length = int.from_bytes(got[:2], "big")
        message, got = got[2:2 + length], got[2 + length:]
        messages[message[12:17]] = message
    assert messages[b"\4slop"][-4:] == bytes([127, 0, 0, 1]), messages
    answer = messages[b"\4shop"]
print(sender[0], sender[1], answer[3] & 15, ".".join(map(str, answer[-4:])))
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
    print("connected")
except OSError as error:
    print(error.errno)
"#;

#[test]
fn lookups_pass_and_name_what_is_connected_to() {
    let netns = crate::harness::Netns::new();
    let server = Server::start(Kind::Nginx, &Place::within(&netns, std::net::Ipv4Addr::LOCALHOST.into()));
    let port = server.addr.port().to_string();
    let path = format!("--net={}", netns.path());
    let asks = |by: &str, rule: &str| {
        let mut command = std::process::Command::new("nsenter");
        command.args([&path, "--", crate::harness::INFERNOSIM, "inject", "--inject", rule, "--"]);
        let ended = command.args([PYTHON, "-c", LOOKUPS, &port, by]).output().unwrap();
        (out(&ended).trim().to_owned(), err(&ended))
    };
    for by in ["udp", "tcp"] {
        let (said, told) = asks(by, "dep=shop.test refuse");
        assert_eq!(said, "127.0.0.1 53 0 127.0.0.1\n111", "{by}: {told}");
        let (said, told) = asks(by, "dep=shop.test dns=nxdomain");
        assert!(said.starts_with("127.0.0.1 53 3 ") && said.ends_with("connected"), "{by}: {said} {told}");
        let (said, told) = asks(by, "dep=shop.test dns=10.9.8.7");
        assert!(said.starts_with("127.0.0.1 53 0 10.9.8.7"), "{by}: {said} {told}");
        assert!(told.contains("reached 1, fired 1, observed 1"), "{by}: {told}");
    }
}

/// A server whose answers come in chunks, each with its number and a trailer, and a client that asks four times. What it got: the
/// number, and the trailer.
const NUMBERED: &str = r#"
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    stream, _ = listener.accept()
    for number in range(1, 5):
        while not stream.recv(4096).endswith(b"\r\n\r\n"): pass
        head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        stream.sendall(f"{head}3\r\nno \r\n1\r\n{number}\r\n0\r\nX-Sum: {number}{number}\r\n\r\n".encode())
threading.Thread(target=serve, daemon=True).start()
client = socket.create_connection(listener.getsockname(), timeout=5)
for _ in range(4):
    client.sendall(b"GET /balance HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    got = b""
    while not (b"X-Sum" in got and got.endswith(b"\r\n\r\n")):
        more = client.recv(4096)
        assert more, got
        got += more
    body, trailer = got.decode().split("\r\n0\r\n")
    print(body[-1], trailer.split()[1], "X-Late" in body)
"#;

#[test]
fn earlier_answers_and_trailers() {
    let ended = inject(
        &["--inject", "op='GET /balance' at=4 stale=3", "--inject", "dep=shop.test at=2 set-header=X-Late:1"],
        &[PYTHON, "-c", NUMBERED],
    );
    assert_eq!(out(&ended), "1 11 False\n2 22 True\n3 33 False\n1 11 False\n", "{}", err(&ended));
    assert_eq!(ended.status.code(), Some(0), "{}", err(&ended));
    // There is none so long ago.
    let ended = inject(&["--inject", "at=2 stale=5"], &[PYTHON, "-c", NUMBERED]);
    assert_eq!(out(&ended).lines().nth(1), Some("2 22 False"), "{}", err(&ended));
    assert!(err(&ended).contains("stale=5: reached 4, fired 1, observed 0"), "{}", err(&ended));
}
