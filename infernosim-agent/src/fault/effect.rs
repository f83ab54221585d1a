//! What a fault does. Times are real time in ns, never scaled.

use std::net::IpAddr;

use bytes::Bytes;

use super::action::{bytes_text, slice_text, with_key};
use super::occasion::Kind;
use super::word::quoted;
use crate::quantity::{duration_text, size_text};

/// What a fault does to one occasion.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The answer begins so much later.
    Delay(u64),
    /// Nothing is answered, ever.
    Hang,
    /// After so long it is answered with this status and nothing of the dependency's.
    Answer {
        /// In ns.
        after: u64,
        /// The status.
        status: u16,
    },
    /// Another status.
    Status(u16),
    /// This field in the place of all of its name.
    SetHeader(String, String),
    /// No field of this name.
    DropHeader(String),
    /// Another body, its length said as it is.
    SetBody(Bytes),
    /// A value in a JSON body: path (`total`, `items.0.price`), value.
    SetJson(String, serde_json::Value),
    /// The answer of so many occurrences earlier, 1 the one before; its own where there was none.
    Stale(u32),
    /// ECONNREFUSED.
    Refuse,
    /// Packets go nowhere: a connect hangs, and what is open is silent.
    Blackhole,
    /// A RST, before any byte, or after so many bytes of the answer's body.
    Reset(Option<u64>),
    /// The dependency ends its direction before it answers, and goes on reading.
    HalfClose,
    /// The connection ends so much later than it would.
    SlowClose(u64),
    /// So many bytes a second.
    Bandwidth(u64),
    /// Pieces of about so many bytes.
    Slice {
        /// Bytes.
        size: u64,
        /// That many more or less.
        variation: u64,
        /// ns between pieces.
        delay: u64,
        /// For the sizes; 0 where they do not vary.
        key: u64,
    },
    /// The connection ends after so many bytes in all.
    LimitBytes(u64),
    /// The body ends, with a FIN, after so many bytes, however many were announced.
    Truncate(u64),
    /// So many bytes of the body are others, at places that the key says.
    Corrupt {
        /// How many.
        bytes: u64,
        /// For the places.
        key: u64,
    },
    /// The answer is sent twice.
    DuplicateResponse,
    /// A lookup is answered so.
    Rcode(Rcode),
    /// A lookup is answered with this address.
    WrongAddress(IpAddr),
    /// The client gives up so much after it asked.
    Cancel(u64),
    /// The client asks twice.
    DuplicateRequest,
    /// So many requests that follow are sent before it.
    Reorder(u32),
}

/// What a lookup is answered without an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// There is no such name.
    NxDomain,
    /// The resolver failed.
    ServFail,
    /// It refuses.
    Refused,
}

impl Effect {
    /// The action that has this effect, and nothing left to chance: `latency=213ms`.
    pub fn action(&self, kind: Kind) -> String {
        match (self, kind) {
            (Self::Delay(ns), Kind::Lookup) => format!("dns=slow:{}", duration_text(*ns)),
            (Self::Hang, Kind::Lookup) => "dns=timeout".to_owned(),
            (Self::Delay(ns), _) => format!("latency={}", duration_text(*ns)),
            (Self::Hang, _) => "timeout".to_owned(),
            (Self::Answer { after: 0, status }, _) if *status != 504 => format!("fail={status}"),
            (Self::Answer { after, .. }, _) => format!("timeout={}", duration_text(*after)),
            (Self::Status(status), _) => format!("status={status}"),
            (Self::SetHeader(name, value), _) => format!("set-header={}", quoted(&format!("{name}:{value}"))),
            (Self::DropHeader(name), _) => format!("drop-header={name}"),
            (Self::SetBody(body), _) => format!("set-body={}", quoted(&String::from_utf8_lossy(body))),
            (Self::SetJson(path, value), _) => format!("set-json={}", quoted(&format!("{path}:{value}"))),
            (Self::Stale(ago), _) => format!("stale={ago}"),
            (Self::Refuse, _) => "refuse".to_owned(),
            (Self::Blackhole, _) => "blackhole".to_owned(),
            (Self::Reset(None), _) => "reset".to_owned(),
            (Self::Reset(Some(bytes)), _) => format!("reset={}", size_text(*bytes)),
            (Self::HalfClose, _) => "half-close".to_owned(),
            (Self::SlowClose(ns), _) => format!("slow-close={}", duration_text(*ns)),
            (Self::Bandwidth(rate), _) => format!("bandwidth={}/s", bytes_text(*rate)),
            (Self::Slice { size, variation, delay, key }, _) => {
                let key = (*key != 0).then_some(*key);
                format!("slice={}", slice_text(*size, *variation, *delay, key))
            }
            (Self::LimitBytes(bytes), _) => format!("limit-bytes={}", size_text(*bytes)),
            (Self::Truncate(bytes), _) => format!("truncate={}", size_text(*bytes)),
            (Self::Corrupt { bytes, key }, _) => {
                format!("corrupt={}", with_key(&size_text(*bytes), Some(*key)))
            }
            (Self::DuplicateResponse, _) => "duplicate-response".to_owned(),
            (Self::Rcode(Rcode::NxDomain), _) => "dns=nxdomain".to_owned(),
            (Self::Rcode(Rcode::ServFail), _) => "dns=servfail".to_owned(),
            (Self::Rcode(Rcode::Refused), _) => "dns=refused".to_owned(),
            (Self::WrongAddress(address), _) => format!("dns={address}"),
            (Self::Cancel(ns), _) => format!("cancel={}", duration_text(*ns)),
            (Self::DuplicateRequest, _) => "duplicate".to_owned(),
            (Self::Reorder(later), _) => format!("reorder={later}"),
        }
    }
}
