//! Who CMD runs as, who owns the incident, and what happens without privilege.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::harness::{Capture, INFERNOSIM, Origin, program};

/// A user that every Debian has; its numbers are fixed by policy.
const NOBODY: (u32, u32) = (65534, 65534);

/// Starts a command where `/etc/group` says that nobody is in two groups more, and nowhere else.
const WITH_GROUPS: &str = r#"
sed -e 's/^\(audio:.*\)$/\1,nobody/;s/:,nobody$/:nobody/' -e 's/^\(video:.*\)$/\1,nobody/;s/:,nobody$/:nobody/' \
    /etc/group > "$PWD/group" && mount --bind "$PWD/group" /etc/group && exec "$@"
"#;

fn nobodys_place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn assert_owned(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), NOBODY, "{}", path.display());
    let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(metadata.mode() & 0o7777, mode, "{}", path.display());
    if metadata.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| assert_owned(&entry.unwrap().path()));
    }
}

#[test]
fn through_sudo_the_command_runs_as_the_caller() {
    let origin = Origin::start();
    let place = nobodys_place();
    let script = "id -u; id -g; id -Gn; echo \"$HOME $USER $LOGNAME $KEPT\"; \
                  grep -E '^(Cap(Prm|Eff|Amb|Inh)|Uid|Gid)' /proc/self/status | tr -s '\\t' ' '; \
                  curl -sS -o /dev/null \"$0\"";
    let unshare = program("unshare");
    let finished = Capture::of(&["sh", "-c", script, &origin.url("/bytes/100000")])
        .through(&[unshare.to_str().unwrap(), "--mount", "sh", "-c", WITH_GROUPS, "sh"])
        .environment("SUDO_UID", "65534")
        .environment("SUDO_GID", "65534")
        .environment("SUDO_USER", "nobody")
        .environment("KEPT", "kept")
        .into(&place.path().join("incident"))
        .run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines[..2], ["65534", "65534"]);
    let mut groups: Vec<&str> = lines[2].split(' ').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["audio", "nogroup", "video"]);
    assert_eq!(lines[3], "/nonexistent nobody nobody kept");
    assert_eq!(lines[4], "Uid: 65534 65534 65534 65534");
    assert_eq!(lines[5], "Gid: 65534 65534 65534 65534");
    let none = "0000000000000000";
    for (line, name) in lines[6..].iter().zip(["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
        assert_eq!(*line, format!("{name}: {none}"));
    }
    let recording = finished.recording();
    assert_eq!(recording.manifest["target"]["user"], "nobody");
    assert_eq!(recording.body_files().len(), 1);
    assert_owned(&finished.incident);
}

#[test]
fn a_user_that_is_named_comes_before_the_caller() {
    let finished = Capture::of(&["id", "-un"])
        .option(&["--user", "daemon"])
        .environment("SUDO_UID", "65534")
        .environment("SUDO_GID", "65534")
        .run();
    assert_eq!(finished.stdout, "daemon\n", "{}", finished.stderr);
    let finished = Capture::of(&["id", "-un"]).option(&["--user", "no-such-user-here"]).run();
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("no-such-user-here"), "{}", finished.stderr);
}

/// Root itself behind sudo (`sudo sudo infernosim …`) is no other user.
#[test]
fn root_stays_root() {
    let finished = Capture::of(&["id", "-u"]).environment("SUDO_UID", "0").environment("SUDO_GID", "0").run();
    assert_eq!(finished.stdout, "0\n", "{}", finished.stderr);
}

#[test]
fn without_privilege_one_sentence_and_nothing_is_started() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // Where the build put it, nobody may not go.
    let binary = place.path().join("infernosim");
    std::fs::copy(INFERNOSIM, &binary).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (marker, incident) = (place.path().join("ran"), place.path().join("incident"));
    let output = std::process::Command::new(program("setpriv"))
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["capture", "--incident"])
        .arg(&incident)
        .args(["--", "touch"])
        .arg(&marker)
        .current_dir(place.path())
        .env_remove("SUDO_UID")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.contains("root") || stderr.contains("sudo"), "{stderr}");
    assert!(stderr.lines().count() <= 3 && !stderr.contains("panicked"), "{stderr}");
    assert!(!marker.exists(), "CMD ran");
    assert!(!incident.exists(), "an incident of nothing was left");
}

/// What a capture of `true` says that is run through this, and its status.
fn refused(through: &[&str], options: &[&str]) -> String {
    let place = tempfile::tempdir().unwrap();
    let incident = place.path().join("incident");
    let finished = Capture::of(&["true"]).option(options).through(through).into(&incident).run();
    assert_eq!(finished.code, 3, "{through:?}: {}", finished.stderr);
    assert!(finished.stderr.lines().count() <= 2, "{through:?}: {}", finished.stderr);
    assert!(!incident.exists(), "{through:?} left an incident");
    finished.stderr
}

#[test]
fn a_capability_that_is_missing_is_named_before_anything_starts() {
    let setpriv = program("setpriv");
    let without = |set: &str, options: &[&str]| {
        refused(&[setpriv.to_str().unwrap(), "--bounding-set", set, "--inh-caps", set], options)
    };
    assert!(without("-perfmon,-sys_admin", &[]).contains("CAP_PERFMON"));
    assert!(without("-setuid", &["--user", "nobody"]).contains("CAP_SETUID"));
    assert!(without("-chown", &["--user", "nobody"]).contains("CAP_CHOWN"));
}

/// Numbers of processes would be looked up in it, and be somebody else's.
#[test]
fn a_proc_of_another_pid_namespace_is_refused() {
    let unshare = program("unshare");
    let said = refused(&[unshare.to_str().unwrap(), "--pid", "--fork", "--kill-child"], &[]);
    assert!(said.contains("pid namespace") && said.contains("mount -t proc"), "{said}");
}
