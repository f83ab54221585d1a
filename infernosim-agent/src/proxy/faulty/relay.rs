use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::chain::{Chain, Due, Piece};
use super::{Course, Direction, Passage, Toxic};

/// A direction that holds so many bytes reads no more until some of them are written.
pub const MOST_HELD: usize = 1 << 20;
/// One read takes at most this much.
const READ: usize = 32 << 10;

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a FIN to both ends.
    Closed,
    /// With a RST to both ends.
    Reset,
}

/// One end of a direction's way.
struct Lane<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    direction: Direction,
    course: Course,
    chain: Chain,
    queue: VecDeque<Due>,
    held: usize,
    began: Instant,
    /// The sender sends no more.
    ended: bool,
    /// The other end has been told so.
    shut: bool,
}

/// Relays between two connected sockets until both have finished or one broke. `ahead` was read of the client already.
pub async fn relay(client: TcpStream, server: TcpStream, ahead: Bytes, mut course: Course) -> Ending {
    let began = Instant::now();
    let up = Lane::new(&client, &server, Direction::Upstream, course.clone(), began);
    let down = Lane::new(&server, &client, Direction::Downstream, course.clone(), began);
    let ending = {
        let (up, down) = (up.run(ahead), down.run(Bytes::new()));
        tokio::pin!(up, down);
        // A direction that has ended waits for the other; a disturbance that ends both does not.
        tokio::select! {
            () = course.cut() => Some(Ending::Reset),
            ending = &mut up => match ending { None => down.await, ending => ending },
            ending = &mut down => match ending { None => up.await, ending => ending },
        }
    };
    let ending = ending.unwrap_or(Ending::Closed);
    let linger = (ending == Ending::Reset).then_some(Duration::ZERO);
    for stream in [&client, &server] {
        let _ = SockRef::from(stream).set_linger(linger);
        if ending == Ending::Closed {
            let _ = SockRef::from(stream).shutdown(Shutdown::Write);
        }
    }
    ending
}

impl<'a> Lane<'a> {
    fn new(
        source: &'a TcpStream,
        sink: &'a TcpStream,
        direction: Direction,
        mut course: Course,
        began: Instant,
    ) -> Self {
        let chain = Chain::new(&course.toxics.borrow_and_update(), direction, course.connection);
        let queue = VecDeque::new();
        Self { source, sink, direction, course, chain, queue, held: 0, began, ended: false, shut: false }
    }

    /// Until the direction has ended, or something ends the connection.
    async fn run(mut self, ahead: Bytes) -> Option<Ending> {
        self.chain.begin(self.now(), &mut self.queue);
        if !ahead.is_empty() {
            self.take(Piece::Bytes(ahead));
        }
        let mut room = BytesMut::new();
        loop {
            let open = *self.course.passage.borrow_and_update() == Passage::Open;
            if self.ended && self.shut && self.queue.iter().all(|due| due.piece == Piece::Nothing) {
                return None;
            }
            let due = self.queue.front().map(|due| self.began + Duration::from_nanos(due.at));
            tokio::select! {
                biased;
                Ok(()) = self.course.passage.changed() => {}
                () = sleep_until(due.unwrap_or(self.began)), if open && due.is_some() => {
                    if let Some(ending) = self.deliver().await {
                        return Some(ending);
                    }
                }
                Ok(()) = self.course.toxics.changed() => self.changed(),
                read = read(self.source, &mut room), if !self.ended && self.held < MOST_HELD => match read {
                    Ok(0) => self.end(Piece::End),
                    Ok(_) => self.take(Piece::Bytes(room.split().freeze())),
                    // It is gone, whatever is held for it.
                    Err(_) if !open => return Some(Ending::Reset),
                    Err(_) => self.end(Piece::Broken),
                },
                else => return None,
            }
        }
    }

    fn end(&mut self, piece: Piece) {
        self.ended = true;
        self.take(piece);
    }

    fn take(&mut self, piece: Piece) {
        self.chain.push(self.now(), piece, &mut self.queue);
        self.held = self.queue.iter().map(|due| length(&due.piece)).sum();
    }

    /// What is due next.
    async fn deliver(&mut self) -> Option<Ending> {
        let due = self.queue.pop_front()?;
        self.held -= length(&due.piece);
        let ending = match due.piece {
            Piece::Bytes(bytes) if !self.shut => match write(self.sink, &bytes).await {
                Ok(()) => None,
                // Whoever should get it is gone.
                Err(_) => return Some(Ending::Reset),
            },
            Piece::End if !self.shut => {
                self.shut = true;
                let _ = SockRef::from(self.sink).shutdown(Shutdown::Write);
                None
            }
            Piece::Broken | Piece::Reset => Some(Ending::Reset),
            Piece::Close => Some(Ending::Closed),
            Piece::Bytes(_) | Piece::End | Piece::Nothing => None,
        };
        due.notes.into_iter().for_each(|(told, note)| told(note));
        ending
    }

    /// Other disturbances from now on: what waited goes at once, what the old ones would have done is off.
    fn changed(&mut self) {
        let toxics = Arc::clone(&self.course.toxics.borrow_and_update());
        self.chain = Chain::new(&toxics, self.direction, self.course.connection);
        let now = self.now();
        self.queue.retain(|due| !matches!(due.piece, Piece::Close | Piece::Reset));
        self.queue.iter_mut().for_each(|due| due.at = due.at.min(now));
        self.chain.begin(now, &mut self.queue);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

const fn length(piece: &Piece) -> usize {
    match piece {
        Piece::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

async fn read(source: &TcpStream, room: &mut BytesMut) -> io::Result<usize> {
    loop {
        source.readable().await?;
        room.reserve(READ);
        match source.try_read_buf(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write(sink: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        sink.writable().await?;
        match sink.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => bytes = &bytes[sent?..],
        }
    }
    Ok(())
}

/// Writes through a chain, one piece after the other: for who makes messages and has no second socket.
pub struct Drip {
    chain: Chain,
    queue: VecDeque<Due>,
    began: Instant,
}

impl Drip {
    /// Through those of this direction that hit this connection.
    pub fn new(toxics: &[Toxic], direction: Direction, connection: u64) -> Self {
        let mut it = Self {
            chain: Chain::new(toxics, direction, connection),
            queue: VecDeque::new(),
            began: Instant::now(),
        };
        it.chain.begin(0, &mut it.queue);
        it
    }

    /// Writes what becomes of these bytes, when it is due. How the connection is to end, if it is to.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn write(&mut self, sink: &TcpStream, bytes: Bytes) -> io::Result<Option<Ending>> {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if !bytes.is_empty() {
            self.chain.push(now, Piece::Bytes(bytes), &mut self.queue);
        }
        while let Some(due) = self.queue.pop_front() {
            sleep_until(self.began + Duration::from_nanos(due.at)).await;
            let ending = match due.piece {
                Piece::Bytes(bytes) => {
                    write(sink, &bytes).await?;
                    None
                }
                Piece::Broken | Piece::Reset => Some(Ending::Reset),
                Piece::Close | Piece::End => Some(Ending::Closed),
                Piece::Nothing => None,
            };
            due.notes.into_iter().for_each(|(told, note)| told(note));
            if ending.is_some() {
                return Ok(ending);
            }
        }
        Ok(None)
    }

    /// Waits until the connection's end is due.
    pub async fn end(&mut self) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.chain.push(now, Piece::End, &mut self.queue);
        while let Some(due) = self.queue.pop_front() {
            sleep_until(self.began + Duration::from_nanos(due.at)).await;
            due.notes.into_iter().for_each(|(told, note)| told(note));
        }
    }
}
