//! CMD runs as if it had been started without us.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Capture, INFERNOSIM, Origin, Recording, cgroup_mount, program, text};

/// The same output and exit status with us and without.
fn alike(command: &[&str]) -> Recording {
    let capture = Capture::of(command);
    let native = capture.native();
    let finished = capture.run();
    assert_eq!((finished.code, &finished.stdout), (native.code, &native.stdout), "{}", finished.stderr);
    finished.recording()
}

#[test]
fn standard_input_passes() {
    let input = b"line\nand \x00 bytes \xff, no end of line";
    let capture = Capture::of(&["sha256sum"]).stdin(input);
    let native = capture.native();
    assert_eq!(native.code, 0);
    assert_eq!(capture.run().stdout, native.stdout);
}

#[test]
fn the_exit_status_is_the_commands() {
    for (script, code) in
        [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)]
    {
        let finished = Capture::of(&["sh", "-c", script]).run();
        assert_eq!(finished.code, code, "{script}: {}", finished.stderr);
        finished.recording();
    }
}

#[test]
fn a_command_that_cannot_be_run_is_said_as_a_shell_says_it() {
    let place = tempfile::tempdir().unwrap();
    let plain = place.path().join("plain");
    std::fs::write(&plain, "not a program").unwrap();
    for (command, code) in
        [("/nowhere/at-all", 127), ("no-such-command-here", 127), (plain.to_str().unwrap(), 126)]
    {
        let finished = Capture::exactly(vec![command.into()]).run();
        assert_eq!(finished.code, code, "{command}: {}", finished.stderr);
        assert!(finished.stderr.contains(command), "{}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn the_command_has_no_descriptor_of_ours() {
    // 3 is ls's own.
    let recording = alike(&["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"]);
    assert_eq!(recording.events.len(), 0);
}

#[test]
fn the_commands_environment_directory_and_limits_are_the_callers() {
    let script = "env | grep -v '^_=' | sort; pwd; umask; ulimit -a; cat /proc/self/oom_score_adj; \
                  sed -n 's/^Sig[BIC].*/&/p;s/^Cap.*/&/p;s/^Seccomp.*/&/p;s/^NoNewPrivs.*/&/p' /proc/self/status";
    alike(&["sh", "-c", script]);
}

/// Rust's runtime ignores SIGPIPE in itself: a child would inherit that, and `yes | head` would fail.
#[test]
fn a_broken_pipe_ends_the_command_quietly() {
    let script = "import signal; print(signal.getsignal(signal.SIGPIPE), signal.pthread_sigmask(signal.SIG_BLOCK, []))";
    // Python itself ignores SIGPIPE when it starts; what it was given stands in the shell's status.
    alike(&["sh", "-c", "sed -n 's/^SigIgn.*/&/p' /proc/self/status; yes | head -1"]);
    let native = Capture::python(script, &[]).native();
    assert_eq!(Capture::python(script, &[]).run().stdout, native.stdout);
    let finished = Capture::of(&["sh", "-c", "(yes; echo \"$?\" >&2) | true"]).run();
    assert!(finished.stderr.lines().any(|line| line == "141"), "{}", finished.stderr);
}

#[test]
fn the_limit_of_open_files_is_the_callers() {
    let prlimit = program("prlimit");
    for limit in ["--nofile=300:5000", "--nofile=777:777"] {
        let capture =
            Capture::of(&["sh", "-c", "ulimit -Sn; ulimit -Hn"]).through(&[prlimit.to_str().unwrap(), limit]);
        let native = capture.native();
        assert_eq!(capture.run().stdout, native.stdout);
    }
}

#[test]
fn the_ready_line_comes_first_and_the_summary_last() {
    let finished = Capture::of(&["sh", "-c", "echo target >&2"]).run();
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert!(lines[0].starts_with("infernosim: capturing"), "{lines:?}");
    assert_eq!(lines[1], "target");
    let rest = lines[2..].join("\n");
    assert!(rest.contains("0 lost") && rest.contains("infernosim inspect "), "{rest}");
    assert_eq!(finished.stdout, "");
}

#[test]
fn quiet_is_quiet() {
    let finished = Capture::of(&["sh", "-c", "echo target >&2"]).option(&["-q"]).run();
    assert_eq!(finished.stderr, "target\n");
}

#[test]
fn an_incident_is_not_overwritten_unless_forced() {
    let place = tempfile::tempdir().unwrap();
    let incident = place.path().join("kept");
    assert_eq!(Capture::of(&["true"]).into(&incident).run().code, 0);
    let manifest = std::fs::read(incident.join("incident.json")).unwrap();
    let marker = place.path().join("ran");
    let touch = ["touch", marker.to_str().unwrap()];

    let refused = Capture::of(&touch).into(&incident).run();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert!(!marker.exists(), "CMD ran");
    assert_eq!(std::fs::read(incident.join("incident.json")).unwrap(), manifest);

    let forced = Capture::of(&touch).into(&incident).option(&["--force"]).run();
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    assert!(marker.exists());
    assert_eq!(forced.recording().manifest["target"]["command"][1], marker.to_str().unwrap());
}

/// `--force` is for incidents: a directory of something else is nobody's to clear.
#[test]
fn force_does_not_clear_what_is_no_incident() {
    let place = tempfile::tempdir().unwrap();
    let precious = place.path().join("thesis.txt");
    std::fs::write(&precious, "years of work").unwrap();
    for options in [&[][..], &["--force"]] {
        let finished = Capture::of(&["true"]).into(place.path()).option(options).run();
        assert_eq!(finished.code, 2, "{}", finished.stderr);
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "years of work");
    }
}

/// Root must not follow a link that somebody else put there.
#[test]
fn an_incident_that_is_a_link_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (elsewhere, link) = (place.path().join("elsewhere"), place.path().join("link"));
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    for options in [&[][..], &["--force"]] {
        let finished = Capture::of(&["true"]).into(&link).option(options).run();
        assert!([2, 4].contains(&finished.code), "{} {}", finished.code, finished.stderr);
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}

#[test]
fn a_usage_error_is_2_and_says_what_to_do() {
    for words in [
        &["capture"][..],
        &["capture", "--no-such-option", "--", "true"],
        &["capture", "--buffer", "many", "--", "true"],
    ] {
        let output = std::process::Command::new(INFERNOSIM).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
}

/// As in a CI container: no cgroup can be made, so CMD and its children are told apart by process.
#[test]
fn where_the_cgroup_file_system_is_read_only_cmd_is_followed_by_process() {
    let origin = Origin::start();
    let script = format!("mount -o remount,ro,bind {} && exec \"$@\"", cgroup_mount().display());
    let fetch = format!("(curl -s {0}/child); curl -s {0}/own; exit 7", origin.url(""));
    let unshare = program("unshare");
    let finished = Capture::of(&["sh", "-c", &fetch])
        .through(&[unshare.to_str().unwrap(), "--mount", "sh", "-c", &script, "sh"])
        .run();
    assert_eq!(finished.code, 7, "{}", finished.stderr);
    let paths: Vec<String> =
        finished.recording().calls().iter().map(|call| text(&call["url"]).to_owned()).collect();
    assert_eq!(paths, [origin.url("/child"), origin.url("/own")]);
}

#[test]
fn the_cgroup_is_gone_afterwards() {
    let finished = Capture::of(&["sh", "-c", "cat /proc/self/cgroup"]).run();
    let own = finished.stdout.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    let name = own.rsplit('/').next().unwrap();
    assert!(name.starts_with("infernosim-"), "{own}");
    let find = std::process::Command::new("find").arg(cgroup_mount()).args(["-name", name]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&find.stdout), "");
}

#[test]
fn the_incident_is_for_its_owner_only() {
    let finished = Capture::of(&["true"]).run();
    for (name, mode) in [("", 0o700), ("bodies", 0o700), ("incident.json", 0o600), ("outbound.log", 0o600)] {
        let path = finished.incident.join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{name}");
    }
}
