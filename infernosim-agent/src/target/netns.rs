use std::fs::File;
use std::io;

use nix::sched::{CloneFlags, setns};

use super::processes::network_namespace;
use crate::error::{Exit, ExpectedError, Result};

/// Does something in the network namespace of a process, on a thread of its own: there is no way back without
/// CAP_SYS_ADMIN in the namespace one comes from.
pub fn within_namespace_of<T: Send>(process: u32, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let cannot = |error: io::Error| ExpectedError::new(Exit::Host, format!("it cannot be entered: {error}"));
    // That takes no privilege.
    if network_namespace(process) == network_namespace(std::process::id()) {
        return act();
    }
    let namespace = File::open(format!("/proc/{process}/ns/net")).map_err(cannot)?;
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|error| cannot(error.into()))?;
            act()
        });
        entered.join().unwrap_or_else(|_| Err(cannot(io::Error::other("its thread panicked, a bug"))))
    })
}
