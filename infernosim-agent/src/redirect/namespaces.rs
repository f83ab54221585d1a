use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{HashMap, MapData, MapError};
use infernosim_common::{Ip, Listeners, LocalAddress};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrLike as _;
use nix::sys::socket::SockaddrStorage;

use super::load::broken_object;
use crate::error::Result;

/// The network namespaces in which the proxy listens, by cookie.
pub struct Namespaces {
    maps: Mutex<Maps>,
}

struct Maps {
    listeners: HashMap<MapData, u64, Listeners>,
    addresses: HashMap<MapData, LocalAddress, u8>,
}

impl Namespaces {
    pub(super) const fn new(
        listeners: HashMap<MapData, u64, Listeners>,
        addresses: HashMap<MapData, LocalAddress, u8>,
    ) -> Self {
        Self { maps: Mutex::new(Maps { listeners, addresses }) }
    }

    /// Redirects connects made in a namespace to these ports, which are in it; `addresses` are its own, where a
    /// connect to a closed port must fail natively.
    pub fn serve(&self, cookie: u64, ports: Listeners, addresses: &[IpAddr]) -> Result<()> {
        let mut maps = self.maps();
        for address in addresses {
            // A full map only leaves the rest to be treated like remote addresses.
            let _ = maps.addresses.insert(LocalAddress { netns: cookie, address: Ip::from(*address) }, 1, 0);
        }
        maps.listeners.insert(cookie, ports, 0).map_err(broken_object)
    }

    /// Redirects them no longer.
    pub fn forget(&self, cookie: u64) {
        let mut maps = self.maps();
        let _ = maps.listeners.remove(&cookie);
        let stale: Vec<_> = maps
            .addresses
            .keys()
            .filter_map(std::result::Result::ok)
            .filter(|local| local.netns == cookie)
            .collect();
        for local in stale {
            let _ = maps.addresses.remove(&local);
        }
    }

    /// Whether this thread may look into the map; false where the kernel asks for a capability it lacks.
    pub fn can_be_read(&self) -> bool {
        // A namespace that is not there is an answer, too.
        !matches!(self.maps().listeners.get(&0, 0), Err(MapError::SyscallError(_)))
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses of this thread's network namespace besides loopback. What cannot be listed is only treated
/// like a remote address.
pub fn own_addresses() -> Vec<IpAddr> {
    getifaddrs().into_iter().flatten().filter_map(|interface| ip(interface.address.as_ref()?)).collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    match address.family()? {
        nix::sys::socket::AddressFamily::Inet => address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip())),
        nix::sys::socket::AddressFamily::Inet6 => {
            address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()).ip())
        }
        _ => None,
    }
}
