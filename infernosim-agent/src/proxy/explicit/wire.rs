//! Reading and writing of sockets: bytes pass from one to the other through the memory of the recording.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::Body;
use super::buffer::Buffer;
use super::shared::{Shared, Slot};
use crate::clock;
use crate::protocol::Sender;
use crate::proxy::{What, socket};

/// One read takes at most this much.
const READ: usize = 256 << 10;
/// While this many bytes wait for slow readers, a read takes at most [`READ_SMALL`]: the memory that thousands
/// of stalled connections hold stays bounded.
const MUCH_PENDING: usize = 16 << 20;
const READ_SMALL: usize = 4 << 10;
/// Reads in a row before other connections get their turn.
const ROUNDS: usize = 16;
/// How long a client that was answered may go on sending, so that it gets to read the answer: bytes that come to a
/// closed socket are answered with a RST, which destroys what the client has not read yet (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(10);
/// How long it may be silent meanwhile.
const LINGER_SILENT: Duration = Duration::from_secs(2);

/// So long, a connection may be silent before the kernel asks whether its other end is still there: we are an end of
/// it, and whoever is gone without a word would keep his place for ever.
const SILENT: Duration = Duration::from_secs(60);

/// Sets what all our sockets have. Until told otherwise they close with a RST, so that an answer which our death cuts
/// short never looks whole.
pub fn prepare(socket: &impl AsFd) -> std::io::Result<()> {
    let options = SockRef::from(socket);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENT))?;
    socket::close_with_rst(socket)
}

/// One way of a pair of connections.
pub struct Lane<'a> {
    pub shared: &'a Shared,
    pub slot: &'a Slot,
    pub from: Sender,
    pub source: &'a TcpStream,
    pub sink: &'a TcpStream,
}

/// Why bytes no longer pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Who sends them broke.
    Source(Errno),
    /// Who gets them broke.
    Sink(Errno),
    /// They are no body.
    Malformed(&'static str),
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it said it would.
    Whole,
    /// With the FIN of its sender.
    Fin,
}

enum Step {
    /// This has been read and could not be sent at once.
    Pending(Vec<u8>),
    Sent,
    Empty,
    Fin,
}

impl Lane<'_> {
    /// Passes the rest of a body on. What came behind it goes to `behind`.
    pub async fn body(&self, body: &mut Body, behind: &mut Buffer) -> Result<End, Cut> {
        let mut rounds = 0;
        while !body.is_over() {
            match self.step(body, behind)? {
                Step::Sent => {}
                Step::Pending(rest) => {
                    let waiting = Waiting::new(self.shared, rest.len());
                    write_all(self.sink, &rest).await.map_err(Cut::Sink)?;
                    drop(waiting);
                }
                Step::Fin => {
                    self.slot.note(What::Fin(self.from));
                    return Ok(End::Fin);
                }
                Step::Empty => {
                    rounds = 0;
                    self.source.readable().await.map_err(|error| Cut::Source(socket::errno(&error)))?;
                    continue;
                }
            }
            rounds += 1;
            if rounds % ROUNDS == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(End::Whole)
    }

    fn step(&self, body: &mut Body, behind: &mut Buffer) -> Result<Step, Cut> {
        let tee = &mut *self.shared.tee();
        let limit = if self.shared.pending.get() > MUCH_PENDING { READ_SMALL } else { READ };
        let read = match self.source.try_read(tee.room(limit.min(body.at_most()))) {
            Ok(0) => return Ok(Step::Fin),
            Ok(read) => read,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => return Ok(Step::Empty),
                _ => return Err(Cut::Source(socket::errno(&error))),
            },
        };
        // Before the send, which may well take longer than the peer's answer.
        let at = clock::now();
        let taken = body.read(tee.last_read(read)).map_err(Cut::Malformed)?;
        let (bytes, after) = tee.last_read(read).split_at(taken);
        if !after.is_empty() {
            behind.push(at, after);
        }
        let step = match self.sink.try_write(bytes) {
            Ok(sent) if sent == taken => Ok(Step::Sent),
            Ok(sent) => Ok(Step::Pending(bytes[sent..].to_vec())),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(Step::Pending(bytes.to_vec())),
                _ => Err(Cut::Sink(socket::errno(&error))),
            },
        };
        tee.bytes(at, self.slot.number(), self.from, taken);
        step
    }
}

/// Counts bytes that wait for a slow reader.
struct Waiting<'a>(&'a Shared, usize);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, bytes: usize) -> Self {
        shared.pending.set(shared.pending.get() + bytes);
        Self(shared, bytes)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.set(self.0.pending.get() - self.1);
    }
}

/// Writes all of it.
pub async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {
                    to.writable().await.map_err(|error| socket::errno(&error))?;
                }
                _ => return Err(socket::errno(&error)),
            },
        }
    }
    Ok(())
}

/// Reads more into the buffer, once; false at the sender's FIN.
pub async fn fill(shared: &Shared, from: &TcpStream, buffer: &mut Buffer) -> Result<bool, Errno> {
    loop {
        let read = {
            let scratch = &mut *shared.scratch.borrow_mut();
            let read = from.try_read(scratch);
            if let Ok(read) = read {
                buffer.push(clock::now(), &scratch[..read]);
            }
            read
        };
        match read {
            Ok(read) => return Ok(read > 0),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {
                    from.readable().await.map_err(|error| socket::errno(&error))?;
                }
                _ => return Err(socket::errno(&error)),
            },
        }
    }
}

/// Waits until the connection breaks; the errno.
pub async fn broken(stream: &TcpStream) -> Errno {
    let _ = stream.ready(Interest::ERROR).await;
    let error = stream.take_error().ok().flatten();
    error.map_or(Errno::ECONNRESET, |error| socket::errno(&error))
}

/// Reads what is left of a body that nobody wants, into the recording, for a bounded time.
pub async fn discard(shared: &Shared, slot: &Slot, from: &TcpStream, body: &mut Body, behind: &mut Buffer) {
    let all = async {
        while !body.is_over() {
            let read = {
                let tee = &mut *shared.tee();
                let read = from.try_read(tee.room(READ.min(body.at_most())));
                if let Ok(read) = read
                    && let Ok(taken) = body.read(tee.last_read(read))
                {
                    let at = clock::now();
                    behind.push(at, &tee.last_read(read)[taken..]);
                    tee.bytes(at, slot.number(), Sender::Client, taken);
                }
                read
            };
            match read {
                Ok(0) => break,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !matches!(timeout(LINGER_SILENT, from.readable()).await, Ok(Ok(()))) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
    };
    let _ = timeout(LINGER, all).await;
}

/// Says that nothing more comes and waits, for a bounded time, until the client has said so too.
pub async fn linger(shared: &Shared, client: &TcpStream) {
    socket::close_with_fin(client);
    if SockRef::from(client).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let all = async {
        loop {
            // Nothing of it is recorded: it belongs to no exchange.
            let read = client.try_read(&mut shared.scratch.borrow_mut());
            match read {
                Ok(0) => break,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !matches!(timeout(LINGER_SILENT, client.readable()).await, Ok(Ok(()))) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
    };
    let _ = timeout(LINGER, all).await;
}
