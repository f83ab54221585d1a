//! DNS: one message (RFC 1035 section 4.1), and messages out of a TCP stream (RFC 7766 section 8).
//!
//! Names and record data are decoded by hickory-proto; the frame around them is read here, so that a record that
//! cannot be read costs itself only, and a message that is cut still shows what it has.

mod data;
mod message;
#[cfg(test)]
pub mod sample;
mod stream;
#[cfg(test)]
mod tests;

pub use message::{Answer, DnsMessage, Question, Unreadable};
pub use stream::{DnsPiece, DnsStream};
