//! What this process may do, dropped as soon as it is not needed. Capabilities are a thread's own
//! (capabilities(7)), and a new thread has those of the one that starts it.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

/// Whether maps can be used without CAP_BPF: `bpf_sys_bpf` asks for it for every call before Linux 5.19 where
/// kernel.unprivileged_bpf_disabled is set.
static MAPS_NEED_BPF: OnceLock<bool> = OnceLock::new();

/// Finds out what the kernel demands, with `use_map`, which uses a map and says whether it could. To be called
/// before anything is dropped.
pub fn probe(use_map: impl FnOnce() -> bool + Send) {
    let needed = std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            keep(&[]);
            use_map()
        });
        // Where the attempt itself failed, what it would have told is not known.
        !tried.join().unwrap_or(false)
    });
    let _ = MAPS_NEED_BPF.set(needed);
}

/// Whether this thread may load the kernel half: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, for each of which CAP_SYS_ADMIN
/// stands (`bpf_capable`, `perfmon_capable`, `bpf_net_capable`).
pub fn may_load() -> bool {
    has(Capability::CAP_SYS_ADMIN)
        || [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_NET_ADMIN].into_iter().all(has)
}

/// Whether it may become another user.
pub fn may_switch() -> bool {
    has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID)
}

/// Whether it may give away what it makes.
pub fn may_give() -> bool {
    has(Capability::CAP_CHOWN)
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Starts a thread that has no capability but what using maps takes on this kernel.
pub fn thread<T: Send + 'static>(
    name: impl Into<String>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread_with(name, &[], body)
}

/// A thread that does something again and again until this is dropped, and then once more.
pub struct Repeating {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts such a thread, as [`thread`] does, with this pause before each time.
///
/// # Errors
/// As [`thread`]'s.
pub fn repeat(
    name: impl Into<String>,
    pause: Duration,
    mut act: impl FnMut() + Send + 'static,
) -> io::Result<Repeating> {
    let (stop, stopped) = channel();
    let thread = thread(name, move || {
        loop {
            let goes_on = stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
            act();
            if !goes_on {
                return;
            }
        }
    })?;
    Ok(Repeating { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Repeating {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// As [`thread`], for a thread that makes files for this user.
pub fn thread_as<T: Send + 'static>(
    name: impl Into<String>,
    (user, group): (Uid, Gid),
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let ready = move || {
        write_as(user, group);
        drop_but(&[]);
        gain_none();
    };
    spawn(name, ready, body)
}

/// The same, for a thread that needs some capabilities.
pub fn thread_with<T: Send + 'static>(
    name: impl Into<String>,
    kept: &'static [Capability],
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let ready = || {
        drop_but(kept);
        gain_none();
    };
    spawn(name, ready, body)
}

/// The same, for a thread that launches CMD again and again: that may be a setuid program, and inherits what it would
/// have inherited from the first thread (its inheritable and ambient capabilities).
pub fn thread_to_launch<T: Send + 'static>(
    name: impl Into<String>,
    mut kept: Vec<Capability>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let ready = move || {
        kept.extend(caps::read(None, CapSet::Ambient).unwrap_or_default());
        permit(&kept.into_iter().collect());
    };
    spawn(name, ready, body)
}

fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    ready: impl FnOnce() + Send + 'static,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let privileged = Privileged::one_more();
    // Where no thread can be made, what it would have owned is dropped, and with it the count.
    std::thread::Builder::new().name(name.into()).spawn(move || {
        ready();
        drop(privileged);
        body()
    })
}

/// A thread that was started and has not dropped its privileges yet.
struct Privileged;

/// How many of them there are, and that it became one less.
static PRIVILEGED: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Privileged {
    fn one_more() -> Self {
        *PRIVILEGED.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Privileged {
    fn drop(&mut self) {
        *PRIVILEGED.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        PRIVILEGED.1.notify_all();
    }
}

/// Waits until each thread that was started has dropped what it does not need.
pub fn wait_for_threads() {
    let count = PRIVILEGED.0.lock().unwrap_or_else(PoisonError::into_inner);
    drop(PRIVILEGED.1.wait_while(count, |count| *count > 0));
}

/// Lets this thread make and open files as this user.
pub fn write_as(user: Uid, group: Gid) {
    // The previous id is returned, and there is no error to look at (setfsuid(2)): files would be root's.
    setfsgid(group);
    setfsuid(user);
}

/// Leaves this thread these, and what using maps takes on this kernel.
pub fn drop_but(kept: &[Capability]) {
    let mut kept = kept.to_vec();
    if MAPS_NEED_BPF.get().copied().unwrap_or(true) {
        kept.push(Capability::CAP_BPF);
    }
    keep(&kept);
}

fn keep(wanted: &[Capability]) {
    let wanted: CapsHashSet = wanted.iter().copied().collect();
    // Only ever less than before; where even that fails there is nothing to drop.
    let _ = caps::set(None, CapSet::Inheritable, &CapsHashSet::new());
    let _ = caps::clear(None, CapSet::Ambient);
    permit(&wanted);
}

fn permit(wanted: &CapsHashSet) {
    let permitted = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let rest: CapsHashSet = permitted.intersection(wanted).copied().collect();
    let _ = caps::set(None, CapSet::Effective, &rest);
    let _ = caps::set(None, CapSet::Permitted, &rest);
}

/// Nothing that this thread executes from now on gains a privilege (prctl(2), PR_SET_NO_NEW_PRIVS). Not before
/// CMD is started by it: that may be a setuid program.
pub fn gain_none() {
    let _ = nix::sys::prctl::set_no_new_privs();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_dropped_all_has_nothing_and_the_others_keep_theirs() {
        let before = caps::read(None, CapSet::Permitted).unwrap();
        let _ = MAPS_NEED_BPF.set(false);
        let looked = thread("unprivileged", || {
            for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient] {
                assert!(caps::read(None, set).unwrap().is_empty(), "{set:?}");
            }
        });
        looked.unwrap().join().unwrap();
        assert_eq!(caps::read(None, CapSet::Permitted).unwrap(), before);
    }
}
