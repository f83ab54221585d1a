use std::io;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, Queue, RingBuf};
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError, EbpfLoader, Pod};
use infernosim_common::{COUNTERS, Counter, Flow, FlowKey, PortRule, SocketOffsets, TaskOffsets};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::{
    Announced, Gate, Heartbeat, Loose, Namespaces, OlderRoles, OriginalDst, Owners, Refused, ReplayHandles,
    ReplaySetting, Ring, Switch, Targets, replay, unix_connect::UnixConnect,
};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;

/// The kernel wants a ring of whole pages, a power of two.
const LEAST_RING: u32 = 1 << 16;
/// What one map may have.
const MOST_RING: u32 = 1 << 30;
/// The agent is woken when an eighth of the ring is full.
const WAKE_SHARE: u32 = 8;

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("INFERNOSIM_BPF_OBJECT_PATH"));

/// The loaded kernel half. Dropping it detaches and unloads everything.
pub struct Redirect {
    pub(super) ebpf: Ebpf,
    counters: PerCpuArray<MapData, u64>,
    pub(super) knows_sockets: bool,
    pub(super) exact_errno: bool,
    pub(super) replays: bool,
    pub(super) knows_tasks: bool,
    /// Why not, where the kernel does not take it.
    pub(super) unix: Result<UnixConnect, String>,
}

/// How the kernel half is to work; fixed once it is loaded.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Room for so many redirected connections.
    pub connections: u32,
    /// Only processes that are followed are the target, whoever else is in the cgroup.
    pub by_process: bool,
    /// Where this kernel keeps what is needed of a task, if that is known; following processes needs it.
    pub tasks: Option<TaskOffsets>,
    /// Where this kernel keeps what is needed of a socket, if that is known; counting connections to UNIX sockets
    /// needs it.
    pub sockets: Option<SocketOffsets>,
    /// If there is such a list, every other destination port is left alone.
    pub only_ports: Option<Vec<u16>>,
    /// Ports that are left alone.
    pub exclude_ports: Vec<u16>,
    /// How the tap is to work.
    pub tap: TapSetting,
    /// How replay is to work, if it is one.
    pub replay: Option<ReplaySetting>,
    /// With [`Setting::replay`], but no replay: faults on live traffic. What has no verdict goes to our listener, nothing
    /// is refused or dropped for want of one, and all goes direct once we give no sign of life.
    pub inject: bool,
}

/// How the tap is to work.
#[derive(Clone, Copy, Debug)]
pub struct TapSetting {
    /// Memory for copies that the agent has not read yet, in bytes; rounded up to a power of two.
    pub ring: u32,
    /// Outbound connections are tapped, too, and none is redirected.
    pub outbound: bool,
    /// A full ring makes TCP wait.
    pub strict: bool,
}

impl Default for TapSetting {
    fn default() -> Self {
        Self { ring: 1 << 20, outbound: false, strict: false }
    }
}

/// What belongs to the tap.
pub struct TapHandles {
    /// Who accepted what.
    pub owners: Owners,
    /// The copies.
    pub ring: Ring,
    /// Starts and stops it.
    pub switch: Switch,
    /// Takes what older sockets are.
    pub older: OlderRoles,
    /// Takes in which processes threads tell nothing.
    pub loose: Loose,
}

/// What the other threads hold of the kernel half.
pub struct Handles {
    /// Opens and shuts the redirect.
    pub gate: Gate,
    /// Says that we are alive.
    pub heartbeat: Heartbeat,
    /// Finds the flow of an accepted connection.
    pub original_dst: OriginalDst,
    /// Tells of connects to closed local ports.
    pub refused: Refused,
    /// The network namespaces in which somebody listens.
    pub namespaces: Namespaces,
    /// Tells of processes that may be in another one.
    pub announced: Announced,
    /// The tap's.
    pub tap: TapHandles,
    /// Replay's; without [`Setting::replay`] they do nothing.
    pub replay: ReplayHandles,
}

impl Redirect {
    /// Loads the programs (the verifier's word is final). Nothing is attached and the gate is shut.
    pub fn load(setting: &Setting) -> Result<(Self, Handles, Targets)> {
        // Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; later ones do not care, so failing is fine.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        match Self::try_load(setting) {
            // The kernel may forbid its memory to be read (lockdown, no CAP_PERFMON). Only following processes
            // cannot do without.
            Err(_) if setting.tasks.is_some() && !setting.by_process => {
                Self::try_load(&Setting { tasks: None, sockets: None, ..setting.clone() })
            }
            loaded => loaded,
        }
    }

    /// Makes the maps. `exact_errno`: the kernel has bpf_set_retval, which only the verifier can tell.
    pub(super) fn open(setting: &Setting, exact_errno: bool) -> Result<Ebpf> {
        let offsets = setting.tasks.unwrap_or_default();
        let number = u32::from;
        let (by_process, knows) = (number(setting.by_process), number(setting.tasks.is_some()));
        let only = number(setting.only_ports.is_some());
        let (outbound, strict) = (number(setting.tap.outbound), number(setting.tap.strict));
        let ring = setting.tap.ring.clamp(LEAST_RING, MOST_RING).next_power_of_two();
        let wake = u64::from(ring / WAKE_SHARE);
        let (mode, exact) = (replay::mode(setting), number(exact_errno));
        let mut loader = EbpfLoader::new();
        replay::size(&mut loader, setting.replay);
        loader
            .map_max_entries("BY_COOKIE", setting.connections.max(1))
            .override_global("REPLAY", &mode, true)
            .override_global("EXACT_ERRNO", &exact, true)
            .override_global("BY_PROCESS", &by_process, true)
            .override_global("KNOWS_TASKS", &knows, true)
            .override_global("ONLY_PORTS", &only, true)
            .map_max_entries("TAP", ring)
            .override_global("TAP_OUTBOUND", &outbound, true)
            .override_global("STRICT", &strict, true)
            .override_global("TAP_WAKE", &wake, true)
            .override_global("OFFSETS", &offsets, true)
            .override_global("SOCKET_OFFSETS", &setting.sockets.unwrap_or_default(), true)
            .load(OBJECT)
            .map_err(refused)
    }

    fn try_load(setting: &Setting) -> Result<(Self, Handles, Targets)> {
        if setting.replay.is_some()
            && let Ok(loaded) = Self::load_as(setting, true)
        {
            return Ok(loaded);
        }
        Self::load_as(setting, false)
    }

    fn load_as(setting: &Setting, exact_errno: bool) -> Result<(Self, Handles, Targets)> {
        let mut ebpf = Self::open(setting, exact_errno)?;
        set_ports(&mut ebpf, setting)?;
        // It needs its maps by number, which are given away below.
        let unix = UnixConnect::load(&mut ebpf, setting);
        let refused = Queue::try_from(take(&mut ebpf, "REFUSED")?).map_err(broken_object)?;
        let listeners = hash(&mut ebpf, "LISTENERS")?;
        let announced = RingBuf::try_from(take(&mut ebpf, "ANNOUNCED")?).map_err(broken_object)?;
        let handles = Handles {
            gate: Gate::new(array::<u32>(&mut ebpf, "STATE")?),
            heartbeat: Heartbeat::new(array::<u64>(&mut ebpf, "HEARTBEAT")?),
            original_dst: OriginalDst::new(hash::<FlowKey, Flow>(&mut ebpf, "BY_SOURCE")?),
            refused: Refused::new(refused),
            namespaces: Namespaces::new(listeners, hash(&mut ebpf, "LOCAL_ADDRESSES")?),
            announced: Announced::new(announced),
            tap: TapHandles {
                owners: Owners::new(RingBuf::try_from(take(&mut ebpf, "OWNERS")?).map_err(broken_object)?),
                ring: Ring::new(RingBuf::try_from(take(&mut ebpf, "TAP")?).map_err(broken_object)?),
                switch: Switch::new(array(&mut ebpf, "TAP_STATE")?),
                older: OlderRoles::new(hash(&mut ebpf, "OLDER")?),
                loose: Loose::new(hash(&mut ebpf, "LOOSE")?),
            },
            replay: replay::handles(&mut ebpf)?,
        };
        let targets = Targets::new(hash(&mut ebpf, "TARGETS")?);
        let counters = PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(broken_object)?;
        let (knows_sockets, knows_tasks) = (setting.sockets.is_some(), setting.tasks.is_some());
        let mut redirect = Self {
            ebpf,
            counters,
            knows_sockets,
            knows_tasks,
            exact_errno,
            replays: setting.replay.is_some(),
            unix,
        };
        redirect.load_programs(setting.by_process)?;
        Ok((redirect, handles, targets))
    }

    /// What the kernel half counted so far, over all CPUs.
    pub fn count(&self, counter: Counter) -> u64 {
        debug_assert!((counter as u32) < COUNTERS);
        self.counters.get(&(counter as u32), 0).map_or(0, |slots| slots.iter().sum())
    }
}

fn set_ports(ebpf: &mut Ebpf, setting: &Setting) -> Result<()> {
    let map = ebpf.map_mut("PORTS").ok_or_else(|| broken_object("no PORTS"))?;
    let mut ports: HashMap<_, u32, u32> = HashMap::try_from(map).map_err(broken_object)?;
    let only = setting.only_ports.as_deref().unwrap_or_default();
    let rules = [(only, PortRule::Only), (&setting.exclude_ports, PortRule::Exclude)];
    for (chosen, rule) in rules {
        for port in chosen {
            ports.insert(u32::from(*port), rule as u32, 0).map_err(|error| {
                ExpectedError::new(Exit::Usage, format!("too many ports are chosen: {error}"))
                    .help("name at most 1,024 ports")
            })?;
        }
    }
    Ok(())
}

pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name).ok_or_else(|| broken_object(format_args!("it has no map {name}")))
}

pub(super) fn array<V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<Array<MapData, V>> {
    Array::try_from(take(ebpf, name)?).map_err(broken_object)
}

pub(super) fn hash<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<HashMap<MapData, K, V>> {
    HashMap::try_from(take(ebpf, name)?).map_err(broken_object)
}

/// The embedded object does not fit this program: only a wrong INFERNOSIM_BPF_OBJECT at build time does that.
pub(super) fn broken_object(why: impl std::fmt::Display) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("the embedded kernel programs do not fit this build: {why}"))
        .help("rebuild from a clean checkout")
}

pub(super) fn refused(error: EbpfError) -> ExpectedError {
    match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => refusal("create a BPF map", io_error),
        EbpfError::ProgramError(program) => program_refused("load", program),
        other => ExpectedError::new(Exit::Host, format!("the kernel programs cannot be loaded: {other}")),
    }
}

/// A sentence for a program the kernel would not load or attach.
pub(super) fn program_refused(what: &str, error: &ProgramError) -> ExpectedError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let noise = ["processed", "stack depth", "verification time", "mark_precise"];
            let says = |line: &&str| !line.is_empty() && !noise.iter().any(|word| line.starts_with(word));
            let last = log.lines().rev().find(says);
            let mut refusal = refusal(what, io_error);
            if let Some(line) = last.filter(|_| privilege::may_load()) {
                refusal.message = format!("{} (verifier: {line})", refusal.message);
            }
            refusal
        }
        ProgramError::SyscallError(error) => refusal(what, &error.io_error),
        other => ExpectedError::new(Exit::Host, format!("cannot {what}: {other}")),
    }
}

fn refusal(what: &str, error: &io::Error) -> ExpectedError {
    said(what, error, privilege::may_load())
}

/// Without CAP_PERFMON the verifier refuses what it takes from root, with words that say nothing of it (`bpf_allow_ptr_leaks`).
fn said(what: &str, error: &io::Error, may_load: bool) -> ExpectedError {
    match error.raw_os_error() {
        Some(nix::libc::EPERM | nix::libc::EACCES | nix::libc::EINVAL) if !may_load => ExpectedError::new(
            Exit::Host,
            format!(
                "cannot {what}: not permitted; this needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
            ),
        )
        .help("run it with sudo, or see what this host allows with `infernosim doctor`"),
        Some(nix::libc::EPERM) => ExpectedError::new(
            Exit::Host,
            format!("cannot {what}: not permitted, though we have the capabilities"),
        )
        .help("run it outside of a user namespace, and where seccomp and security modules allow bpf(2)"),
        Some(nix::libc::EMFILE) => ExpectedError::new(Exit::Host, format!("cannot {what}: {error}"))
            .help("raise the hard limit of open files (ulimit -Hn)"),
        _ => ExpectedError::new(Exit::Host, format!("cannot {what}: {error}"))
            .help("see what this kernel can do with `infernosim doctor`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_missing() {
        let said = |errno: i32, may_load: bool| {
            let error = super::said("load", &io::Error::from_raw_os_error(errno), may_load);
            format!("{} {}", error.message, error.help.unwrap_or_default())
        };
        for errno in [nix::libc::EPERM, nix::libc::EACCES, nix::libc::EINVAL] {
            assert!(said(errno, false).contains("CAP_PERFMON"), "{errno}");
        }
        assert!(said(nix::libc::EPERM, true).contains("seccomp"));
        assert!(said(nix::libc::EACCES, true).contains("Permission denied"));
        assert!(said(nix::libc::EMFILE, true).contains("ulimit"));
    }
}
