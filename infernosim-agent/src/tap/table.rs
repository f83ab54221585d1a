//! The target's connections and lookups, out of what the ring tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use infernosim_common::Ip;
use infernosim_common::tap::{Kind, Record, Role, Task, flag};
use nix::errno::Errno;

use super::connection::{Connection, Segment};
use super::dns::DnsConnection;
use super::early::Early;
use super::lookups::{Lookups, Seen};
use super::names::Names;
use super::recording::Recording;
use super::stream::Memory;
use crate::clock::Nanos;
use crate::incident::{Direction, Ending, Exchanges, Lines, Numbers, Peer, Process};
use crate::protocol::{Sender, begins_request};

/// Resolvers listen here (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
/// Connections that are read at a time.
const MOST: usize = 65_536;
/// Sockets of which it is remembered who has them.
const MOST_OWNERS: usize = 16_384;

/// Reads what the kernel half copied. Records come in the order in which it copied them.
#[derive(Debug)]
pub struct Table {
    /// By the socket's cookie.
    connections: BTreeMap<u64, Tapped>,
    /// Who asked for a connection that is not established, or has a socket to a resolver.
    owners: BTreeMap<u64, (Process, Nanos)>,
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
            owners: BTreeMap::new(),
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
        let kinds = [
            Kind::Segment,
            Kind::Established,
            Kind::Closed,
            Kind::Datagram,
            Kind::Connecting,
            Kind::Accepted,
        ];
        let Some(kind) = kinds.into_iter().find(|kind| *kind as u16 == record.kind) else { return };
        match kind {
            Kind::Segment => self.segment(record, bytes, lines),
            Kind::Datagram => self.datagram(record, bytes, lines),
            Kind::Established => self.established(record, lines),
            Kind::Connecting => self.connecting(record, bytes, lines),
            Kind::Accepted => {
                if let (Some(Tapped::Talk(recording)), Some(task)) =
                    (self.connections.get_mut(&record.cookie), Task::read(bytes))
                    && let Some(exchanges) = &mut recording.exchanges
                {
                    exchanges.accepted(process(&task));
                }
            }
            Kind::Closed => self.closed(record, lines),
        }
    }

    /// To be called now and then: tells of lookups that nobody answered.
    pub fn tick(&mut self, now: Nanos, lines: &mut Lines) {
        let Self { lookups, names, .. } = self;
        lookups.tick(now, &mut |lookup| {
            names.learn(&lookup);
            lines.dns(&lookup);
        });
    }

    /// The kernel half had no room for something.
    pub fn missed(&mut self, at: Nanos) {
        self.lookups.missed(at);
    }

    /// Nothing more will come. Gives what could not be read.
    pub fn end(&mut self, now: Nanos, lines: &mut Lines) -> Unread {
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
        unread
    }

    fn connecting(&mut self, record: &Record, bytes: &[u8], lines: &mut Lines) {
        let Some(task) = Task::read(bytes) else { return };
        // A socket may connect again.
        self.closed(record, lines);
        if self.owners.len() >= MOST_OWNERS {
            self.owners.pop_first();
        }
        self.owners.insert(record.cookie, (process(&task), Nanos(record.at_ns)));
    }

    fn established(&mut self, record: &Record, lines: &mut Lines) {
        let Some(direction) = self.direction(record, &[]) else { return };
        let (process, opened) = self.owners.remove(&record.cookie).unzip();
        let mut peer = self.peer(record);
        peer.process = process;
        let opened = opened.unwrap_or(Nanos(record.at_ns));
        let target = if direction == Direction::Inbound { Sender::Server } else { Sender::Client };
        let tapped = if direction == Direction::Outbound && record.remote_port == DNS_PORT {
            Tapped::Dns(Box::new(DnsConnection::new(peer, Some((record.sequence, record.acknowledgment)))))
        } else {
            let mut connection = Connection::new(target);
            connection.begin(target, record.sequence);
            connection.begin(super::connection::opposite(target), record.acknowledgment);
            let number = peer.connection;
            let exchanges = Exchanges::new(direction, peer, opened);
            Tapped::Talk(Box::new(Recording::new(number, connection, exchanges)))
        };
        self.insert(record.cookie, tapped);
        for (early, bytes) in self.early.take(ends(record)) {
            self.segment(&Record { cookie: record.cookie, role: record.role, ..early }, &bytes, lines);
        }
    }

    fn closed(&mut self, record: &Record, lines: &mut Lines) {
        let at = Nanos(record.at_ns);
        match self.connections.remove(&record.cookie) {
            Some(Tapped::Talk(mut recording)) => {
                recording.end(at, None, &mut self.memory, lines);
                self.missing += recording.missing;
                self.unread.older += u64::from(recording.is_unread());
            }
            Some(Tapped::Dns(connection)) => {
                self.missing += connection.missing;
                connection.end(&mut self.memory);
                let Self { lookups, names, .. } = self;
                lookups.closed(at, record.cookie, &mut |lookup| {
                    names.learn(&lookup);
                    lines.dns(&lookup);
                });
            }
            None => self.never_established(record, Errno::ETIMEDOUT, lines),
        }
    }

    /// A connect that came to nothing.
    fn never_established(&mut self, record: &Record, errno: Errno, lines: &mut Lines) {
        let Some((process, asked)) = self.owners.remove(&record.cookie) else { return };
        if record.kind == Kind::Connecting as u16 {
            return;
        }
        let mut peer = self.peer(record);
        peer.process = Some(process);
        let exchanges = Exchanges::new(Direction::Outbound, peer, asked);
        exchanges.end(Nanos(record.at_ns), Ending::DialFailed(errno), lines);
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
        if record.flags & flag::RST != 0 && self.owners.contains_key(&record.cookie) {
            self.never_established(record, Errno::ECONNREFUSED, lines);
            return false;
        }
        // The end of something that was never read.
        if bytes.is_empty() {
            return false;
        }
        let Some(direction) = self.direction(record, bytes) else { return false };
        let peer = self.peer(record);
        let tapped = if direction == Direction::Outbound && record.remote_port == DNS_PORT {
            Tapped::Dns(Box::new(DnsConnection::new(peer, None)))
        } else {
            let target = if direction == Direction::Inbound { Sender::Server } else { Sender::Client };
            let number = peer.connection;
            let exchanges = Exchanges::new(direction, peer, Nanos(record.at_ns));
            Tapped::Talk(Box::new(Recording::new(number, Connection::joined(target), exchanges)))
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
        peer.process = self.owners.get(&record.cookie).map(|(process, _)| process.clone());
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
            self.unread.too_many += 1;
            return false;
        }
        self.connections.insert(cookie, tapped);
        true
    }

    fn peer(&self, record: &Record) -> Peer {
        let (local, remote) = ends(record);
        Peer {
            connection: if record.kind == Kind::Datagram as u16 { 0 } else { self.numbers.next() },
            local: (local.port() != 0).then_some(local),
            peer: remote,
            process: None,
            name: self.name_of(remote, Nanos(record.at_ns)).map(str::to_owned),
        }
    }
}

/// The target's end and the other.
fn ends(record: &Record) -> (SocketAddr, SocketAddr) {
    let address = |ip: Ip, port: u16| SocketAddr::new(ip.into(), port);
    (address(record.local, record.local_port), address(record.remote, record.remote_port))
}

fn segment<'a>(record: &Record, bytes: &'a [u8], target: Sender) -> Segment<'a> {
    let set = |bit: u16| record.flags & bit != 0;
    let from = if set(flag::INGRESS) { super::connection::opposite(target) } else { target };
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

fn process(task: &Task) -> Process {
    let name = task.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    Process {
        pid: task.pid,
        tid: task.tid,
        own: (task.own_pid != 0 && task.own_pid != task.pid).then_some((task.own_pid, task.own_tid)),
        comm: String::from_utf8_lossy(name).into_owned(),
    }
}
