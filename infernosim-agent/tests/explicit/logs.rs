//! Where the lines go.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Folder, Origin, Output, curl, curl_through, eventually, text};

fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The user's own folder: nothing of it changes but that there is an incident in it, which is the user's alone.
#[test]
fn a_folder_with_other_files_stays_as_it_is() {
    let (folder, origin) = (Folder::new(), Origin::start());
    std::fs::write(folder.join("app.js"), "mine").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let proxy = folder.proxy(&[]);
    curl_through(&proxy, &[&origin.url("/bytes/100000")]);
    proxy.stop();
    assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o755);
    assert_eq!(folder.text("app.js"), "mine");
    let expected = ["app.js", "bodies", "incident.json", "outbound.log", "secrets.json"];
    assert!(names(&folder).iter().all(|name| expected.contains(&name.as_str())), "{:?}", names(&folder));
    for name in ["outbound.log", "incident.json"] {
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::metadata(folder.join("bodies")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(folder.recorded("outbound.log").body_files().len(), 1);
}

/// A log of the original's, without a manifest, is added to.
#[test]
fn an_old_log_is_added_to() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let old = r#"{"id":"0123456789abcdef0123456789abcdef","type":"OutboundCall","timestamp":"2024-01-02T03:04:05Z","method":"GET","url":"http://worldtimeapi.org/api/timezone/Etc/UTC","status":200,"duration":5}"#;
    std::fs::write(folder.join("outbound.log"), format!("{old}\n")).unwrap();
    let proxy = folder.proxy(&[]);
    curl_through(&proxy, &[&origin.url("/n/1")]).text();
    proxy.stop();
    let log = folder.text("outbound.log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, old));
    let shown = folder.run(&["inspect", "."]);
    assert!(shown.stdout.contains("worldtimeapi.org") && shown.stdout.contains("/n/1"), "{}", shown.stdout);
}

#[test]
fn dev_null_and_standard_output_get_the_lines_alone() {
    let origin = Origin::start();
    let folder = Folder::new();
    let proxy = folder.proxy(&["--log", "/dev/null"]);
    assert_eq!(curl_through(&proxy, &[&origin.url("/n/1")]).text(), "1\n");
    proxy.stop();
    assert!(names(&folder).is_empty(), "{:?}", names(&folder));

    let proxy = folder.proxy(&["--log", "-"]);
    assert_eq!(curl_through(&proxy, &[&origin.url("/n/1")]).text(), "1\n");
    curl_through(&proxy, &[&origin.url("/bytes/100000")]);
    let ended = proxy.end();
    assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{}", ended.stdout);
    assert_eq!((text(&lines[0]["url"]), &lines[0]["sequence"]), (origin.url("/n/1").as_str(), &1.into()));
    assert_eq!(lines[1]["responseBodySize"], 100_000);
    assert_eq!(lines[1]["responseBodyTruncated"], true, "{}", lines[1]);
}

/// A disk that takes nothing costs the recording and not the traffic, and that is said.
#[test]
fn a_full_disk_is_said() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let proxy = folder.proxy(&["--log", "/dev/full"]);
    for number in 0..3 {
        let url = origin.url(&format!("/n/{number}"));
        assert_eq!(curl_through(&proxy, &[&url]).text(), format!("{number}\n"));
    }
    let ended = proxy.end();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("3 lost") && ended.stderr.contains("No space left"), "{}", ended.stderr);
}

/// What reads the lines may be any program; one that goes away costs the recording and not the traffic.
#[test]
fn a_pipe_gets_the_lines_as_they_come() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let inbound = ["inbound", "--listen", ":0", "--forward", &origin.addr.to_string(), "--log", "-"];
    let mut child = folder.command(&inbound).stdin(Stdio::null()).spawn().unwrap();
    let stderr = Output::of(child.stderr.take().unwrap());
    let ready = stderr.line("infernosim: capturing");
    let url = format!("http://{}", ready.split_once("http://").unwrap().1.split(' ').next().unwrap());
    let mut pipe = child.stdout.take().unwrap();
    assert_eq!(curl(&[&format!("{url}/n/1")]).text(), "1\n");
    let mut first = [0; 64];
    pipe.read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"{\"id\":\""));
    drop(pipe);
    for number in 0..20 {
        assert_eq!(curl(&[&format!("{url}/n/{number}")]).text(), format!("{number}\n"));
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::SIGTERM).unwrap();
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(4), "{}", stderr.so_far());
}
