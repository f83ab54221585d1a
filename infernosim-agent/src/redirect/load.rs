use std::io;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, Queue};
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError, EbpfLoader, Pod};
use infernosim_common::{COUNTERS, Counter, Flow, FlowKey, Listeners};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::{Gate, Heartbeat, OriginalDst, Refused, local_addresses};
use crate::error::{Exit, ExpectedError, Result};

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("INFERNOSIM_BPF_OBJECT_PATH"));

/// The loaded kernel half. Dropping it detaches and unloads everything.
pub struct Redirect {
    pub(super) ebpf: Ebpf,
    listeners: HashMap<MapData, u64, Listeners>,
    counters: PerCpuArray<MapData, u64>,
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
}

impl Redirect {
    /// Loads the programs (the verifier's word is final) with room for `connections` redirected connections.
    /// Nothing is attached and the gate is shut.
    pub fn load(connections: u32) -> Result<(Self, Handles)> {
        // Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; later ones do not care, so failing is fine.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let flows = connections.saturating_mul(2).max(1024);
        let mut ebpf = EbpfLoader::new().map_max_entries("BY_COOKIE", flows).load(OBJECT).map_err(refused)?;
        let refused = Queue::try_from(take(&mut ebpf, "REFUSED")?).map_err(broken_object)?;
        let handles = Handles {
            gate: Gate::new(array::<u32>(&mut ebpf, "STATE")?),
            heartbeat: Heartbeat::new(array::<u64>(&mut ebpf, "HEARTBEAT")?),
            original_dst: OriginalDst::new(hash::<FlowKey, Flow>(&mut ebpf, "BY_SOURCE")?),
            refused: Refused::new(refused),
        };
        // Borrowed, not taken: a map that is dropped before the programs are loaded is gone for them.
        let local = ebpf.map_mut("LOCAL_ADDRESSES").ok_or_else(|| broken_object("no LOCAL_ADDRESSES"))?;
        local_addresses::fill(&mut HashMap::try_from(local).map_err(broken_object)?);
        let listeners = hash(&mut ebpf, "LISTENERS")?;
        let counters = PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(broken_object)?;
        let mut redirect = Self { ebpf, listeners, counters };
        redirect.load_programs()?;
        Ok((redirect, handles))
    }

    /// Where the proxy listens in the network namespace with this cookie.
    pub fn listen(&mut self, namespace: u64, listeners: Listeners) -> Result<()> {
        self.listeners.insert(namespace, listeners, 0).map_err(broken_object)
    }

    /// What the kernel half counted so far, over all CPUs.
    pub fn count(&self, counter: Counter) -> u64 {
        debug_assert!((counter as u32) < COUNTERS);
        self.counters.get(&(counter as u32), 0).map_or(0, |slots| slots.iter().sum())
    }
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name).ok_or_else(|| broken_object(format_args!("it has no map {name}")))
}

fn array<V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<Array<MapData, V>> {
    Array::try_from(take(ebpf, name)?).map_err(broken_object)
}

fn hash<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<HashMap<MapData, K, V>> {
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
            if let Some(line) = last {
                refusal.message = format!("{} (verifier: {line})", refusal.message);
            }
            refusal
        }
        ProgramError::SyscallError(error) => refusal(what, &error.io_error),
        other => ExpectedError::new(Exit::Host, format!("cannot {what}: {other}")),
    }
}

fn refusal(what: &str, error: &io::Error) -> ExpectedError {
    if error.raw_os_error() == Some(nix::libc::EPERM) {
        return ExpectedError::new(
            Exit::Host,
            format!("cannot {what}: not permitted; capturing needs root, or CAP_BPF with CAP_NET_ADMIN"),
        )
        .help("run it with sudo, or see what this host allows with `infernosim doctor`");
    }
    ExpectedError::new(Exit::Host, format!("cannot {what}: {error}"))
        .help("see what this kernel can do with `infernosim doctor`")
}
