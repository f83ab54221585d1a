//! Journey 1: target ─▶ tap, or redirect ─▶ proxy, ─▶ protocol ─▶ incident.
//!
//! [`session`](run) puts the rooms together and takes them apart again; the recorder turns what the tee
//! and the tap copied into events. Invariant: nothing here stands between the target and its traffic.

pub(crate) mod command;
pub(crate) mod ending;
pub mod explicit;
mod merge;
pub(crate) mod namespaces;
pub(crate) mod older;
pub(crate) mod presence;
mod recorder;
mod relayed;
pub(crate) mod report;
pub mod selector;
mod session;
pub(crate) mod setup;
pub(crate) mod signals;
mod summary;
mod voice;

pub(crate) use session::relay_threads;
pub use session::run;
pub use setup::Options;
pub use voice::Voice;
