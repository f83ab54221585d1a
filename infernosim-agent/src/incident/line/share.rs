//! What one process writes of an incident that another one may write as well.

use crate::incident::Direction;

/// That.
#[derive(Clone, Debug)]
pub struct Share {
    /// Its log.
    pub(in crate::incident) side: Direction,
}
