//! An inbound exchange is two lines: one about the request, as soon as that is whole, so that what the target does
//! because of it comes after it; and one about the answer, when that is over.

use super::super::line::{Lines, Peer, Stamp};
use super::super::loss::Reason;
use super::super::{body, json};
use super::ending::Stage;
use super::pending::write_cut;
use super::{Exchange, Told, Why};
use crate::clock::Nanos;

impl Exchange {
    /// Writes the line about the request, unless there is one: with `why`, also about one that is not whole.
    pub(super) fn tell(&mut self, peer: &Peer, why: Option<Why>, lines: &mut Lines) {
        if self.excluded || self.told != Told::NotYet {
            return;
        }
        let size = self.request.size();
        let lost = self.request.lost();
        let mut id = 0;
        let written = lost.is_none()
            && lines.event(
                "InboundRequest",
                Stamp::new(self.started, self.asked).named(self.name),
                size,
                |lines, out| {
                    id = lines.id();
                    self.request_fields(id, peer, why, lines, out)
                },
            );
        if let Some(reason) = lost {
            lines.lost(reason, 1, size);
        }
        self.request_head.truncate(self.named);
        self.request.clear(lines, !written);
        self.told = if written { Told::As(id) } else { Told::Lost };
        if !written {
            self.response.clear(lines, true);
            self.response.count_only();
        }
    }

    fn request_fields(
        &mut self,
        id: u128,
        peer: &Peer,
        why: Option<Why>,
        lines: &mut Lines,
        out: &mut Vec<u8>,
    ) -> bool {
        write_trace(out, id);
        out.extend_from_slice(&self.request_head);
        self.write_carried(out);
        Self::forget_met(lines);
        let whole = self.request.write(&body::REQUEST, lines, out);
        self.note_met(lines);
        if !self.request_ended {
            let error = why.map_or("cut short".into(), |why| why.inbound(Stage::Request));
            write_cut(out, &error, why);
        } else if self.unseen {
            write_cut(out, Why::Unseen.outbound(), None);
        } else if let Some(remark) = self.remark {
            json::key(out, "error");
            json::string(out, remark);
        }
        json::key(out, "duration");
        json::number(out, self.asked.since(self.started));
        peer.write(out);
        whole
    }

    /// Writes the line about the answer, after the one about the request. With `why`, it may be cut or absent.
    pub(super) fn respond(&mut self, at: Nanos, peer: &Peer, why: Option<Why>, lines: &mut Lines) {
        if self.excluded {
            return lines.exclude(self.size());
        }
        self.tell(peer, why, lines);
        let Told::As(id) = self.told else { return };
        if let Some(reason) = self.response.lost() {
            return self.respond_without(at, peer, reason, lines);
        }
        let at = self.over(at);
        let written =
            lines.event("InboundResponse", Stamp::new(at, at), self.response.size(), |lines, out| {
                self.answer_head(id, out);
                let whole = self.response.write(&body::REQUEST, lines, out);
                self.write_chunks(out);
                let answered = self.answered || self.response.size() > 0;
                let stage = if answered { Stage::Answer } else { Stage::Unanswered };
                if let Some(failed) = &self.failed {
                    if !self.response_ended {
                        out.extend_from_slice(b",\"incomplete\":true");
                    }
                    failed.write(out);
                } else if !self.response_ended {
                    let error = why.map_or("cut short".into(), |why| why.inbound(stage));
                    write_cut(out, &error, why);
                } else if self.unseen {
                    write_cut(out, Why::Unseen.outbound(), None);
                }
                self.answer_end(at, peer, out);
                whole
            });
        if !written {
            self.response.clear(lines, true);
        }
    }

    /// The same where part of the exchange could not be seen or kept: the answer without its content, which nobody
    /// can take for whole, and one more that is lost.
    pub(super) fn respond_without(&mut self, at: Nanos, peer: &Peer, reason: Reason, lines: &mut Lines) {
        let Told::As(id) = self.told else { return };
        let size = self.response.size();
        let error = match reason {
            Reason::Gap => "part of this exchange was not seen",
            Reason::Size => "the answer is larger than an incident may be",
            _ => "there was no room for the answer",
        };
        let written = lines.event("InboundResponse", Stamp::new(at, at), size, |_, out| {
            self.answer_head(id, out);
            write_cut(out, error, None);
            self.answer_end(at, peer, out);
            true
        });
        if written {
            lines.lost(reason, 1, size);
        }
        self.response.clear(lines, true);
    }

    fn answer_head(&self, id: u128, out: &mut Vec<u8>) {
        write_trace(out, id);
        out.extend_from_slice(&self.request_head[..self.named]);
        self.write_carried(out);
        self.write_interim(out);
        out.extend_from_slice(&self.response_head);
    }

    fn answer_end(&self, at: Nanos, peer: &Peer, out: &mut Vec<u8>) {
        json::key(out, "duration");
        json::number(out, at.since(self.started));
        peer.write(out);
    }
}

/// `traceId`: the id of the line about the request.
fn write_trace(out: &mut Vec<u8>, id: u128) {
    json::key(out, "traceId");
    out.push(b'"');
    json::hex(out, &id.to_be_bytes());
    out.push(b'"');
}
