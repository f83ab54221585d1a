use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The threads of a process: ids and names; those that end meanwhile are left out.
pub fn threads(process: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let tids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    let named = |tid: String| {
        let comm = std::fs::read_to_string(format!("/proc/{process}/task/{tid}/comm")).ok()?;
        Some((tid, comm.trim_end().to_owned()))
    };
    tids.filter_map(named).collect()
}

/// One thread of a process that stands still while all others run, as on a disk that hangs or without a CPU. Goes
/// on when dropped, by the thread that stopped it: that one alone may (ptrace(2)).
pub struct Stopped {
    tid: Pid,
}

impl Stopped {
    /// The thread of this name.
    pub fn thread(process: u32, name: &str) -> Self {
        let threads = threads(process);
        let (tid, _) = threads
            .iter()
            .find(|(_, comm)| comm == name)
            .unwrap_or_else(|| panic!("there is no thread {name}"));
        let tid = Pid::from_raw(tid.parse().unwrap());
        ptrace::seize(tid, ptrace::Options::empty()).unwrap();
        let stopped = Self { tid };
        ptrace::interrupt(tid).unwrap();
        // A thread, so not among the children that a plain wait finds.
        waitpid(tid, Some(WaitPidFlag::__WALL)).unwrap();
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.tid, None);
    }
}
