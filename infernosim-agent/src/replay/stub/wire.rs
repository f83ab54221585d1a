//! The socket under hyper: counts what comes, knows when all was sent, and closes as the recording says.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

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
    /// With a FIN, and what the other end still says is read until it has said all.
    Half,
}

/// Tells somebody, once.
type Tell = Box<dyn FnOnce() + Send>;

/// An end that comes late.
pub struct Linger {
    /// How late, in ns.
    pub ns: u64,
    /// Called when the wait begins.
    pub begun: Tell,
    /// Called when it is over.
    pub over: Tell,
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
    /// Bytes that went.
    written: AtomicU64,
    /// What is written is to be looked at: it is copied, or limited.
    watched: AtomicBool,
    wanted: Mutex<Wanted>,
}

#[derive(Default)]
struct Wanted {
    cut: Option<Cut>,
    /// To be written when nothing else is to be, and whom to tell.
    between: Option<(Bytes, Option<Waker>)>,
    /// What was written of the answer that is to be sent twice.
    copy: Option<BytesMut>,
    /// The most bytes that are written in all.
    limit: Option<u64>,
    linger: Option<Linger>,
    /// Called once all of an answer was written, if the other end is still there.
    sent: Option<Tell>,
}

/// Of an answer that is sent twice, so many bytes are.
const MOST_COPIED: usize = 64 << 20;

/// The socket.
pub struct Wire {
    stream: TcpStream,
    /// What was read before.
    ahead: Bytes,
    line: std::sync::Arc<Line>,
    /// A late end, and what is told then.
    lingering: Option<(Pin<Box<Sleep>>, Option<Tell>)>,
}

impl Linger {
    /// Waits.
    pub async fn wait(self) {
        (self.begun)();
        sleep(Duration::from_nanos(self.ns)).await;
        (self.over)();
    }
}

impl Line {
    /// Where the request that is being read began, in bytes since the connection's beginning. Exact unless requests
    /// are pipelined: then up to what had come when the last answer was complete.
    pub fn offset(&self) -> u64 {
        self.boundary.load(Ordering::Relaxed)
    }

    /// How many bytes the request has that was read: exact as [`Self::offset`] is.
    pub fn asked(&self) -> u64 {
        self.came().saturating_sub(self.offset())
    }

    /// How many bytes came.
    pub fn came(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
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

    /// Whether an end was asked for.
    pub fn is_cut(&self) -> bool {
        self.wanted().cut.is_some()
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
                (Some(bytes), between) => *between = Some((bytes, Some(context.waker().clone()))),
                (None, Some((_, waker))) => *waker = Some(context.waker().clone()),
                (None, None) => return Poll::Ready(()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Sends what is written from now on, until the answer is complete, once more behind it.
    pub fn twice(&self) {
        self.wanted().copy = Some(BytesMut::new());
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Ends the connection with a FIN once so many bytes were written in all.
    pub fn limit(&self, bytes: u64) {
        let mut wanted = self.wanted();
        wanted.limit = Some(wanted.limit.map_or(bytes, |limit| limit.min(bytes)));
        self.watched.store(true, Ordering::Relaxed);
    }

    /// It ends after so many bytes.
    fn is_limited(&self) -> bool {
        self.wanted().limit.is_some()
    }

    /// The number of bytes that ended it, where a limit did.
    pub fn limited(&self) -> Option<u64> {
        self.wanted().limit.filter(|limit| self.written.load(Ordering::Relaxed) >= *limit)
    }

    /// Lets the connection end late.
    pub fn linger(&self, linger: Linger) {
        self.wanted().linger = Some(linger);
    }

    /// Calls this once the answer was written, or the connection's other end is due, if the target still is there by then.
    pub fn sent(&self, told: impl FnOnce() + Send + 'static) {
        self.wanted().sent = Some(Box::new(told));
        self.watched.store(true, Ordering::Relaxed);
    }

    /// All was written that is. A target that gave up before has answered our bytes with a RST by now: the connection does
    /// not leave this machine, where the kernel delivers within the call that sends (`loopback_xmit`).
    pub fn settle(&self, stream: &TcpStream) {
        if !self.watched.load(Ordering::Relaxed) {
            return;
        }
        let told = self.wanted().sent.take();
        if let Some(told) = told
            && matches!(stream.take_error(), Ok(None))
        {
            told();
        }
    }

    /// What lets it end late; once.
    pub fn lingers(&self) -> Option<Linger> {
        self.wanted().linger.take()
    }

    /// How many of these bytes may be written. At the limit the end is due.
    fn allow(&self, bytes: usize) -> usize {
        let mut wanted = self.wanted();
        let Some(limit) = wanted.limit else { return bytes };
        let left = limit.saturating_sub(self.written.load(Ordering::Relaxed));
        if left == 0 {
            wanted.cut = Some(Cut::Close);
            self.blocked.store(false, Ordering::Relaxed);
        }
        usize::try_from(left).unwrap_or(usize::MAX).min(bytes)
    }

    fn wrote(&self, bytes: &[u8]) {
        let written = self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        if !self.watched.load(Ordering::Relaxed) {
            return;
        }
        let mut wanted = self.wanted();
        if let Some(copy) = wanted.copy.as_mut().filter(|copy| copy.len() + bytes.len() <= MOST_COPIED) {
            copy.extend_from_slice(bytes);
        }
        if wanted.limit.is_some_and(|limit| written >= limit) {
            wanted.cut = Some(Cut::Close);
        }
    }

    /// An answer that is to be sent twice is due once more, if all of it was written.
    fn repeat(&self) {
        if !self.watched.load(Ordering::Relaxed) || self.is_busy() {
            return;
        }
        let mut wanted = self.wanted();
        if let Some(copy) = wanted.copy.take() {
            wanted.between = Some((copy.freeze(), None));
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("cut", &self.cut).finish_non_exhaustive()
    }
}

impl Wire {
    /// A connection of which some bytes were read already.
    pub fn new(stream: TcpStream, ahead: Bytes, line: std::sync::Arc<Line>) -> Self {
        line.read.store(ahead.len() as u64, Ordering::Relaxed);
        Self { stream, ahead, line, lingering: None }
    }

    /// The socket alone.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Writes what is to come between messages, as far as the socket takes it.
    fn write_between(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.repeat();
        loop {
            let mut wanted = self.line.wanted();
            let Some((bytes, _)) = &mut wanted.between else {
                drop(wanted);
                if !self.line.is_busy() {
                    self.line.settle(&self.stream);
                }
                return Poll::Ready(Ok(()));
            };
            if bytes.is_empty() {
                if let Some((_, Some(waker))) = wanted.between.take() {
                    waker.wake();
                }
                continue;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
            self.line.written.fetch_add(written as u64, Ordering::Relaxed);
            bytes.advance(written);
        }
    }

    /// Waits where the end is to come late.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(Linger { ns, begun, over }) = self.line.lingers() {
            begun();
            self.lingering = Some((Box::pin(sleep(Duration::from_nanos(ns))), Some(over)));
        }
        if let Some((sleep, over)) = &mut self.lingering
            && over.is_some()
        {
            ready!(sleep.as_mut().poll(context));
            if let Some(over) = over.take() {
                over();
            }
        }
        Poll::Ready(())
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
        let watched = self.line.watched.load(Ordering::Relaxed);
        let allowed = if watched { self.line.allow(bytes.len()) } else { bytes.len() };
        if allowed == 0 && !bytes.is_empty() {
            // The connection's task ends it.
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]);
        self.line.blocked.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(written)) = written {
            self.line.wrote(&bytes[..written]);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let watched = self.line.watched.load(Ordering::Relaxed);
        if watched && self.line.is_limited() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(context, first.map_or(&[], |slice| slice));
        }
        // Head and body together: a client that only wants the status would close between them, and never have had an answer.
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.line.blocked.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(mut left)) = written {
            for slice in slices {
                let (part, _) = slice.split_at(left.min(slice.len()));
                self.line.wrote(part);
                left -= part.len();
            }
        }
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
        ready!(self.write_between(context))?;
        ready!(self.linger(context));
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
        Cut::Half => {
            let _ = SockRef::from(&stream).shutdown(Shutdown::Write);
            drain(&mut stream).await;
            let _ = SockRef::from(&stream).set_linger(None);
        }
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

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_head_and_its_body_are_written_together_unless_a_limit_is_to_be_kept() {
        for (limit, written) in [(None, 6), (Some(2), 2), (Some(9), 4)] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let line = Arc::new(Line::default());
            line.sent(|| {});
            limit.into_iter().for_each(|bytes| line.limit(bytes));
            let mut wire = Wire::new(stream, Bytes::new(), Arc::clone(&line));
            let slices = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"it")];
            assert_eq!(wire.write_vectored(&slices).await.unwrap(), written, "{limit:?}");
            assert_eq!(line.written.load(Ordering::Relaxed), written as u64, "{limit:?}");
        }
    }
}
