use std::collections::{BTreeMap, BTreeSet};

use crate::target::older::{Older, OlderSockets, Opened};
use crate::target::processes::network_namespace;
use crate::target::within_namespace_of;

/// What was open before the capture began.
#[derive(Debug, Default)]
pub struct Survey {
    /// For the manifest's `unmediated`.
    pub unmediated: BTreeMap<String, u64>,
    /// Connections that were reset.
    pub recycled: u64,
    /// What could not be found out or done.
    pub complaints: Vec<String>,
}

/// Looks for what the processes had open, in each of their network namespaces. To be called once connects are
/// redirected: then every connection is redirected, or in this survey. `ports` are those of our listeners, to which
/// the redirected ones go. With `recycle`, connections that the target opened are reset; it then makes new ones.
pub fn survey(processes: &[u32], ports: &BTreeSet<u16>, recycle: bool) -> Survey {
    let mut survey = Survey::default();
    let mut by_namespace = BTreeMap::new();
    for process in processes {
        if let Some(namespace) = network_namespace(*process) {
            by_namespace.entry(namespace).or_insert(*process);
        }
    }
    for process in by_namespace.into_values() {
        let looked = within_namespace_of(process, || {
            let mut sockets = OlderSockets::of_this_namespace()?;
            let found = sockets.find(processes)?;
            Ok((sockets, found))
        });
        match looked {
            Ok((sockets, found)) => survey.add(sockets, &found, ports, recycle),
            Err(error) => {
                let whose = format!("in the network namespace of process {process}");
                survey.complain(format!("connections that were open before {whose} are not known: {error}"));
            }
        }
    }
    survey
}

impl Survey {
    fn add(&mut self, mut sockets: OlderSockets, found: &Older, ports: &BTreeSet<u16>, recycle: bool) {
        let ours =
            |remote: &std::net::SocketAddr| remote.ip().is_loopback() && ports.contains(&remote.port());
        let outbound =
            found.connections.iter().filter(|it| it.opened != Opened::Inbound && !ours(&it.remote));
        for connection in outbound {
            // One that may be a client's of the target's is not for us to break.
            if recycle && connection.opened == Opened::Outbound {
                match sockets.recycle(connection) {
                    Ok(reset) => self.recycled += u64::from(reset),
                    Err(error) => {
                        self.count("older-connections", 1);
                        self.complain(format!("an older connection cannot be reset: {error}"));
                    }
                }
            } else {
                self.count("older-connections", 1);
            }
        }
        self.count("unix-sockets", found.unix.len() as u64);
    }

    fn count(&mut self, kind: &str, more: u64) {
        if more > 0 {
            *self.unmediated.entry(kind.to_owned()).or_default() += more;
        }
    }

    fn complain(&mut self, text: String) {
        if !self.complaints.contains(&text) {
            self.complaints.push(text);
        }
    }
}
