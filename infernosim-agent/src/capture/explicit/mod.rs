//! The explicit form: programs are told to send through us (`infernosim proxy`), or clients ask us instead of the
//! service (`infernosim inbound`). No privileges, no kernel half; the same recording.
//!
//! One process has one listener and writes one log. Both may write into one folder, which is then one incident.

mod forward;
mod listen;
mod recorder;
mod session;

pub use forward::Forward;
pub use listen::Listen;
pub use session::{Options, Role, run};
