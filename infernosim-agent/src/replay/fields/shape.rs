//! Values that are others in each run, known by their shape.

use super::Leaf;
use crate::pattern::is_id;

/// A number is taken for a time if it is one within so many ns of its own now: a day.
const NEAR_NS: i128 = 86_400 * 1_000_000_000;

/// Whether both are times: each an HTTP date or RFC 3339, or each an epoch near its own now (ns since the Unix epoch). Such
/// a field is volatile by its shape.
pub fn are_times(recorded: &Leaf, recorded_at: i128, live: &Leaf, live_at: i128) -> bool {
    std::mem::discriminant(recorded) == std::mem::discriminant(live)
        && is_time(recorded, recorded_at)
        && is_time(live, live_at)
}

/// Whether it is a time: an HTTP date (RFC 9110 section 5.6.7), RFC 3339, or seconds, ms, µs or ns since the Unix epoch within
/// a day of `near` (ns since then).
pub fn is_time(leaf: &Leaf, near: i128) -> bool {
    leaf.as_str().is_some_and(|text| is_epoch(text, near) || is_date(text) && matches!(leaf, Leaf::Text(_)))
}

fn is_date(text: &str) -> bool {
    let digits = text.bytes().take(48).filter(u8::is_ascii_digit).count();
    if !(6..=30).contains(&digits) || text.len() > 48 {
        return false;
    }
    let zoneless = || text.contains(':') && text.parse::<jiff::civil::DateTime>().is_ok();
    text.parse::<jiff::Timestamp>().is_ok() || jiff::fmt::rfc2822::parse(text).is_ok() || zoneless()
}

fn is_epoch(text: &str, near: i128) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !(10..=19).contains(&whole.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(value) = whole.parse::<i128>() else { return false };
    [1_000_000_000, 1_000_000, 1000, 1].into_iter().any(|unit| (value * unit - near).abs() < NEAR_NS)
}

/// Whether a leaf is an id by its shape.
pub fn is_id_like(leaf: &Leaf) -> bool {
    leaf.as_str().is_some_and(is_id)
}
