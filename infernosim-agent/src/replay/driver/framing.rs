//! A request as bytes: start line and fields as they were recorded, the body framed anew.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::replay::script::Request;

/// What stands before the body, the empty line included. `Content-Length` is that of the body as it is now. Without a
/// `Host`, the base's is sent (RFC 9112 section 3.2).
pub fn head(request: &Request, base: SocketAddr) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let version = if request.old_http { "HTTP/1.0" } else { "HTTP/1.1" };
    let line = [&request.method, " ", &request.target, " ", version];
    head.extend(line.into_iter().flat_map(str::bytes).map(plain));
    head.extend_from_slice(b"\r\n");
    if !request.old_http && !has(request, "host") {
        field(&mut head, "Host", base.to_string().as_bytes());
    }
    let mut framed = false;
    for (name, value) in &request.headers {
        if name.eq_ignore_ascii_case("content-length") {
            // Two of them with one value would be two requests to a server that reads strictly.
            if !request.chunked && !framed {
                field(&mut head, name, request.body.len().to_string().as_bytes());
                framed = true;
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if request.chunked {
                field(&mut head, name, value);
                framed = true;
            }
        } else {
            field(&mut head, name, value);
        }
    }
    if !framed && request.chunked {
        field(&mut head, "Transfer-Encoding", b"chunked");
    } else if !framed && !request.body.is_empty() {
        field(&mut head, "Content-Length", request.body.len().to_string().as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The body as it is sent, in pieces. Chunks as they were are not recorded: it is one.
pub fn body(request: &Request) -> [Bytes; 3] {
    if !request.chunked {
        return [request.body.clone(), Bytes::new(), Bytes::new()];
    }
    let mut end = Vec::new();
    let mut begin = String::new();
    if !request.body.is_empty() {
        begin = format!("{:x}\r\n", request.body.len());
        end.extend_from_slice(b"\r\n");
    }
    end.extend_from_slice(b"0\r\n");
    request.trailers.iter().for_each(|(name, value)| field(&mut end, name, value));
    end.extend_from_slice(b"\r\n");
    [begin.into(), request.body.clone(), end.into()]
}

/// Whether sending it twice is meant to be no other than sending it once (RFC 9110 section 9.2.2).
pub fn is_idempotent(request: &Request) -> bool {
    matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

fn has(request: &Request, name: &str) -> bool {
    request.headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name))
}

fn field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend(name.bytes().map(plain));
    head.extend_from_slice(b": ");
    head.extend(value.iter().copied().map(plain));
    head.extend_from_slice(b"\r\n");
}

/// Line ends and NUL cannot be in what came over a wire; in a log that was written by hand they would make another
/// request of this one.
const fn plain(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request) -> String {
        let mut bytes = head(request, "127.0.0.1:8080".parse().unwrap());
        body(request).iter().for_each(|piece| bytes.extend_from_slice(piece));
        String::from_utf8(bytes).unwrap()
    }

    fn request(method: &str, headers: &[(&str, &str)], body: &'static str, chunked: bool) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (method, target) = (method.into(), "/a?b=c%20d".into());
        let body = Bytes::from_static(body.as_bytes());
        Request { method, target, headers, body, chunked, ..Request::default() }
    }

    #[test]
    fn names_order_and_repetitions_are_kept() {
        let headers = [("hOST", "shop"), ("X-b", "2"), ("x-A", "1"), ("X-b", "3"), ("Cookie", "")];
        let sent = text(&request("GET", &headers, "", false));
        assert_eq!(
            sent,
            "GET /a?b=c%20d HTTP/1.1\r\nhOST: shop\r\nX-b: 2\r\nx-A: 1\r\nX-b: 3\r\nCookie: \r\n\r\n"
        );
    }

    #[test]
    fn a_body_is_framed_as_it_is_now() {
        let length = [("Host", "a"), ("content-length", "999"), ("Content-Length", "999"), ("X", "y")];
        let sent = text(&request("POST", &length, "hello", false));
        assert_eq!(sent, "POST /a?b=c%20d HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\nX: y\r\n\r\nhello");
        let chunked = [("Host", "a"), ("Transfer-Encoding", "chunked"), ("X", "y")];
        let sent = text(&request("POST", &chunked, "hello hello hello", true));
        assert!(
            sent.contains("Transfer-Encoding: chunked\r\nX: y\r\n\r\n11\r\nhello hello hello\r\n0\r\n\r\n")
        );
        assert!(text(&request("POST", &chunked, "", true)).ends_with("\r\n\r\n0\r\n\r\n"));
        let trailed =
            Request { trailers: vec![("T".into(), b"1".to_vec())], ..request("POST", &chunked, "x", true) };
        assert!(text(&trailed).ends_with("\r\n\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n"));
        // Where the recording does not tell the framing, the body still arrives.
        assert!(text(&request("PUT", &[], "hello", false)).ends_with("Content-Length: 5\r\n\r\nhello"));
        assert!(text(&request("PUT", &[], "hi", true)).contains("Transfer-Encoding: chunked\r\n"));
        assert!(
            text(&request("DELETE", &[("Content-Length", "0")], "", false)).contains("Content-Length: 0")
        );
        assert!(!text(&request("GET", &[], "", false)).contains("Content-Length"));
    }

    #[test]
    fn a_request_without_a_host_names_the_base() {
        assert!(text(&request("GET", &[], "", false)).contains("HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
        let old = Request { old_http: true, ..request("GET", &[], "", false) };
        assert_eq!(text(&old), "GET /a?b=c%20d HTTP/1.0\r\n\r\n");
    }

    #[test]
    fn a_value_cannot_begin_another_request() {
        let sent = text(&request("GET", &[("X\r\nY", "a\r\n\r\nGET /b HTTP/1.1\0")], "", false));
        assert_eq!(sent.matches("\r\n").count(), 4, "{sent:?}");
    }
}
