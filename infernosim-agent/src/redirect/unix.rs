//! Connections of the target to UNIX sockets: not recorded, but counted, and those to resolvers by name.

use std::collections::BTreeMap;

use aya::maps::PerCpuHashMap;
use aya::programs::RawTracePoint;
use infernosim_common::{Counter, SocketOffsets, UnixPath};

use super::Redirect;
use super::load::program_refused;
use crate::target::btf::Btf;

/// Where names are looked up otherwise than by DNS: nscd(8), systemd-resolved(8), avahi-daemon(8).
const RESOLVERS: [&str; 3] = ["/run/nscd/", "/run/systemd/resolve/", "/run/avahi-daemon/"];

/// Where the running kernel keeps what the programs need of a socket; `None` where its BTF does not tell.
pub fn socket_offsets() -> Option<SocketOffsets> {
    let btf = Btf::of_kernel().ok()?;
    let call_length = btf.offset("bpf_sock_addr_kern", "uaddrlen");
    let call_address = call_length.and_then(|_| btf.offset("bpf_sock_addr_kern", "uaddr"));
    Some(SocketOffsets {
        family: btf.offset("sock", "__sk_common.skc_family")?,
        state: btf.offset("sock", "__sk_common.skc_state")?,
        address: btf.offset("unix_sock", "addr")?,
        name: btf.offset("unix_address", "name")?,
        error: btf.offset("sock", "sk_err")?,
        call_address: call_address.unwrap_or(0),
        call_length: call_length.unwrap_or(0),
    })
}

impl Redirect {
    /// Counts connections to UNIX sockets from now on. What cannot be done of that is an error, but none that keeps
    /// a capture from going on: the tracepoint came with Linux 6.3, and its socket is in kernel memory, which may not
    /// be readable.
    pub fn watch_unix(&mut self) -> Result<(), String> {
        let cannot = |why: String| {
            format!("connections to UNIX sockets that are made from now on are not counted here: {why}")
        };
        if !self.knows_sockets {
            return Err(cannot("the kernel does not tell where its sockets keep their addresses".to_owned()));
        }
        let program =
            self.program::<RawTracePoint>("on_data_ready").map_err(|error| cannot(error.message))?;
        program.load().map_err(|error| cannot(program_refused("load on_data_ready", &error).message))?;
        let attached = program.attach("sk_data_ready").map(|_| ());
        attached.map_err(|error| cannot(format!("no tracepoint sk_data_ready (Linux 6.3): {error}")))
    }

    /// What is to be said of them as unmediated: `unix-resolver PATH` for each resolver, `unix-sockets` for all
    /// others.
    pub fn unix_connects(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let mut others = self.count(Counter::UnixConnects);
        for (path, count) in self.unix_paths().into_iter().filter(|(path, _)| is_resolver(path)) {
            others = others.saturating_sub(count);
            counts.insert(format!("unix-resolver {path}"), count);
        }
        if others > 0 {
            counts.insert("unix-sockets".to_owned(), others);
        }
        counts
    }

    fn unix_paths(&self) -> BTreeMap<String, u64> {
        let Some(map) = self.ebpf.map("UNIX_SOCKETS") else { return BTreeMap::new() };
        let Ok(map) = PerCpuHashMap::<_, UnixPath, u64>::try_from(map) else { return BTreeMap::new() };
        let entries = map.iter().flatten();
        entries.map(|(path, counts)| (shown(&path), counts.iter().sum())).collect()
    }
}

/// Both `/run` and, where that is the same, `/var/run`.
fn is_resolver(path: &str) -> bool {
    let path = path.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(path);
    RESOLVERS.iter().any(|resolver| path.starts_with(resolver))
}

/// It is somebody else's text: control characters do not reach a terminal.
fn shown(path: &UnixPath) -> String {
    let length = path.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(&path[..length]);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> UnixPath {
        let mut path = [0; 108];
        path[..text.len()].copy_from_slice(text.as_bytes());
        path
    }

    #[test]
    fn paths_are_shown_without_what_moves_a_terminal() {
        assert_eq!(shown(&path("/run/nscd/socket")), "/run/nscd/socket");
        assert_eq!(shown(&path("/tmp/\x1b[1m")), "/tmp/\u{fffd}[1m");
        assert_eq!(shown(&path(&"x".repeat(108))), "x".repeat(108));
        assert_eq!(shown(&path("")), "");
    }

    #[test]
    fn resolvers_are_known_by_their_paths() {
        for path in ["/run/nscd/socket", "/var/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"] {
            assert!(is_resolver(path), "{path}");
        }
        for path in ["/run/dbus/system_bus_socket", "/run/nscd", "@/run/nscd/socket", "/tmp/run/nscd/socket"]
        {
            assert!(!is_resolver(path), "{path}");
        }
    }

    #[test]
    fn this_kernel_tells_where_a_socket_has_its_address() {
        let offsets = socket_offsets().unwrap();
        assert!(offsets.family < offsets.state && offsets.state < offsets.address);
        assert!(offsets.name > 0);
    }
}
