use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use super::*;
use crate::target::Output;

fn identity() -> Identity {
    Identity::of_caller(None).unwrap()
}

fn launcher(command: &[&str], identity: &Identity) -> Launcher {
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    let inheritance = Inheritance { open_files: (256, 512), signals: SigSet::empty() };
    Launcher::start(&command, None, identity, inheritance).unwrap()
}

/// Runs it once; gives its status and what it wrote.
fn run(launcher: &Launcher, identity: &Identity, place: &Path) -> Result<(Option<i32>, String)> {
    let path = place.join("target.log");
    let output = Output::open(&path, identity)?;
    let (streams, written) = output.begin("")?;
    let launched = launcher.launch(streams)?.go()?;
    let mut ended = [PollFd::new(launched.pidfd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ended, PollTimeout::from(60_000_u16)), Ok(1), "it does not end");
    let status = launcher.stop(launched, 0);
    written.last_lines();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    Ok((status, text.trim().to_owned()))
}

/// The other threads allocate all the time, so that a child that did would find the allocator locked by one that is not
/// there, and hang.
#[test]
fn a_process_with_busy_threads_launches_again_and_again() {
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    drop((0..100).map(|size| vec![0_u8; size * 64]).collect::<Vec<_>>());
                    // Takes the lock on the environment, and allocates within.
                    let _ = std::env::vars_os().count();
                }
            })
        })
        .collect();
    let place = tempfile::tempdir().unwrap();
    // SIGPIPE, which we ignore, it does not: the fourth digit from the right is of the signals 13 to 16.
    let script = "ulimit -Sn; ulimit -Hn; readlink /proc/self/fd/0; echo err >&2; \
                  sed -n 's/^SigBlk:.//p' /proc/self/status; \
                  sed -n 's/^SigIgn:.*\\(.\\)...$/ignored \\1/p' /proc/self/status; exit 7";
    let launcher = launcher(&["sh", "-c", script], &identity());
    for _ in 0..200 {
        let (status, text) = run(&launcher, &identity(), place.path()).unwrap();
        assert_eq!(status, Some(7));
        let mut lines: Vec<_> = text.lines().filter(|line| *line != "err").collect();
        lines.sort_unstable();
        assert_eq!(lines, ["/dev/null", "0000000000000000", "256", "512", "ignored 0"]);
    }
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
}

/// As execvpe(3) finds it.
#[test]
fn commands_are_found_as_a_shell_finds_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("no-first-line");
    std::fs::write(&script, "echo \"$0|$1|$2\"").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (identity, script) = (identity(), script.to_str().unwrap());
    let (status, text) = run(&launcher(&[script, "a b", ""], &identity), &identity, place.path()).unwrap();
    assert_eq!((status, text), (Some(0), format!("{script}|a b|")));
    for (command, exit) in [
        ("/nowhere/at-all", Exit::NotFound),
        ("no-such-command-here", Exit::NotFound),
        ("/etc/passwd", Exit::NotExecutable),
        ("/etc/passwd/x", Exit::NotFound),
        ("", Exit::NotFound),
    ] {
        let error = run(&launcher(&[command], &identity), &identity, place.path()).unwrap_err();
        assert_eq!(error.exit, exit, "{command}: {}", error.message);
    }
    let nothing: [OsString; 0] = [];
    let inheritance = Inheritance { open_files: (256, 512), signals: SigSet::empty() };
    assert!(Launcher::start(&nothing, None, &identity, inheritance).is_err());
}

#[test]
fn names_are_looked_for_in_path() {
    let found = |program: &str, path: Option<&str>| -> Vec<String> {
        let found = crate::target::launch::candidates(program.as_ref(), path.map(AsRef::as_ref));
        found.into_iter().map(|it| it.into_string().unwrap()).collect()
    };
    assert_eq!(found("ls", Some("/a:/b")), ["/a/ls", "/b/ls"]);
    assert_eq!(found("ls", Some("/a::")), ["/a/ls", "ls", "ls"]);
    assert_eq!(found("ls", None), ["/bin/ls", "/usr/bin/ls"]);
    assert_eq!(found("./ls", Some("/a")), ["./ls"]);
    assert_eq!(found("", Some("/a")), [""]);
}

/// SIGTERM is not heard, and a child is left behind: both are gone.
#[test]
fn what_was_launched_is_ended_with_all_that_it_started() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("target.log");
    let script = "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.1; done";
    let launcher = launcher(&["sh", "-c", script], &identity());
    let output = Output::open(&path, &identity()).unwrap();
    let (streams, _written) = output.begin("").unwrap();
    let launched = launcher.launch(streams).unwrap().go().unwrap();
    let pid = launched.pid;
    let child = loop {
        let text = std::fs::read_to_string(&path).unwrap();
        if let Ok(child) = text.trim().parse::<u32>() {
            break crate::target::processes::Process::find(child).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert_eq!(launcher.stop(launched, 50_000_000), Some(128 + 9));
    assert!(!child.runs());
    assert!(!crate::target::processes::exists(pid.as_raw().unsigned_abs()));
}

#[test]
fn a_polite_command_is_asked_to_end() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("target.log");
    let launcher =
        launcher(&["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done"], &identity());
    let (streams, _written) = Output::open(&path, &identity()).unwrap().begin("").unwrap();
    let launched = launcher.launch(streams).unwrap().go().unwrap();
    while !std::fs::read_to_string(&path).unwrap().contains("up") {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(launcher.stop(launched, 60_000_000_000), Some(5));
}

/// It would go on without us, with its calls let out.
#[test]
fn what_was_launched_dies_with_the_launcher() {
    let place = tempfile::tempdir().unwrap();
    let launcher = launcher(&["sleep", "1000"], &identity());
    let output = Output::open(&place.path().join("target.log"), &identity()).unwrap();
    let (streams, _written) = output.begin("").unwrap();
    let launched = launcher.launch(streams).unwrap().go().unwrap();
    drop(launcher);
    let mut ended = [PollFd::new(launched.pidfd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ended, PollTimeout::from(60_000_u16)), Ok(1));
    let status = nix::sys::wait::waitpid(launched.pid, None).unwrap();
    assert!(matches!(status, nix::sys::wait::WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGKILL, _)));
}

/// The thread changes its child's user, and nobody else's.
#[test]
fn another_user_is_the_childs_alone() {
    let daemon = Identity::of_caller(Some("daemon")).unwrap();
    if !daemon.switch || !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(place.path(), Some(daemon.uid.as_raw()), Some(daemon.gid.as_raw())).unwrap();
    let launcher =
        launcher(&["sh", "-c", "id -u; id -g; id -G; grep -E 'Cap(Prm|Eff)' /proc/self/status"], &daemon);
    let (status, text) = run(&launcher, &daemon, place.path()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(status, Some(0));
    assert_eq!(lines[..2], [daemon.uid.to_string(), daemon.gid.to_string()]);
    assert_eq!(lines[2].split(' ').count(), daemon.groups.len());
    assert_eq!(lines[3..], ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"]);
    assert!(nix::unistd::Uid::effective().is_root());
}
