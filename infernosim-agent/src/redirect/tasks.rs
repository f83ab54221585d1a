use infernosim_common::TaskOffsets;
use crate::error::Result;
/// stub
pub fn task_offsets() -> Result<TaskOffsets> {
    use std::os::unix::fs::MetadataExt as _;
    let own_namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |it| it.ino() as u32);
    Ok(TaskOffsets { tgid: 1268, leader: 1328, signal: 1848, live: 4, thread_pid: 1368, level: 4, numbers: 144,
        number_size: 16, nr: 0, namespace: 8, inum: 112 + 24, own_namespace })
}
