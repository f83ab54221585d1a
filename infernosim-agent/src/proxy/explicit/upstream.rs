//! Connections to those that were asked for.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::authority::Authority;
use super::buffer::Buffer;
use super::shared::{Common, Slot};
use super::wire::prepare;
use crate::clock;
use crate::protocol::Sender;
use crate::proxy::{What, socket};

/// An address gets at least this long before the next one of the same name is tried.
const LEAST: Duration = Duration::from_secs(2);

/// A connection to whom a client asked for. It belongs to that client's connection alone, as if the client had
/// made it itself.
pub struct Upstream {
    pub stream: TcpStream,
    pub slot: Slot,
    /// What came and was not passed on yet.
    pub buffer: Buffer,
    /// Whether it has served an exchange.
    pub used: bool,
}

/// A dial that led nowhere.
#[derive(Debug)]
pub enum Undialled {
    /// It failed.
    Failed {
        /// What was dialled last, if the name had an address.
        peer: Option<SocketAddr>,
        /// What the kernel said.
        errno: Option<Errno>,
        /// In one sentence.
        error: String,
    },
    /// It would have come back to us.
    Looped(String),
    /// The client's connection broke meanwhile.
    GivenUp(Errno),
}

impl Upstream {
    /// Whether it can be used again: a server may close an idle connection whenever it likes. The kernel is asked,
    /// not tokio, which may not have heard of it yet.
    pub fn is_alive(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.stream).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Closes it between exchanges.
    pub fn close(self) {
        self.slot.note(What::Fin(Sender::Client));
        socket::close_with_fin(&self.stream);
    }
}

/// Connects: to all addresses of the name in turn, within the time-out.
pub async fn dial(
    common: &Common,
    local: Option<SocketAddr>,
    to: &Authority,
) -> Result<(TcpStream, SocketAddr), Undialled> {
    let begun = clock::now();
    let within = common.connect_timeout;
    let failed = |peer, errno, error: String| Undialled::Failed { peer, errno, error };
    let addresses: Vec<_> = match timeout(within, lookup_host((to.host.as_str(), to.port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            let errno = error.raw_os_error().map(Errno::from_raw);
            return Err(failed(None, errno, format!("the name {} could not be resolved: {error}", to.host)));
        }
        Err(_) => {
            let error = format!("the name {} was not resolved within {within:?}", to.host);
            return Err(failed(None, Some(Errno::ETIMEDOUT), error));
        }
    };
    let mut last = failed(None, None, format!("the name {} has no address", to.host));
    let count = addresses.len();
    for (at, address) in addresses.into_iter().enumerate() {
        if is_own(common, local, address) {
            return Err(Undialled::Looped(format!("{to} is this proxy itself")));
        }
        let left = within.saturating_sub(Duration::from_nanos(clock::now().since(begun)));
        let share = (left / (count - at) as u32).max(LEAST).min(left);
        last = match timeout(share, connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(errno)) => {
                failed(Some(address), Some(errno), format!("{to} could not be reached: {address}: {errno}"))
            }
            Err(_) => {
                let error = format!("{to} could not be reached: {address} did not answer within {share:.0?}");
                failed(Some(address), Some(Errno::ETIMEDOUT), error)
            }
        };
    }
    Err(last)
}

async fn connect(to: SocketAddr) -> Result<TcpStream, Errno> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket =
        socket.and_then(|socket| prepare(&socket).map(|()| socket)).map_err(|error| socket::errno(&error))?;
    socket.connect(to).await.map_err(|error| socket::errno(&error))
}

/// Whether a connect there would come to our own listener; `local` is where the client reached us.
fn is_own(common: &Common, local: Option<SocketAddr>, to: SocketAddr) -> bool {
    let ip = to.ip().to_canonical();
    common.own.iter().filter(|own| own.port() == to.port()).any(|own| {
        let here = own.ip().to_canonical();
        let any = here.is_unspecified()
            && (ip.is_loopback() || Some(ip) == local.map(|local| local.ip().to_canonical()));
        here == ip || any || (ip.is_unspecified() && (here.is_loopback() || here.is_unspecified()))
    })
}
