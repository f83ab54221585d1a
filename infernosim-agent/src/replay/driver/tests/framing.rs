use std::io::Write as _;

use super::harness::*;
use crate::replay::driver::{Content, LiveAnswer};
use crate::replay::script::Request;
use crate::replay::seen::{End, Outcome};

/// One run of these, one after the other on one connection; the answers in order.
fn answers(server: &Server, requests: Vec<Request>) -> Vec<LiveAnswer> {
    let (driven, told) = Setup::new(in_turn(requests.len() as u32), requests).run(server.address);
    assert_eq!(driven.end, End::Completed);
    told.answers.into_values().map(|mut copies| copies.remove(0).unwrap()).collect()
}

#[test]
fn requests_arrive_as_they_were_recorded() {
    let server = Server::plain();
    let mut odd = get("/a?x=%20&y=<>");
    odd.headers = [("hOST", "Shop.test:81"), ("X-Two", "b"), ("x-one", " a b"), ("X-Two", "c")]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .to_vec();
    answers(&server, vec![odd, post("/b", "12345", false), post("/c", "hello", true), post("/d", "", true)]);
    let arrived: Vec<_> = server.arrived().into_iter().map(|arrived| arrived.text).collect();
    assert_eq!(
        arrived,
        [
            "GET /a?x=%20&y=<> HTTP/1.1\r\nhOST: Shop.test:81\r\nX-Two: b\r\nx-one:  a b\r\nX-Two: c\r\n\r\n",
            "POST /b HTTP/1.1\r\nHost: shop.test\r\ncontent-length: 5\r\n\r\n12345",
            "POST /c HTTP/1.1\r\nHost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "POST /d HTTP/1.1\r\nHost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ]
    );
}

#[test]
fn answers_are_read_to_their_end_and_no_further() {
    let server = Server::start(|arrived, stream, _| {
        let answer = match arrived.target() {
            "/length" => "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello",
            "/chunks" => {
                "HTTP/1.1 201 C\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n"
            }
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            "/empty" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/same" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
            "/early" => {
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            }
            _ => "HTTP/1.0 200 OK\r\n\r\nto the end",
        };
        // In pieces, to be put together again.
        answer.as_bytes().chunks(7).all(|piece| stream.write_all(piece).is_ok())
            && arrived.target() != "/close"
    });
    let head = Request { method: "HEAD".into(), ..get("/head") };
    let mut expecting = post("/early", "x", false);
    expecting.headers.push(("Expect".into(), b"100-continue".to_vec()));
    let requests =
        vec![get("/length"), get("/chunks"), head, get("/empty"), get("/same"), expecting, get("/close")];
    let answers = answers(&server, requests);
    let seen: Vec<_> = answers.iter().map(|answer| (answer.status, text(answer))).collect();
    let expected =
        [(200, "hello"), (201, "hello"), (200, ""), (204, ""), (304, ""), (200, ""), (200, "to the end")];
    assert_eq!(seen, expected.map(|(status, body)| (status, body.to_owned())));
    let fields = [("X-A", "1"), ("x-a", "2"), ("Content-Length", "5")];
    assert_eq!(answers[0].headers, fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    assert!(server.arrived().iter().all(|arrived| arrived.connection == 0), "one connection does for all");
}

#[test]
fn a_body_that_is_too_long_to_keep_is_known_by_its_digest() {
    const MIB: usize = 1 << 20;
    let server = Server::start(|_, stream, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 65 * MIB);
        let piece = vec![b'x'; MIB];
        stream.write_all(head.as_bytes()).is_ok() && (0..65).all(|_| stream.write_all(&piece).is_ok())
    });
    let answers = answers(&server, vec![get("/")]);
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(vec![b'x'; 65 * MIB]).into();
    assert_eq!(answers[0].body, Content::Digest(65 * MIB as u64, digest));
}

/// A server that answers before it has read all and reads no further neither hangs nor breaks the exchange.
#[test]
fn an_answer_that_comes_before_the_request_is_sent_is_the_answer() {
    let mut large = Request { method: "POST".into(), ..get("/large") };
    large.body = vec![b'x'; 32 << 20].into();
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refusing.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = refusing.accept().unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        // Held open, unread, until the client goes.
        std::thread::sleep(std::time::Duration::from_millis(50));
        stream
    });
    let (driven, _) = Setup::new(vec![moment(0, 0, 1)], vec![large]).run(address);
    drop(thread.join().unwrap());
    assert_eq!(driven.end, End::Completed);
    assert_eq!(driven.answers[0].outcome, Outcome::Answered(413));
    assert_eq!(driven.answers[0].differences.len(), 1);
}

fn text(answer: &LiveAnswer) -> String {
    match &answer.body {
        Content::Whole(body) => String::from_utf8(body.to_vec()).unwrap(),
        Content::Digest(..) => "too long".into(),
    }
}
