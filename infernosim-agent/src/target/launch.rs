use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{self, c_char, c_int, c_long};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, pipe2};

use super::{Cgroup, Identity};
use crate::error::{Exit, ExpectedError, Result};
use crate::privilege;

/// linux/sched.h; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Where execvpe(3) looks without a PATH (`_CS_PATH`).
const USUAL_PATH: &str = "/bin:/usr/bin";

/// What the target must find as it would without us, noted before we change it for ourselves.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// The soft and hard limit of open files.
    pub open_files: (u64, u64),
    /// The blocked signals.
    pub signals: SigSet,
}

/// What a CMD that does not have our own is given for its standard streams, all CLOEXEC.
#[derive(Debug)]
pub struct Streams {
    /// Read by it.
    pub input: OwnedFd,
    /// Written by it.
    pub output: OwnedFd,
    /// Written by it, too.
    pub error: OwnedFd,
}

/// A process in its cgroup that has not executed CMD yet. Dropped, it ends without having run anything.
#[derive(Debug)]
pub struct Waiting {
    pid: Pid,
    pidfd: OwnedFd,
    go: File,
    status: File,
    command: OsString,
}

/// A running CMD.
#[derive(Debug)]
pub struct Launched {
    /// Its process id.
    pub pid: Pid,
    /// Readable when it has ended (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// Makes a new process, in `cgroup` if there is one, where it waits for [`Waiting::go`].
pub fn launch(
    command: &[OsString],
    cgroup: Option<&Cgroup>,
    identity: &Identity,
    inheritance: Inheritance,
) -> Result<Waiting> {
    Prepared::new(command, identity, inheritance)?.launch(cgroup.map(Cgroup::directory), None)
}

/// Everything a child needs, made before the clone. The child is a copy of one thread, and of memory that others were
/// changing: it may not allocate, take a lock, or wait for the other threads, which are not there (glibc's setuid(3)
/// would have each of them change its user). So it makes plain system calls, on what stands here.
pub(super) struct Prepared {
    command: OsString,
    /// What execve(2) is tried with, in order.
    programs: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    identity: Identity,
    groups: Vec<libc::gid_t>,
    inheritance: Inheritance,
    /// Whether CMD is killed when the thread that launched it ends.
    pub(super) dies_with_us: bool,
}

impl Prepared {
    pub(super) fn new(command: &[OsString], identity: &Identity, inheritance: Inheritance) -> Result<Self> {
        let Some(program) = command.first() else { return Err(cannot("run an empty command")) };
        check_switch(identity)?;
        let variables = identity.environment();
        let path = variables.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.as_os_str());
        let programs = candidates(program, path).into_iter().map(text).collect::<Result<_>>()?;
        let environment = variables.into_iter().map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            text(key)
        });
        Ok(Self {
            command: program.clone(),
            programs,
            arguments: command.iter().cloned().map(text).collect::<Result<_>>()?,
            environment: environment.collect::<Result<_>>()?,
            identity: identity.clone(),
            groups: identity.groups.iter().map(|group| group.as_raw()).collect(),
            inheritance,
            dies_with_us: false,
        })
    }

    /// Makes the process. May be called by a process with many threads.
    pub(super) fn launch(&self, cgroup: Option<&File>, streams: Option<&Streams>) -> Result<Waiting> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|error| cannot(&format!("make a pipe: {error}")));
        let ((go_read, go_write), (status_read, status_write)) = (pipe()?, pipe()?);
        let mut child = Child::new(self, streams);
        let mut pidfd: c_int = -1;
        // SAFETY: all-zero is a valid clone_args.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = libc::CLONE_PIDFD as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.pidfd = &raw mut pidfd as u64;
        if let Some(cgroup) = cgroup {
            arguments.flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: clone3 without CLONE_VM is fork: the child has its own copy of this one thread, and does only what
        // `Child` may.
        let pid =
            unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
        match Errno::result(pid) {
            Ok(0) => {
                // The parent's ends must be closed here, or we would never see that it died.
                drop((go_write, status_read));
                child.run(File::from(go_read), File::from(status_write))
            }
            Ok(pid) => Ok(Waiting {
                pid: Pid::from_raw(pid as i32),
                // SAFETY: clone3 stored a new descriptor there (CLOEXEC, as pidfds are), which nobody else owns.
                pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
                go: File::from(go_write),
                status: File::from(status_read),
                command: self.command.clone(),
            }),
            Err(error) => Err(cannot(&format!("start a process in a cgroup of its own (clone3: {error})"))),
        }
    }
}

impl Waiting {
    /// The process id CMD will have.
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it execute CMD. Fails with 127 where CMD is not found and 126 where it cannot be executed.
    pub fn go(mut self) -> Result<Launched> {
        let _ = self.go.write_all(&[1]);
        let mut failure = [0; 4];
        match self.status.read_exact(&mut failure) {
            // End of file: execve closed the pipe.
            Err(_) => Ok(Launched { pid: self.pid, pidfd: self.pidfd }),
            Ok(()) => Err(not_executed(&self.command, Errno::from_raw(i32::from_ne_bytes(failure)))),
        }
    }
}

/// What runs between the clone and execve, with what execve takes.
struct Child<'a> {
    prepared: &'a Prepared,
    /// As execve(2) takes them: ended by a null pointer.
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// Those of a shell that runs CMD; the second is for the script's name.
    shell: Vec<*const c_char>,
    streams: [c_int; 3],
}

impl<'a> Child<'a> {
    fn new(prepared: &'a Prepared, streams: Option<&Streams>) -> Self {
        let pointers = |texts: &[CString]| -> Vec<_> {
            texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
        };
        let arguments = pointers(&prepared.arguments);
        let mut shell = vec![SHELL.as_ptr(), ptr::null()];
        shell.extend(&arguments[1..]);
        let environment = pointers(&prepared.environment);
        let streams = streams.map_or([-1; 3], |streams| {
            [&streams.input, &streams.output, &streams.error].map(|stream| stream.as_raw_fd())
        });
        Self { prepared, arguments, environment, shell, streams }
    }

    /// From here to execve only system calls, on memory that was ready before.
    fn run(&mut self, mut go: File, mut status: File) -> ! {
        let mut byte = [0];
        if go.read_exact(&mut byte).is_err() {
            // Our parent gave up or died: CMD was never meant to run.
            // SAFETY: always allowed.
            unsafe { libc::_exit(0) }
        }
        let error = self.become_target();
        let _ = status.write_all(&(error as i32).to_ne_bytes());
        // SAFETY: always allowed.
        unsafe { libc::_exit(127) }
    }

    /// Returns only if that cannot be.
    fn become_target(&mut self) -> Errno {
        match self.change() {
            Ok(()) => self.execute(),
            Err(error) => error,
        }
    }

    fn change(&self) -> nix::Result<()> {
        let Prepared { identity, groups, inheritance, dies_with_us, .. } = self.prepared;
        for (stream, number) in self.streams.into_iter().zip(0..).filter(|(stream, _)| *stream >= 0) {
            // SAFETY: plain numbers; what was at this number was ours, and nobody here uses it.
            Errno::result(unsafe { libc::dup2(stream, number) })?;
        }
        if identity.switch {
            let (uid, gid) = (identity.uid.as_raw(), identity.gid.as_raw());
            // SAFETY: the kernel reads as many groups as there are.
            system_call(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
            // SAFETY: plain numbers.
            system_call(unsafe { libc::syscall(libc::SYS_setgid, gid) })?;
            // SAFETY: plain numbers.
            system_call(unsafe { libc::syscall(libc::SYS_setuid, uid) })?;
        }
        let (soft, hard) = inheritance.open_files;
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the kernel reads one limit.
        Errno::result(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
        // Rust's runtime ignores SIGPIPE; programs expect the default.
        // SAFETY: sets a default, no handler; all-zero is a valid sigaction, with SIG_DFL.
        Errno::result(unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGPIPE, &raw const default, ptr::null_mut())
        })?;
        // SAFETY: the kernel reads one mask.
        Errno::result(unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, inheritance.signals.as_ref(), ptr::null_mut())
        })?;
        if *dies_with_us {
            // Last: a change of user undoes it (prctl(2)).
            // SAFETY: plain numbers.
            Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) })?;
        }
        Ok(())
    }

    /// As execvpe(3): a file that may not be executed does not hide one further on in PATH, and one that the kernel does
    /// not know how to execute is a shell's script.
    fn execute(&mut self) -> Errno {
        let mut denied = false;
        let mut last = Errno::ENOENT;
        for program in &self.prepared.programs {
            last = execve(program, &self.arguments, &self.environment);
            match last {
                Errno::ENOEXEC => {
                    self.shell[1] = program.as_ptr();
                    return execve(SHELL, &self.shell, &self.environment);
                }
                Errno::EACCES => denied = true,
                Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
                _ => return last,
            }
        }
        if denied { Errno::EACCES } else { last }
    }
}

const SHELL: &CStr = c"/bin/sh";

fn execve(program: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: a text and two lists of texts that end with a null pointer; all of them live here.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

fn system_call(result: c_long) -> nix::Result<()> {
    Errno::result(result).map(drop)
}

/// The files that a command's first word may mean: itself if it has a slash, else one in each directory of PATH. An empty
/// directory there is the current one.
pub(super) fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<OsString> {
    if program.is_empty() || program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = path.map_or(USUAL_PATH.as_bytes(), OsStr::as_bytes);
    let within = |directory: &[u8]| {
        let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        OsString::from_vec([directory, separator, program.as_bytes()].concat())
    };
    path.split(|byte| *byte == b':').map(within).collect()
}

fn text(text: OsString) -> Result<CString> {
    CString::new(text.into_vec()).map_err(|_| cannot("run a command with a NUL byte in it"))
}

/// That we may run it as another user.
fn check_switch(identity: &Identity) -> Result<()> {
    if !identity.switch || privilege::may_switch() {
        return Ok(());
    }
    let user = identity.account.as_ref().map_or_else(|| identity.uid.to_string(), |(name, _)| name.clone());
    Err(cannot(&format!("run a command as {user}: CAP_SETUID or CAP_SETGID is missing"))
        .help("give them to us, or run it as who we are, with --user and our own name"))
}

fn cannot(what: &str) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("cannot {what}"))
}

fn not_executed(command: &OsString, error: Errno) -> ExpectedError {
    let shown = String::from_utf8_lossy(command.as_bytes());
    match error {
        Errno::ENOENT | Errno::ENOTDIR => {
            ExpectedError::new(Exit::NotFound, format!("{shown}: command not found"))
                .help("give a path, or a name that PATH finds (sudo may set another PATH than yours)")
        }
        _ => ExpectedError::new(Exit::NotExecutable, format!("{shown} cannot be executed: {}", error.desc())),
    }
}
