//! A connection that speaks HTTP/1, served by hyper.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::service;
use super::shared::Shared;
use super::thread::Facts;
use super::wire::{self, Cut, Line, Wire};

/// How hyper was done with a connection.
enum Done {
    /// As HTTP says.
    Ended,
    /// Not as HTTP says: the other end broke, or sent no HTTP.
    Broken,
    /// The recording has another end for it.
    Cut(Cut),
    /// The run is over.
    Over,
}

/// Serves it to its end, or to the end of the run.
pub async fn serve(shared: Arc<Shared>, facts: Arc<Facts>, stream: TcpStream, ahead: Bytes) {
    let line = Arc::new(Line::default());
    let io = TokioIo::new(Wire::new(stream, ahead, Arc::clone(&line)));
    let service = {
        let (shared, facts, line) = (Arc::clone(&shared), Arc::clone(&facts), Arc::clone(&line));
        service_fn(move |request| {
            let (shared, facts, line) = (Arc::clone(&shared), Arc::clone(&facts), Arc::clone(&line));
            async move { Ok::<_, Infallible>(service::answer(shared, facts, line, request).await) }
        })
    };
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).title_case_headers(true).auto_date_header(false).half_close(true);
    let mut connection = builder.serve_connection(io, service);
    let mut run = facts.run();
    let done = loop {
        let served = poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
                return Poll::Ready(if ended.is_ok() { Done::Ended } else { Done::Broken });
            }
            line.due().map_or(Poll::Pending, |cut| Poll::Ready(Done::Cut(cut)))
        });
        let done = tokio::select! {
            biased;
            done = served => done,
            () = shared.over(run) => Done::Over,
        };
        // A client keeps what is idle, and need not bear that it is closed: the next run's calls come by it.
        match shared.next_run() {
            Some(next) if matches!(done, Done::Over) && !line.is_busy() => {
                facts.goes_on(next);
                run = next;
            }
            _ => break done,
        }
    };
    // hyper keeps nothing that is not sent where it ended; where it did not, what it keeps is not wanted.
    let stream = connection.into_parts().io.into_inner().into_stream();
    if matches!(done, Done::Cut(_)) {
        line.settle(&stream);
        if let Some(linger) = line.lingers() {
            tokio::select! {
                () = linger.wait() => {}
                () = shared.over(run) => {}
            }
        }
    }
    match done {
        Done::Ended => wire::finish(stream).await,
        Done::Cut(cut @ (Cut::Silence | Cut::Half)) => {
            let _meant = shared.activity.on_purpose();
            tokio::select! {
                () = wire::end(stream, cut) => {}
                () = shared.over(run) => {}
            }
        }
        Done::Cut(cut) => wire::end(stream, cut).await,
        Done::Over if !line.is_busy() => {
            let _ = SockRef::from(&stream).set_linger(None);
        }
        // hyper has said what was wrong with a request that is none.
        Done::Broken if !line.is_busy() => wire::finish(stream).await,
        // With a RST: what was under way is not whole.
        Done::Over | Done::Broken => {}
    }
}
