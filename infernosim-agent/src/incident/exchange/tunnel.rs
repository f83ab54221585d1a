//! CONNECT (RFC 9110 section 9.3.6): a line that tells of its tunnel too, unless what that carries has lines of its own.

use super::super::line::Lines;
use super::super::redact::Media;
use super::super::{Direction, json, turn};
use super::{Exchange, Exchanges};
use crate::clock::Nanos;
use crate::protocol::Protocol;

impl Exchanges {
    /// The CONNECT that is being answered was granted.
    pub(super) fn tunnel(&mut self) {
        let direction = self.direction;
        let Some(exchange) = self.answering() else { return };
        (exchange.tunnel, exchange.request_ended) = (true, true);
        if direction == Direction::Inbound {
            // There is a line about the request, and none has place for more of it.
            exchange.request.count_only();
        } else if let Some(authority) = exchange.connect.clone() {
            // From here on it is spoken to somebody else, whose address is not known.
            self.peer.name = Some(authority);
        }
    }

    /// The CONNECT whose tunnel this is, until there is another line about it.
    pub(super) fn in_tunnel(&mut self) -> Option<&mut Exchange> {
        self.open.back_mut().filter(|exchange| exchange.tunnel)
    }

    /// What the tunnel carries has lines of its own: this one is over.
    pub(super) fn leave_tunnel(&mut self, at: Nanos, lines: &mut Lines) {
        if let Some(tunnel) = self.in_tunnel() {
            tunnel.response_ended = true;
            self.settle(at, lines);
        }
    }
}

impl Exchange {
    /// It is known what the tunnel carries.
    pub(super) fn carries(&mut self, protocol: Protocol) {
        self.protocol = Some(protocol);
        for content in [&mut self.request, &mut self.response] {
            if protocol == Protocol::Tls {
                // Ciphertext is of no use to anybody: its length is kept.
                content.count_only();
            } else {
                content.declare(Media::opaque());
            }
        }
    }

    /// So does the client greet whom it speaks to.
    pub(super) fn greeted(&mut self, hello: &(Option<String>, Vec<String>)) {
        turn::hello(&mut self.request_head, hello);
        self.named = self.request_head.len();
    }

    /// `protocol`, of a CONNECT: of what its tunnel carries, if that is known.
    pub(super) fn write_carried(&self, out: &mut Vec<u8>) {
        if self.connect.is_some() {
            json::key(out, "protocol");
            json::string(out, self.protocol.map_or("http/1.1", Protocol::as_str));
        }
    }
}
