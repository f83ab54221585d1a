use std::os::unix::fs::MetadataExt as _;

use infernosim_common::TaskOffsets;

use crate::error::{Exit, ExpectedError, Result};
use crate::target::btf::Btf;

/// Where the running kernel keeps what the programs need of a task. Fails where it has no BTF that tells.
pub fn task_offsets() -> Result<TaskOffsets> {
    let btf = Btf::of_kernel()?;
    let offset = |structure: &str, member: &str| {
        btf.offset(structure, member).ok_or_else(|| {
            ExpectedError::new(Exit::Host, format!("its BTF has no {member} in struct {structure}"))
        })
    };
    let number_size = btf.size("upid").unwrap_or(0);
    let own_namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino());
    Ok(TaskOffsets {
        tgid: offset("task_struct", "tgid")?,
        leader: offset("task_struct", "group_leader")?,
        signal: offset("task_struct", "signal")?,
        live: offset("signal_struct", "live")?,
        thread_pid: offset("task_struct", "thread_pid")?,
        level: offset("pid", "level")?,
        numbers: offset("pid", "numbers")?,
        number_size,
        nr: offset("upid", "nr")?,
        namespace: offset("upid", "ns")?,
        inum: offset("pid_namespace", "ns.inum")?,
        // Inode numbers of namespaces fit 32 bits (struct ns_common).
        own_namespace: u32::try_from(own_namespace).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_tells_different_places_for_different_members() {
        let offsets = task_offsets().unwrap();
        assert!(offsets.number_size >= 16 && offsets.own_namespace != 0);
        let members = [offsets.tgid, offsets.leader, offsets.signal, offsets.thread_pid];
        let distinct: std::collections::BTreeSet<u32> = members.into_iter().collect();
        assert_eq!(distinct.len(), members.len());
    }
}
