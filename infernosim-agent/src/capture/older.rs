use std::collections::{BTreeMap, BTreeSet};

use infernosim_common::tap::Role;

use crate::redirect::OlderRoles;
use crate::target::older::{Listener, Older, OlderSockets, Opened};
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

/// What is to be done about what was open before.
pub struct Plan<'a> {
    /// The target's.
    pub processes: &'a [u32],
    /// Those of our listeners, to which redirected connections go.
    pub ports: BTreeSet<u16>,
    /// Connections that the target opened are reset; it then makes new ones.
    pub recycle: bool,
    /// They are tapped.
    pub tapped: bool,
    /// It has not begun to run: what it has open it inherited.
    pub launched: bool,
    /// The ids of the cgroups that the kernel half is attached to, and of those below.
    pub cgroups: BTreeSet<u64>,
}

/// Looks for what the processes had open, in each of their network namespaces, and tells the tap what it is. To be
/// called once connects are redirected: then every connection is redirected, or in this survey; and twice: what is
/// accepted while the tap does not know the listener yet is found by the second look.
pub fn survey(plan: &Plan<'_>, roles: &mut OlderRoles) -> Survey {
    let mut survey = Survey::default();
    let mut by_namespace = BTreeMap::new();
    for process in plan.processes {
        if let Some(namespace) = network_namespace(*process) {
            by_namespace.entry(namespace).or_insert(*process);
        }
    }
    for process in by_namespace.into_values() {
        let looked = within_namespace_of(process, || {
            let mut sockets = OlderSockets::of_this_namespace()?;
            let first = sockets.find(plan.processes)?;
            let listeners = first.listeners.iter().map(|listener| listener.cookie);
            for cookie in listeners.chain(first.datagrams) {
                roles.tell(cookie, Role::Unconnected);
            }
            let found = sockets.find(plan.processes)?;
            for connection in &found.connections {
                roles.tell(connection.cookie, role(connection.opened));
            }
            Ok((sockets, found))
        });
        match looked {
            Ok((sockets, found)) => survey.add(sockets, &found, plan),
            Err(error) => {
                let whose = format!("in the network namespace of process {process}");
                survey.complain(format!("connections that were open before {whose} are not known: {error}"));
            }
        }
    }
    survey
}

const fn role(opened: Opened) -> Role {
    match opened {
        Opened::Inbound => Role::OlderInbound,
        Opened::Outbound => Role::OlderOutbound,
        Opened::Unclear => Role::Older,
    }
}

impl Survey {
    fn add(&mut self, mut sockets: OlderSockets, found: &Older, plan: &Plan<'_>) {
        let ours =
            |remote: &std::net::SocketAddr| remote.ip().is_loopback() && plan.ports.contains(&remote.port());
        // Where the cgroups cannot be listed, nothing is known of the sockets.
        let known = !plan.cgroups.is_empty();
        let elsewhere =
            |it: &&Listener| known && it.cgroup.is_some_and(|cgroup| !plan.cgroups.contains(&cgroup));
        // A process that has not begun to run has our own sockets open, until it executes CMD.
        let foreign = found.listeners.iter().filter(|it| !(plan.launched && ours(&it.local)));
        for listener in foreign.filter(elsewhere) {
            self.count("listeners-of-another-cgroup", 1);
            let at = listener.local;
            self.complain(format!(
                "what comes in at {at} is not recorded: its socket was made in another cgroup"
            ));
        }
        if plan.launched {
            return;
        }
        let outbound =
            found.connections.iter().filter(|it| it.opened != Opened::Inbound && !ours(&it.remote));
        for connection in outbound {
            // One that may be a client's of the target's is not for us to break.
            if plan.recycle && connection.opened == Opened::Outbound {
                match sockets.recycle(connection) {
                    Ok(reset) => self.recycled += u64::from(reset),
                    Err(error) => {
                        self.count("older-connections", 1);
                        self.complain(format!("an older connection cannot be reset: {error}"));
                    }
                }
            } else if !plan.tapped {
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
