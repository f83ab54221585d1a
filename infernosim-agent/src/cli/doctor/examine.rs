use std::fs;
use std::net::{TcpListener, TcpStream};

use caps::{CapSet, Capability};
use nix::sched::{CloneFlags, setns, unshare};

use super::Ability;
use super::redirected::try_redirect;
use super::replayed::try_replay;
use crate::error::{Exit, ExpectedError, Result};
use crate::proxy::{Listener, raise_open_files};
use crate::redirect::{Redirect, Setting, probe_programs, socket_offsets, task_offsets};
use crate::target::older::OlderSockets;
use crate::target::programs::attached;
use crate::target::{Cgroup, Hierarchy, processes};

/// Hooks that only following processes needs, and what translates their numbers in a container.
const OF_PROCESSES: [&str; 4] = ["fork", "exit", "exec", "task"];
/// The hook that tells of connections to UNIX sockets.
const OF_UNIX_SOCKETS: &str = "data_ready";
/// The hooks that tell of threads.
const OF_THREADS: [&str; 2] = ["sock_send_length", "sock_recv_length"];
const TELLING_CAUSES: &str = "knowing by the thread which request made a call";
/// Hooks that only replay needs.
const OF_REPLAY: [&str; 3] = ["recvmsg4", "recvmsg6", "connect_unix"];
const COUNTING_UNIX: &str = "counting connections to UNIX sockets";
/// Below this a capture is of little use.
const FEW_CONNECTIONS: u64 = 256;

/// Tries everything, in the order in which a capture needs it.
pub fn examine() -> Vec<Ability> {
    let mut abilities = vec![kernel(), privileges()];
    let (open_files, connections) = raise_open_files();
    abilities.push(relayed(connections));
    abilities.push(Ability::required("cgroup v2", &Hierarchy::find(), |it| {
        let way = if it.is_read_only() { "read-only" } else { "writable" };
        format!("at {}, {way}", it.root().display())
    }));
    let cgroup = Cgroup::create();
    let own = "commands; where there is none they are followed by process";
    abilities.push(Ability::optional("cgroup of its own", own, &cgroup, |_| "made and removed".into()));
    abilities.push(Ability::required("listen on loopback", &Listener::bind(), |listener| {
        if listener.v6.is_some() { "127.0.0.1 and ::1".into() } else { "127.0.0.1 only: IPv6 is off".into() }
    }));
    let offsets = task_offsets();
    let (tasks, sockets) = (offsets.as_ref().ok().copied(), socket_offsets());
    let setting = Setting { connections: 1024, tasks, sockets, ..Setting::default() };
    abilities.extend(programs(&setting));
    if let Ok(cgroup) = &cgroup {
        abilities.extend(try_attach(cgroup, &setting, open_files));
        abilities.extend(try_replay(cgroup, &setting, open_files));
    }
    abilities
        .push(Ability::optional("layout of tasks", "--pid", &offsets, |_| "from the kernel's BTF".into()));
    abilities.push(following(&setting));
    abilities.push(Ability::optional("watch UNIX sockets", COUNTING_UNIX, &watching(&setting), |()| {
        "tracepoint sk_data_ready".into()
    }));
    abilities.push(Ability::optional("watch threads", TELLING_CAUSES, &watching_threads(&setting), |()| {
        "tracepoints sock_send_length and sock_recv_length".into()
    }));
    abilities
        .push(Ability::optional("find older connections", "counting them", &older(), |found| found.clone()));
    abilities.push(Ability::optional("reset connections", "--recycle", &reset(), |()| "SOCK_DESTROY".into()));
    abilities.push(others());
    abilities.push(Ability::optional("enter network namespaces", "targets in containers", &enter(), |()| {
        "setns".into()
    }));
    abilities
}

fn kernel() -> Ability {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |host| format!("Linux {} {}", host.release().to_string_lossy(), host.machine().to_string_lossy()),
    );
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    // `none [integrity] confidentiality`: the one in brackets holds.
    let lockdown = read("/sys/kernel/security/lockdown")
        .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned()));
    let unprivileged = read("/proc/sys/kernel/unprivileged_bpf_disabled");
    let facts = [
        lockdown.map(|mode| format!("lockdown {mode}")),
        unprivileged.map(|value| format!("unprivileged_bpf_disabled {value}")),
    ];
    let facts: String = facts.into_iter().flatten().map(|fact| format!(", {fact}")).collect();
    Ability::required("kernel", &Ok(()), |()| kernel + &facts)
}

fn privileges() -> Ability {
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    let wanted = [
        (Capability::CAP_BPF, true),
        (Capability::CAP_PERFMON, true),
        (Capability::CAP_NET_ADMIN, true),
        (Capability::CAP_SYS_ADMIN, false),
        (Capability::CAP_SYS_PTRACE, false),
        (Capability::CAP_SETUID, false),
        (Capability::CAP_SETGID, false),
        (Capability::CAP_CHOWN, false),
        (Capability::CAP_DAC_OVERRIDE, false),
        (Capability::CAP_KILL, false),
    ];
    // Before CAP_BPF there was only CAP_SYS_ADMIN, which still stands for it (capabilities(7)).
    let has = |it: Capability| {
        let stands_in = matches!(it, Capability::CAP_BPF | Capability::CAP_PERFMON);
        held.contains(&it) || stands_in && held.contains(&Capability::CAP_SYS_ADMIN)
    };
    let missing = |required: bool| -> Vec<String> {
        let wanted = wanted.iter().filter(|(it, needed)| *needed == required && !has(*it));
        wanted.map(|(it, _)| it.to_string()).collect()
    };
    let (needed, useful) = (missing(true), missing(false));
    let tried = if needed.is_empty() {
        Ok(useful)
    } else {
        Err(ExpectedError::new(Exit::Host, format!("missing: {}", needed.join(", ")))
            .help("run it with sudo; in a container, give it these capabilities"))
    };
    Ability::required("privileges", &tried, |useful| {
        if useful.is_empty() { "all".into() } else { format!("enough, without {}", useful.join(", ")) }
    })
}

fn relayed(connections: u64) -> Ability {
    let tried = if connections >= FEW_CONNECTIONS {
        Ok(())
    } else {
        Err(ExpectedError::new(Exit::Host, format!("only {connections} at a time"))
            .help("raise the hard limit of open files (ulimit -Hn)"))
    };
    Ability::required("relayed connections", &tried, |()| {
        format!("{connections} at a time; beyond, connections go direct and are counted")
    })
}

/// The maps, and each program by itself: the verifier's word is the probe.
fn programs(setting: &Setting) -> Vec<Ability> {
    let tried = probe_programs(setting);
    let mut abilities = vec![Ability::required("maps", &tried, |_| {
        "array, hash, LRU hash, per-CPU array, queue, ring buffer".into()
    })];
    for (name, loaded) in tried.into_iter().flatten() {
        let shown = format!("hook {name}");
        abilities.push(if OF_PROCESSES.contains(&name.as_str()) {
            Ability::optional(shown, "--pid, and namespaces that appear later", &loaded, |()| "loads".into())
        } else if OF_REPLAY.contains(&name.as_str()) {
            Ability::optional(shown, "replay", &loaded, |()| "loads".into())
        } else if name == OF_UNIX_SOCKETS {
            Ability::optional(shown, COUNTING_UNIX, &loaded, |()| "loads".into())
        } else if OF_THREADS.contains(&name.as_str()) {
            Ability::optional(shown, TELLING_CAUSES, &loaded, |()| "loads".into())
        } else {
            Ability::required(shown, &loaded, |()| "loads".into())
        });
    }
    abilities
}

fn try_attach(cgroup: &Cgroup, setting: &Setting, open_files: (u64, u64)) -> Vec<Ability> {
    let loaded = Redirect::load(setting);
    let attached = loaded.and_then(|(mut redirect, kernel, _)| {
        redirect.attach(cgroup.directory())?;
        Ok((redirect, kernel))
    });
    let mut abilities =
        vec![Ability::required("attach to a cgroup", &attached, |_| "all hooks, as links".into())];
    if let Ok((mut redirect, kernel)) = attached {
        let tried = try_redirect(cgroup, &mut redirect, kernel, open_files);
        let detail = "a child's connection came to us, and it sees the peer it asked for";
        abilities.push(Ability::required("redirect a connection", &tried, |()| detail.into()));
    }
    abilities
}

fn following(setting: &Setting) -> Ability {
    let followed = Redirect::load(&Setting { by_process: true, ..setting.clone() }).and_then(|loaded| {
        let (mut redirect, ..) = loaded;
        redirect.follow(true)?;
        let own = std::process::id();
        let found = redirect.find(&[own])?;
        found.get(&own).copied().ok_or_else(|| {
            ExpectedError::new(Exit::Host, "the iterator over tasks does not find this process")
        })
    });
    Ability::optional("follow processes", "--pid", &followed, |own| {
        if processes::in_initial_namespace() {
            "fork, exec and exit".into()
        } else {
            format!("fork, exec and exit; in a pid namespace, where we are {own} on the host")
        }
    })
}

fn watching(setting: &Setting) -> Result<()> {
    // A program cannot be loaded once its maps are gone.
    let (mut redirect, _kernel, _targets) = Redirect::load(setting)?;
    redirect.watch_unix().map_err(|why| ExpectedError::new(Exit::Host, why))
}

fn watching_threads(setting: &Setting) -> Result<()> {
    let (mut redirect, _kernel, _targets) = Redirect::load(setting)?;
    redirect.watch_threads().map_err(|why| ExpectedError::new(Exit::Host, why))
}

fn older() -> Result<String> {
    let found = OlderSockets::of_this_namespace()?.find(&[std::process::id()])?;
    Ok(format!("sock_diag, {} of our own", found.connections.len()))
}

/// Resets a connection of our own, to a listener of our own.
fn reset() -> Result<()> {
    let cannot = |error: std::io::Error| {
        ExpectedError::new(Exit::Host, format!("no connection to try it on: {error}"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(cannot)?;
    let stream = TcpStream::connect(listener.local_addr().map_err(cannot)?).map_err(cannot)?;
    let local = stream.local_addr().map_err(cannot)?;
    let mut sockets = OlderSockets::of_this_namespace()?;
    let found = sockets.find(&[std::process::id()])?;
    let own =
        found.connections.iter().find(|it| it.local == local).ok_or_else(|| {
            ExpectedError::new(Exit::Host, "sock_diag does not show a connection of our own")
        })?;
    sockets.recycle(own).map(drop)
}

/// Programs of others on the cgroup that we are in: they see connects before or after us, and may refuse a link.
fn others() -> Ability {
    let found = Hierarchy::find().and_then(|hierarchy| attached(&hierarchy.own()));
    Ability::optional("other cgroup programs", "knowing who else is there", &found, |found| {
        let each: Vec<String> =
            found.iter().map(|it| format!("{} ({:?}, {:?})", it.name, it.hook, it.sharing)).collect();
        if each.is_empty() { "none on our cgroup and those above".into() } else { each.join(", ") }
    })
}

/// Makes a network namespace on a thread of its own, and comes back.
fn enter() -> Result<()> {
    let cannot = |error: &dyn std::fmt::Display| {
        ExpectedError::new(Exit::Host, format!("not permitted to enter them: {error}"))
            .help("run it with sudo, or in a container with CAP_SYS_ADMIN")
    };
    let own = fs::File::open("/proc/self/ns/net").map_err(|error| cannot(&error))?;
    let tried = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).and_then(|()| setns(own, CloneFlags::CLONE_NEWNET))
    });
    let tried = tried.join().unwrap_or(Err(nix::errno::Errno::EIO));
    tried.map_err(|error| cannot(&error.desc()))
}
