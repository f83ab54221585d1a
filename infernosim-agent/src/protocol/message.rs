//! What a codec says about the bytes it was shown.

/// Who sent some bytes on a connection: the side that opened it, or the side that accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// The side that called connect(2).
    Client,
    /// The side that called accept(2).
    Server,
}

/// What a connection speaks, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1 (RFC 9112).
    Http11,
    /// HTTP/2 with prior knowledge, known by its connection preface (RFC 9113 section 3.4); kept as bytes.
    H2,
    /// TLS, known by its ClientHello (RFC 8446 section 4.1.2); what it carries cannot be read.
    Tls,
    /// Anything else: bytes in order.
    Tcp,
}

impl Protocol {
    /// The word that stands in the log's `protocol` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::H2 => "h2",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

/// One header field, its name and value as they stood on the wire (leading and trailing white space of the
/// value removed, RFC 9112 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, in the sender's spelling.
    pub name: &'a str,
    /// The value; any bytes but CR, LF and NUL.
    pub value: &'a [u8],
}

/// A message borrowed from the bytes just fed; copy what must outlive the call.
///
/// For HTTP a request is `Request`, any `RequestBody`s, `RequestEnd`; a response likewise, with any number of
/// `Interim`s before it. Requests may be pipelined: a `RequestBody` or `RequestEnd` belongs to the newest
/// request, everything of a response to the oldest request whose response has not ended. A response may begin
/// and end before its request has ended. The response to a CONNECT that is granted ends with `Tunnel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The head of a request.
    Request {
        /// `Http10` or `Http11`.
        protocol: Protocol,
        /// The method, in the sender's spelling.
        method: &'a str,
        /// The request target as sent: origin, absolute, authority or asterisk form (RFC 9112 section 3.2).
        target: &'a str,
        /// The header fields in wire order.
        fields: &'a [Field<'a>],
    },
    /// Content of the newest request, transfer coding removed.
    RequestBody(&'a [u8]),
    /// The newest request is complete; trailer fields of a chunked one.
    RequestEnd(&'a [Field<'a>]),
    /// An informational (1xx) response, 101 excepted.
    Interim {
        /// 100 to 199.
        status: u16,
        /// The header fields in wire order.
        fields: &'a [Field<'a>],
    },
    /// The head of the final response to the oldest open request.
    Response {
        /// 101, or 200 to 999.
        status: u16,
        /// The header fields in wire order.
        fields: &'a [Field<'a>],
    },
    /// Content of that response, transfer coding removed (content coding kept).
    ResponseBody(&'a [u8]),
    /// That response is complete; trailer fields of a chunked one.
    ResponseEnd(&'a [Field<'a>]),
    /// The response to a CONNECT is complete, in the place of its `ResponseEnd`: what follows is what is said to the
    /// host that was asked for, from the beginning of that. Anything may follow, `Request` too.
    Tunnel,
    /// What a ClientHello tells. Said at most once, before the connection's or the tunnel's first `Bytes`.
    Hello {
        /// The server name (RFC 6066 section 3), if sent and valid UTF-8.
        sni: Option<&'a str>,
        /// The protocols offered (RFC 7301), in order.
        alpn: &'a [&'a str],
    },
    /// From here on the connection's bytes are shown as they are, in both directions.
    Opaque {
        /// What they are taken for: `Tcp`, `Tls` or `H2`.
        protocol: Protocol,
        /// Why a connection that spoke HTTP no longer does: a parse error, or `None` where the change is
        /// part of the protocol (Upgrade) or the connection never spoke HTTP.
        error: Option<&'static str>,
    },
    /// Bytes of an opaque connection, in the order they were relayed.
    Bytes(Sender, &'a [u8]),
    /// Bytes of this sender were not seen: every open exchange is incomplete, and the codec looks for the next
    /// request. `Request` may follow.
    Gap(Sender, u64),
}
