use super::*;

/// The answer to a request of that kind, with `|` for each line's end.
fn passed(text: &str, kind: Kind) -> Result<(String, Answer), &'static str> {
    let answer = response(text.replace('|', "\r\n").as_bytes(), kind, 1, Marks::default())?;
    Ok((String::from_utf8(answer.head.clone()).unwrap().replace("\r\n", "|"), answer))
}

fn plain(text: &str) -> (String, Answer) {
    passed(text, Kind::Plain).unwrap()
}

#[test]
fn answers_pass_in_order_and_spelling() {
    let (head, answer) =
        plain("HTTP/1.1 299 Well  done|x-B: 1|Content-Length: 5|Set-Cookie: a|set-cookie: b||");
    let expected =
        "HTTP/1.1 299 Well  done|x-B: 1|Content-Length: 5|Set-Cookie: a|set-cookie: b|Via: 1.1 infernosim||";
    assert_eq!(head, expected);
    assert_eq!((answer.body, answer.persistent, answer.next), (Some(Body::Length(5)), true, Next::Body));
    let (head, answer) =
        plain("HTTP/1.1 200|Keep-Alive: timeout=5|Connection: keep-alive, X-Y|X-Y: 1|A: b| c||");
    assert_eq!(
        head, "HTTP/1.1 200|A: b   c|Via: 1.1 infernosim|Connection: close||",
        "folded lines are joined"
    );
    assert_eq!((answer.body, answer.persistent), (Some(Body::UntilClose), false));
}

#[test]
fn a_connection_ends_where_the_server_ends_it() {
    for head in [
        "HTTP/1.1 200 OK|Content-Length: 1|Connection: close||",
        "HTTP/1.0 200 OK|Content-Length: 1||",
        "HTTP/1.0 200 OK|Content-Length: 1|Connection: keep-alive||",
        "HTTP/1.1 200 OK||",
    ] {
        let (head, answer) = plain(head);
        assert!(head.ends_with("|Connection: close||") && !answer.persistent, "{head}");
    }
    let marked = response(
        b"HTTP/1.1 204 No Content\r\n\r\n",
        Kind::Plain,
        1,
        Marks { context: Some(0xabc), close: true },
    );
    let marked = String::from_utf8(marked.unwrap().head).unwrap();
    assert!(marked.contains("\r\nX-Request-Context: 00000000000000000000000000000abc\r\n"), "{marked}");
    assert!(marked.ends_with("\r\nConnection: close\r\n\r\n"), "{marked}");
}

#[test]
fn answers_without_a_body() {
    for (head, kind) in [
        ("HTTP/1.1 200 OK|Content-Length: 9||", Kind::Head),
        ("HTTP/1.1 204 No Content||", Kind::Plain),
        ("HTTP/1.1 304 Not Modified|Content-Length: 9||", Kind::Plain),
        ("HTTP/1.1 200 OK|Content-Length: 0||", Kind::Plain),
    ] {
        let (head, answer) = passed(head, kind).unwrap();
        assert_eq!((answer.body, answer.persistent), (None, true), "{head}");
    }
}

#[test]
fn lengths_are_told_once_and_not_beside_chunks() {
    let (head, answer) = plain("HTTP/1.1 200 OK|Content-Length: 7|Transfer-Encoding: chunked||");
    assert_eq!(head, "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Via: 1.1 infernosim||");
    assert_eq!(answer.body, Some(Body::chunked(true)));
    let (head, _) = plain("HTTP/1.1 200 OK|Content-Length: 7, 7|Content-Length: 7||");
    assert_eq!(head, "HTTP/1.1 200 OK|Content-Length: 7|Via: 1.1 infernosim||");
    assert!(passed("HTTP/1.1 200 OK|Content-Length: 7|Content-Length: 8||", Kind::Plain).is_err());
}

#[test]
fn informational_answers_and_upgrades() {
    let (head, answer) = plain("HTTP/1.1 103 Early Hints|Link: </a>||");
    assert_eq!(
        (head.as_str(), answer.next),
        ("HTTP/1.1 103 Early Hints|Link: </a>|Via: 1.1 infernosim||", Next::Head)
    );
    let switch = "HTTP/1.1 101 Switching Protocols|Upgrade: websocket|Connection: upgrade||";
    let (head, answer) = passed(switch, Kind::Upgrade).unwrap();
    assert_eq!(answer.next, Next::Switched);
    let expected =
        "HTTP/1.1 101 Switching Protocols|Via: 1.1 infernosim|Upgrade: websocket|Connection: Upgrade||";
    assert_eq!(head, expected);
    assert!(passed(switch, Kind::Plain).is_err(), "nobody asked");
    for head in ["HTTP/1.1 099 x||", "HTTP/2 200||", "ICY 200 OK||", "|"] {
        assert!(passed(head, Kind::Plain).is_err(), "{head}");
    }
}

#[test]
fn our_own_answers_say_whose_they_are() {
    let (status, text) = failed("a:80 could not be reached", Some(Errno::ECONNREFUSED));
    assert_eq!(status, 502);
    assert_eq!(failed("", Some(Errno::ETIMEDOUT)).0, 504);
    let answer = String::from_utf8(own(status, &text, Kind::Plain, Marks::default())).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())) && !head.contains("Connection"),
        "{head}"
    );
    assert!(body.contains("a:80 could not be reached") && body.contains("InfernoSIM's"), "{body}");
    let bare = own(status, &text, Kind::Head, Marks { context: None, close: true });
    assert!(bare.ends_with(b"Connection: close\r\n\r\n"));
}
