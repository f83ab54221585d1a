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
    fn begin(&mut self, at: u64, out: &mut Vec<(u64, Piece)>) -> Option<String> {
        if self.left.is_some() {
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
        if self.over {
            return None;
        }
        let Piece::Bytes(mut bytes) = piece else {
            out.push((at, piece));
            return None;
        };
        let left = self.left.as_mut()?;
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
