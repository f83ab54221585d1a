//! Sizes at which HTTP/1 is no longer followed, and how it is taken up again after a gap.

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// Plays a client's bytes in pieces of 1,000 and returns the first words of what was said.
fn first_words(bytes: &[u8]) -> Vec<String> {
    let whole = play(&[Step::Feed(C, bytes.to_vec())]).0;
    assert_eq!(play(&cut(&[Step::Feed(C, bytes.to_vec())], 1000)).0, whole);
    whole.lines().iter().map(|line| line.chars().take(40).collect()).collect()
}

#[test]
fn limits_of_heads() {
    let head = |fields: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(fields)).into_bytes();
    for fields in [64, 65, 4096] {
        let said = play(&[Step::Feed(C, head(fields))]).0.lines();
        assert_eq!(said[0].matches(" | A: b").count(), fields);
        assert_eq!(said[1..], ["> end"]);
    }
    for fields in [4097, 5000] {
        assert_eq!(first_words(&head(fields))[0], "opaque tcp: more than 4,096 header field");
    }
    let long = |size: usize| {
        let start = b"GET / HTTP/1.1\r\nA: ".to_vec();
        let filler = size - start.len() - 4;
        [start, vec![b'x'; filler], b"\r\n\r\n".to_vec()].concat()
    };
    assert_eq!(first_words(&long(1 << 20)), ["> GET / http/1.1 | A: xxxxxxxxxxxxxxxxxx", "> end"]);
    assert_eq!(first_words(&long((1 << 20) + 1))[0], "opaque tcp: a head of more than 1 MiB");
    let url = |size: usize| {
        [b"GET / HTTP/1.1\r\n\r\nGET /".to_vec(), vec![b'x'; size], b" HTTP/1.1\r\n\r\n".to_vec()].concat()
    };
    assert_eq!(first_words(&url(65_000)).len(), 4);
    assert_eq!(first_words(&url(66_000))[2], "opaque tcp: not an HTTP/1 request line");
    let chunk = |extension: usize| {
        let start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0;".to_vec();
        [start, vec![b'x'; extension], b"\r\n\r\n".to_vec()].concat()
    };
    assert_eq!(first_words(&chunk(16_000))[1], "> end");
    assert_eq!(first_words(&chunk(16_500))[1], "opaque tcp: a chunk-size line of more th");
}

#[test]
fn limits_of_what_waits() {
    let pending = |size: usize| [b"CONNECT a:1 HTTP/1.1\r\n\r\n".to_vec(), vec![b'x'; size]].concat();
    assert_eq!(first_words(&pending(64 * 1024)), ["> CONNECT a:1 http/1.1", "> end"]);
    assert_eq!(first_words(&pending(64 * 1024 + 1))[2], "opaque tcp: more than 64 KiB behind an u");
    let said = first_words(&GET.repeat(65_537));
    assert_eq!(said.len(), 2 * 65_536 + 2);
    assert_eq!(said[2 * 65_536], "opaque tcp: more than 65,536 unanswered ");
}

#[test]
fn a_gap_ends_what_is_open_and_the_next_request_begins_anew() {
    let feed = |from, bytes: &[u8]| Step::Feed(from, bytes.to_vec());
    let said = play(&[
        feed(C, GET),
        feed(S, b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nabc"),
        Step::Gap(S, 50),
        feed(S, b"HTTP/1.1 500 not a head"),
        feed(C, b"tail of a body"),
        feed(C, b"looks like"),
        feed(C, b"\0but is not"),
        feed(C, b"TAIL"),
        feed(C, b"GET /2 HT"),
        feed(S, b"more"),
        feed(C, b"TP/1.0\r\n\r\n"),
        feed(S, b"HTTP/1.1 204 X\r\n\r\n"),
    ]);
    let before = ["> GET / http/1.1", "> end", "< 200 | Content-Length: 90", "< body abc", "gap Server 50"];
    let after = ["> GET /2 http/1.0", "> end", "< 204", "< end"];
    assert_eq!(said.0.lines(), [&before[..], &after].concat());
}
