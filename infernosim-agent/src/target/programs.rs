//! The BPF programs that a cgroup and those above it have on their sockets already: other agents, service meshes,
//! systemd's address filters. For `infernosim doctor`, and to say why an attach is refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Exit, ExpectedError, Result};

/// `BPF_PROG_QUERY` (`enum bpf_cmd`, linux/bpf.h).
const PROG_QUERY: libc::c_int = 16;
/// `BPF_F_ALLOW_OVERRIDE` and `BPF_F_ALLOW_MULTI`.
const ALLOW_OVERRIDE: u32 = 1;
const ALLOW_MULTI: u32 = 2;
/// Programs of a hook that are asked for at first; the kernel takes 64 (`BPF_CGROUP_MAX_PROGS`).
const MOST: usize = 64;

/// The hooks for sockets, by their numbers (`enum bpf_attach_type`) and as bpftool(8) calls them.
const HOOKS: [(u32, &str); 21] = [
    (0, "cgroup_inet_ingress"),
    (1, "cgroup_inet_egress"),
    (2, "cgroup_inet_sock_create"),
    (3, "cgroup_sock_ops"),
    (8, "cgroup_inet4_bind"),
    (9, "cgroup_inet6_bind"),
    (10, "cgroup_inet4_connect"),
    (11, "cgroup_inet6_connect"),
    (12, "cgroup_inet4_post_bind"),
    (13, "cgroup_inet6_post_bind"),
    (14, "cgroup_udp4_sendmsg"),
    (15, "cgroup_udp6_sendmsg"),
    (19, "cgroup_udp4_recvmsg"),
    (20, "cgroup_udp6_recvmsg"),
    (21, "cgroup_getsockopt"),
    (22, "cgroup_setsockopt"),
    (29, "cgroup_inet4_getpeername"),
    (30, "cgroup_inet6_getpeername"),
    (31, "cgroup_inet4_getsockname"),
    (32, "cgroup_inet6_getsockname"),
    (34, "cgroup_inet_sock_release"),
];

/// A program that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The cgroup it is attached to.
    pub cgroup: PathBuf,
    /// Where, as bpftool(8) calls it: `cgroup_inet4_connect`.
    pub hook: &'static str,
    /// Its number, as in `bpftool prog show id N`.
    pub id: u32,
    /// The name that its maker gave it, 15 bytes at most; empty if it has none or we may not look.
    pub name: String,
    /// How it gets on with others.
    pub sharing: Sharing,
}

/// What a program's attach flags allow others on the same hook (`hierarchy_allows_attach` in
/// kernel/bpf/cgroup.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// Others run beside it. All links are so.
    Shared,
    /// It is not run in cgroups below that have a program of their own; its own cgroup takes no link.
    Overridable,
    /// Neither its own cgroup nor those below take another program.
    Exclusive,
}

/// What precedes the output that we do not read in `bpf_attr` for this command; the kernel takes the rest for zero.
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    program_count: u32,
    _padding: u32,
}

const _: () = assert!(size_of::<Query>() == 32);

/// Those attached to `cgroup` and to the cgroups above it, the nearest first. Hooks that this kernel does not have
/// are passed over. Fails with exit status 3 where we may not ask (CAP_NET_ADMIN).
pub fn attached(cgroup: &Path) -> Result<Vec<Attached>> {
    let names = names();
    let mut found = Vec::new();
    // Above the mount point are no cgroups.
    for cgroup in cgroup.ancestors().take_while(|path| path.join("cgroup.controllers").exists()) {
        let directory = File::open(cgroup).map_err(|error| cannot(cgroup, &error.to_string()))?;
        for (number, hook) in HOOKS {
            let (ids, flags) = match query(std::os::fd::AsFd::as_fd(&directory), number) {
                Err(Errno::EINVAL) => continue,
                Err(Errno::EPERM) => return Err(cannot(cgroup, "not permitted").help("run it with sudo")),
                answer => answer.map_err(|error| cannot(cgroup, error.desc()))?,
            };
            found.extend(ids.into_iter().map(|id| Attached {
                cgroup: cgroup.to_owned(),
                hook,
                id,
                name: names.get(&id).cloned().unwrap_or_default(),
                sharing: Sharing::from_flags(flags),
            }));
        }
    }
    Ok(found)
}

impl Sharing {
    const fn from_flags(flags: u32) -> Self {
        if flags & ALLOW_MULTI != 0 {
            Self::Shared
        } else if flags & ALLOW_OVERRIDE != 0 {
            Self::Overridable
        } else {
            Self::Exclusive
        }
    }
}

/// The programs of one hook of one cgroup, and the flags they were attached with.
fn query(cgroup: BorrowedFd<'_>, attach_type: u32) -> nix::Result<(Vec<u32>, u32)> {
    let mut ids = vec![0_u32; MOST];
    loop {
        let mut query = Query {
            target: cgroup.as_raw_fd() as u32,
            attach_type,
            query_flags: 0,
            attach_flags: 0,
            program_ids: ids.as_mut_ptr() as u64,
            program_count: ids.len() as u32,
            _padding: 0,
        };
        // SAFETY: the kernel reads and writes `query`, of the size given, and writes at most `program_count`
        // numbers to `ids`, which has room for them; both live here.
        let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>()) };
        let count = query.program_count as usize;
        match Errno::result(result) {
            // There are more than before: room for those and some that come meanwhile.
            Err(Errno::ENOSPC) if count >= ids.len() => ids.resize(count + MOST, 0),
            Err(error) => return Err(error),
            Ok(_) => {
                ids.truncate(count);
                return Ok((ids, query.attach_flags));
            }
        }
    }
}

/// The names of all loaded programs; of none if we may not look.
fn names() -> BTreeMap<u32, String> {
    let programs = aya::programs::loaded_programs().flatten();
    programs.map(|program| (program.id(), String::from_utf8_lossy(program.name()).into_owned())).collect()
}

fn cannot(cgroup: &Path, why: &str) -> ExpectedError {
    let sentence =
        format!("the kernel does not tell which programs are attached to {}: {why}", cgroup.display());
    ExpectedError::new(Exit::Host, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cgroup_has_no_programs() {
        assert_eq!(attached(Path::new("/")).unwrap(), []);
    }

    #[test]
    fn flags_say_how_a_program_shares() {
        let shares = [0, ALLOW_OVERRIDE, ALLOW_MULTI, ALLOW_MULTI | 4].map(Sharing::from_flags);
        assert_eq!(shares, [Sharing::Exclusive, Sharing::Overridable, Sharing::Shared, Sharing::Shared]);
    }
}
