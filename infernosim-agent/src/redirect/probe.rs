use aya::Btf;
use aya::programs::{Iter, Program, ProgramError};

use super::load::program_refused;
use super::{Redirect, Setting, touches};
use crate::error::{Exit, ExpectedError, Result};

/// A program of the kernel half and whether this kernel takes it.
pub type Tried = (String, Result<()>);

/// Makes the maps and then has the verifier look at each program alone. Nothing is attached, and nothing stays.
/// Fails where not even the maps can be made.
pub fn probe_programs(setting: &Setting) -> Result<Vec<Tried>> {
    let mut ebpf = Redirect::open(setting, false)?;
    let mut tried: Vec<Tried> =
        ebpf.programs_mut().map(|(name, program)| (plain(name), load(name, program))).collect();
    tried.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(tried)
}

/// `connect4` of `on_connect4`.
fn plain(name: &str) -> String {
    name.strip_prefix("on_").unwrap_or(name).to_owned()
}

fn load(name: &str, program: &mut Program) -> Result<()> {
    let loaded = match program {
        Program::CgroupSockAddr(it) => it.load(),
        Program::CgroupSock(it) => it.load(),
        Program::CgroupSkb(it) => it.load(),
        Program::SockOps(it) => it.load(),
        Program::RawTracePoint(it) => it.load(),
        Program::Iter(it) => load_iterator(it),
        Program::BtfTracePoint(it) => touches::load(it, &plain(name)),
        _ => return Err(ExpectedError::new(Exit::Bug, format!("{name} is of a kind that nobody loads"))),
    };
    loaded.map_err(|error| program_refused(&format!("load {}", plain(name)), &error))
}

fn load_iterator(iterator: &mut Iter) -> std::result::Result<(), ProgramError> {
    iterator.load("task", &Btf::from_sys_fs()?)
}
