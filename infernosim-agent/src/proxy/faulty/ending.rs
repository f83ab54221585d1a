//! What ends a direction or a connection sooner or later than its two ends would.

use super::chain::{Piece, Stage};
use super::pace::time;

/// The connection ends behind so many bytes.
pub struct Limited {
    left: u64,
    limit: u64,
    over: bool,
}

impl Limited {
    pub const fn new(limit: u64) -> Self {
        Self { left: limit, limit, over: false }
    }
}

impl Stage for Limited {
    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        if self.over {
            return None;
        }
        let Piece::Bytes(mut bytes) = piece else {
            out.push((at, piece));
            return None;
        };
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        if !bytes.is_empty() {
            out.push((at, Piece::Bytes(bytes)));
        }
        if self.left > 0 {
            return None;
        }
        self.over = true;
        out.push((at, Piece::Close));
        Some(format!("closed behind {} bytes", self.limit))
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
    closes: bool,
}

impl Silent {
    pub const fn new(after: Option<u64>) -> Self {
        Self { after, closes: after.is_some() }
    }
}

impl Stage for Silent {
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) {
        if let Some(after) = self.after {
            out.push((at.saturating_add(after), Piece::Close));
        }
    }

    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        if !matches!(piece, Piece::Bytes(_)) {
            // Who gives up is let go.
            out.push((at, piece));
            return None;
        }
        Some(match self.after {
            Some(after) if self.closes => format!("silent, closed after {}", time(after)),
            _ => "silent".to_owned(),
        })
    }
}

/// A RST.
pub struct Reset {
    after_ns: u64,
    left: Option<u64>,
    behind: u64,
    over: bool,
}

impl Reset {
    pub fn new(after_ns: u64, bytes: Option<u64>) -> Self {
        Self { after_ns, left: bytes, behind: bytes.unwrap_or(0), over: false }
    }
}

impl Stage for Reset {
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) {
        if self.left.is_none() && self.after_ns > 0 {
            out.push((at.saturating_add(self.after_ns), Piece::Reset));
        }
    }

    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        if self.over {
            return None;
        }
        let Piece::Bytes(mut bytes) = piece else {
            out.push((at, piece));
            return None;
        };
        let Some(left) = &mut self.left else {
            if self.after_ns > 0 {
                return Some(format!("reset after {}", time(self.after_ns)));
            }
            self.over = true;
            out.push((at, Piece::Reset));
            return Some("reset before any byte".to_owned());
        };
        bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= bytes.len() as u64;
        if !bytes.is_empty() {
            out.push((at, Piece::Bytes(bytes)));
        }
        if *left > 0 {
            return None;
        }
        self.over = true;
        out.push((at, Piece::Reset));
        Some(format!("reset behind {} bytes", self.behind))
    }
}

/// A FIN at once.
#[derive(Default)]
pub struct HalfClosed {
    told: bool,
}

impl Stage for HalfClosed {
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) {
        out.push((at, Piece::End));
    }

    fn take(&mut self, at: u64, piece: Piece, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        match piece {
            Piece::Bytes(_) | Piece::End => {}
            piece => out.push((at, piece)),
        }
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| "ended before any byte".to_owned())
    }
}
