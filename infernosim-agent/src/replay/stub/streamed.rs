//! A live dependency's body, passed on as it comes: slower, in smaller pieces, or up to where a fault ends it. No more of
//! it is held than one piece that came.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Purpose};
use super::flow::{Flow, Pieces};
use super::wire::{Cut, Line};

/// What waits for its time: until when, how many bytes, and that this is meant.
type Waiting = (Pin<Box<Sleep>>, usize, Option<Purpose>);

/// What is still to be sent of it.
pub struct Streamed<B> {
    from: B,
    /// What came and was not given away.
    held: Bytes,
    start: Instant,
    pieces: Pieces,
    waiting: Option<Waiting>,
    /// So much goes out, and then this end comes.
    most: u64,
    cut: Option<Cut>,
    counted: Arc<AtomicUsize>,
    given: u64,
    line: Arc<Line>,
    activity: Arc<Activity>,
}

impl<B> Streamed<B> {
    /// Gives all of it, from now on; counts what was given away.
    pub fn new(
        from: B,
        flow: Flow,
        counted: Arc<AtomicUsize>,
        line: Arc<Line>,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            from,
            held: Bytes::new(),
            start: Instant::now(),
            pieces: Pieces::new(Vec::new(), 0, flow),
            waiting: None,
            most: u64::MAX,
            cut: None,
            counted,
            given: 0,
            line,
            activity,
        }
    }

    /// Ends the connection behind so many bytes; a FIN only where there would be more, a RST also where there are fewer.
    #[must_use]
    pub const fn ending(mut self, most: u64, cut: Option<Cut>) -> Self {
        (self.most, self.cut) = (most, cut);
        self
    }

    /// How many of the bytes that are held may be given away now.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.waiting.is_none() {
            let Some((due_ns, bytes)) = self.pieces.next() else { return Poll::Ready(self.held.len()) };
            let due = self.start.checked_add(Duration::from_nanos(due_ns)).unwrap_or(self.start);
            let meant = (due > Instant::now()).then(|| self.activity.on_purpose());
            self.waiting = Some((Box::pin(sleep_until(due)), bytes, meant));
        }
        let Some((sleep, bytes, meant)) = &mut self.waiting else { return Poll::Ready(self.held.len()) };
        if meant.is_some() {
            ready!(sleep.as_mut().poll(context));
        }
        let bytes = *bytes;
        self.waiting = None;
        Poll::Ready(bytes.min(self.held.len()))
    }

    /// The connection's task ends it, once hyper has sent what it was given.
    fn end<T>(&self, cut: Cut) -> Poll<T> {
        self.line.complete();
        self.line.cut(cut);
        self.activity.moved();
        Poll::Pending
    }
}

impl<B> Body for Streamed<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        loop {
            let is_full = this.given >= this.most;
            if let Some(cut) = this.cut
                && is_full
                && (cut == Cut::Reset || !this.held.is_empty())
            {
                return this.end(cut);
            }
            if !this.held.is_empty() {
                let bytes = ready!(this.next(context));
                let left = usize::try_from(this.most - this.given).unwrap_or(usize::MAX);
                let piece = this.held.split_to(bytes.min(left));
                if bytes > left {
                    // What is held beyond it shows that there would have been more.
                    this.pieces.more(0, this.held.len());
                }
                if piece.is_empty() {
                    continue;
                }
                this.given += piece.len() as u64;
                this.counted.fetch_add(piece.len(), Ordering::Relaxed);
                this.activity.moved();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match ready!(Pin::new(&mut this.from).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let at_ns = u64::try_from(this.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                        this.pieces.more(at_ns, data.len());
                        this.held = data;
                    }
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                None => match this.cut {
                    Some(cut) if cut != Cut::Close => return this.end(cut),
                    _ => return Poll::Ready(None),
                },
            }
        }
    }
}

impl<B> Drop for Streamed<B> {
    fn drop(&mut self) {
        self.line.complete();
        self.activity.moved();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt as _;

    use super::*;

    /// A body of these frames; nothing comes behind them unless it ends.
    struct Frames(Vec<&'static str>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.remove(0).as_bytes())))))
        }
    }

    /// What goes out of it, and which end was asked for; `None` for one that goes on as HTTP says.
    fn out(frames: &[&'static str], flow: Flow, most: u64, cut: Option<Cut>) -> (String, Option<Cut>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (line, counted) = (Arc::new(Line::default()), Arc::default());
            let body = Streamed::new(
                Frames(frames.to_vec()),
                flow,
                Arc::clone(&counted),
                Arc::clone(&line),
                Arc::default(),
            );
            let mut body = body.ending(most, cut);
            let mut all = Vec::new();
            loop {
                let next = tokio::time::timeout(Duration::from_millis(300), body.frame()).await;
                let Ok(Some(frame)) = next else { break };
                all.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(counted.load(Ordering::Relaxed), all.len());
            (String::from_utf8(all).unwrap(), line.due())
        })
    }

    #[test]
    fn it_ends_where_it_is_to() {
        let plain = Flow::default();
        let frames = ["abc", "", "def"];
        for (most, cut, wanted, end) in [
            (u64::MAX, None, "abcdef", None),
            (4, Some(Cut::Reset), "abcd", Some(Cut::Reset)),
            (0, Some(Cut::Reset), "", Some(Cut::Reset)),
            (9, Some(Cut::Reset), "abcdef", Some(Cut::Reset)),
            (3, Some(Cut::Close), "abc", Some(Cut::Close)),
            (5, Some(Cut::Close), "abcde", Some(Cut::Close)),
            (6, Some(Cut::Close), "abcdef", None),
        ] {
            assert_eq!(out(&frames, plain, most, cut), (wanted.to_owned(), end), "{most} {cut:?}");
        }
    }

    #[test]
    fn a_rate_is_kept_over_all_that_comes() {
        let began = Instant::now();
        let slow = Flow { rate: Some(60), slice: None };
        assert_eq!(out(&["abc", "def"], slow, u64::MAX, None).0, "abcdef");
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
}
