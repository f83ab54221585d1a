//! An outbound exchange is one line, written when it is over; a connection without one is a line too.

use super::super::cause::Found;
use super::super::line::{Lines, Peer, Stamp};
use super::super::{Direction, body, head, json};
use super::{Ending, Exchange, Exchanges, Why, write_cause};
use crate::clock::Nanos;
use crate::protocol::Protocol;

impl Exchange {
    /// Writes its line; or counts it, where that cannot be or is not to be.
    pub(super) fn call(
        &mut self,
        at: Nanos,
        (peer, cause): (&Peer, Option<Found<u128>>),
        why: Option<Why>,
        lines: &mut Lines,
    ) {
        let size = self.size();
        if self.excluded {
            return lines.exclude(size);
        }
        let lost = self.request.lost().or(self.response.lost());
        let cut = self.unseen || !(self.request_ended && self.response_ended);
        let why = why.or(self.unseen.then_some(Why::Unseen));
        let protocol = self.protocol.map_or("tcp", Protocol::as_str);
        let (stamp, counts) = (Stamp::new(self.started, self.over(at)), !lines.is_over());
        let written = lost.is_none()
            && lines.event("OutboundCall", stamp, size, |lines, out| {
                let whole = self.call_fields(at, cut, why, lines, out);
                write_cause(cause, out);
                peer.write(out);
                whole
            });
        if let Some(reason) = lost {
            lines.lost(reason, 1, size);
        }
        // After its line, which may be the first of the next incident.
        if counts {
            lines.called(&self.service, protocol, cut || self.failed.is_some());
        }
        if !written {
            self.clear(lines, true);
        }
    }

    fn call_fields(
        &mut self,
        at: Nanos,
        cut: bool,
        why: Option<Why>,
        lines: &mut Lines,
        out: &mut Vec<u8>,
    ) -> bool {
        out.extend_from_slice(&self.request_head);
        self.write_carried(out);
        Self::forget_met(lines);
        let whole = self.request.write(&body::REQUEST, lines, out);
        self.note_met(lines);
        self.write_interim(out);
        out.extend_from_slice(&self.response_head);
        let whole = whole && self.response.write(&body::RESPONSE, lines, out);
        self.write_chunks(out);
        if cut {
            out.extend_from_slice(b",\"incomplete\":true");
        }
        if let Some(failed) = &self.failed {
            failed.write(out);
        } else if let Some(why) = why {
            json::key(out, "error");
            json::string(out, why.outbound());
            head::errno(out, why.errno());
        }
        json::key(out, "duration");
        json::number(out, at.since(self.started));
        whole
    }
}

impl Exchanges {
    /// A connection to a dependency on which no byte was sent.
    pub(super) fn silent(&self, at: Nanos, ending: Ending, lines: &mut Lines) {
        let (error, errno) = match ending {
            Ending::DialFailed(errno) => (errno.desc(), Some(errno)),
            Ending::Broke(_, errno) => ("broke before any byte", Some(errno)),
            Ending::Closed | Ending::ClosedBy(_) => ("closed before any byte", None),
            Ending::Abandoned => ("silent until the capture ended", None),
        };
        let service = self.peer.asked(Direction::Outbound);
        if !lines.selects(Direction::Outbound, &self.peer, &service, None) {
            return lines.exclude(0);
        }
        let cause = lines.cause_of_act(self.opened, &self.peer);
        let counts = !lines.is_over();
        lines.event("Connection", Stamp::new(self.opened, at), 0, |_, out| {
            json::key(out, "service");
            json::string(out, &service);
            json::key(out, "protocol");
            json::string(out, "tcp");
            json::key(out, "url");
            json::string(out, &format!("tcp://{service}"));
            json::key(out, "duration");
            json::number(out, at.since(self.opened));
            json::key(out, "error");
            json::string(out, error);
            head::errno(out, errno);
            write_cause(cause, out);
            self.peer.write(out);
            true
        });
        if counts {
            lines.called(&service, "tcp", matches!(ending, Ending::DialFailed(_)));
        }
    }
}
