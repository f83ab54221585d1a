//! Segments that came before their connection's socket was there.

use std::collections::VecDeque;
use std::net::SocketAddr;

use infernosim_common::tap::Record;

/// Segments kept; the oldest go first.
const MOST: usize = 256;

/// What the listener's socket saw of a connection that it had not made yet: data with the last packet of a handshake
/// (TCP_DEFER_ACCEPT, a first packet that overtook), or with its first (TCP Fast Open, RFC 7413).
#[derive(Debug, Default)]
pub struct Early {
    segments: VecDeque<(SocketAddr, SocketAddr, Record, Box<[u8]>)>,
}

impl Early {
    /// Keeps a segment.
    pub fn keep(&mut self, ends: (SocketAddr, SocketAddr), record: &Record, bytes: &[u8]) {
        if self.segments.len() >= MOST {
            self.segments.pop_front();
        }
        self.segments.push_back((ends.0, ends.1, *record, bytes.into()));
    }

    /// Those of a connection between these ends, in order.
    pub fn take(&mut self, ends: (SocketAddr, SocketAddr)) -> Vec<(Record, Box<[u8]>)> {
        if self.segments.is_empty() {
            return Vec::new();
        }
        let (of_it, others) = std::mem::take(&mut self.segments)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(local, remote, ..)| (*local, *remote) == ends);
        self.segments = others;
        of_it.into_iter().map(|(_, _, record, bytes)| (record, bytes)).collect()
    }
}
