//! Which inbound request made the target call somebody else.
//!
//! Never a guess: an identifier that is in both, the thread that read the one and made the other, or that no other
//! request was open. Pure: [`Causes`] is told what was seen, by capture of the recording and by replay of the live
//! target. `requests` remembers which were open when, `threads` who reads and writes, and in which processes that tells
//! anything; `turns` when calls were made, and by whom. Invariants: memory is bounded; what was forgotten, or not seen,
//! makes a cause unknown, not another one.

mod asking;
mod engine;
mod identifiers;
mod requests;
#[cfg(test)]
mod tests;
mod threads;
mod turns;

pub use asking::{Asking, Found};
pub use engine::{Causes, Touch};
pub use identifiers::{Identifiers, identifiers};
pub use requests::{Asked, Ending, Ticket};
pub use threads::Who;
pub use turns::Turn;

/// How it is known which request made a call happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// An identifier is in both.
    Header,
    /// The thread that read the request made the call, in a process where every thread does one request at a time.
    Thread,
    /// No other request was open.
    OnlyOneInFlight,
    /// Several were, and nothing tells which it was.
    Ambiguous,
}

impl Basis {
    /// The word that stands in the log's `causeBasis` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Thread => "thread",
            Self::OnlyOneInFlight => "only-one-in-flight",
            Self::Ambiguous => "ambiguous",
        }
    }
}
