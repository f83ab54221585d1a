//! The target's connections and lookups, out of what the ring tells.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use infernosim_common::Ip;
use infernosim_common::tap::{Kind, Owner, Record, Role, Task, flag};
use nix::errno::Errno;

use super::connection::{Connection, Segment, opposite};
use super::dns::DnsConnection;
use super::early::Early;
use super::lookups::{Lookups, Seen};
use super::names::Names;
use super::owners::{Asked, Owners, process};
use super::recording::Recording;
use super::stream::Memory;
use super::touches;
use crate::clock::Nanos;
use crate::incident::{Direction, Ending, Exchanges, Lines, Numbers, Peer, Reason};
use crate::protocol::{Sender, begins_request};

/// Resolvers listen here (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
/// Connections that are read at a time.
const MOST: usize = 65_536;
/// So much later than the kernel is done with a connection its last packet may leave, in ns.
const CLOSING_NS: u64 = 5_000_000;

/// Reads what the kernel half copied. Records come in the order in which it copied them.
#[derive(Debug)]
pub struct Table {
    /// By the socket's cookie.
    connections: BTreeMap<u64, Tapped>,
    owners: Owners,
    /// Connections that the kernel is done with, oldest first: a reset may still be on its way out.
    closing: VecDeque<Closing>,
    early: Early,
    lookups: Lookups,
    names: Names,
    numbers: Numbers,
    memory: Memory,
    /// Outbound connections that the proxy does not have are recorded, too.
    outbound: bool,
    unread: Unread,
    /// Bytes that are missing in connections that have ended.
    missing: u64,
}

/// What was seen and could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Connections that are older than the capture and spoke nothing that can be picked up in the middle.
    pub older: u64,
    /// Connections beyond those that can be read at a time.
    pub too_many: u64,
}

/// A connection that the kernel is done with.
#[derive(Debug)]
struct Closing {
    at: Nanos,
    cookie: u64,
    number: u64,
}

#[derive(Debug)]
enum Tapped {
    /// Boxed: there are thousands.
    Talk(Box<Recording>),
    Dns(Box<DnsConnection>),
}

impl Tapped {
    fn missing(&self) -> u64 {
        match self {
            Self::Talk(recording) => recording.missing,
            Self::Dns(connection) => connection.missing,
        }
    }
}

impl Table {
    /// Holds at most `memory` bytes of segments that came out of order. With `outbound` the target's own calls are
    /// recorded; else only its clients', and lookups.
    pub fn new(numbers: Numbers, memory: usize, outbound: bool) -> Self {
        Self {
            connections: BTreeMap::new(),
            owners: Owners::default(),
            closing: VecDeque::new(),
            early: Early::default(),
            lookups: Lookups::default(),
            names: Names::default(),
            numbers,
            memory: Memory::new(memory),
            outbound,
            unread: Unread::default(),
            missing: 0,
        }
    }

    /// The name by which the target last asked for this address.
    pub fn name_of(&self, address: SocketAddr, at: Nanos) -> Option<&str> {
        self.names.name_of(address.ip(), at)
    }

    /// What could not be read so far.
    pub fn unread(&self) -> Unread {
        let waiting = self.connections.values().filter(|tapped| match tapped {
            Tapped::Talk(recording) => recording.is_unread(),
            Tapped::Dns(_) => false,
        });
        Unread { older: self.unread.older + waiting.count() as u64, ..self.unread }
    }

    /// Bytes that are known to be missing in some connection.
    pub fn missing(&self) -> u64 {
        self.missing + self.connections.values().map(Tapped::missing).sum::<u64>()
    }

    /// Takes in a record.
    pub fn record(&mut self, record: &Record, bytes: &[u8], lines: &mut Lines) {
        let kinds =
            [Kind::Segment, Kind::Established, Kind::Closed, Kind::Datagram, Kind::Connecting, Kind::Touched];
        let Some(kind) = kinds.into_iter().find(|kind| *kind as u16 == record.kind) else { return };
        match kind {
            Kind::Segment => self.segment(record, bytes, lines),
            Kind::Datagram => self.datagram(record, bytes, lines),
            Kind::Established => self.established(record, lines),
            Kind::Connecting => self.connecting(record, bytes, lines),
            Kind::Closed => self.closed(record, lines),
            Kind::Touched => touches::touched(record, bytes, lines),
        }
    }

    /// Takes in who accepted a connection. Better told before the connection's records are.
    pub fn accepted(&mut self, owner: &Owner, lines: &mut Lines) {
        match self.connections.entry(owner.cookie) {
            Entry::Occupied(mut tapped) => {
                let Tapped::Talk(recording) = tapped.get_mut() else { return };
                if owner.stranger == 0 {
                    recording.exchanges.iter_mut().for_each(|it| it.accepted(process(&owner.task)));
                } else {
                    recording.forget(&mut self.memory, lines);
                    tapped.remove();
                    self.owners.accepted(owner);
                }
            }
            Entry::Vacant(_) => self.owners.accepted(owner),
        }
    }

    /// To be called now and then, when all records of until then were taken in: tells of what has not come to
    /// anything since.
    pub fn tick(&mut self, until: Nanos, lines: &mut Lines) {
        while let Some(closing) = self.closing.pop_front_if(|it| until.since(it.at) > CLOSING_NS) {
            self.close(&closing, lines);
        }
        let Self { lookups, names, .. } = self;
        lookups.tick(until, &mut |lookup| {
            names.learn(&lookup);
            lines.dns(&lookup);
        });
        count_unread(lookups, lines);
    }

    /// The kernel half had no room for something.
    pub fn missed(&mut self, at: Nanos) {
        self.lookups.missed(at);
    }

    /// Whether the target has ended its side of every connection. What a process has written the kernel goes on
    /// sending when the process is gone.
    pub fn has_heard_all(&self) -> bool {
        self.connections.values().all(|tapped| match tapped {
            Tapped::Talk(recording) => recording.has_heard_target(),
            Tapped::Dns(_) => true,
        })
    }

    /// Nothing more will come. Gives what could not be read.
    pub fn end(&mut self, now: Nanos, lines: &mut Lines) -> Unread {
        while let Some(closing) = self.closing.pop_front() {
            self.close(&closing, lines);
        }
        let unread = self.unread();
        let mut open: Vec<Tapped> = std::mem::take(&mut self.connections).into_values().collect();
        open.sort_by_key(|tapped| match tapped {
            Tapped::Talk(recording) => recording.number,
            Tapped::Dns(connection) => connection.peer.connection,
        });
        for tapped in open {
            match tapped {
                Tapped::Talk(mut recording) => {
                    recording.end(now, Some(Ending::Abandoned), &mut self.memory, lines);
                    self.missing += recording.missing;
                }
                Tapped::Dns(connection) => {
                    self.missing += connection.missing;
                    connection.end(&mut self.memory);
                }
            }
        }
        let Self { lookups, names, .. } = self;
        lookups.end(now, &mut |lookup| {
            names.learn(&lookup);
            lines.dns(&lookup);
        });
        count_unread(lookups, lines);
        unread
    }

    fn connecting(&mut self, record: &Record, bytes: &[u8], lines: &mut Lines) {
        let Some(task) = Task::read(bytes) else { return };
        // A socket may connect again.
        self.closed(record, lines);
        let asked = Asked { process: process(&task), at: Nanos(record.at_ns), remote: ends(record).1 };
        self.owners.asked(record.cookie, asked);
    }

    fn established(&mut self, record: &Record, lines: &mut Lines) {
        let Some(direction) = self.direction(record, &[]) else { return };
        if self.owners.is_strangers(record.cookie) {
            return;
        }
        let accepted = self.owners.take_accepted(record.cookie);
        let asked = self.owners.take(record.cookie);
        let mut peer = self.peer_of(direction, record);
        if let Some(asked) = asked.as_ref().filter(|it| !it.remote.ip().is_unspecified()) {
            // A program behind ours in the cgroup (another's, or a replay's) may have sent it elsewhere.
            peer.name = self.name_of(asked.remote, asked.at).map(str::to_owned);
            peer.peer = Some(asked.remote);
        }
        let (asked, opened) = asked.map(|it| (it.process, it.at)).unzip();
        peer.process = accepted.or(asked);
        let opened = opened.unwrap_or(Nanos(record.at_ns));
        let target = if direction == Direction::Inbound { Sender::Server } else { Sender::Client };
        let port = peer.peer.map_or(0, |peer| peer.port());
        let tapped = if direction == Direction::Outbound && port == DNS_PORT {
            Tapped::Dns(Box::new(DnsConnection::new(peer, Some((record.sequence, record.acknowledgment)))))
        } else {
            let mut connection = Connection::new(target);
            connection.begin(target, record.sequence);
            connection.begin(opposite(target), record.acknowledgment);
            let number = peer.connection;
            let exchanges = Exchanges::new(direction, peer, opened).watched(record.cookie, true);
            let firsts = match target {
                Sender::Client => [record.sequence, record.acknowledgment],
                Sender::Server => [record.acknowledgment, record.sequence],
            };
            Tapped::Talk(Box::new(Recording::new(number, connection, exchanges).begins_at(firsts)))
        };
        self.unread.too_many += u64::from(!self.insert(record.cookie, tapped));
        for (early, bytes) in self.early.take(ends(record)) {
            self.segment(&Record { cookie: record.cookie, role: record.role, ..early }, &bytes, lines);
        }
    }

    fn closed(&mut self, record: &Record, lines: &mut Lines) {
        let at = Nanos(record.at_ns);
        match self.connections.get(&record.cookie) {
            // The kernel's state changes before the reset that says so to the peer leaves (tcp_close).
            Some(Tapped::Talk(recording)) if recording.may_be_reset() && record.errno == 0 => {
                let number = recording.number;
                self.closing.push_back(Closing { at, cookie: record.cookie, number });
            }
            Some(_) => self.remove(record.cookie, at, errno(record), lines),
            None => self.never_established(record, errno(record), lines),
        }
    }

    fn close(&mut self, closing: &Closing, lines: &mut Lines) {
        // The socket may have another connection since.
        let is_it = |tapped: &Tapped| matches!(tapped, Tapped::Talk(it) if it.number == closing.number);
        if self.connections.get(&closing.cookie).is_some_and(is_it) {
            self.remove(closing.cookie, closing.at, None, lines);
        }
    }

    fn remove(&mut self, cookie: u64, at: Nanos, errno: Option<Errno>, lines: &mut Lines) {
        match self.connections.remove(&cookie) {
            Some(Tapped::Talk(mut recording)) => {
                let ending = errno.map(|errno| Ending::Broke(opposite(recording.connection.target()), errno));
                recording.end(at, ending, &mut self.memory, lines);
                self.missing += recording.missing;
                self.unread.older += u64::from(recording.is_unread());
            }
            Some(Tapped::Dns(connection)) => {
                self.missing += connection.missing;
                connection.end(&mut self.memory);
                let Self { lookups, names, .. } = self;
                lookups.closed(at, cookie, &mut |lookup| {
                    names.learn(&lookup);
                    lines.dns(&lookup);
                });
            }
            None => {}
        }
    }

    /// A connect that came to nothing.
    fn never_established(&mut self, record: &Record, errno: Option<Errno>, lines: &mut Lines) {
        let Some(asked) = self.owners.take(record.cookie) else { return };
        if record.kind == Kind::Connecting as u16 {
            return;
        }
        let mut peer = self.peer(record);
        peer.name = self.name_of(asked.remote, asked.at).map(str::to_owned);
        (peer.peer, peer.process) = (Some(asked.remote), Some(asked.process));
        let exchanges = Exchanges::new(Direction::Outbound, peer, asked.at);
        // Without an error number the target gave it up itself.
        let ending = errno.map_or(Ending::Closed, Ending::DialFailed);
        exchanges.end(Nanos(record.at_ns), ending, lines);
    }

    fn segment(&mut self, record: &Record, bytes: &[u8], lines: &mut Lines) {
        if !self.connections.contains_key(&record.cookie) && !self.join(record, bytes, lines) {
            return;
        }
        let Self { connections, lookups, names, memory, .. } = self;
        let at = Nanos(record.at_ns);
        match connections.get_mut(&record.cookie) {
            Some(Tapped::Talk(recording)) => {
                let segment = segment(record, bytes, recording.connection.target());
                recording.segment(at, &segment, memory, lines);
            }
            Some(Tapped::Dns(connection)) => {
                let segment = segment(record, bytes, Sender::Client);
                connection.segment((at, record.cookie), &segment, (lookups, memory), &mut |lookup| {
                    names.learn(&lookup);
                    lines.dns(&lookup);
                });
            }
            None => {}
        }
    }

    /// A connection of which something is seen for the first time, and not its beginning. False if it is none to be
    /// read.
    fn join(&mut self, record: &Record, bytes: &[u8], lines: &mut Lines) -> bool {
        if record.role == Role::Unconnected as u16 {
            self.early.keep(ends(record), record, bytes);
            return false;
        }
        if record.flags & flag::RST != 0 && self.owners.of(record.cookie).is_some() {
            self.never_established(record, Some(Errno::ECONNREFUSED), lines);
            return false;
        }
        // The end of something that was never read, or that is not the target's.
        if bytes.is_empty() || self.owners.is_strangers(record.cookie) {
            return false;
        }
        let Some(direction) = self.direction(record, bytes) else { return false };
        let peer = self.peer_of(direction, record);
        let tapped = if direction == Direction::Outbound && record.remote_port == DNS_PORT {
            Tapped::Dns(Box::new(DnsConnection::new(peer, None)))
        } else {
            let target = if direction == Direction::Inbound { Sender::Server } else { Sender::Client };
            let number = peer.connection;
            // Of others the kernel half had no room to tell the beginning: that is counted as lost.
            let older = ![Role::Inbound, Role::Outbound].map(|role| role as u16).contains(&record.role);
            let exchanges =
                Exchanges::new(direction, peer, Nanos(record.at_ns)).watched(record.cookie, false);
            Tapped::Talk(Box::new(Recording::joined(number, target, exchanges, older)))
        };
        self.insert(record.cookie, tapped)
    }

    /// Which way a connection goes, if it is one to be recorded.
    fn direction(&self, record: &Record, bytes: &[u8]) -> Option<Direction> {
        let role = |role: Role| record.role == role as u16;
        let direction = if role(Role::Inbound) || role(Role::OlderInbound) {
            Direction::Inbound
        } else if role(Role::Outbound) || role(Role::OlderOutbound) {
            Direction::Outbound
        } else if begins_request(bytes) {
            // Nobody knows who opened it: who sends a request did.
            if record.flags & flag::INGRESS != 0 { Direction::Inbound } else { Direction::Outbound }
        } else {
            return None;
        };
        let wanted = direction == Direction::Inbound || self.outbound || record.remote_port == DNS_PORT;
        wanted.then_some(direction)
    }

    fn datagram(&mut self, record: &Record, bytes: &[u8], lines: &mut Lines) {
        let from = if record.flags & flag::INGRESS != 0 { Sender::Server } else { Sender::Client };
        let mut peer = self.peer(record);
        peer.connection = 0;
        if let Some(asked) = self.owners.of(record.cookie) {
            peer.process = Some(asked.process.clone());
            // Netfilter may have sent it elsewhere; the answer comes from whom the target asked.
            if from == Sender::Client && record.remote_port != DNS_PORT {
                peer.peer = Some(asked.remote);
            }
        }
        let Self { lookups, names, .. } = self;
        let seen = Seen {
            at: Nanos(record.at_ns),
            cookie: record.cookie,
            peer: &peer,
            from,
            bytes,
            unseen: u64::from(record.unseen),
        };
        lookups.datagram(&seen, &mut |lookup| {
            names.learn(&lookup);
            lines.dns(&lookup);
        });
    }

    fn insert(&mut self, cookie: u64, tapped: Tapped) -> bool {
        if self.connections.len() >= MOST {
            return false;
        }
        self.connections.insert(cookie, tapped);
        true
    }

    /// The name of a client's would stand in the place of the target's.
    fn peer_of(&self, direction: Direction, record: &Record) -> Peer {
        let peer = self.peer(record);
        Peer { name: peer.name.filter(|_| direction == Direction::Outbound), ..peer }
    }

    fn peer(&self, record: &Record) -> Peer {
        let (local, remote) = ends(record);
        Peer {
            connection: if record.kind == Kind::Datagram as u16 { 0 } else { self.numbers.next() },
            local: (local.port() != 0).then_some(local),
            peer: Some(remote),
            process: None,
            name: self.name_of(remote, Nanos(record.at_ns)).map(str::to_owned),
        }
    }
}

/// Messages between the target and a resolver that were not seen whole.
fn count_unread(lookups: &mut Lookups, lines: &mut Lines) {
    let unread = lookups.take_unread();
    if unread > 0 {
        lines.lost(Reason::Gap, unread, 0);
    }
}

/// The target's end and the other.
fn ends(record: &Record) -> (SocketAddr, SocketAddr) {
    let address = |ip: Ip, port: u16| SocketAddr::new(ip.into(), port);
    (address(record.local, record.local_port), address(record.remote, record.remote_port))
}

fn segment<'a>(record: &Record, bytes: &'a [u8], target: Sender) -> Segment<'a> {
    let set = |bit: u16| record.flags & bit != 0;
    let from = if set(flag::INGRESS) { opposite(target) } else { target };
    Segment {
        from,
        seq: record.sequence,
        ack: set(flag::ACK).then_some(record.acknowledgment),
        // The kernel half has stepped over it.
        syn: false,
        fin: set(flag::FIN),
        rst: set(flag::RST),
        bytes,
        unseen: record.unseen,
    }
}

fn errno(record: &Record) -> Option<Errno> {
    (record.errno != 0).then(|| Errno::from_raw(record.errno.into()))
}
