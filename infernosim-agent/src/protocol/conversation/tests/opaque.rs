//! Connections whose bytes are shown as they are: TLS, HTTP/2 and everything unknown.

use super::*;
use crate::protocol::Protocol;

#[test]
fn detection_holds_nothing_back_for_good() {
    script(
        [(C, b"HELO x\r\n".as_slice()), (S, b"250 ok")],
        &["opaque tcp", "> bytes HELO x\\r\\n", "< bytes 250 ok"],
    );
    script(
        [(S, b"220 hi\r\n".as_slice()), (C, b"EHLO x")],
        &["opaque tcp", "< bytes 220 hi\\r\\n", "> bytes EHLO x"],
    );
    script([(C, b"GET".as_slice()), (S, b"?")], &["opaque tcp", "> bytes GET", "< bytes ?"]);
    closed([(C, b"GET / HTT".as_slice())], &["opaque tcp", "> bytes GET / HTT"]);
    closed([], &[]);
}

#[test]
fn http2_with_prior_knowledge() {
    script(
        [(C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0".as_slice()), (S, b"\0")],
        &["opaque h2", "> bytes PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\x00\\x00\\x00", "< bytes \\x00"],
    );
}

/// A record of content type 22.
fn record(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[22, 3, 1][..], &length, payload].concat()
}

fn vector16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

/// A ClientHello handshake message with these bytes behind the compression methods.
fn hello(tail: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[2, 9, 9], &vector16(&[0x13, 0x01]), &[1, 0], tail].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

fn usual() -> Vec<u8> {
    let name = vector16(&[&[0][..], &vector16(b"api.example.com")].concat());
    let protocols = vector16(b"\x02\xda\xda\x02h2\x08http/1.1");
    let extensions = [extension(0x0a0a, b""), extension(0, &name), extension(16, &protocols)].concat();
    hello(&vector16(&extensions))
}

/// What is said of these client bytes, content left out; the content is checked to be all of them.
fn heads(bytes: &[u8]) -> Vec<String> {
    let steps = [Step::Feed(C, bytes.to_vec()), Step::Fin(C)];
    let (said, _) = play(&steps);
    assert_eq!(said.all("> bytes"), bytes);
    for size in [1, 2, 5, 100] {
        assert_eq!(play(&cut(&steps, size)).0, said, "in feeds of {size}");
    }
    let lines =
        said.0.iter().filter_map(|item| if let Item::Line(line) = item { Some(line.clone()) } else { None });
    lines.collect()
}

const USUAL: &str = "hello Some(\"api.example.com\") [\"h2\", \"http/1.1\"]";

#[test]
fn a_hello_in_one_record_or_many() {
    assert_eq!(heads(&[record(&usual()), record(b"more")].concat()), ["opaque tls", USUAL]);
    for size in [1, 3, 50] {
        let records: Vec<u8> = usual().chunks(size).flat_map(record).collect();
        assert_eq!(heads(&records), ["opaque tls", USUAL], "records of {size}");
    }
}

#[test]
fn hellos_that_say_less() {
    assert_eq!(heads(&record(&hello(b""))), ["opaque tls", "hello None []"]);
    assert_eq!(heads(&record(&hello(&vector16(b"")))), ["opaque tls", "hello None []"]);
    let name = vector16(&[&[0][..], &vector16(b"\xff")].concat());
    assert_eq!(heads(&record(&hello(&vector16(&extension(0, &name))))), ["opaque tls", "hello None []"]);
}

#[test]
fn broken_hellos() {
    let whole = record(&usual());
    for length in 6..whole.len() {
        assert_eq!(heads(&whole[..length]), ["opaque tls"], "cut at {length}");
    }
    for broken in [
        hello(&vector16(&extension(0, b"\0\x09\0\0\x01a"))),
        hello(&vector16(&extension(16, &vector16(b"\x09h2")))),
        hello(b"\0\x05\0"),
        hello(b"\0"),
    ] {
        assert_eq!(heads(&record(&broken)), ["opaque tls"]);
    }
    // Goes on in a record of another type or version, behind an empty one, in one too long; has 16 MiB.
    let usual = usual();
    let goes_on = |header: &[u8]| heads(&[&record(&usual[..20]), header, &usual[20..]].concat());
    let length = u8::try_from(usual.len() - 20).unwrap();
    assert_eq!(goes_on(&[22, 3, 4, 0, length]), ["opaque tls", USUAL]);
    assert_eq!(goes_on(&[21, 3, 1, 0, length]), ["opaque tls"]);
    assert_eq!(goes_on(&[22, 2, 1, 0, length]), ["opaque tls"]);
    assert_eq!(goes_on(&[22, 3, 1, 0, 0, 22, 3, 1, 0, length]), ["opaque tls"]);
    assert_eq!(goes_on(&[22, 3, 1, 0x40, 1]), ["opaque tls"]);
    assert_eq!(heads(&[record(&[1, 0xff, 0xff, 0xff]), vec![0; 9]].concat()), ["opaque tls"]);
    // A hello that is well-formed but takes more than 64 KiB of records.
    let long = hello(&vector16(&extension(21, &[0; 60_000])));
    assert_eq!(
        heads(&long.chunks(1 << 14).flat_map(record).collect::<Vec<_>>()),
        ["opaque tls", "hello None []"]
    );
    assert_eq!(heads(&long.chunks(8).flat_map(record).collect::<Vec<_>>()), ["opaque tls"]);
}

#[test]
fn an_answer_to_half_a_hello_releases_it() {
    let half = &record(&usual())[..40];
    let said =
        play(&[Step::Feed(C, half.to_vec()), Step::Feed(S, b"\x15".to_vec()), Step::Feed(C, b"x".to_vec())])
            .0;
    let expected = [
        "opaque tls".into(),
        format!("> bytes {}", half.escape_ascii()),
        "< bytes \\x15".into(),
        "> bytes x".into(),
    ];
    assert_eq!(said.lines(), expected);
}

#[test]
fn gaps() {
    let feed = |from, bytes: &[u8]| Step::Feed(from, bytes.to_vec());
    let said = play(&[
        feed(C, b"\0a"),
        Step::Gap(S, 3),
        feed(S, b"b"),
        Step::Gap(C, 4),
        feed(C, b"GET / HTTP/1.1\r\n"),
    ])
    .0;
    let expected = [
        "opaque tcp",
        "> bytes \\x00a",
        "gap Server 3",
        "< bytes b",
        "gap Client 4",
        "> bytes GET / HTTP/1.1\\r\\n",
    ];
    assert_eq!(said.lines(), expected);
    let said = play(&[feed(C, b"\x16\x03\x01\0\x90\x01ab"), Step::Gap(C, 3), feed(C, b"c")]).0;
    let expected = ["opaque tls", "> bytes \\x16\\x03\\x01\\x00\\x90\\x01ab", "gap Client 3", "> bytes c"];
    assert_eq!(said.lines(), expected);
    // A connection that is older than we are: the first thing seen is a gap.
    let (said, conversation) =
        play(&[Step::Gap(C, 0), feed(S, b"tail"), feed(C, b"\0"), feed(C, b"GET / HTTP/1.1\r\n\r\n")]);
    assert_eq!(said.lines(), ["gap Client 0", "> GET / http/1.1", "> end"]);
    assert_eq!(conversation.protocol(), Some(Protocol::Http11));
}

#[test]
fn the_protocol_is_known_as_soon_as_it_is_said() {
    let protocol = |bytes: &[u8]| play(&[Step::Feed(C, bytes.to_vec())]).1.protocol();
    assert_eq!(protocol(b"GET / HTTP/1.1\r"), None);
    assert_eq!(protocol(b"GET / HTTP/1.1\r\n"), Some(Protocol::Http11));
    assert_eq!(protocol(b"GET / HTTP/1.0\n\n"), Some(Protocol::Http10));
    assert_eq!(protocol(b"GET / HTTP/1.0\n\n\0"), Some(Protocol::Tcp));
    assert_eq!(protocol(b"\x16\x03\x01\0\x90\x01"), Some(Protocol::Tls));
    assert_eq!(protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(Protocol::H2));
    assert_eq!(protocol(b"\0"), Some(Protocol::Tcp));
}

#[test]
fn an_idle_conversation_is_small() {
    assert!(size_of::<Conversation>() <= 256, "{}", size_of::<Conversation>());
}
