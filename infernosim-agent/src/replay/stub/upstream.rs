//! What a target sees of faults of the bytes that it sends (`stream=upstream`). The stub has read all of a request before
//! it answers, so that these come about in the answer: later by as much as the request would have taken, or not at all
//! where not all of it would have arrived. Pure.

use crate::fault::Effect;

const SECOND: u128 = 1_000_000_000;

/// Sizes of a request, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// All of it.
    pub bytes: u64,
    /// Its body.
    pub body: u64,
    /// All that came on its connection, with it.
    pub so_far: u64,
}

/// The effect that its answer has; none where there is nothing to see.
pub fn seen(effect: &Effect, asked: Asked) -> Option<Effect> {
    let later = |ns: u128| Some(Effect::Delay(u64::try_from(ns).unwrap_or(u64::MAX)));
    match effect {
        Effect::Bandwidth(rate) => later(u128::from(asked.bytes) * SECOND / u128::from(*rate).max(1)),
        Effect::Slice { size, delay, .. } => {
            let pieces = asked.bytes.div_ceil(*(size.max(&1)));
            later(u128::from(pieces.saturating_sub(1)) * u128::from(*delay))
        }
        Effect::LimitBytes(bytes) => (asked.so_far > *bytes).then_some(Effect::HalfClose),
        Effect::Truncate(bytes) => (asked.body > *bytes).then_some(Effect::HalfClose),
        Effect::Reset(Some(bytes)) => (asked.body > *bytes).then_some(Effect::Reset(None)),
        Effect::Delay(_)
        | Effect::Hang
        | Effect::Blackhole
        | Effect::Refuse
        | Effect::Reset(None)
        | Effect::Answer { .. } => Some(effect.clone()),
        // Of these a plan is refused: `Plan::check_for_replay`.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_as_long_as_its_bytes() {
        let asked = Asked { bytes: 1_000, body: 900, so_far: 3_000 };
        assert_eq!(seen(&Effect::Bandwidth(500), asked), Some(Effect::Delay(2_000_000_000)));
        let slice = |size| Effect::Slice { size, variation: 0, delay: 7, key: 0 };
        assert_eq!(seen(&slice(300), asked), Some(Effect::Delay(21)));
        assert_eq!(seen(&slice(1_000), asked), Some(Effect::Delay(0)));
    }

    #[test]
    fn what_is_cut_is_not_answered_and_what_is_shorter_is() {
        let asked = Asked { bytes: 1_000, body: 900, so_far: 3_000 };
        for (effect, is) in [
            (Effect::LimitBytes(2_999), Some(Effect::HalfClose)),
            (Effect::LimitBytes(3_000), None),
            (Effect::Truncate(899), Some(Effect::HalfClose)),
            (Effect::Truncate(900), None),
            (Effect::Reset(Some(10)), Some(Effect::Reset(None))),
            (Effect::Reset(Some(900)), None),
            (Effect::Reset(None), Some(Effect::Reset(None))),
            (Effect::Hang, Some(Effect::Hang)),
        ] {
            assert_eq!(seen(&effect, asked), is, "{effect:?}");
        }
    }
}
