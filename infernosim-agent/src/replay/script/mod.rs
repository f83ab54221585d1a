//! The incident as an index: which exchanges to send and which calls to answer, in order, and where their lines are.
//!
//! ```text
//! logs ─▶ load (lines ─▶ entries) ─▶ causes, depend ─▶ index ◀─ place ─ read, say: messages, secrets restored
//! ```
//!
//! Nothing long is held: an entry is some hundred bytes, and the line is read and parsed again when it is needed.
//! Invariant: after it is loaded nothing in it changes, and any thread may ask it.

/// An inbound exchange, by its place in the order in which they were recorded, from 0: the inbound event index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeIndex(pub u32);

/// An `OutboundCall`, by its place in the recorded causal order, from 0: the outbound event index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallIndex(pub u32);

/// How it is known which exchange made a call happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// A traceparent or request id seen in both.
    Header,
    /// The thread that read the request made the call.
    Thread,
    /// No other exchange was open.
    OnlyOneInFlight,
    /// Several were open and nothing tells which it was.
    Ambiguous,
    /// None was open: the target did it of itself; or an old log that does not tell.
    #[default]
    None,
}

mod causes;
mod depend;
mod entry;
mod index;
mod keys;
mod kinds;
mod load;
mod message;
mod read;
mod say;
#[cfg(test)]
mod tests;
mod untested;

pub use entry::{Call, CallKind, Dependency, Exchange, FailedConnect, Lookup, MatchedBy, Untested};
pub use index::Script;
pub use keys::{Keys, raw as raw_key, sha256};
pub use kinds::normal_dependency;
pub use message::{Ending, Fielded, LookedUp, RecordedAnswer, Reply, Request, Turn};
