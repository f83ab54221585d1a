//! A client's connection: one request after the other.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answer::{self, Marks};
use super::authority::Authority;
use super::buffer::Buffer;
use super::count::Counted;
use super::forward::{self, Asked, Kind, Refusal};
use super::shared::Shared;
use super::upstream::Upstream;
use super::wire;
use crate::clock;
use crate::proxy::socket;

/// The longest head of a request.
const MAX_HEAD: usize = 64 << 10;
/// How long a head may take from its first byte to its last.
const HEAD: Duration = Duration::from_secs(60);
/// How long a connection may wait for its next request: as long as nginx's do.
const IDLE: Duration = Duration::from_secs(75);
/// A client's connection.
pub struct Client {
    pub(super) shared: Rc<Shared>,
    pub(super) stream: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) buffer: Buffer,
    /// The most recently used last.
    pub(super) upstreams: Vec<(Authority, Upstream)>,
}

/// How it closes.
pub enum Close {
    /// With a FIN.
    Fin,
    /// With a FIN, once the client has read what it was sent.
    Linger,
    /// With a RST.
    Reset,
}

/// What a turn ends with.
pub type Turn = Result<(), Close>;

impl Client {
    /// A connection that was just accepted.
    pub fn new(shared: Rc<Shared>, stream: TcpStream, from: SocketAddr) -> Self {
        Self { shared, stream, from, buffer: Buffer::default(), upstreams: Vec::new() }
    }

    /// Serves it until it closes.
    pub async fn serve(mut self) {
        let close = loop {
            if let Err(close) = self.turn().await {
                break close;
            }
        };
        let Self { shared, stream, upstreams, .. } = self;
        match close {
            Close::Fin => socket::close_with_fin(&stream),
            Close::Linger => wire::linger(&shared, &stream).await,
            Close::Reset => {}
        }
        upstreams.into_iter().for_each(|(_, upstream)| upstream.close());
    }

    /// One request.
    async fn turn(&mut self) -> Turn {
        if !self.is_allowed() {
            let text =
                format!("{} may not use this proxy: --allow takes addresses and networks", self.from.ip());
            let refusal = Refusal { status: 403, counted: Counted::NotAllowed, text };
            return self.refuse(&refusal).await;
        }
        let length = match self.head().await? {
            Ok(length) => length,
            Err(refusal) => return self.refuse(&refusal).await,
        };
        let at = self.buffer.since;
        let head = self.buffer.bytes()[..length].to_vec();
        self.buffer.take(length);
        let common = &self.shared.common;
        match forward::request(&head, common.forward.is_none(), common.healthz) {
            Ok(Asked::Forward(plan)) => self.forward(at, &head, plan).await,
            Ok(Asked::Health(kind, persistent)) => self.health(kind, persistent).await,
            Err(refusal) => self.refuse(&refusal).await,
        }
    }

    fn is_allowed(&self) -> bool {
        admits(&self.shared.common.allow, self.from.ip())
    }

    /// Waits for the next head; its length.
    async fn head(&mut self) -> Result<Result<usize, Refusal>, Close> {
        let begun = clock::now();
        loop {
            if let Some(length) = self.buffer.head().filter(|length| *length <= MAX_HEAD) {
                return Ok(Ok(length));
            }
            if self.buffer.bytes().len() > MAX_HEAD {
                let text = "a head of more than 64 KiB".to_owned();
                return Ok(Err(Refusal { status: 431, counted: Counted::TooLarge, text }));
            }
            if let Some(refusal) = self.buffer.bytes().first().and_then(|byte| not_http(*byte)) {
                return Ok(Err(refusal));
            }
            if self.buffer.is_empty() {
                self.first_bytes().await?;
                continue;
            }
            let spent = Duration::from_nanos(clock::now().since(begun.max(self.buffer.since)));
            let filled = wire::fill(&self.shared, &self.stream, &mut self.buffer);
            match timeout(HEAD.saturating_sub(spent), filled).await {
                Ok(Ok(true)) => {}
                // Within a head: there is nobody to answer.
                Ok(Ok(false)) => return Err(Close::Fin),
                Ok(Err(_)) => return Err(Close::Reset),
                Err(_) => {
                    let text = format!("the head of the request was not whole within {HEAD:?}");
                    return Ok(Err(Refusal { status: 408, counted: Counted::TooSlow, text }));
                }
            }
        }
    }

    /// Waits between exchanges.
    async fn first_bytes(&mut self) -> Turn {
        let Self { shared, stream, buffer, .. } = self;
        tokio::select! {
            biased;
            filled = wire::fill(shared, stream, buffer) => match filled {
                Ok(true) => Ok(()),
                Ok(false) => Err(Close::Fin),
                Err(_) => Err(Close::Reset),
            },
            () = shared.ending() => {
                // A request that has come already is served: the kernel is asked, for tokio may not know yet.
                match SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]) {
                    Ok(1..) if matches!(wire::fill(shared, stream, buffer).await, Ok(true)) => Ok(()),
                    _ => Err(Close::Fin),
                }
            }
            () = sleep(IDLE) => Err(Close::Fin),
        }
    }

    /// Answers what is not forwarded.
    pub(super) async fn refuse(&mut self, refusal: &Refusal) -> Turn {
        self.shared.common.counters.count(refusal.counted);
        // The client may be gone, and does not miss the answer then.
        let _ = wire::write_all(&self.stream, &answer::refusal(refusal)).await;
        Err(Close::Linger)
    }

    async fn health(&mut self, kind: Kind, persistent: bool) -> Turn {
        self.shared.common.counters.count(Counted::Health);
        let close = !persistent || self.shared.is_ending();
        let answer = answer::own(200, "ok", kind, Marks { context: None, close });
        wire::write_all(&self.stream, &answer).await.map_err(|_| Close::Reset)?;
        if close { Err(Close::Linger) } else { Ok(()) }
    }
}

/// Whether who comes from there may use us: loopback, and who is allowed. An IPv4 address that comes by an IPv6 socket
/// is one all the same.
fn admits(allow: &[IpNet], from: IpAddr) -> bool {
    let from = from.to_canonical();
    from.is_loopback() || allow.iter().any(|network| network.contains(&from))
}

/// Says so at once if that cannot be the first byte of a request.
fn not_http(byte: u8) -> Option<Refusal> {
    match byte {
        // RFC 8446 section 5.1: a TLS record of the handshake.
        0x16 => Some(Refusal::malformed(
            "this is TLS, and HTTP is spoken here: write http:// in the proxy's address",
        )),
        _ if super::body::is_token(byte) || matches!(byte, b'\r' | b'\n') => None,
        _ => Some(Refusal::malformed("this is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_who_is_allowed() {
        let allow: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        for (from, without, with) in [
            ("127.8.9.1", true, true),
            ("::1", true, true),
            ("::ffff:127.0.0.1", true, true),
            ("10.1.2.3", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("fd00::1", false, true),
            ("11.0.0.1", false, false),
            ("fe80::1", false, false),
        ] {
            let address = from.parse().unwrap();
            assert_eq!((admits(&[], address), admits(&allow, address)), (without, with), "{from}");
        }
    }
}
