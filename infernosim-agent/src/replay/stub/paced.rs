//! A recorded body, given to hyper as it came: piece by piece at its times, up to where it was cut.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Purpose};
use super::flow::Pieces;
use super::wire::{Cut, Line};

/// What is still to be sent of an answer.
pub struct Paced {
    body: Bytes,
    /// How much was given away.
    given: usize,
    /// When what comes next is due, from that time on, and how many bytes of it: none where all comes at once.
    pieces: Option<(Instant, Pieces)>,
    /// What waits for its time: up to where the body is given then.
    piece: Option<(Pin<Box<Sleep>>, usize, Option<Purpose>)>,
    trailers: Option<HeaderMap>,
    ending: Option<Cut>,
    counted: Option<Arc<AtomicUsize>>,
    line: Arc<Line>,
    activity: Arc<Activity>,
    completed: Option<Box<dyn FnOnce() + Send>>,
}

impl Paced {
    /// A body that comes at once and whole.
    pub fn new(body: Bytes, line: Arc<Line>, activity: Arc<Activity>) -> Self {
        Self {
            body,
            given: 0,
            pieces: None,
            piece: None,
            trailers: None,
            ending: None,
            counted: None,
            line,
            activity,
            completed: None,
        }
    }

    /// Gives its pieces at their times from `start` on.
    #[must_use]
    pub fn at_times(mut self, start: Instant, pieces: Pieces) -> Self {
        self.pieces = Some((start, pieces));
        self
    }

    /// Counts there what was given away.
    #[must_use]
    pub fn counting(mut self, given: Option<Arc<AtomicUsize>>) -> Self {
        self.counted = given;
        self
    }

    /// Sends these fields behind it, where it is chunked.
    #[must_use]
    pub fn trailers(mut self, trailers: Option<HeaderMap>) -> Self {
        self.trailers = trailers;
        self
    }

    /// Ends the connection behind it.
    #[must_use]
    pub fn ending(mut self, ending: Option<Cut>) -> Self {
        self.ending = ending;
        self
    }

    /// Calls this once all of it was given away, or nobody wants it any more.
    #[must_use]
    pub fn then(mut self, completed: impl FnOnce() + Send + 'static) -> Self {
        self.completed = Some(Box::new(completed));
        self
    }

    /// Up to where the body can be given away now.
    fn until(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.piece.is_none() {
            let Some((start, pieces)) = &mut self.pieces else { return Poll::Ready(self.body.len()) };
            let Some((due_ns, bytes)) = pieces.next() else { return Poll::Ready(self.body.len()) };
            // Of what is due in more than a century nobody waits for the end.
            let due = start.checked_add(Duration::from_nanos(due_ns)).unwrap_or(*start);
            let until = self.given.saturating_add(bytes);
            let waiting = (due > Instant::now()).then(|| self.activity.on_purpose());
            self.piece = Some((Box::pin(sleep_until(due)), until.min(self.body.len()), waiting));
        }
        let Some((sleep, until, waiting)) = &mut self.piece else { return Poll::Ready(self.body.len()) };
        if waiting.is_some() {
            ready!(sleep.as_mut().poll(context));
        }
        let until = *until;
        self.piece = None;
        Poll::Ready(until)
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        while this.given < this.body.len() {
            let until = ready!(this.until(context));
            if until > this.given {
                let piece = this.body.slice(this.given..until);
                this.given = until;
                if let Some(counted) = &this.counted {
                    counted.store(until, Ordering::Relaxed);
                }
                this.activity.moved();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        if let Some(cut) = this.ending {
            this.complete();
            this.line.cut(cut);
            // The connection's task ends it, once hyper has sent what it was given.
            return Poll::Pending;
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl Paced {
    fn complete(&mut self) {
        if let Some(completed) = self.completed.take() {
            completed();
        }
        self.line.complete();
        self.activity.moved();
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.complete();
    }
}
