//! Which thread of the target reads and writes on a connection.

use aya::Btf;
use aya::maps::{HashMap, MapData};
use aya::programs::{BtfTracePoint, ProgramError};

use super::Redirect;
use super::load::program_refused;

/// The tracepoints; `on_` stands before their names in the programs'.
pub(super) const TOUCHES: [&str; 2] = ["sock_send_length", "sock_recv_length"];

/// Processes of which the kernel half tells no thread, since that tells nothing in them.
pub struct Loose {
    map: HashMap<MapData, u32, u8>,
}

impl Loose {
    pub(super) const fn new(map: HashMap<MapData, u32, u8>) -> Self {
        Self { map }
    }

    /// One more, as numbered in the initial pid namespace.
    pub fn tell(&mut self, process: u32) {
        // If it fails, it goes on being told: that costs time, and nothing else.
        let _ = self.map.insert(process, 1, 0);
    }
}

impl Redirect {
    /// Tells from now on which threads read and write ([`infernosim_common::tap::Kind::Touched`]). What cannot be done
    /// of that is an error, but none that keeps a capture from going on: the tracepoints came with Linux 6.3.
    pub fn watch_threads(&mut self) -> Result<(), String> {
        let cannot = |why: String| {
            format!("which thread made a call is not known here, so that fewer causes are: {why}")
        };
        if !self.knows_tasks {
            return Err(cannot("the kernel does not let its memory be read".to_owned()));
        }
        for tracepoint in TOUCHES {
            let name = format!("on_{tracepoint}");
            let program = self.program::<BtfTracePoint>(&name).map_err(|error| cannot(error.message))?;
            let missing = |error| cannot(format!("no tracepoint {tracepoint} (Linux 6.3): {error}"));
            match load(program, tracepoint) {
                Ok(()) => {}
                Err(error @ ProgramError::LoadError { .. }) => {
                    return Err(cannot(program_refused(&format!("load {name}"), &error).message));
                }
                Err(error) => return Err(missing(error)),
            }
            program.attach().map_err(missing)?;
        }
        Ok(())
    }
}

/// Has the verifier look at the program for a tracepoint, which this kernel may not have.
pub(super) fn load(program: &mut BtfTracePoint, tracepoint: &str) -> Result<(), ProgramError> {
    program.load(tracepoint, &Btf::from_sys_fs()?)
}
