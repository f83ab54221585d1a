//! What a fault does. Times are real time in ns, never scaled.

use std::net::IpAddr;

use bytes::Bytes;

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
