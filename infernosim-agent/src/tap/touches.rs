//! Which threads of the target read and write: what causes are found by.

use infernosim_common::tap::{Record, Role, Task, flag};

use super::owners::process;
use crate::clock::Nanos;
use crate::incident::Lines;
use crate::incident::cause::{Touch, Turn, Who};

/// Takes in a record of [`infernosim_common::tap::Kind::Touched`], which follows those of the bytes that it tells of where
/// they were read, and may come before or after them where they were written.
pub fn touched(record: &Record, bytes: &[u8], lines: &mut Lines) {
    let Some(task) = Task::read(bytes) else { return };
    let Some(causes) = lines.causes() else { return };
    let (at, who) = (Nanos(record.at_ns), Who { pid: task.pid, tid: task.tid });
    if record.role != Role::Inbound as u16 {
        return causes.turned(record.cookie, Turn { offset: record.offset(), at, who });
    }
    let reads = record.flags & flag::INGRESS != 0;
    causes.touched(&Touch {
        socket: record.cookie,
        at,
        reads,
        offset: Some(record.offset()),
        who,
        strays: record.flags & flag::STRAY != 0,
    });
    if reads {
        lines.reads(process(&task));
    }
}
