//! One thread of the stub: accepts, and serves what it accepted.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use infernosim_common::Flow;
use nix::errno::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::activity::Open;
use super::connects::Meeting;
use super::directory::Speech;
use super::shared::Shared;
use super::{Explicitly, dns, explicit, http, live, tcp};
use crate::clock::Nanos;
use crate::fault::Need;
use crate::protocol::{Detector, Protocol};
use crate::proxy::Listener;
use crate::redirect::destination;

/// The shortest and the longest wait where no connection can be accepted.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));
/// How long connections get to close by themselves at the end of a run.
const LAST: Duration = Duration::from_millis(20);
/// The port of DNS over TCP.
const DNS: u16 = 53;

/// The sockets that a thread serves.
pub struct Doors {
    tcp: Vec<(StdListener, Option<Explicitly>)>,
    udp: Vec<StdUdpSocket>,
    namespace: u64,
}

/// What is known of a connection when it is accepted.
#[derive(Debug, Default)]
pub struct Facts {
    /// Where the target connected to; none in the explicit form.
    pub address: Option<SocketAddr>,
    /// What it may have meant by that, the likeliest first.
    pub candidates: Vec<String>,
    /// The socket's cookie.
    pub cookie: u64,
    /// Who connected.
    pub process: (u32, u32),
    /// What we are to a client that was told of us, unless it is within a tunnel.
    pub explicit: Option<Explicitly>,
    /// Where its requests go, if it is a live dependency's.
    pub live: Option<String>,
    /// The run it belongs to; an idle connection goes on to the next one.
    run: Arc<AtomicU64>,
}

impl Doors {
    /// Those of a network namespace.
    pub fn of(listener: &Listener) -> io::Result<Self> {
        let mut doors = Self { tcp: Vec::new(), udp: Vec::new(), namespace: listener.namespace };
        for socket in [Some(&listener.v4), listener.v6.as_ref()].into_iter().flatten() {
            doors.tcp.push((socket.try_clone()?, None));
        }
        let replay = listener.replay.as_ref();
        for socket in [replay.map(|replay| &replay.dns_v4), replay.and_then(|replay| replay.dns_v6.as_ref())]
        {
            doors.udp.extend(socket.map(StdUdpSocket::try_clone).transpose()?);
        }
        Ok(doors)
    }

    /// One that clients were told of.
    pub fn explicit(listener: StdListener, how: Explicitly) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { tcp: vec![(listener, Some(how))], udp: Vec::new(), namespace: 0 })
    }
}

/// Runs until all is over.
pub fn run(runtime: Runtime, doors: Doors, shared: &Arc<Shared>) {
    runtime.block_on(async {
        for (listener, how) in doors.tcp {
            if let Ok(listener) = TcpListener::from_std(listener) {
                tokio::spawn(accept_all(Arc::clone(shared), listener, how, doors.namespace));
            }
        }
        for socket in doors.udp {
            if let Ok(socket) = UdpSocket::from_std(socket) {
                tokio::spawn(dns::over_udp(Arc::clone(shared), Arc::new(socket), doors.namespace));
            }
        }
        let mut phase = shared.phase.subscribe();
        let _ = phase.wait_for(|phase| phase.over).await;
    });
    // With its tasks go the connections: with a RST where something was under way. A name that is still being resolved is
    // not waited for.
    runtime.shutdown_background();
}

async fn accept_all(shared: Arc<Shared>, listener: TcpListener, how: Option<Explicitly>, namespace: u64) {
    let mut back_off = BACK_OFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                back_off = BACK_OFF.0;
                // Now, and not when its task runs, so that no end of a run passes it by.
                let run = shared.phase.borrow().run;
                let open = shared.activity.open(run);
                tokio::spawn(admit(Arc::clone(&shared), stream, (from, namespace), how, (run, open)));
            }
            // The client gave up meanwhile.
            Err(error) if matches!(errno(&error), Errno::ECONNABORTED | Errno::EINTR) => {}
            Err(_) => {
                // Out of descriptors or memory, most likely: waiting lets connections end.
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

async fn admit(
    shared: Arc<Shared>,
    stream: TcpStream,
    (from, namespace): (SocketAddr, u64),
    how: Option<Explicitly>,
    (run, open): (u64, Open),
) {
    // Until told otherwise it closes with a RST, so that an answer which our death cuts short never looks whole.
    let socket = SockRef::from(&stream);
    let _ = socket.set_linger(Some(Duration::ZERO)).and_then(|()| socket.set_tcp_nodelay(true));
    let flow = shared.setup.kernel.as_ref().and_then(|kernel| kernel.flow(namespace, from));
    let mut facts = match (how, flow) {
        (Some(_), _) => Facts { explicit: how, run: Arc::new(AtomicU64::new(run)), ..Facts::default() },
        (None, Some(flow)) => Facts::of(&flow, &shared, run),
        // Nobody but the kernel half sends anybody here.
        (None, None) => return,
    };
    if let (Some(rule), Some(address)) = (shared.live_rule(&facts.candidates), facts.address) {
        let to = rule.to.clone().unwrap_or_else(|| address.to_string());
        shared.passed(&facts.candidates[0]);
        // A live dependency knows of no runs.
        drop(open);
        shared.connected(address, None, flow.map_or(Nanos(0), |flow| Nanos(flow.connected_ns)));
        if live::need(&shared, &facts.candidates, address.port()) != Need::Nothing {
            facts.live = Some(to);
            return live::disturbed(shared, Arc::new(facts), stream).await;
        }
        // A dial that fails becomes a reset before any byte.
        let _ = live::relay(stream, &to).await;
        return;
    }
    let serving_run = Arc::clone(&facts.run);
    let serving = async {
        match how {
            Some(how) => explicit::serve(Arc::clone(&shared), facts, stream, how).await,
            None => redirected(Arc::clone(&shared), facts, stream, flow.unwrap_or_default()).await,
        }
    };
    // What knows whether anything is under way sees the end of the run by itself: it closes, or goes on where nothing is.
    let mut counted = (run, open);
    tokio::select! {
        biased;
        () = serving => {}
        () = async {
            loop {
                shared.over(counted.0).await;
                sleep(LAST).await;
                let run = serving_run.load(Ordering::Relaxed);
                if run == counted.0 {
                    return;
                }
                counted = (run, shared.activity.open(run));
            }
        } => {}
    }
}

/// Serves a connection that the kernel half sent us.
async fn redirected(shared: Arc<Shared>, facts: Facts, stream: TcpStream, flow: Flow) {
    let address = destination(&flow);
    if !shared.running().await {
        return;
    }
    shared.connected(address, None, Nanos(flow.connected_ns));
    let met = shared.connects().accepted(address);
    if met == Meeting::Reset {
        return shared.set_or_tell(address);
    }
    let speech = shared.directory().speech(address);
    if address.port() == DNS && speech == Speech::Mixed {
        return dns::over_tcp(shared, stream, flow).await;
    }
    by_first_bytes(shared, Arc::new(facts), stream, BytesMut::new(), speech).await;
}

impl Facts {
    fn of(flow: &Flow, shared: &Shared, run: u64) -> Self {
        let address = destination(flow);
        Self {
            address: Some(address),
            candidates: shared.directory().candidates(address),
            cookie: flow.cookie,
            process: (flow.pid, flow.tid),
            explicit: None,
            live: None,
            run: Arc::new(AtomicU64::new(run)),
        }
    }

    /// The same of what is within it.
    pub fn within(&self, candidates: Vec<String>) -> Self {
        let Self { cookie, process, .. } = *self;
        let run = Arc::clone(&self.run);
        Self { address: None, candidates, cookie, process, explicit: None, live: None, run }
    }

    /// The run it belongs to.
    pub fn run(&self) -> u64 {
        self.run.load(Ordering::Relaxed)
    }

    /// It belongs to this one from now on.
    pub fn goes_on(&self, run: u64) {
        self.run.store(run, Ordering::Relaxed);
    }
}

/// Serves a connection as what its first bytes say, unless it is known before.
pub async fn by_first_bytes(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    stream: TcpStream,
    mut ahead: BytesMut,
    speech: Speech,
) {
    if speech == Speech::Turns {
        return tcp::serve(shared, facts, stream, ahead).await;
    }
    let Some(protocol) = first(&stream, &mut ahead).await else {
        // It said nothing and left; a FIN is answered with one.
        let _ = SockRef::from(&stream).set_linger(None);
        return;
    };
    match protocol {
        Protocol::Http10 | Protocol::Http11 if ahead.starts_with(b"CONNECT ") => {
            explicit::connect(shared, facts, stream, ahead).await;
        }
        Protocol::Http10 | Protocol::Http11 => http::serve(shared, facts, stream, ahead.freeze()).await,
        protocol => tcp::unread(shared, facts, stream, ahead, protocol).await,
    }
}

/// Reads until it is known what the connection speaks; none at its end.
pub async fn first(stream: &TcpStream, ahead: &mut BytesMut) -> Option<Protocol> {
    let mut detector = Detector::new();
    if let Some(protocol) = detector.push(ahead) {
        return Some(protocol);
    }
    loop {
        let before = ahead.len();
        read(stream, ahead).await.ok().filter(|read| *read > 0)?;
        if let Some(protocol) = detector.push(&ahead[before..]) {
            return Some(protocol);
        }
    }
}

/// Reads some bytes; 0 at the end.
pub async fn read(stream: &TcpStream, into: &mut BytesMut) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        into.reserve(4096);
        match stream.try_read_buf(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
