use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use super::harness::LONG;
use crate::clock;
use crate::incident::Numbers;
use crate::proxy::explicit::client::Client;
use crate::proxy::explicit::engine::{self, Phase};
use crate::proxy::explicit::shared::Shared;
use crate::proxy::explicit::{Counts, Role, Setup};
use crate::proxy::{Pool, Tee};

/// What a client that says this, and then nothing more, is answered until it is closed; and after how many seconds,
/// which is not known more exactly than the machine lets us work. Time passes here whenever nothing else happens.
fn silent_after(said: &str) -> (String, RangeInclusive<f64>, Counts) {
    let (pool, copies, _feed) = Pool::new(0).unwrap();
    let tee = Tee::new(0, Arc::clone(&pool), copies.clone());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (served, from) = listener.accept().unwrap();
    served.set_nonblocking(true).unwrap();
    client.write_all(said.as_bytes()).unwrap();
    let setup = Setup {
        role: Role::Forward,
        listeners: Vec::new(),
        allow: Vec::new(),
        healthz: false,
        tag: None,
        connect_timeout: LONG,
        most: 1,
        pool,
        copies,
        numbers: Numbers::default(),
        threads: 1,
    };
    let common = Arc::new(engine::common(&setup).unwrap());
    let (_phase, told) = watch::channel(Phase::Run);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let tasks = LocalSet::new();
    let (passed, really) = runtime.block_on(tasks.run_until(async {
        let shared = Shared::new(Arc::clone(&common), told, tee);
        let (begun, really) = (tokio::time::Instant::now(), clock::now());
        let served = tokio::net::TcpStream::from_std(served).unwrap();
        let serving = Client::new(Rc::clone(&shared), served, from);
        spawn_local(async move { serving.serve().await }).await.unwrap();
        (begun.elapsed(), Duration::from_nanos(clock::now().since(really)))
    }));
    client.set_read_timeout(Some(LONG)).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    // A timer rounds to its milliseconds; a head's time counts from its first byte by the clock that does not jump.
    let rounding = Duration::from_millis(10);
    let seconds = (passed - rounding).as_secs_f64()..=(passed + really + rounding).as_secs_f64();
    (answer, seconds, common.counters.read())
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_refused() {
    let (answer, seconds, counts) = silent_after("GET http://a/ HTTP/1.1\r\nX: ");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // And two more, for the client to read that.
    assert!(seconds.contains(&62.0) && counts.too_slow == 1, "{seconds:?} {counts:?}");
}

#[test]
fn an_idle_connection_is_closed() {
    let (answer, seconds, counts) = silent_after("");
    assert!(seconds.contains(&75.0), "{seconds:?}");
    assert_eq!((answer.as_str(), counts), ("", Counts::default()));
}

#[test]
fn a_client_that_was_answered_and_stays_is_left() {
    let (answer, seconds, counts) = silent_after("GET / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(seconds.contains(&2.0) && counts.not_for_a_proxy == 1, "{seconds:?} {counts:?}");
}
