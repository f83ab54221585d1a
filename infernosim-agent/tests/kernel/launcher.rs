//! What a replay launches, again and again, after its other threads have given up their privileges.

use std::collections::BTreeMap;
use std::ffi::OsString;

use caps::Capability;
use infernosim::privilege;
use infernosim::target::{Cgroup, Identity, Inheritance, Launcher, Output};
use nix::sys::signal::SigSet;

use crate::harness::{eventually, require_root};

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(":\t"));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// Whether it is gone, or on its way out of the kernel: PF_EXITING (linux/sched.h), in field 9 (proc_pid_stat(5)).
fn is_ending(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(6).unwrap().parse::<u32>().unwrap() & 4 != 0
}

#[test]
fn a_command_is_launched_into_its_cgroup_as_its_user_and_ended_with_all_that_is_there() {
    require_root();
    let place = tempfile::tempdir().unwrap();
    let nobody = Identity::of_caller(Some("nobody")).unwrap();
    std::os::unix::fs::chown(place.path(), Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    let cgroup = Cgroup::create().unwrap();
    // It leaves its parent and its session, and hears no SIGTERM: only the cgroup still knows of it.
    let script =
        "trap '' TERM; (setsid sleep 1000 &) ; setsid sleep 1000 & echo up; while :; do sleep 0.05; done";
    let command: Vec<OsString> = ["sh", "-c", script].map(OsString::from).to_vec();
    let inheritance = Inheritance { open_files: (256, 512), signals: SigSet::empty() };
    let launcher = Launcher::start(&command, Some(&cgroup), &nobody, inheritance).unwrap();
    let path = place.path().join("target.log");
    let output = Output::open(&path, &nobody).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), nobody.uid.as_raw());
    // As a session does.
    privilege::wait_for_threads();
    privilege::write_as(nobody.uid, nobody.gid);
    privilege::drop_but(&[Capability::CAP_KILL, Capability::CAP_DAC_OVERRIDE]);
    privilege::gain_none();
    for run in 1..=3 {
        let (streams, _written) = output.begin("").unwrap();
        let launched = launcher.launch(streams).unwrap().go().unwrap();
        let pid = launched.pid.as_raw().unsigned_abs();
        eventually("it is up", || std::fs::read_to_string(&path).unwrap().matches("up").count() == run);
        let status = status(pid);
        let uid = nobody.uid.to_string();
        assert_eq!(status["Uid"], [&*uid; 4].join("\t"));
        assert_eq!(status["NoNewPrivs"], "0", "a setuid program works as it would without us");
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(status[set], "0000000000000000", "{set}");
        }
        let name = cgroup.path().file_name().unwrap().to_str().unwrap();
        let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(
            membership.lines().any(|line| line.starts_with("0::") && line.ends_with(name)),
            "{membership}"
        );
        assert!(!cgroup.is_empty());
        assert_eq!(launcher.stop(launched, 30_000_000), Some(137));
        let members = std::fs::read_to_string(cgroup.path().join("cgroup.procs")).unwrap();
        let left: Vec<&str> = members.lines().filter(|pid| !is_ending(pid)).collect();
        assert!(left.is_empty(), "run {run}: {left:?} are left behind");
        // The kernel takes whom it ends off the cgroup's books a moment later.
        eventually(&format!("run {run}: nobody is left behind"), || cgroup.is_empty());
    }
}
