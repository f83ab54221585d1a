//! When things were whole, for telling times from other values.

use super::JudgeOptions;
use super::place::Place;
use super::recording::Recording;
use crate::replay::fields::{self, Leaf};

/// Are both times, near to when they were sent? What a message says may be as old as the run.
pub fn are_times(
    recording: &impl Recording,
    place: Place,
    options: &JudgeOptions,
    recorded: &Leaf,
    live: &Leaf,
) -> bool {
    let start_ns = match place {
        Place::Answer(exchange) => recording.exchange(exchange).start_ns,
        Place::Call(call) => recording.call(call).start_ns,
    };
    let recorded_at = recording.began_ns() + i128::from(start_ns);
    fields::are_times(recorded, recorded_at, live, options.now_ns)
}
