use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use aya::maps::{HashMap, MapData};
use infernosim_common::{Flow, FlowKey, Ip};

/// Finds what a redirected connection was meant for, by the target's end of it.
pub struct OriginalDst {
    flows: Mutex<HashMap<MapData, FlowKey, Flow>>,
}

impl OriginalDst {
    pub(super) const fn new(flows: HashMap<MapData, FlowKey, Flow>) -> Self {
        Self { flows: Mutex::new(flows) }
    }

    /// The flow of the connection that the proxy accepted from `client` in this network namespace; `None` for
    /// one that the kernel half did not send us. Each flow is given once, so that nobody who gets hold of the
    /// same port later is taken for the target.
    pub fn take(&self, namespace: u64, client: SocketAddr) -> Option<Flow> {
        let address = Ip::from(client.ip());
        let key = FlowKey { netns: namespace, address, port: u32::from(client.port()), reserved: 0 };
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let flow = flows.get(&key, 0).ok()?;
        // Only fails where the entry is gone already.
        let _ = flows.remove(&key);
        Some(flow)
    }
}

/// The ORIGINAL destination of a flow.
pub fn destination(flow: &Flow) -> SocketAddr {
    SocketAddr::new(IpAddr::from(flow.destination), u16::try_from(flow.port).unwrap_or(0))
}
