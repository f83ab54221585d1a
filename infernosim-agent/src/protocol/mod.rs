//! Bytes to messages. Sans-IO: no clock, no socket, no thread; the same codecs read what the relay's tee and
//! the passive tap copy. Imports nothing of this crate.
//!
//! A codec reads a **copy** of the traffic and can do it no harm: on anything it does not understand it says
//! `Opaque` and from there on shows plain bytes, so nothing is lost.
//!
//! ```text
//! feed ─▶ conversation ─▶ detect ─┬▶ http1 (head, framing, body)
//!                                 ├▶ tls_hello, then bytes
//!                                 └▶ bytes
//! ```
//!
//! DNS stands beside that: port 53 says what it is.
//!
//! Two rules hold for every file here, and property tests check them:
//! * What is said depends on the bytes and on the order in which the two sides sent them, never on how a
//!   side's bytes were cut into feeds (after a gap excepted, where a feed's beginning is the only hint).
//! * Bodies are slices of what was fed; only an element that came in pieces is copied, and its copy freed.

mod conversation;
mod detect;
mod dns;
mod http1;
mod message;
mod tls_hello;

pub use conversation::Conversation;
pub use detect::{Detector, begins_request};
#[cfg(test)]
pub use dns::sample as dns_sample;
pub use dns::{Answer, DnsMessage, DnsPiece, DnsStream, Question, Unreadable};
// For the explicit proxies, which read heads to pass them on and must understand what the recording does.
pub(crate) use http1::{body as http1_body, framing as http1_framing, head as http1_head};
pub use message::{Field, Message, Protocol, Sender};
