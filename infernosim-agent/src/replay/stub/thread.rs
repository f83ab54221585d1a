use std::net::{TcpListener, UdpSocket};

use super::Explicitly;
use super::shared::Shared;
use crate::proxy::Listener;

/// The sockets that a thread serves.
pub struct Doors {
    pub tcp: Vec<(TcpListener, Option<Explicitly>)>,
    pub udp: Vec<UdpSocket>,
    pub namespace: u64,
}

impl Doors {
    pub fn of(_listener: &Listener) -> std::io::Result<Self> {
        Ok(Self { tcp: Vec::new(), udp: Vec::new(), namespace: 0 })
    }
    pub fn explicit(listener: TcpListener, how: Explicitly) -> std::io::Result<Self> {
        Ok(Self { tcp: vec![(listener, Some(how))], udp: Vec::new(), namespace: 0 })
    }
}

pub fn run(_runtime: &tokio::runtime::Runtime, doors: Doors, _shared: &Shared) {
    let _ = (doors.tcp, doors.udp, doors.namespace);
}
