use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// What marks answers of ours that no dependency gave.
pub const MARK: HeaderName = HeaderName::from_static("x-infernosim");

/// The names of its fields, as they are spelled.
pub const NAMES: [&str; 3] = ["Content-Type", "Content-Length", "X-InfernoSIM"];

/// What a call without a recorded counterpart is answered: 502, and why.
pub fn response(explanation: &str) -> Response<Bytes> {
    own(format!("infernosim: no recorded answer\n{}\n", explanation.trim_end()), "unmatched")
}

/// What a call to a live dependency is answered that could not be asked: 502, and why.
pub fn unreachable(explanation: &str) -> Response<Bytes> {
    own(format!("infernosim: {}\n", explanation.trim_end()), "unreachable")
}

fn own(body: String, mark: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(MARK, HeaderValue::from_static(mark));
    response
}
