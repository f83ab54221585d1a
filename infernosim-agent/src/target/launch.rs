use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use nix::unistd::{Pid, pipe2, setgid, setgroups, setuid};

use super::{Cgroup, Identity};
use crate::error::{Exit, ExpectedError, Result};

/// linux/sched.h; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the target must find as it would without us, noted before we change it for ourselves.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// The soft and hard limit of open files.
    pub open_files: (u64, u64),
    /// The blocked signals.
    pub signals: SigSet,
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

/// Everything the child needs, made before the clone so that the child allocates nothing.
struct Prepared {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    identity: Identity,
    inheritance: Inheritance,
}

/// Makes a new process, in `cgroup` if there is one, where it waits for [`Waiting::go`]. Must be called while this process has
/// one thread: the child runs on a copy of it.
pub fn launch(
    command: &[OsString],
    cgroup: Option<&Cgroup>,
    identity: &Identity,
    inheritance: Inheritance,
) -> Result<Waiting> {
    let prepared = prepare(command, identity, inheritance)?;
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|error| cannot(&format!("make a pipe: {error}")));
    let ((go_read, go_write), (status_read, status_write)) = (pipe()?, pipe()?);
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PIDFD as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.directory().as_raw_fd() as u64;
    }
    // SAFETY: clone3 without CLONE_VM is fork: the child has its own copy of this one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    match Errno::result(pid) {
        Ok(0) => {
            // The parent's ends must be closed here, or we would never see that it died.
            drop((go_write, status_read));
            run(&prepared, File::from(go_read), File::from(status_write))
        }
        Ok(pid) => Ok(Waiting {
            pid: Pid::from_raw(pid as i32),
            // SAFETY: clone3 stored a new descriptor there (CLOEXEC, as pidfds are), which nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
            go: File::from(go_write),
            status: File::from(status_read),
            command: command[0].clone(),
        }),
        Err(error) => Err(cannot(&format!("start a process in a cgroup of its own (clone3: {error})"))),
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

/// The child: from here to execve only system calls, on memory that was ready before.
fn run(prepared: &Prepared, mut go: File, mut status: File) -> ! {
    let mut byte = [0];
    if go.read_exact(&mut byte).is_err() {
        // Our parent gave up or died: CMD was never meant to run.
        // SAFETY: always allowed.
        unsafe { libc::_exit(0) }
    }
    let error = become_target(prepared).err().unwrap_or(Errno::EIO);
    let _ = status.write_all(&(error as i32).to_ne_bytes());
    // SAFETY: always allowed.
    unsafe { libc::_exit(127) }
}

fn become_target(prepared: &Prepared) -> nix::Result<()> {
    let Prepared { program, arguments, environment, identity, inheritance } = prepared;
    if identity.switch {
        setgroups(&identity.groups)?;
        setgid(identity.gid)?;
        setuid(identity.uid)?;
    }
    let (soft, hard) = inheritance.open_files;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    // Rust's runtime ignores SIGPIPE; programs expect the default.
    // SAFETY: sets a default, no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&inheritance.signals), None)?;
    nix::unistd::execvpe(program, arguments, environment)?;
    Ok(())
}

fn prepare(command: &[OsString], identity: &Identity, inheritance: Inheritance) -> Result<Prepared> {
    let text = |text: OsString| {
        CString::new(text.into_vec()).map_err(|_| cannot("run a command with a NUL byte in it"))
    };
    let Some(program) = command.first() else { return Err(cannot("run an empty command")) };
    let environment = identity.environment().into_iter().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        text(key)
    });
    Ok(Prepared {
        program: text(program.clone())?,
        arguments: command.iter().cloned().map(text).collect::<Result<_>>()?,
        environment: environment.collect::<Result<_>>()?,
        identity: identity.clone(),
        inheritance,
    })
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
