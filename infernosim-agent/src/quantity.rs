//! Values with units, as people write them.

/// Bytes: `65536`, `64KiB`, `64k`, `1.5MB`, `2GiB`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("`{unit}` is no unit of size; use KiB, MiB, GiB, kB, MB or GB")),
    };
    number.times(factor, "bytes")
}

/// Nanoseconds: `10s`, `1.5s`, `250ms`, `2m`, `1h`, `5us`, `100ns`; a bare `0`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn duration(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" if number.is_zero() => 1,
        "" => return Err("a time needs a unit: ms, s, m or h".to_owned()),
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m or h")),
    };
    number.times(factor, "ns")
}

/// A time in ns as [`duration`] reads it back, exactly: `213.456ms`, `10s`.
pub fn duration_text(ns: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
    let (unit, factor) = units.into_iter().find(|(_, factor)| ns >= *factor).unwrap_or(("s", 1));
    let (whole, rest) = (ns / factor, ns % factor);
    let digits = factor.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        fraction => format!("{whole}.{fraction}{unit}"),
    }
}

/// Bytes as [`size`] reads them back, exactly: `64KiB`, `100kB`, `1234`.
pub fn size_text(bytes: u64) -> String {
    let units = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ];
    let unit = units.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// `15` and `2` are 1.5: an exact decimal.
struct Number {
    digits: u64,
    decimals: u32,
}

impl Number {
    const fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// What it is of `factor`, which must be a whole number.
    fn times(&self, factor: u64, what: &str) -> Result<u64, String> {
        let product = u128::from(self.digits) * u128::from(factor);
        let divisor = 10_u128.pow(self.decimals);
        if !product.is_multiple_of(divisor) {
            return Err(format!("that is no whole number of {what}"));
        }
        u64::try_from(product / divisor).map_err(|_| "that is more than fits 64 bits".to_owned())
    }
}

fn split(text: &str) -> Result<(Number, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (whole, fraction) = text[..end].split_once('.').unwrap_or((&text[..end], "0"));
    let wrong = || match text {
        "" => "a number is missing".to_owned(),
        text if text.starts_with('-') => format!("`{text}` is less than nothing"),
        text => format!("`{text}` does not begin with a number such as 2 or 1.5"),
    };
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    let decimals = u32::try_from(fraction.len()).ok().filter(|decimals| *decimals <= 18).ok_or_else(wrong)?;
    let digits = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    Ok((Number { digits, decimals }, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64 k"), Ok(65_536));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("1.5KiB"), Ok(1_536));
        assert_eq!(size("0.25MB"), Ok(250_000));
        for wrong in ["", "KiB", "1.5", "-1", "64parsec", "99999999999GiB", "1.2.3MB", ".5MB", "1.MB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10s"), Ok(10_000_000_000));
        assert_eq!(duration("250ms"), Ok(250_000_000));
        assert_eq!(duration("0"), Ok(0));
        assert_eq!(duration("1.5s"), Ok(1_500_000_000));
        assert_eq!(duration("0.0000015ms"), Err("that is no whole number of ns".to_owned()));
        for wrong in ["10", "", "s", "-1s", "1 fortnight", "99999999999999h", "0.00000000000000000001s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in prop_oneof![any::<u64>(), 0..10_000_u64, (0..10_000_u64).prop_map(|n| n * 1_000_000)]) {
            prop_assert_eq!(duration(&duration_text(value)), Ok(value), "{}", duration_text(value));
            prop_assert_eq!(size(&size_text(value)), Ok(value), "{}", size_text(value));
        }

        #[test]
        fn no_text_is_too_odd(text in "[0-9.kmsMµ ]{0,30}") {
            let _ = (size(&text), duration(&text));
        }
    }

    #[test]
    fn they_are_written_short() {
        let texts = [0, 1, 1_500, 213_456_000, 10_000_000_000, 90_000_000_000].map(duration_text);
        assert_eq!(texts, ["0s", "1ns", "1.5us", "213.456ms", "10s", "90s"]);
        assert_eq!(
            [0, 1234, 65_536, 100_000, 1 << 30].map(size_text),
            ["0", "1234", "64KiB", "100kB", "1GiB"]
        );
    }
}
