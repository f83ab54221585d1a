//! Values that are others in each run, known by their shape.

use std::borrow::Cow;

use super::super::redact::spot;
use super::super::site::without_local_ports as ports;

/// What stands in the place of a time.
const TIME: &str = "<time>";
/// A number is taken for a time if it is one within so many seconds of the recording.
const NEAR_S: i128 = 86_400;

/// Header fields that name one request among many, or the time.
const IDS: [&str; 13] = [
    "date",
    "age",
    "x-request-id",
    "x-request-context",
    "x-correlation-id",
    "request-id",
    "traceparent",
    "tracestate",
    "x-trace-id",
    "x-amzn-trace-id",
    "x-amzn-requestid",
    "x-cloud-trace-context",
    "b3",
];

/// Is its value another in each run?
pub(super) fn is_volatile_header(name: &str) -> bool {
    IDS.contains(&name) || name.starts_with("x-b3-")
}

/// A text without what is volatile: a time becomes `<time>`, tokens lose what tells them apart, and so do addresses on
/// this host their ports.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if is_time(text) {
        return TIME.into();
    }
    match spot::mask(text) {
        Cow::Borrowed(text) => ports(text),
        Cow::Owned(text) => ports(&text).into_owned().into(),
    }
}

/// RFC 3339, or as HTTP writes it (RFC 9110 section 5.6.7).
fn is_time(text: &str) -> bool {
    let digits = text.bytes().take(40).filter(u8::is_ascii_digit).count();
    (6..=30).contains(&digits)
        && text.len() <= 40
        && (text.parse::<jiff::Timestamp>().is_ok() || jiff::fmt::rfc2822::parse(text).is_ok())
}

/// Is this number a time near `recorded` (ns since the epoch), in s, ms, µs or ns?
pub(super) fn is_epoch(number: &serde_json::Number, recorded: Option<i128>) -> bool {
    let Some(recorded) = recorded else { return false };
    let value = number.as_i128().or_else(|| {
        #[expect(clippy::cast_possible_truncation, reason = "seconds with decimals; only nearness counts")]
        number.as_f64().filter(|it| it.is_finite()).map(|it| it as i128)
    });
    let near = |unit: i128| {
        value
            .and_then(|value| value.checked_mul(unit))
            .is_some_and(|ns| (ns - recorded).abs() < NEAR_S * 1_000_000_000)
    };
    [1_000_000_000, 1_000_000, 1000, 1].into_iter().any(near)
}

/// What stands in the place of such a number.
pub(super) const EPOCH: &str = "<time>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_known_by_their_shape() {
        for time in
            ["2026-01-02T03:04:05.006007008Z", "2026-01-02T03:04:05+01:00", "Wed, 21 Oct 2015 07:28:00 GMT"]
        {
            assert_eq!(text(time), TIME, "{time}");
        }
        for other in ["", "2026", "2026-01-02", "20260102", "now", "1.2.3.4:5678", "12:34:56"] {
            assert_eq!(text(other), other);
        }
    }

    #[test]
    fn numbers_are_times_near_the_recording() {
        let recorded = Some(1_767_323_045_000_000_000);
        let number = |text: &str| serde_json::from_str::<serde_json::Number>(text).unwrap();
        for time in
            ["1767323045", "1767323000.25", "1767323045123", "1767323045123456", "1767323045123456789"]
        {
            assert!(is_epoch(&number(time), recorded), "{time}");
            assert!(!is_epoch(&number(time), None));
        }
        for other in ["0", "-1", "7", "1767", "1467323045", "1e300", "18446744073709551615"] {
            assert!(!is_epoch(&number(other), recorded), "{other}");
        }
    }
}
