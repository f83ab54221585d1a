use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use aya::maps::{Array, HashMap, MapData};
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, CgroupSockAddr, Iter, ProgramError,
    RawTracePoint, SockOps,
};
use aya::{Btf, Pod};

use super::Redirect;
use super::load::{broken_object, program_refused};
use crate::error::{Exit, ExpectedError, Result};

/// The kernel half's programs, in the order they are attached: what answers for a redirected socket stands
/// before the first socket is redirected.
const SOCKET_ADDRESS: [&str; 6] =
    ["on_getpeername4", "on_getpeername6", "on_sendmsg4", "on_sendmsg6", "on_connect4", "on_connect6"];

/// In replay, before lookups are redirected.
const REPLAY: [&str; 2] = ["on_recvmsg4", "on_recvmsg6"];
/// The tap's packets.
const PACKETS: [(&str, CgroupSkbAttachType); 2] =
    [("on_ingress", CgroupSkbAttachType::Ingress), ("on_egress", CgroupSkbAttachType::Egress)];
/// Hooks of a socket's life.
const SOCKET: [&str; 2] = ["on_sock_release", "on_sock_create"];
/// What follows processes: exits first, so that no number outlives its process, then forks.
const PROCESS: [(&str, &str); 2] = [("on_exit", "sched_process_exit"), ("on_fork", "sched_process_fork")];

impl Redirect {
    /// Attaches every program to `cgroup`, as links that end with this process. May be called for several
    /// cgroups, none of them inside another.
    pub fn attach(&mut self, cgroup: &File) -> Result<()> {
        // Links are always shared with other owners' programs (cgroup_bpf_link_attach implies ALLOW_MULTI).
        let mode = CgroupAttachMode::Single;
        let refused = |name: &str| {
            let what = format!("attach {name} to the cgroup");
            move |error| program_refused(&what, &error)
        };
        self.program::<SockOps>("on_sockops")?.attach(cgroup, mode).map_err(refused("on_sockops"))?;
        for name in SOCKET {
            self.program::<CgroupSock>(name)?.attach(cgroup, mode).map_err(refused(name))?;
        }
        for (name, direction) in PACKETS {
            self.program::<CgroupSkb>(name)?.attach(cgroup, direction, mode).map_err(refused(name))?;
        }
        for name in self.socket_address() {
            self.program::<CgroupSockAddr>(name)?.attach(cgroup, mode).map_err(refused(name))?;
        }
        let id = cgroup.metadata().map_or(0, |directory| directory.ino());
        let mut ids = self.map::<u64, u8>("CGROUPS")?;
        // A full map (1,024 cgroups) only leaves new network namespaces to be found at the first socket.
        let _ = ids.insert(id, 1, 0);
        Ok(())
    }

    /// Follows processes from now on: children of those in [`super::Targets`] join them, and who exits leaves.
    /// Where only executions can be told (no BTF, no right to read tasks), those.
    pub fn follow(&mut self, by_process: bool) -> Result<()> {
        let refused = |name: &str| {
            let what = format!("attach {name}");
            move |error| program_refused(&what, &error)
        };
        if by_process {
            for (name, tracepoint) in PROCESS {
                self.program::<RawTracePoint>(name)?.attach(tracepoint).map_err(refused(tracepoint))?;
            }
        }
        // Without it a new network namespace is found at its first socket, which may be too late for that one.
        let _ = self.program::<RawTracePoint>("on_exec")?.attach("sched_process_exec");
        Ok(())
    }

    /// The process numbers in the initial pid namespace of processes known by their numbers in ours; those that
    /// are not found are left out.
    pub fn find(&mut self, numbers: &[u32]) -> Result<BTreeMap<u32, u32>> {
        let cannot = |error: String| {
            ExpectedError::new(
                Exit::Host,
                format!("processes of this pid namespace cannot be found: {error}"),
            )
            .help("run it on the host, or give --cgroup instead of --pid")
        };
        let mut wanted = self.map::<u32, u32>("WANTED")?;
        for number in numbers {
            wanted.insert(number, 0, 0).map_err(|error| cannot(error.to_string()))?;
        }
        let btf = Btf::from_sys_fs().map_err(|error| cannot(error.to_string()))?;
        let program = self.program::<Iter>("on_task")?;
        match program.load("task", &btf) {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(cannot(error.to_string())),
        }
        let link = program.attach().map_err(|error| cannot(error.to_string()))?;
        let link = program.take_link(link).map_err(|error| cannot(error.to_string()))?;
        let mut tasks = link.into_file().map_err(|error| cannot(error.to_string()))?;
        // It prints nothing; reading it makes it run.
        std::io::copy(&mut tasks, &mut std::io::sink()).map_err(|error| cannot(error.to_string()))?;
        let wanted = self.map::<u32, u32>("WANTED")?;
        let found = numbers.iter().filter_map(|number| Some((*number, wanted.get(number, 0).ok()?)));
        Ok(found.filter(|(_, process)| *process != 0).collect())
    }

    /// Never redirects this process (as numbered in the initial pid namespace): ourselves.
    pub fn exempt(&mut self, process: u32) -> Result<()> {
        let map = self.ebpf.map_mut("AGENT").ok_or_else(|| broken_object("no AGENT"))?;
        let mut agent: Array<_, u32> = Array::try_from(map).map_err(broken_object)?;
        agent.set(0, process, 0).map_err(broken_object)
    }

    pub(super) fn load_programs(&mut self, by_process: bool) -> Result<()> {
        let refused = |name: &str| {
            let what = format!("load {name}");
            move |error| program_refused(&what, &error)
        };
        self.program::<SockOps>("on_sockops")?.load().map_err(refused("on_sockops"))?;
        for name in SOCKET {
            self.program::<CgroupSock>(name)?.load().map_err(refused(name))?;
        }
        for (name, _) in PACKETS {
            self.program::<CgroupSkb>(name)?.load().map_err(refused(name))?;
        }
        for name in self.socket_address() {
            self.program::<CgroupSockAddr>(name)?.load().map_err(refused(name))?;
        }
        for (name, _) in PROCESS.iter().filter(|_| by_process) {
            self.program::<RawTracePoint>(name)?.load().map_err(refused(name))?;
        }
        let _ = self.program::<RawTracePoint>("on_exec")?.load();
        Ok(())
    }

    fn socket_address(&self) -> impl Iterator<Item = &'static str> + use<> {
        let replay: &[&str] = if self.replays { &REPLAY } else { &[] };
        replay.iter().chain(&SOCKET_ADDRESS).copied()
    }

    fn map<K: Pod, V: Pod>(&mut self, name: &str) -> Result<HashMap<&mut MapData, K, V>> {
        let map = self.ebpf.map_mut(name).ok_or_else(|| broken_object(format_args!("no map {name}")))?;
        HashMap::try_from(map).map_err(broken_object)
    }

    pub(super) fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program>,
    {
        let missing = || -> ExpectedError { broken_object(format_args!("it has no program {name}")) };
        self.ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(|_| missing())
    }
}
