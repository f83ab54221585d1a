//! The resolver of a replay: answers every lookup of the target from the recording.

mod message;
mod serve;
mod zone;

pub(crate) use message::Query;
pub use serve::{over_tcp, over_udp};
pub use zone::{Asked, Recorded, Told, Zone};
