//! What changed between two replays.
