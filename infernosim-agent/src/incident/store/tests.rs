use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn owner() -> Ownership {
    Ownership { uid: Uid::effective(), gid: Gid::effective() }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_written_is_private_and_leaves_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("incident");
    let store = Store::create(&path, owner(), false).unwrap();
    let mut manifest = Manifest::default();
    store.save(&manifest).unwrap();
    manifest.closed = true;
    store.save(&manifest).unwrap();
    store.create_log("outbound.log").unwrap().write_all(b"a\nb\n").unwrap();
    store.write_body(&[0xab; 32], b"body").unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), Some(manifest));
    let body = path.join("bodies").join("ab".repeat(32));
    assert_eq!(fs::read(&body).unwrap(), b"body");
    assert_eq!([mode(&path), mode(&body), mode(&path.join("outbound.log"))], [0o700, 0o600, 0o600]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
    assert_eq!(fs::read_dir(path.join("bodies")).unwrap().count(), 1);
}

#[test]
fn an_incident_is_replaced_only_by_force_and_nothing_else_ever_is() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("incident");
    Store::create(&path, owner(), false).unwrap().save(&Manifest::default()).unwrap();
    assert_eq!(Store::create(&path, owner(), false).unwrap_err().exit, Exit::Usage);
    fs::write(path.join("notes.txt"), "mine").unwrap();
    Store::create(&path, owner(), true).unwrap();
    assert!(!path.join("incident.json").exists() && path.join("notes.txt").exists());
    // Now it is a directory with somebody's notes in it.
    fs::remove_dir(path.join("bodies")).unwrap();
    assert_eq!(Store::create(&path, owner(), true).unwrap_err().exit, Exit::Usage);
}

#[test]
fn what_a_killed_capture_had_begun_can_be_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("incident");
    fs::create_dir_all(path.join("bodies")).unwrap();
    assert_eq!(Store::create(&path, owner(), false).unwrap_err().exit, Exit::Usage);
    Store::create(&path, owner(), true).unwrap();
    // A directory in bodies/ is none of ours, and is not removed.
    fs::create_dir(path.join("bodies/theirs")).unwrap();
    assert!(Store::create(&path, owner(), true).unwrap_err().message.contains("cannot be emptied"));
    assert!(path.join("bodies/theirs").exists());
}

#[test]
fn links_are_not_followed() {
    let parent = tempfile::tempdir().unwrap();
    let (path, link) = (parent.path().join("incident"), parent.path().join("link"));
    let store = Store::create(&path, owner(), false).unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    for name in ["incident.json.new", "outbound.log"] {
        symlink(elsewhere.path(), path.join(name)).unwrap();
    }
    store.save(&Manifest::default()).unwrap();
    assert!(store.create_log("outbound.log").is_err());
    assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
    assert!(!fs::symlink_metadata(path.join("incident.json")).unwrap().is_symlink());
    symlink(&path, &link).unwrap();
    assert!(Store::create(&link, owner(), true).is_err());
    assert!(path.join("incident.json").exists());
}

/// Whoever may write to the parent can put a link in the incident's place: nothing is written through it.
#[test]
fn what_is_put_in_its_place_is_not_written_to() {
    let parent = tempfile::tempdir().unwrap();
    let [path, moved, other] = ["incident", "moved", "other"].map(|name| parent.path().join(name));
    let store = Store::create(&path, owner(), false).unwrap();
    let log = store.create_log("outbound.log").unwrap();
    fs::create_dir_all(other.join("bodies")).unwrap();
    fs::rename(&path, &moved).unwrap();
    symlink(&other, &path).unwrap();
    assert_eq!(store.whereabouts(), Some(moved.clone()));
    store.save(&Manifest::default()).unwrap();
    store.write_body(&[1; 32], b"body").unwrap();
    store.create_spool(1).unwrap();
    store.keep_spool(1, &[2; 32]).unwrap();
    store.create_log("inbound.log").unwrap();
    assert!(store.holds(OsStr::new("outbound.log"), &log) && store.holds_bodies());
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    assert_eq!(fs::read_dir(other.join("bodies")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(moved.join("bodies")).unwrap().count(), 2);
    assert!(moved.join("incident.json").exists());
    // The same with bodies/ alone.
    fs::rename(moved.join("bodies"), moved.join("were")).unwrap();
    symlink(other.join("bodies"), moved.join("bodies")).unwrap();
    store.write_body(&[3; 32], b"body").unwrap();
    assert_eq!(fs::read_dir(other.join("bodies")).unwrap().count(), 0);
    assert!(!store.holds_bodies());
    // Not even what is taken back is taken from there.
    fs::write(other.join("incident.json"), "theirs").unwrap();
    store.discard();
    assert!(other.join("incident.json").exists() && !moved.join("incident.json").exists());
}

#[test]
fn what_is_gone_is_known_to_be() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("incident");
    let store = Store::create(&path, owner(), false).unwrap();
    let log = store.create_log("outbound.log").unwrap();
    assert_eq!(store.whereabouts(), Some(path.clone()));
    fs::rename(path.join("outbound.log"), path.join("outbound.log.1")).unwrap();
    assert!(!store.holds(OsStr::new("outbound.log"), &log));
    fs::write(path.join("outbound.log"), "another").unwrap();
    assert!(!store.holds(OsStr::new("outbound.log"), &log));
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(store.whereabouts(), None);
    assert!(store.save(&Manifest::default()).is_err() && store.write_body(&[1; 32], b"").is_err());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_directory_without_a_name_of_its_own_will_do() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("incident");
    fs::create_dir_all(path.join("inside")).unwrap();
    let store = Store::create(&path.join("inside/.."), owner(), false);
    assert_eq!(store.unwrap_err().exit, Exit::Usage, "it is not empty");
    fs::remove_dir(path.join("inside")).unwrap();
    let store = Store::create(&path.join("."), owner(), false).unwrap();
    store.save(&Manifest::default()).unwrap();
    assert!(path.join("incident.json").exists());
    store.discard();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "it was there before");
}
