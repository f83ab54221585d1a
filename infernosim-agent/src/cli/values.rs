//! Values with units, as people write them.

/// Bytes: `65536`, `64KiB`, `64k`, `1MB`, `2GiB`.
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
    number.checked_mul(factor).ok_or_else(|| "that is more than fits 64 bits".to_owned())
}

/// Nanoseconds: `10s`, `250ms`, `2m`, `1h`, `5us`, `100ns`; a bare `0`.
pub fn duration(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" if number == 0 => 1,
        "" => return Err("a time needs a unit: ms, s, m or h".to_owned()),
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m or h")),
    };
    number.checked_mul(factor).ok_or_else(|| "that is more than fits 64 bits".to_owned())
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().map_err(|_| "a whole number, then a unit".to_owned())?;
    Ok((number, text[digits..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64 k"), Ok(65_536));
        assert_eq!(size("1MB"), Ok(1_000_000));
        for wrong in ["", "KiB", "1.5MB", "-1", "64parsec", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10s"), Ok(10_000_000_000));
        assert_eq!(duration("250ms"), Ok(250_000_000));
        assert_eq!(duration("0"), Ok(0));
        for wrong in ["10", "", "s", "-1s", "1 fortnight", "99999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
