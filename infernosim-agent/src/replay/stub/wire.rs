//! The socket under hyper: counts what comes, knows when all was sent, and closes as the recording says.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::proxy::unsent;

/// How long a client that was answered may go on sending, so that it gets to read the answer: bytes that come to a
/// closed socket are answered with a RST, which destroys what the client has not read yet (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to make room for what is still to be sent, before a RST that discards it.
const SENT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(1);

/// How a connection ends that does not end as HTTP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With a RST, once all before it has arrived.
    Reset,
    /// With a FIN.
    Close,
    /// Not at all: silence until the other end gives up.
    Silence,
}

/// What the ends of a connection tell each other about it.
#[derive(Debug, Default)]
pub struct Line {
    /// Bytes that came.
    read: AtomicU64,
    /// How many there were when the last answer was complete: where the next request begins.
    boundary: AtomicU64,
    /// The last write did not take all.
    blocked: AtomicBool,
    /// A request has begun whose answer is not complete.
    busy: AtomicBool,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    cut: Option<Cut>,
    /// To be written when nothing else is to be, and whom to tell.
    between: Option<(Bytes, Waker)>,
}

/// The socket.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// What was read before.
    ahead: Bytes,
    line: std::sync::Arc<Line>,
}

impl Line {
    /// Where the request that is being read began, in bytes since the connection's beginning. Exact unless requests
    /// are pipelined: then up to what had come when the last answer was complete.
    pub fn offset(&self) -> u64 {
        self.boundary.load(Ordering::Relaxed)
    }

    /// A request is there.
    pub fn begin(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    /// Its answer is complete.
    pub fn complete(&self) {
        self.boundary.store(self.read.load(Ordering::Relaxed), Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    /// Whether an answer is due.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Asks for an end behind what was given to hyper so far.
    pub fn cut(&self, how: Cut) {
        self.wanted().cut = Some(how);
    }

    /// What end is due now.
    pub fn due(&self) -> Option<Cut> {
        let cut = self.wanted().cut?;
        (!self.blocked.load(Ordering::Relaxed)).then_some(cut)
    }

    /// Writes bytes that hyper cannot, behind all that it has written: interim responses.
    pub async fn between(&self, bytes: Bytes) {
        let mut bytes = Some(bytes);
        std::future::poll_fn(|context| {
            let mut wanted = self.wanted();
            match (bytes.take(), &mut wanted.between) {
                (Some(bytes), between) => *between = Some((bytes, context.waker().clone())),
                (None, Some((_, waker))) => waker.clone_from(context.waker()),
                (None, None) => return Poll::Ready(()),
            }
            Poll::Pending
        })
        .await;
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    /// A connection of which some bytes were read already.
    pub fn new(stream: TcpStream, ahead: Bytes, line: std::sync::Arc<Line>) -> Self {
        line.read.store(ahead.len() as u64, Ordering::Relaxed);
        Self { stream, ahead, line }
    }

    /// The socket alone.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Writes what is to come between messages, as far as the socket takes it.
    fn write_between(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut wanted = self.line.wanted();
            let Some((bytes, _)) = &mut wanted.between else { return Poll::Ready(Ok(())) };
            if bytes.is_empty() {
                if let Some((_, waker)) = wanted.between.take() {
                    waker.wake();
                }
                return Poll::Ready(Ok(()));
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
            bytes.advance(written);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(into.remaining());
            into.put_slice(&self.ahead.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let read = into.filled().len() - before;
        self.line.read.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.line.blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.line.blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for this only when it has nothing more to write.
        self.write_between(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Ends a connection as the recording says; where that is silence, when the other end gives up.
pub async fn end(mut stream: TcpStream, how: Cut) {
    match how {
        Cut::Reset => {
            until_sent(&stream).await;
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Cut::Close => finish(stream).await,
        Cut::Silence => {
            drain(&mut stream).await;
            let _ = SockRef::from(&stream).set_linger(None);
        }
    }
}

/// Ends a connection with a FIN, and lets the other end read what it was sent.
pub async fn finish(mut stream: TcpStream) {
    let socket = SockRef::from(&stream);
    let _ = socket.set_linger(None);
    if socket.shutdown(Shutdown::Write).is_ok() {
        let _ = timeout(LINGER, drain(&mut stream)).await;
    }
}

async fn drain(stream: &mut TcpStream) {
    let mut scratch = [0; 4096];
    while matches!(stream.read(&mut scratch).await, Ok(1..)) {}
}

/// Waits until the kernel has sent all of it: a RST discards what it has not.
async fn until_sent(stream: &TcpStream) {
    let all = async {
        while unsent(stream).is_ok_and(|bytes| bytes > 0) {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(SENT, all).await;
}
