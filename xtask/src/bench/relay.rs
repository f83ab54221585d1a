//! The least that a TCP relay in user space can do, and so the measure for what recording adds: one thread,
//! edge-triggered epoll, one buffer for all connections, nothing kept of what passes.

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

const BUFFER: usize = 256 << 10;
const EVENTS: usize = 512;
/// Marks the listener's events; a connection's are its index and its side.
const LISTENER: u64 = u64::MAX;
const CLIENT: usize = 0;
const UPSTREAM: usize = 1;

/// One direction of a connection; 0 is from the client to the upstream.
#[derive(Default)]
struct Way {
    /// What the receiver did not take yet. Nothing is read before it is gone.
    pending: Vec<u8>,
    /// How much of that it has taken since.
    sent: usize,
    /// The sender has finished.
    ended: bool,
    /// The receiver has been told.
    passed_on: bool,
}

struct Connection {
    ends: [TcpStream; 2],
    ways: [Way; 2],
    connected: bool,
}

/// Relays from `listen` to `upstream` until it is killed.
///
/// # Errors
/// When it cannot listen, or epoll fails.
pub fn run(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let listener = listen_on(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            count => count?,
        };
        // An index is given away again only after all events of this turn: a later one may still mean the old owner.
        let mut dead = Vec::new();
        for event in &events[..count] {
            if event.data() == LISTENER {
                accept_all(&listener, upstream, &epoll, &mut connections, &mut free)?;
                continue;
            }
            let (index, side) = ((event.data() >> 1) as usize, (event.data() & 1) as usize);
            let Some(connection) = &mut connections[index] else { continue };
            if !connection.on_event(side, event.events(), &mut buffer).unwrap_or(false) {
                connections[index] = None;
                dead.push(index);
            }
        }
        free.append(&mut dead);
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn accept_all(
    listener: &TcpListener,
    upstream: SocketAddr,
    epoll: &Epoll,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> Result<()> {
    loop {
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("cannot accept"),
        };
        client.set_nonblocking(true)?;
        let server = dial(upstream).context("cannot make a socket for the upstream")?;
        let index = free.pop().unwrap_or(connections.len());
        if index == connections.len() {
            connections.push(None);
        }
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let data = |side: usize| (index as u64) << 1 | side as u64;
        epoll.add(&server, EpollEvent::new(flags, data(UPSTREAM)))?;
        epoll.add(&client, EpollEvent::new(flags, data(CLIENT)))?;
        connections[index] =
            Some(Connection { ends: [client, server], ways: Default::default(), connected: false });
    }
}

fn dial(upstream: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(upstream), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&upstream.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket.into()),
    }
}

impl Connection {
    /// Whether it goes on.
    fn on_event(&mut self, side: usize, event: EpollFlags, buffer: &mut [u8]) -> io::Result<bool> {
        let gone = event.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let last = gone || event.contains(EpollFlags::EPOLLRDHUP);
        if !self.connected {
            // What the client said meanwhile stays in its socket.
            if side == UPSTREAM && gone {
                return Ok(false);
            }
            if side == UPSTREAM && event.contains(EpollFlags::EPOLLOUT) {
                self.connected = true;
                self.pump(CLIENT, buffer, true)?;
            }
            return Ok(true);
        }
        if last || event.contains(EpollFlags::EPOLLIN) {
            self.pump(side, buffer, last)?;
        }
        if event.contains(EpollFlags::EPOLLOUT) && !self.ways[1 - side].pending.is_empty() {
            self.pump(1 - side, buffer, true)?;
        }
        Ok(!self.ways.iter().all(|way| way.passed_on))
    }

    /// Moves what can be moved in one direction. A read that did not fill the buffer has emptied the socket, and a
    /// later arrival is a new event, so only `to_the_end` reads on until there is no more.
    fn pump(&mut self, from: usize, buffer: &mut [u8], to_the_end: bool) -> io::Result<()> {
        let [client, server] = &self.ends;
        let (mut source, mut sink) = if from == CLIENT { (client, server) } else { (server, client) };
        let way = &mut self.ways[from];
        if !way.pending.is_empty() {
            way.sent += write_some(&mut sink, &way.pending[way.sent..])?;
            if way.sent < way.pending.len() {
                return Ok(());
            }
            way.pending.clear();
            way.sent = 0;
        }
        while !way.ended {
            let count = match source.read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            way.ended = count == 0;
            let sent = write_some(&mut sink, &buffer[..count])?;
            if sent < count {
                way.pending.extend_from_slice(&buffer[sent..count]);
                return Ok(());
            }
            if count < buffer.len() && !to_the_end {
                break;
            }
        }
        if way.ended && !way.passed_on {
            way.passed_on = true;
            sink.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Writes until all is taken or no more is, and gives how much was.
fn write_some(sink: &mut &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match sink.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests;
