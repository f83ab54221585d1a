use std::fmt;
use std::sync::Arc;

use super::chain::Stage;
use super::ending::{HalfClosed, Limited, Reset, Silent, SlowToClose};
use super::pace::{Delayed, Narrow, Sliced};
use super::spoil::Spoiled;
use crate::fault::{Effect, Fired, Stream};
use crate::seed::Ids;

/// Whose bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The client's.
    Upstream,
    /// The server's.
    #[default]
    Downstream,
}

/// What disturbs a direction. Times in ns.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Every piece comes so much later.
    Latency {
        /// So much.
        ns: u64,
        /// Up to that much more or less, drawn for each piece.
        jitter_ns: u64,
    },
    /// So many bytes a second.
    Bandwidth(u64),
    /// Pieces of about so many bytes.
    Slice {
        /// Bytes.
        size: u64,
        /// That many more or less.
        variation: u64,
        /// Between two pieces.
        delay_ns: u64,
    },
    /// The connection ends behind so many bytes.
    Limit(u64),
    /// Its FIN comes so much later.
    SlowClose(u64),
    /// Nothing passes, and after so long the connection ends; never if there is none.
    Silence(Option<u64>),
    /// A RST behind so many bytes; with no number, nothing passes, and it comes after so long.
    Reset {
        /// So long, from the connection's begin.
        after_ns: u64,
        /// So many bytes.
        bytes: Option<u64>,
    },
    /// A FIN at once, and what the sender sends is read and goes nowhere.
    HalfClose,
    /// So many of the first bytes are others, by this key.
    Corrupt {
        /// How many.
        bytes: u64,
        /// For the places.
        key: u64,
    },
}

/// Hears what came of a disturbance; once for each connection at most.
pub type Told = Arc<dyn Fn(String) + Send + Sync>;

/// A disturbance of a direction.
#[derive(Clone)]
pub struct Toxic {
    /// Of which bytes.
    pub direction: Direction,
    /// What.
    pub what: What,
    /// Of which share of the connections, 0 to 1.
    pub toxicity: f64,
    /// For what is drawn.
    pub key: u64,
    /// Who hears of it.
    pub told: Option<Told>,
}

impl fmt::Debug for Toxic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {}", self.direction, self.what, self.toxicity)
    }
}

impl Toxic {
    /// Of every connection.
    pub const fn new(direction: Direction, what: What, key: u64) -> Self {
        Self { direction, what, toxicity: 1.0, key, told: None }
    }

    /// What a fault that fired does to bytes; nothing where it means nothing to them. `number` is the connection's.
    pub fn of(fired: &Fired, number: u64, told: Told) -> Vec<Self> {
        let Some(what) = What::of(&fired.effect) else { return Vec::new() };
        let (direction, other) = match fired.stream {
            Stream::Upstream => (Direction::Upstream, Direction::Downstream),
            Stream::Downstream => (Direction::Downstream, Direction::Upstream),
        };
        let key = if let Effect::Slice { key, .. } = fired.effect { key } else { number };
        let mut all = vec![Self { told: Some(told), ..Self::new(direction, what, key) }];
        if matches!(fired.effect, Effect::Blackhole) {
            all.push(Self::new(other, What::Silence(None), key));
        }
        all
    }

    /// A reset that follows a wait comes after it, whether bytes come or not.
    pub fn in_order(toxics: &mut [Self]) {
        let mut waited = 0_u64;
        for toxic in toxics {
            match &mut toxic.what {
                What::Latency { ns, .. } => waited = waited.saturating_add(*ns),
                What::Reset { after_ns, bytes: None } => *after_ns = waited,
                _ => {}
            }
        }
    }

    /// Whether it hits this connection: the same for the same key and connection.
    pub(super) fn hits(&self, connection: u64) -> bool {
        if self.toxicity >= 1.0 {
            return true;
        }
        // 53 bits, as many as the fraction of a double holds.
        let drawn = self.dice(connection, 0).draw() as u64 >> 11;
        (drawn as f64) / ((1_u64 << 53) as f64) < self.toxicity
    }

    /// A generator of its own for each connection and purpose.
    fn dice(&self, connection: u64, purpose: u64) -> Ids {
        // The golden ratio's multiples are spread as wide as can be.
        let spread = connection.wrapping_mul(2).wrapping_add(purpose).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Ids::from_key([self.key, self.key ^ spread])
    }

    pub(super) fn stage(&self, connection: u64) -> Box<dyn Stage> {
        let dice = self.dice(connection, 1);
        match self.what {
            What::Latency { ns, jitter_ns } => Box::new(Delayed::new(ns, jitter_ns, dice)),
            What::Bandwidth(rate) => Box::new(Narrow::new(rate)),
            What::Slice { size, variation, delay_ns } => {
                Box::new(Sliced::new(size, variation, delay_ns, dice))
            }
            What::Limit(bytes) => Box::new(Limited::new(bytes)),
            What::SlowClose(ns) => Box::new(SlowToClose::new(ns)),
            What::Silence(after) => Box::new(Silent::new(after)),
            What::Reset { after_ns, bytes } => Box::new(Reset::new(after_ns, bytes)),
            What::HalfClose => Box::new(HalfClosed),
            What::Corrupt { bytes, key } => Box::new(Spoiled::new(bytes, key)),
        }
    }
}

impl What {
    /// What an effect is to bytes that nobody reads; none where it means nothing to them.
    pub const fn of(effect: &Effect) -> Option<Self> {
        Some(match *effect {
            Effect::Delay(ns) => Self::Latency { ns, jitter_ns: 0 },
            Effect::Hang | Effect::Blackhole => Self::Silence(None),
            Effect::Answer { after, .. } => Self::Silence(Some(after)),
            Effect::Reset(bytes) => Self::Reset { after_ns: 0, bytes },
            Effect::Refuse => Self::Reset { after_ns: 0, bytes: None },
            Effect::HalfClose => Self::HalfClose,
            Effect::SlowClose(ns) => Self::SlowClose(ns),
            Effect::Bandwidth(rate) => Self::Bandwidth(rate),
            Effect::Slice { size, variation, delay, .. } => Self::Slice { size, variation, delay_ns: delay },
            Effect::LimitBytes(bytes) | Effect::Truncate(bytes) => Self::Limit(bytes),
            Effect::Corrupt { bytes, key } => Self::Corrupt { bytes, key },
            _ => return None,
        })
    }
}
