//! What ends a direction or a connection sooner or later than its two ends would.

use super::chain::{Piece, Stage};
use super::pace::time;

/// Lets so many bytes pass, and then something else, and nothing after that.
struct Upto {
    left: u64,
    limit: u64,
    over: bool,
}

impl Upto {
    const fn new(limit: u64) -> Self {
        Self { left: limit, limit, over: false }
    }

    /// Whether it is this piece behind which `then` comes.
    fn take(&mut self, at: u64, piece: Piece, then: Piece, out: &mut Vec<(u64, Piece)>) -> bool {
        if self.over {
            return false;
        }
        let Piece::Bytes(mut bytes) = piece else {
            out.push((at, piece));
            return false;
        };
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        if !bytes.is_empty() {
            out.push((at, Piece::Bytes(bytes)));
        }
        if self.left == 0 {
            self.over = true;
            out.push((at, then));
        }
        self.over
    }
}

/// The connection ends behind so many bytes.
pub struct Limited(Upto);

impl Limited {
    pub const fn new(limit: u64) -> Self {
        Self(Upto::new(limit))
    }
}

impl Stage for Limited {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let is_over = self.0.take(at, piece, Piece::Close, out);
        is_over.then(|| format!("closed behind {} bytes", self.0.limit))
    }
}

/// The FIN comes later.
pub struct SlowToClose {
    ns: u64,
}

impl SlowToClose {
    pub const fn new(ns: u64) -> Self {
        Self { ns }
    }
}

impl Stage for SlowToClose {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let ends = matches!(piece, Piece::End | Piece::Close);
        out.push((if ends { at.saturating_add(self.ns) } else { at }, piece));
        ends.then(|| format!("closed {} later", time(self.ns)))
    }
}

/// Nothing passes.
pub struct Silent {
    after: Option<u64>,
}

impl Silent {
    pub const fn new(after: Option<u64>) -> Self {
        Self { after }
    }
}

impl Stage for Silent {
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let after = self.after?;
        out.push((at.saturating_add(after), Piece::Close));
        Some(format!("silent, closed after {}", time(after)))
    }

    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        if !matches!(piece, Piece::Bytes(_)) {
            // Who gives up is let go.
            out.push((at, piece));
            return None;
        }
        Some("silent".to_owned())
    }
}

/// A RST: behind so many bytes, or after so long, and nothing before that.
pub struct Reset {
    after_ns: u64,
    behind: Option<Upto>,
}

impl Reset {
    pub fn new(after_ns: u64, bytes: Option<u64>) -> Self {
        Self { after_ns, behind: bytes.map(Upto::new) }
    }
}

impl Stage for Reset {
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        if self.behind.is_some() {
            return None;
        }
        out.push((at.saturating_add(self.after_ns), Piece::Reset));
        Some(if self.after_ns == 0 {
            "reset before any byte".to_owned()
        } else {
            format!("reset after {}", time(self.after_ns))
        })
    }

    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        let Some(behind) = &mut self.behind else {
            if !matches!(piece, Piece::Bytes(_)) {
                out.push((at, piece));
            }
            return None;
        };
        let is_over = behind.take(at, piece, Piece::Reset, out);
        is_over.then(|| format!("reset behind {} bytes", behind.limit))
    }
}

/// A FIN at once.
pub struct HalfClosed;

impl Stage for HalfClosed {
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        out.push((at, Piece::End));
        Some("ended before any byte".to_owned())
    }

    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        match piece {
            Piece::Bytes(_) | Piece::End => {}
            piece => out.push((at, piece)),
        }
        None
    }
}
