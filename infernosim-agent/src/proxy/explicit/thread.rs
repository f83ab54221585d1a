//! One relay thread: accepts, and serves what it accepted.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::count::Counted;
use super::engine::Phase;
use super::shared::{Common, Place, Shared};
use crate::proxy::{Tee, socket};

/// How long idle connections get to close with a FIN when all is abandoned.
const LAST: Duration = Duration::from_millis(20);
/// The shortest and the longest wait where no connection can be accepted.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));

/// Runs until the phase says to end.
pub fn run(
    runtime: Runtime,
    listeners: Vec<std::net::TcpListener>,
    common: Arc<Common>,
    mut phase: watch::Receiver<Phase>,
    tee: Tee,
) {
    let shared = Shared::new(common, phase.clone(), tee);
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        let handing_over = Rc::clone(&shared);
        spawn_local(async move { handing_over.hand_over().await });
        let accepting: Vec<_> = listeners
            .into_iter()
            .filter_map(|listener| TcpListener::from_std(listener).ok())
            .map(|listener| spawn_local(accept_all(Rc::clone(&shared), listener)))
            .collect();
        for task in accepting {
            // One that panicked has said so on stderr.
            let _ = task.await;
        }
        tokio::select! {
            () = shared.all_closed() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Abandon) => {
                let _ = timeout(LAST, shared.all_closed()).await;
            }
        }
    }));
    // With its tasks go the connections: with a RST, and as abandoned, where something was under way.
    drop(tasks);
    if let Some(shared) = Rc::into_inner(shared) {
        shared.finish();
    }
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
}

/// Accepts until the phase says to end, and then what is there already.
async fn accept_all(shared: Rc<Shared>, listener: TcpListener) {
    let mut back_off = BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = shared.ending() => return,
        };
        match accepted {
            Ok((stream, from)) => {
                back_off = BACK_OFF.0;
                admit(&shared, stream, from);
            }
            // The client gave up meanwhile.
            Err(error) if matches!(socket::errno(&error), Errno::ECONNABORTED | Errno::EINTR) => {}
            Err(_) => {
                // Out of descriptors or memory, most likely: waiting lets connections end.
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

fn admit(shared: &Rc<Shared>, stream: TcpStream, from: SocketAddr) {
    shared.common.counters.count(Counted::Accepted);
    let Some(place) = Place::take(shared) else {
        shared.common.counters.count(Counted::TooMany);
        return;
    };
    // One way to write an address, whatever socket it came by.
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let client = Client::new(Rc::clone(shared), stream, from);
    spawn_local(async move {
        client.serve().await;
        drop(place);
    });
}
