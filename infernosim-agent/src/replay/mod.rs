//! Journey 3: incident ─▶ script ─▶ (driver ─▶ target ─▶ redirect ─▶ stub) ─▶ run ─▶ judge ─▶ report.
//!
//! The script is the incident as an index: what to send, and what to answer. The driver sends, the stub answers as the
//! matcher says, both note what differs; when all runs are over the judge learns what is volatile, and tells whether
//! the runs are equal to each other and to the recording. Invariant: nothing of the target's leaves the machine unless
//! the user said so. `script`, `fields`, `matcher` and `judge` are pure.

pub mod causes;
mod chosen;
pub mod driver;
pub mod fields;
pub mod judge;
mod ledgers;
pub mod limiting;
pub mod limits;
pub mod matcher;
pub mod minted;
mod observed;
mod options;
pub mod pressure;
pub mod progress;
pub mod ready;
#[cfg(test)]
mod recorded;
mod repeat;
mod runs;
pub mod script;
pub mod seen;
mod session;
mod setup;
pub mod slo;
pub mod stub;
pub mod waits;

pub use ledgers::RunLedger;
pub use options::Options;
pub use runs::Judged;
pub use session::run;
