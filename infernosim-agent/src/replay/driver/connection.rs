//! One connection to the target.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use nix::errno::Errno;
use sha2::{Digest as _, Sha256};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::framing;
use crate::protocol::{Conversation, Message, Sender};
use crate::replay::script::{Fielded, Request};

/// Of a longer body only size and digest are kept.
const MOST_BODY: usize = 64 << 20;
/// What an answer of HTTP/1.0 begins with.
const OLD_HTTP: &[u8] = b"HTTP/1.0";
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// What the target answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAnswer {
    /// Its status.
    pub status: u16,
    /// Its fields in wire order.
    pub headers: Fielded,
    /// Its body.
    pub body: Content,
}

/// A body, transfer coding removed, content coding kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Whole(Bytes),
    /// Size and SHA-256 of one of more than 64 MiB.
    Digest(u64, [u8; 32]),
}

/// An exchange that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Whether the target's kernel says that nobody read the request, so that it can be sent again.
    pub unread: bool,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    used: bool,
}

impl Connection {
    /// Connects.
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        let stream = socket.connect(to).await?;
        let local = stream.local_addr()?;
        Ok(Self { stream, local, used: false })
    }

    /// Our end.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether the target may still read what is sent, and has said nothing of itself. The kernel is asked, not tokio,
    /// which may not have heard of it yet.
    pub fn is_open(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.stream).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads the answer. Both at once: a target may answer before it has read all, and one that
    /// writes while nobody reads may read no more. `moved` is called when bytes moved.
    ///
    /// Also says whether the connection stays open: the request was sent whole, and neither side said that it would close
    /// (RFC 9112 section 9.3). Whoever uses it again nonetheless may be faster than the other's FIN.
    pub async fn exchange(
        &mut self,
        request: &Request,
        base: SocketAddr,
        moved: &dyn Fn(),
    ) -> Result<(LiveAnswer, bool), Broken> {
        let head = framing::head(request, base);
        let mut answer = Reading::new(&head);
        let reused = std::mem::replace(&mut self.used, true);
        let mut sent = None;
        let ended = {
            let write = write_request(&self.stream, &head, request, moved);
            let read = read_answer(&self.stream, &mut answer, moved);
            tokio::pin!(write, read);
            tokio::select! {
                biased;
                written = &mut write => {
                    sent = Some(written.is_ok());
                    read.await
                }
                ended = &mut read => ended,
            }
        };
        let stays = sent == Some(true) && answer.stays_open() && !says_close(&request.headers);
        if let (true, Some(whole)) = (answer.over, answer.take()) {
            let stays = stays && !says_close(&whole.headers);
            return Ok((whole, stays));
        }
        Err(Broken { unread: reused && !answer.begun && self.is_unread(ended.err(), request) })
    }

    /// Whether the target closed the connection without having read the request. A FIN alone does not tell. What the
    /// kernel answers with a reset was not read as a whole (tcp_close: data that nobody read is answered by a reset), but
    /// its beginning may have been. If the FIN came first, nobody was there to read any (EPIPE: tcp_reset in CLOSE_WAIT).
    fn is_unread(&self, error: Option<io::Error>, request: &Request) -> bool {
        let pending = self.stream.take_error().ok().flatten();
        match error.or(pending).and_then(|error| error.raw_os_error()).map(Errno::from_raw) {
            Some(Errno::EPIPE) => true,
            Some(Errno::ECONNRESET) => framing::is_idempotent(request),
            _ => false,
        }
    }
}

async fn write_request(
    stream: &TcpStream,
    head: &[u8],
    request: &Request,
    moved: &dyn Fn(),
) -> io::Result<()> {
    write_all(stream, head, moved).await?;
    for piece in framing::body(request) {
        write_all(stream, &piece, moved).await?;
    }
    Ok(())
}

async fn read_answer(stream: &TcpStream, answer: &mut Reading, moved: &dyn Fn()) -> io::Result<()> {
    while !answer.over && !answer.broken && !answer.ended {
        stream.readable().await?;
        match read_some(stream, answer) {
            Ok(()) => moved(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8], moved: &dyn Fn()) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => {
                moved();
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// With a buffer that no connection keeps.
fn read_some(stream: &TcpStream, answer: &mut Reading) -> io::Result<()> {
    let mut buffer = [0; PIECE];
    let count = stream.try_read(&mut buffer)?;
    answer.read(&buffer[..count]);
    Ok(())
}

/// An answer as far as it has come.
struct Reading {
    conversation: Conversation,
    gathered: Gathered,
    /// Whether any of it, interim answers included, has come.
    begun: bool,
    over: bool,
    broken: bool,
    /// Whether the target sends no more.
    ended: bool,
    /// The first bytes: the version.
    version: Vec<u8>,
}

#[derive(Default)]
struct Gathered {
    head: Option<(u16, Fielded)>,
    body: BytesMut,
    /// Of a body that is too long to be kept.
    digest: Option<(u64, Sha256)>,
}

impl Reading {
    /// The codec learns from the request's head how its answer is read.
    fn new(head: &[u8]) -> Self {
        let mut conversation = Conversation::new();
        conversation.feed(Sender::Client, head, &mut |_| {});
        let gathered = Gathered::default();
        Self {
            conversation,
            gathered,
            begun: false,
            over: false,
            broken: false,
            ended: false,
            version: Vec::new(),
        }
    }

    /// Reads on; nothing means the end of the connection.
    fn read(&mut self, bytes: &[u8]) {
        let Self { conversation, gathered, over, broken, .. } = self;
        let mut take = |message: Message<'_>| match message {
            // What follows is no part of it: nobody asked for more.
            _ if *over => {}
            Message::Response { status, fields } => {
                let fields = fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
                gathered.head = Some((status, fields.collect()));
            }
            Message::ResponseBody(content) => gathered.add(content),
            Message::ResponseEnd(_) | Message::Tunnel => *over = true,
            Message::Opaque { .. } | Message::Bytes(Sender::Server, _) => *broken = true,
            _ => {}
        };
        if bytes.is_empty() {
            conversation.fin(Sender::Server, &mut take);
            self.ended = true;
        } else {
            self.begun = true;
            let missing = OLD_HTTP.len() - self.version.len();
            self.version.extend_from_slice(&bytes[..bytes.len().min(missing)]);
            conversation.feed(Sender::Server, bytes, &mut take);
        }
    }

    /// As far as its version and its end tell: HTTP/1.0 closes where it does not say otherwise.
    fn stays_open(&self) -> bool {
        let keeps = |(_, fields): &(u16, Fielded)| has_word(fields, b"keep-alive");
        !self.ended && (self.version != OLD_HTTP || self.gathered.head.as_ref().is_some_and(keeps))
    }

    fn take(&mut self) -> Option<LiveAnswer> {
        let Gathered { head, body, digest } = std::mem::take(&mut self.gathered);
        let (status, headers) = head?;
        let body = match digest {
            Some((size, digest)) => Content::Digest(size, digest.finalize().into()),
            None => Content::Whole(body.freeze()),
        };
        Some(LiveAnswer { status, headers, body })
    }
}

fn says_close(fields: &Fielded) -> bool {
    has_word(fields, b"close")
}

/// Whether a `Connection` field has this word in its list.
fn has_word(fields: &Fielded, word: &[u8]) -> bool {
    let lists = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let mut words = lists.flat_map(|(_, value)| value.split(|byte| *byte == b','));
    words.any(|it| it.trim_ascii().eq_ignore_ascii_case(word))
}

impl Gathered {
    fn add(&mut self, content: &[u8]) {
        if self.digest.is_none() && self.body.len() + content.len() <= MOST_BODY {
            return self.body.extend_from_slice(content);
        }
        let (size, digest) = self.digest.get_or_insert_with(|| {
            let body = std::mem::take(&mut self.body);
            (body.len() as u64, Sha256::new_with_prefix(&body))
        });
        *size += content.len() as u64;
        digest.update(content);
    }
}
