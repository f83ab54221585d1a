//! Which threads of the target read and write: what causes are found by.

use infernosim_common::tap::{Record, Role, Task, flag};

use super::owners::process;
use crate::clock::Nanos;
use crate::incident::Lines;
use crate::incident::cause::{Touch, Turn, Who};

/// A record of [`infernosim_common::tap::Kind::Touched`]: of a connection that the target accepted, or, as the error, of
/// one that it opened. `None` if it is too short.
pub fn touch(record: &Record, bytes: &[u8]) -> Option<Result<Touch, Turn>> {
    let task = Task::read(bytes)?;
    let (at, who) = (Nanos(record.at_ns), Who { pid: task.pid, tid: task.tid });
    if record.role != Role::Inbound as u16 {
        return Some(Err(Turn { offset: record.offset(), at, who }));
    }
    Some(Ok(Touch {
        socket: record.cookie,
        at,
        reads: record.flags & flag::INGRESS != 0,
        offset: Some(record.offset()),
        who,
        strays: record.flags & flag::STRAY != 0,
    }))
}

/// Takes in such a record: where something was read it follows those of the bytes; where something was written it may
/// come before or after them.
pub fn touched(record: &Record, bytes: &[u8], lines: &mut Lines) {
    let Some(causes) = lines.causes() else { return };
    match touch(record, bytes) {
        Some(Ok(touch)) => {
            causes.touched(&touch);
            // What a thread is called comes with what it reads first on a connection.
            if let Some(task) = Task::read(bytes).filter(|task| task.comm[0] != 0) {
                lines.reads(process(&task));
            }
        }
        Some(Err(turn)) => causes.turned(record.cookie, turn),
        None => {}
    }
}
