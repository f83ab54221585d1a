//! Bytes both ways, until both sides have ended or one breaks.

use std::cell::Cell;
use std::net::Shutdown;

use nix::errno::Errno;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::body::Body;
use super::buffer::Buffer;
use super::shared::Shared;
use super::upstream::Upstream;
use super::wire::{self, Cut, Lane};
use crate::protocol::Sender;
use crate::proxy::What;

/// Relays between the client and a server; true if both ended with a FIN.
pub async fn relay(shared: &Shared, client: &TcpStream, ahead: &mut Buffer, upstream: &mut Upstream) -> bool {
    let Upstream { stream: server, slot, buffer, .. } = upstream;
    let slot = &*slot;
    let ended = Cell::new(0);
    let up = Lane { shared, slot, from: Sender::Client, source: client, sink: server };
    let down = Lane { shared, slot, from: Sender::Server, source: server, sink: client };
    let broken = tokio::select! {
        cut = one_way(&up, ahead, &ended) => cut.map(|cut| side(cut, Sender::Client, Sender::Server)),
        cut = one_way(&down, buffer, &ended) => cut.map(|cut| side(cut, Sender::Server, Sender::Client)),
    };
    if let Some((side, errno)) = broken {
        slot.note(What::Broke(side, errno));
    }
    slot.rest();
    broken.is_none()
}

fn side(cut: Cut, source: Sender, sink: Sender) -> (Sender, Errno) {
    match cut {
        Cut::Source(errno) => (source, errno),
        Cut::Sink(errno) => (sink, errno),
        // Bytes up to the end of the connection are never malformed.
        Cut::Malformed(_) => (source, Errno::EPROTO),
    }
}

/// One way: what was read already, then the rest, then the FIN. Ends with none once both ways have ended.
async fn one_way(lane: &Lane<'_>, first: &mut Buffer, ended: &Cell<u8>) -> Option<Cut> {
    let relayed = async {
        if !first.is_empty() {
            lane.slot.copy(first.since, lane.from, first.bytes());
            wire::write_all(lane.sink, first.bytes()).await.map_err(Cut::Sink)?;
            first.take(first.bytes().len());
        }
        lane.body(&mut Body::UntilClose, first).await
    };
    if let Err(cut) = relayed.await {
        return Some(cut);
    }
    // Fails only where the other end has broken meanwhile, which the other way finds.
    let _ = SockRef::from(lane.sink).shutdown(Shutdown::Write);
    ended.set(ended.get() + 1);
    if ended.get() == 2 {
        return None;
    }
    Some(Cut::Source(wire::broken(lane.source).await))
}
