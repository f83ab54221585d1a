//! Times as lines say them.

/// Writes times; the date is worked out once a day.
#[derive(Debug)]
pub(super) struct Timestamps {
    day: u64,
    date: [u8; 11],
}

impl Default for Timestamps {
    fn default() -> Self {
        Self { day: u64::MAX, date: [0; 11] }
    }
}

impl Timestamps {
    /// RFC 3339 in UTC with nanoseconds, of nanoseconds since the Unix epoch.
    pub fn write(&mut self, wall_ns: u64, out: &mut Vec<u8>) {
        let (seconds, ns) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        if self.day != day {
            *self = Self { day, date: date(day) };
        }
        out.extend_from_slice(&self.date);
        let mut text = *b"00:00:00.000000000Z";
        for (at, value) in [(0, second / 3600), (3, second / 60 % 60), (6, second % 60)] {
            text[at] += (value / 10) as u8;
            text[at + 1] += (value % 10) as u8;
        }
        let mut rest = ns;
        for digit in text[9..18].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&text);
    }
}

/// `YYYY-MM-DDT` of a day since the Unix epoch.
fn date(day: u64) -> [u8; 11] {
    let second = i64::try_from(day * 86_400).unwrap_or(0);
    let timestamp = jiff::Timestamp::from_second(second).unwrap_or_default();
    let mut text = *b"0000-00-00T";
    let written = timestamp.to_string();
    if let Some(date) = written.as_bytes().get(..11) {
        text.copy_from_slice(date);
    }
    text
}
