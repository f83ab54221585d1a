//! The program on connect(2) to UNIX sockets, in replay. aya has no name for its hook (BPF_CGROUP_UNIX_CONNECT, Linux
//! 6.7), so that it is loaded and attached here, from the same object and with the same maps.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya_obj::Object;
use aya_obj::generated::bpf_insn;
use infernosim_common::{Counter, UnixPath};
use nix::errno::Errno;
use nix::libc;

use super::load::OBJECT;
use super::{Redirect, Setting};

/// Where names are looked up otherwise than by DNS: nscd(8), systemd-resolved(8), avahi-daemon(8).
const RESOLVERS: [&str; 3] =
    ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket"];
const NAME: &str = "on_connect_unix";
// linux/bpf.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_UNIX_CONNECT: u32 = 49;

/// The program, loaded, and where it is attached.
pub(super) struct UnixConnect {
    program: OwnedFd,
    links: Vec<OwnedFd>,
}

impl Redirect {
    /// Refuses the target's connects to resolvers that listen on UNIX sockets, in this cgroup and from now on, so that
    /// its libc asks by DNS. What cannot be done of that is an error, but none that keeps a replay from going on: those
    /// connects are then left alone.
    pub fn refuse_unix_resolvers(&mut self, cgroup: &File) -> Result<(), String> {
        let unix = self.unix.as_mut().map_err(|why| why.clone())?;
        let link = Link {
            program: unix.program.as_raw_fd() as u32,
            target: cgroup.as_raw_fd() as u32,
            attach_type: BPF_CGROUP_UNIX_CONNECT,
            flags: 0,
        };
        unix.links.push(bpf(BPF_LINK_CREATE, &link).map_err(|error| cannot(&error))?);
        Ok(())
    }

    /// How many of them were refused.
    pub fn refused_unix_resolvers(&self) -> u64 {
        self.count(Counter::UnixRefused)
    }
}

impl UnixConnect {
    /// Before the maps are given away: the program's instructions name them by their descriptors.
    pub(super) fn load(ebpf: &mut Ebpf, setting: &Setting) -> Result<Self, String> {
        if setting.replay.is_none() {
            return Err("this is no replay".to_owned());
        }
        if setting.sockets.is_none_or(|offsets| offsets.call_address == 0) {
            return Err(cannot(&"the kernel does not tell where a connect goes (Linux 6.7)"));
        }
        name_resolvers(ebpf).map_err(|error| cannot(&error))?;
        let instructions = instructions(ebpf).map_err(|error| cannot(&error))?;
        let license = c"GPL";
        let program = Program {
            kind: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            instruction_count: instructions.len() as u32,
            instructions: instructions.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log: [0; 2],
            log_buffer: 0,
            kernel_version: 0,
            flags: 0,
            name: [0; 16],
            interface: 0,
            expected_attach_type: BPF_CGROUP_UNIX_CONNECT,
        };
        let program = bpf(BPF_PROG_LOAD, &program).map_err(|error| cannot(&error))?;
        Ok(Self { program, links: Vec::new() })
    }
}

fn cannot(why: &dyn std::fmt::Display) -> String {
    format!("connects to resolvers on UNIX sockets are left alone: {why}")
}

/// Both below `/run` and, where that is the same, `/var/run`.
fn name_resolvers(ebpf: &mut Ebpf) -> Result<(), Box<dyn std::error::Error>> {
    let map = ebpf.map_mut("UNIX_REFUSED").ok_or("no UNIX_REFUSED")?;
    let mut map: HashMap<_, UnixPath, u8> = HashMap::try_from(map)?;
    for path in RESOLVERS.iter().flat_map(|path| [(*path).to_owned(), format!("/var{path}")]) {
        let mut key: UnixPath = [0; 108];
        key[..path.len()].copy_from_slice(path.as_bytes());
        map.insert(key, 1, 0)?;
    }
    Ok(())
}

/// The program's, with the descriptors of the maps in them, and what it calls behind them.
fn instructions(ebpf: &Ebpf) -> Result<Vec<bpf_insn>, Box<dyn std::error::Error>> {
    let mut object = Object::parse(OBJECT)?;
    let key = object.programs.get(NAME).ok_or("no such program")?.function_key();
    let sections = object.functions.keys().map(|(section, _)| *section).collect();
    // The other programs use maps of more kinds.
    for (_, other) in std::mem::take(&mut object.programs) {
        if other.function_key() == key {
            object.programs.insert(NAME.to_owned(), other);
        } else {
            object.functions.remove(&other.function_key());
        }
    }
    let maps = object.maps.clone();
    let descriptors: Vec<(&str, RawFd)> =
        ebpf.maps().filter_map(|(name, map)| Some((name, descriptor(map)?))).collect();
    let known = descriptors.iter().filter_map(|(name, fd)| Some((*name, *fd, maps.get(*name)?)));
    object.relocate_maps(known, &sections)?;
    object.relocate_calls(&sections)?;
    Ok(object.functions.remove(&key).ok_or("no such function")?.instructions)
}

/// Of the kinds of maps that it and the functions that are nobody's own use.
fn descriptor(map: &Map) -> Option<RawFd> {
    let data: &MapData = match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => data,
        _ => return None,
    };
    Some(data.fd().as_fd().as_raw_fd())
}

/// The beginning of `union bpf_attr` (linux/bpf.h) for BPF_PROG_LOAD.
#[repr(C)]
struct Program {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// The same for BPF_LINK_CREATE.
#[repr(C)]
struct Link {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// bpf(2) with a command that gives a descriptor, which is CLOEXEC.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as it is told from `attributes`, and what they point to, all of which lives
    // in the callers.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let descriptor = Errno::result(result)?;
    // SAFETY: the kernel has just given it to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })
}
