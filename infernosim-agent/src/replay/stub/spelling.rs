//! Header names as they were spelled. hyper writes names `Like-This` (`title_case_headers`) unless the message carries the
//! map of spellings that hyper itself makes when it reads a message, which nobody else can make: so we let it read one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::http::Extensions;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// Sets of names that are kept. A service has few; a hostile incident gets the rest made again.
const MOST: usize = 1024;

/// Spellings by the names of a message, in order.
#[derive(Debug, Default)]
pub struct Spellings(Mutex<BTreeMap<Box<str>, Option<Extensions>>>);

impl Spellings {
    /// What makes hyper spell these names so; none if it does so by itself, or would not read them.
    pub fn of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Extensions> {
        let mut key = String::new();
        for name in names.filter(|name| !is_title_case(name)) {
            key.push_str(name);
            key.push('\n');
        }
        if key.is_empty() {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(key.as_str()) {
            return found.clone();
        }
        let read = read(&key);
        if known.len() < MOST {
            known.insert(key.into(), read.clone());
        }
        read
    }
}

/// Whether a name is written as hyper writes it by itself.
fn is_title_case(name: &str) -> bool {
    let mut first = true;
    name.bytes().all(|byte| {
        let other = if first { byte.is_ascii_lowercase() } else { byte.is_ascii_uppercase() };
        first = byte == b'-';
        !other
    })
}

/// Lets hyper read a request with these names.
fn read(names: &str) -> Option<Extensions> {
    let mut request = String::from("GET / HTTP/1.1\r\n");
    for name in names.lines() {
        HeaderName::try_from(name).ok()?;
        // What means something to hyper must not be nonsense.
        let value = match name.to_ascii_lowercase().as_str() {
            "content-length" => "0",
            "transfer-encoding" => "chunked",
            _ => "x",
        };
        request.push_str(name);
        request.push_str(": ");
        request.push_str(value);
        request.push_str("\r\n");
    }
    request.push_str("\r\n0\r\n\r\n");
    let seen = Arc::new(Mutex::new(None));
    let read = Arc::clone(&seen);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let extensions = std::mem::take(request.extensions_mut());
        *read.lock().unwrap_or_else(PoisonError::into_inner) = Some(extensions);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let io = tokio::io::join(std::io::Cursor::new(request.into_bytes()), tokio::io::sink());
    let connection =
        http1::Builder::new().preserve_header_case(true).serve_connection(TokioIo::new(io), service);
    // All of it is there: one poll reads it.
    let _: Poll<_> = pin!(connection).poll(&mut Context::from_waker(Waker::noop()));
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_hyper_would_write_otherwise_take_a_map() {
        let spellings = Spellings::default();
        assert!(spellings.of(["Content-Type", "X-1-A", "Date"].into_iter()).is_none());
        for name in ["ETag", "date", "X-ID", "x-Odd"] {
            assert!(spellings.of(["Date", name].into_iter()).is_some(), "{name}");
        }
        assert!(spellings.of(["no name"].into_iter()).is_none());
    }
}
