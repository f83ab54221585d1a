//! Two parties on one connection, each of which knows what both send and when which of them ends it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::SockRef;

use super::{lines, say};
use crate::harness::{Tcp, sha256};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The client shuts its half down; the server sends its second half after it has seen that.
    ClientFirst,
    /// The other way round.
    ServerFirst,
    /// Each shuts its half down when it has sent everything.
    Together,
    /// The client resets the connection when everything has arrived at both.
    ClientResets,
    /// The server does.
    ServerResets,
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scenario {
    pub seed: u64,
    /// Bytes the client sends.
    pub up: usize,
    /// Bytes the server sends.
    pub down: usize,
    /// The streams begin like protocols, and break their rules.
    pub hostile: bool,
    /// Bytes of the largest write.
    pub chunk: usize,
    /// One write in so many is followed by a pause; 0: none.
    pub pause: u64,
    pub ending: Ending,
}

/// What one party saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its address of its own.
    pub local: String,
    pub read: usize,
    pub sha256: String,
    /// `fin`, `reset`, or what else the reads ended with.
    pub end: String,
    /// What went wrong with the writes, if anything.
    pub write_error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// Beginnings of what relays and codecs take interest in, and things that break them.
const HOSTILE: [&[u8]; 14] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\nHTTP/1.1 101 Up\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x16\x03\x01\xff\xff\x01\xff\xff\xff",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-1\r\n",
    b"GET / HTTP/1.1\r\nx:\x00\x01\x02\xff\r\n \r\n\r\n",
    b"HEAD / HTTP/1.0\n\nGET\t/ HTTP/9.9\r\n",
    b"\xff\xfe\x00\x00\x00",
];

impl Scenario {
    /// What `role` sends. A stream that is not hostile begins with a byte that no protocol begins with.
    pub fn stream(&self, role: Role) -> Vec<u8> {
        let (length, salt) = if role == Role::Client { (self.up, 1) } else { (self.down, 2) };
        let mut random = Random(self.seed.wrapping_mul(4).wrapping_add(salt));
        let mut bytes = Vec::with_capacity(length + 128);
        if !self.hostile {
            bytes.push(0);
        }
        while bytes.len() < length {
            if self.hostile && (bytes.len() < 200 || random.below(4) == 0) {
                bytes.extend_from_slice(HOSTILE[random.below(HOSTILE.len() as u64) as usize]);
            }
            let run = if self.hostile { random.below(200) } else { 4096 };
            bytes.extend((0..run).map(|_| random.next() as u8));
        }
        bytes.truncate(length);
        bytes
    }

    fn resetter(&self) -> Option<Role> {
        match self.ending {
            Ending::ClientResets => Some(Role::Client),
            Ending::ServerResets => Some(Role::Server),
            _ => None,
        }
    }

    /// Who sends its second half after the other's end.
    fn second(&self) -> Option<Role> {
        match self.ending {
            Ending::ClientFirst => Some(Role::Server),
            Ending::ServerFirst => Some(Role::Client),
            _ => None,
        }
    }

    /// What the party that plays against `role` must have seen.
    pub fn expected_of_other(&self, role: Role) -> (usize, String, &'static str) {
        let stream = self.stream(role);
        let end = if self.resetter() == Some(role) { "reset" } else { "fin" };
        (stream.len(), sha256(&stream), end)
    }
}

/// xorshift64*: the same on both sides.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// The client program: a line of standard input is an address and a scenario, a line of its own the report.
pub fn run() {
    say("READY");
    for line in lines() {
        let (addr, scenario): (SocketAddr, Scenario) = serde_json::from_str(&line).unwrap();
        let stream = TcpStream::connect(addr).unwrap();
        let report = play(stream, &scenario, Role::Client);
        say(&format!("REPORT {}", serde_json::to_string(&report).unwrap()));
    }
}

/// Plays one part to the connection's end.
pub fn play(stream: TcpStream, scenario: &Scenario, role: Role) -> Report {
    let local = stream.local_addr().unwrap().to_string();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let (progress, read_all) = channel();
    let resets = scenario.resetter() == Some(role);
    let awaited = if role == Role::Client { scenario.down } else { scenario.up };
    let reader = {
        let stream = stream.try_clone().unwrap();
        // Whoever resets knows when it has everything; all others read until the end.
        let stop = resets.then_some(awaited);
        std::thread::spawn(move || read(&stream, awaited, stop, &progress))
    };
    let write_error = write(&stream, scenario, role, &read_all).err();
    let (read, sha256, end) = reader.join().unwrap();
    if resets {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let write_error = write_error.map_or_else(String::new, |error| error.to_string());
    Report { local, read, sha256, end, write_error }
}

/// Bytes, their hash, and how it ended. Says when everything has come, and when the end has.
fn read(
    mut stream: &TcpStream,
    awaited: usize,
    stop: Option<usize>,
    progress: &Sender<&'static str>,
) -> (usize, String, String) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut told = false;
    let end = loop {
        if !told && bytes.len() >= awaited {
            told = true;
            let _ = progress.send("all");
        }
        if stop.is_some_and(|length| bytes.len() >= length) {
            break "resets".to_owned();
        }
        match stream.read(&mut buffer) {
            Ok(0) => break "fin".to_owned(),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break "reset".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    let _ = progress.send("end");
    (bytes.len(), sha256(&bytes), end)
}

fn write(
    stream: &TcpStream,
    scenario: &Scenario,
    role: Role,
    read_all: &Receiver<&'static str>,
) -> std::io::Result<()> {
    let bytes = scenario.stream(role);
    let mut random = Random(scenario.seed.wrapping_add(role as u64 + 77));
    let is_reset = scenario.resetter().is_some();
    // Held back until the other's end, or until everything has come, so that no reset meets bytes in flight.
    let (first, wait_for) = if scenario.second() == Some(role) {
        (bytes.len() / 2, Some("end"))
    } else if is_reset && scenario.resetter() != Some(role) {
        (bytes.len() - 1, Some("all"))
    } else {
        (bytes.len(), None)
    };
    send(stream, &bytes[..first], scenario, &mut random)?;
    if let Some(word) = wait_for {
        while read_all.recv_timeout(Duration::from_secs(20)).is_ok_and(|said| said != word) {}
    }
    send(stream, &bytes[first..], scenario, &mut random)?;
    if !is_reset {
        stream.shutdown(Shutdown::Write)?;
    }
    Ok(())
}

fn send(
    mut stream: &TcpStream,
    bytes: &[u8],
    scenario: &Scenario,
    random: &mut Random,
) -> std::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = 1 + random.below(scenario.chunk as u64) as usize;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        stream.write_all(piece)?;
        if scenario.pause > 0 && random.below(scenario.pause) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(2000)));
        }
        rest = after;
    }
    Ok(())
}

/// Without us every scenario ends as it says, or the expectations are wrong.
pub fn control() {
    for hostile in [false, true] {
        for ending in [
            Ending::ClientFirst,
            Ending::ServerFirst,
            Ending::Together,
            Ending::ClientResets,
            Ending::ServerResets,
        ] {
            let scenario = Scenario { seed: 5, up: 70_000, down: 3, hostile, chunk: 5000, pause: 4, ending };
            let theirs = scenario.clone();
            let server = Tcp::start(move |stream| play(stream, &theirs, Role::Server));
            let client = play(TcpStream::connect(server.addr).unwrap(), &scenario, Role::Client);
            assert_as_expected(&scenario, &client, &server.result());
        }
    }
}

/// Both have seen everything that the other sent, and its end.
pub fn assert_as_expected(scenario: &Scenario, client: &Report, server: &Report) {
    for (role, report) in [(Role::Client, server), (Role::Server, client)] {
        let (length, sha256, end) = scenario.expected_of_other(role);
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let end = if scenario.resetter() == Some(other) { "resets" } else { end };
        assert_eq!(
            (report.read, &report.sha256, report.end.as_str(), report.write_error.as_str()),
            (length, &sha256, end, ""),
            "what {role:?} sent in {scenario:?}"
        );
    }
}
