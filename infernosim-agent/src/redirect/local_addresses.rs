use std::net::{IpAddr, SocketAddr};

use aya::maps::{HashMap, MapData};
use infernosim_common::Ip;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrLike as _;
use nix::sys::socket::SockaddrStorage;

/// Tells the kernel half which addresses besides loopback are this host's own, so that a connect to a closed
/// port on one of them fails natively. What cannot be listed is only treated like a remote address.
pub fn fill(map: &mut HashMap<&mut MapData, Ip, u8>) {
    for interface in getifaddrs().into_iter().flatten() {
        if let Some(address) = interface.address.as_ref().and_then(ip) {
            // A full map (4,096 addresses) only leaves the rest out.
            let _ = map.insert(Ip::from(address), 1, 0);
        }
    }
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
