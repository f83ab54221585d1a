//! The sockets of an exchange, and what is asked of them.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::connection::read;
use crate::clock;
use crate::proxy::explicit::Buffer;
use crate::proxy::faulty::{Direction, Drip};

/// A side of the connection, and what was read of it and not passed on yet.
pub struct Side<'a> {
    pub stream: &'a TcpStream,
    pub buffer: Buffer,
}

/// Until the client has gone: true if its connection broke, false if it sent a FIN. What it sends stays unread.
pub async fn gone(client: &TcpStream) -> bool {
    match peeked(client).await {
        Ok(0) => false,
        // The next request; that it goes shows when that is read.
        Ok(_) => std::future::pending().await,
        Err(_) => true,
    }
}

/// Until the server sends something, or ends.
pub async fn speaks(server: &TcpStream) {
    let _ = peeked(server).await;
}

async fn peeked(stream: &TcpStream) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let peek = || SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
        // By tokio, which forgets that it was readable once.
        match stream.try_io(Interest::READABLE, peek) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            peeked => return peeked,
        }
    }
}

/// Reads some bytes; false at the end.
pub async fn fill(side: &mut Side<'_>) -> io::Result<bool> {
    let mut room = BytesMut::new();
    let got = read(side.stream, &mut room).await?;
    side.buffer.push(clock::now(), &room);
    Ok(got > 0)
}

/// Writes all of it.
pub async fn write_all(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut drip = Drip::new(&[], Direction::Downstream, 0);
    drip.write(stream, Bytes::copy_from_slice(bytes)).await.map(drop)
}

/// Until all that was written is sent, a second at most: a RST makes the kernel forget the rest.
pub async fn flushed(client: &TcpStream) {
    for _ in 0..200 {
        if crate::proxy::unsent(client).is_ok_and(|bytes| bytes == 0) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
