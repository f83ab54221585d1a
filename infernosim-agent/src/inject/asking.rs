//! Lookups by TCP: messages with their length before each (RFC 1035 section 4.2.2), both ways.

use std::io;

use socket2::SockRef;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::Mutex;

use super::lookups::{Met, learn, meet};
use super::shared::Shared;
use super::side::write_all;

/// The port of resolvers.
pub const PORT: u16 = 53;

/// Serves a connection to a resolver, until one of the two breaks, or both have ended.
pub async fn serve(shared: &Shared, mut client: TcpStream, mut server: TcpStream) {
    let ended = {
        let (mut from_client, to_client) = client.split();
        let (mut from_server, to_server) = server.split();
        // Our own answers come between the resolver's, never within one.
        let (to_client, to_server) = (Mutex::new(to_client), to_server);
        let up = async {
            while let Some(query) = message(&mut from_client).await? {
                match meet(shared, &query[2..]).await {
                    Met::Passes => write_all(to_server.as_ref(), &query).await?,
                    Met::Own(answer) => write_all(to_client.lock().await.as_ref(), &framed(&answer)).await?,
                    Met::Nothing => {}
                }
            }
            SockRef::from(to_server.as_ref()).shutdown(std::net::Shutdown::Write)
        };
        let down = async {
            while let Some(answer) = message(&mut from_server).await? {
                learn(shared, &answer[2..]);
                write_all(to_client.lock().await.as_ref(), &answer).await?;
            }
            SockRef::from(to_client.lock().await.as_ref()).shutdown(std::net::Shutdown::Write)
        };
        tokio::try_join!(up, down)
    };
    // Else both close with a RST, as they do unless told otherwise.
    if ended.is_ok() {
        for stream in [&client, &server] {
            let _ = SockRef::from(stream).set_linger(None);
        }
    }
}

/// The next message with its length; none at the end.
async fn message(from: &mut ReadHalf<'_>) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; 2 + usize::from(length)];
    message[..2].copy_from_slice(&length.to_be_bytes());
    from.read_exact(&mut message[2..]).await?;
    Ok(Some(message))
}

fn framed(answer: &[u8]) -> Vec<u8> {
    let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), &answer[..usize::from(length)]].concat()
}
