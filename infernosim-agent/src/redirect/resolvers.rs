use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use infernosim_common::{Flow, FlowKey, Ip};

/// Whom a datagram that reached our DNS socket was meant for, in replay.
pub struct Resolvers {
    flows: Mutex<HashMap<MapData, FlowKey, Flow>>,
}

impl Resolvers {
    pub(super) const fn new(flows: HashMap<MapData, FlowKey, Flow>) -> Self {
        Self { flows: Mutex::new(flows) }
    }

    /// The resolver that the socket with this address asked last, and the task that did; `None` for a datagram that
    /// the kernel half did not send us. One socket may ask again at once, so that an entry stays until there is no room.
    pub fn asked(&self, namespace: u64, client: SocketAddr) -> Option<Flow> {
        let address = Ip::from(client.ip());
        let key = FlowKey { netns: namespace, address, port: u32::from(client.port()), reserved: 0 };
        self.flows.lock().unwrap_or_else(PoisonError::into_inner).get(&key, 0).ok()
    }
}
