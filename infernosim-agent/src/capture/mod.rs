//! Journey 1: target ─▶ tap, or redirect ─▶ proxy, ─▶ protocol ─▶ incident.
//!
//! [`session`](run) puts the rooms together and takes them apart again; the recorder turns what the tee
//! and the tap copied into events. Invariant: nothing here stands between the target and its traffic.

mod command;
mod ending;
pub mod explicit;
mod merge;
mod namespaces;
mod older;
mod presence;
mod recorder;
mod relayed;
mod report;
pub mod selector;
mod session;
mod setup;
mod signals;
mod summary;
mod voice;

pub use session::run;
pub use setup::Options;
pub use voice::Voice;
