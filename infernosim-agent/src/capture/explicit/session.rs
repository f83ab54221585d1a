use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;

use super::super::report::{self, Outcome};
use super::super::session::{no_descriptor, relay_threads};
use super::super::setup;
use super::super::signals::Signals;
use super::super::voice::Voice;
use super::listen::Listening;
use super::{Forward, Listen, recorder};
use crate::clock;
use crate::error::{Exit, ExpectedError, Result};
use crate::incident::manifest::{Explicit, Target};
use crate::incident::redact::Policy;
use crate::incident::{Budget, Direction, Limits, Lines, Ownership, Shelf, Totals, Writer};
use crate::privilege;
use crate::proxy::{Pool, explicit, raise_open_files};
use crate::seed::Ids;
use crate::target::Identity;

/// How often the end is looked for while draining, in milliseconds.
const LOOK_MS: u16 = 10;

/// Which of the two it is.
#[derive(Clone, Debug)]
pub enum Role {
    /// Programs send their calls through it.
    Proxy,
    /// Clients ask it instead of a service.
    Inbound {
        /// The service.
        forward: Forward,
        /// Whether responses name their recording.
        tag: bool,
    },
}

/// What to serve and how to record it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which of the two it is.
    pub role: Role,
    /// Where to listen.
    pub listen: Listen,
    /// Which clients are served besides this host's own.
    pub allow: Vec<IpNet>,
    /// Answer `/healthz`.
    pub healthz: bool,
    /// How long a dial may take, in ns.
    pub connect_timeout_ns: u64,
    /// Where to record.
    pub log: PathBuf,
    /// Memory for the recording, in bytes.
    pub buffer: u64,
    /// What is kept of bodies.
    pub limits: Limits,
    /// Which names are secret; `None` stores everything as it was sent.
    pub redact: Option<Policy>,
    /// How long to go on, in ns; for ever if `None`.
    pub duration_ns: Option<u64>,
    /// How long open connections are relayed after the end, in ns.
    pub drain_ns: u64,
    /// What is said of it.
    pub voice: Voice,
}

/// The parts that run, in the order in which the data flows.
struct Session {
    engine: explicit::Explicit,
    recorder: JoinHandle<Totals>,
    writer: Writer,
}

/// Serves until a signal or the time ends it. Returns the status to exit with.
pub fn run(options: &Options) -> Result<i32> {
    if options.listen.is_open() && options.allow.is_empty() {
        let message =
            "whoever reaches that address could send anything through us: it would be an open relay";
        return Err(ExpectedError::new(Exit::Usage, message).help(
            "say whom to serve, as --allow 10.0.0.0/8, or listen on this host alone, as --listen :9000",
        ));
    }
    let (signals, _) = Signals::block()?;
    let (_, connections) = raise_open_files();
    let identity = Identity::of_caller(None)?;
    // First, so that a port that is taken leaves no files.
    let listening = options.listen.bind()?;
    options.refuse_loop(&listening.addresses)?;
    // Nothing here uses maps of the kernel's.
    privilege::probe(|| true);
    let ready = options.ready_line(&listening.addresses);
    if let Some(remark) = &listening.remark {
        options.voice.say(|| format!("infernosim: {remark}"));
    }
    let session = Session::start(options, listening, &identity, connections)?;
    setup::drop_privileges(&identity, false);
    privilege::wait_for_threads();
    options.voice.say(|| ready);
    wait(options, &signals);
    let cut = session.drain(options.drain_ns, &signals);
    session.finish(cut, options)
}

impl Session {
    fn start(options: &Options, listening: Listening, identity: &Identity, most: u64) -> Result<Self> {
        let owner = Ownership { uid: identity.uid, gid: identity.gid };
        let mut shelf = Shelf::join(&options.log, owner, options.direction())?;
        let buffer = usize::try_from(options.buffer).unwrap_or(usize::MAX);
        // One half for copies on their way to the recorder, the other for what waits for its end or for the disk.
        let (pool, copies, feed) = Pool::new(buffer / 2).map_err(|error| no_descriptor(&error))?;
        let budget = Arc::new(Budget::new(buffer / 2));
        let redaction = shelf.redaction(options.redact.clone())?;
        let (share, numbers) = (shelf.share(), shelf.numbers());
        let mut manifest = report::manifest(options.target(&listening.addresses));
        redaction.describe(&mut manifest);
        shelf.begin(manifest, None);
        let (writer, outbox) = Writer::start(shelf, Arc::clone(&budget))?;
        let mut lines =
            Lines::new(outbox, budget, options.limits, &redaction, Ids::from_system()?, clock::now());
        if let Some(share) = share {
            lines.share(share);
        }
        let recorder = recorder::start(feed, lines)?;
        let (role, tag) = options.role.for_engine()?;
        let engine = explicit::Explicit::start(explicit::Setup {
            role,
            listeners: listening.listeners,
            allow: options.allow.clone(),
            healthz: options.healthz,
            tag,
            connect_timeout: Duration::from_nanos(options.connect_timeout_ns),
            most,
            pool,
            copies,
            numbers,
            threads: relay_threads(),
        })?;
        Ok(Self { engine, recorder, writer })
    }

    /// Relays what is open until it ends, at most `limit_ns`; a second signal ends it at once. Returns how many
    /// connections were cut.
    fn drain(&self, limit_ns: u64, signals: &Signals) -> u64 {
        self.engine.drain();
        let began = clock::now();
        while !self.engine.is_finished() {
            let forced = signals.wait(None, Some(LOOK_MS)).is_some();
            if forced || clock::now().since(began) >= limit_ns {
                let cut = self.engine.active();
                self.engine.abandon();
                return cut;
            }
        }
        0
    }

    /// Writes everything out; returns the status to exit with.
    fn finish(self, cut: u64, options: &Options) -> Result<i32> {
        let Self { engine, recorder, writer } = self;
        let refused = refused(&engine.counts());
        engine.join();
        let totals = recorder.join().unwrap_or_default();
        let (mut shelf, written) = writer.join()?;
        shelf.close(&totals, &written);
        let outcome = Outcome { sums: shelf.into_sums(), cut, held: 0, refused };
        options.voice.end(options.role.command(), &outcome);
        Ok(if outcome.is_complete() { Exit::Pass } else { Exit::Incident } as i32)
    }
}

impl Role {
    /// The command that it is run by.
    const fn command(&self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Inbound { .. } => "inbound",
        }
    }

    fn for_engine(&self) -> Result<(explicit::Role, Option<Ids>)> {
        Ok(match self {
            Self::Proxy => (explicit::Role::Forward, None),
            Self::Inbound { forward, tag } => {
                let tag = if *tag { Some(Ids::from_system()?) } else { None };
                (explicit::Role::Reverse { forward: forward.authority().to_owned() }, tag)
            }
        })
    }
}

impl Options {
    const fn direction(&self) -> Direction {
        match self.role {
            Role::Proxy => Direction::Outbound,
            Role::Inbound { .. } => Direction::Inbound,
        }
    }

    /// What the manifest says of it.
    fn target(&self, addresses: &[SocketAddr]) -> Target {
        let listen = addresses.iter().map(SocketAddr::to_string).collect();
        let forward = match &self.role {
            Role::Proxy => None,
            Role::Inbound { forward, .. } => Some(forward.authority().to_owned()),
        };
        let explicit = Explicit::of(self.direction(), listen, forward);
        Target { explicit: Some(explicit), ..Target::default() }
    }

    /// The line that says that nothing is missed from here on.
    fn ready_line(&self, addresses: &[SocketAddr]) -> String {
        let at = some(addresses);
        let into = self.log.display();
        match &self.role {
            Role::Proxy => format!("infernosim: capturing what programs send through {at} into {into}"),
            Role::Inbound { forward, .. } => {
                format!("infernosim: capturing what clients ask {forward} through {at} into {into}")
            }
        }
    }

    /// A service that is ourselves would be asked for ever.
    fn refuse_loop(&self, addresses: &[SocketAddr]) -> Result<()> {
        let Role::Inbound { forward, .. } = &self.role else { return Ok(()) };
        let authority = forward.authority().replace("localhost:", "127.0.0.1:");
        if authority.parse().is_ok_and(|address: SocketAddr| addresses.contains(&address)) {
            let message = format!("{forward} is where we listen: requests would be passed on to ourselves");
            return Err(ExpectedError::new(Exit::Usage, message)
                .help("name the service's own address with --forward, and another with --listen"));
        }
        Ok(())
    }
}

/// Waits for what ends it.
fn wait(options: &Options, signals: &Signals) {
    let began = clock::now();
    loop {
        let left = options.duration_ns.map(|limit| limit.saturating_sub(clock::now().since(began)));
        if left == Some(0) {
            return;
        }
        let left_ms = left.map(|ns| u16::try_from(ns.div_ceil(1_000_000)).unwrap_or(u16::MAX));
        if signals.wait(None, left_ms).is_some() {
            return;
        }
    }
}

/// `http://127.0.0.1:9000 and http://[::1]:9000`.
fn some(addresses: &[SocketAddr]) -> String {
    let each: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    each.join(" and ")
}

/// What was not passed on, and how often.
fn refused(counts: &explicit::Counts) -> Vec<(&'static str, u64)> {
    let all = [
        ("not allowed (403)", counts.not_allowed),
        ("malformed (400)", counts.malformed),
        ("as if we were the server (400)", counts.not_for_a_proxy),
        ("with a head over 64 KiB (431)", counts.too_large),
        ("of another version than HTTP/1 (505)", counts.version),
        ("that would have come back to us (508)", counts.loops),
        ("that never became whole (408)", counts.too_slow),
        ("beyond the limit of connections", counts.too_many),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}
