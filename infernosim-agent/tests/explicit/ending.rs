//! However it ends, nobody is cut off who need not be, and what was recorded can be read.

use std::io::{BufReader, Write as _};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Folder, Origin, Recording, Running, Tcp, Wire, curl, curl_through, eventually, text};

/// A download of so many MiB, of which the first byte has come.
fn download(proxy: &Running, origin: &Origin, mib: usize) -> (Wire, usize) {
    let mut client = proxy.connect();
    let url = origin.url(&format!("/paced/{mib}"));
    client.send(format!("GET {url} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.addr));
    let head = String::from_utf8(client.head().unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    client.exactly(1).unwrap();
    (client, (mib << 20) - 1)
}

#[test]
fn what_is_under_way_is_finished() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (folder, origin) = (Folder::new(), Origin::start());
        let proxy = folder.proxy(&["--drain", "300s"]);
        // An idle connection holds nothing up.
        let mut idle = proxy.connect();
        idle.send(format!("GET {0} HTTP/1.1\r\nHost: x\r\n\r\n", origin.url("/n/1")));
        idle.response().unwrap();
        let (mut client, rest) = download(&proxy, &origin, 10);
        proxy.signal(signal);
        assert!(idle.rest().is_empty());
        eventually("nobody new is let in", || std::net::TcpStream::connect(proxy.addr).is_err());
        assert_eq!(client.exactly(rest).unwrap().len(), rest);
        drop(client);
        let ended = proxy.wait();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let recording = folder.recorded("outbound.log");
        assert_eq!(recording.calls()[1]["responseBodySize"], 10 << 20);
        assert!(ended.stderr.contains("captured 2 events"), "{}", ended.stderr);
        assert!(ended.stderr.contains("next: infernosim inspect"), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{} (http/1.1, 2)", origin.addr)), "{}", ended.stderr);
    }
}

#[test]
fn a_second_signal_forces_and_so_does_the_limit() {
    for (drain, again) in [("300s", true), ("200ms", false)] {
        let (folder, origin) = (Folder::new(), Origin::start());
        let proxy = folder.proxy(&["--drain", drain]);
        let (mut client, rest) = download(&proxy, &origin, 100);
        proxy.signal(Signal::SIGTERM);
        if again {
            eventually("nobody new is let in", || std::net::TcpStream::connect(proxy.addr).is_err());
            proxy.signal(Signal::SIGTERM);
        }
        assert!(client.rest().len() < rest);
        let ended = proxy.wait();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains("1 connections were still open"), "{}", ended.stderr);
        let recording = folder.recorded("outbound.log");
        let call = recording.call();
        assert!(!text(&call["error"]).is_empty(), "{call:#}");
        assert!(call["responseBodySize"].as_u64().unwrap() < rest as u64);
    }
}

#[test]
fn tunnels_go_on_until_they_end() {
    let server = Tcp::start(|stream| {
        let mut wire = Wire::new(stream);
        while let Some(bytes) = wire.some() {
            wire.send(bytes);
        }
    });
    let folder = Folder::new();
    let proxy = folder.proxy(&["--drain", "300s"]);
    let mut client = proxy.connect();
    client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", server.addr));
    client.head().unwrap();
    proxy.signal(Signal::SIGTERM);
    eventually("nobody new is let in", || std::net::TcpStream::connect(proxy.addr).is_err());
    for _ in 0..3 {
        client.send("ping");
        assert_eq!(client.exactly(4).unwrap(), b"ping");
    }
    drop(client);
    assert_eq!(proxy.wait().code, 0);
    assert_eq!(folder.recorded("outbound.log").calls()[0]["method"], "CONNECT");
}

#[test]
fn it_ends_by_itself_after_a_time() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let proxy = folder.proxy(&["--duration", "700ms"]);
    assert_eq!(curl_through(&proxy, &[&origin.url("/n/1")]).text(), "1\n");
    assert_eq!(proxy.wait().code, 0);
    assert_eq!(folder.recorded("outbound.log").calls().len(), 1);
}

/// SIGKILL: what was written stays, a torn line is cut off by the next session, and that one goes on.
#[test]
fn a_kill_leaves_what_was_recorded() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let proxy = folder.proxy(&[]);
    for number in 1..=2 {
        curl_through(&proxy, &[&origin.url(&format!("/n/{number}"))]).text();
    }
    folder.lines("outbound.log", 2);
    proxy.signal(Signal::SIGKILL);
    assert_eq!(proxy.wait().code, 128 + 9);
    assert_ne!(Recording::read_manifest(folder.path())["closed"], true);
    let shown = folder.run(&["inspect", "."]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("/n/1") && shown.stdout.contains("/n/2"), "{}", shown.stdout);
    // As if it had been killed within a write.
    let mut log = std::fs::OpenOptions::new().append(true).open(folder.join("outbound.log")).unwrap();
    log.write_all(b"{\"id\":\"0123").unwrap();
    drop(log);
    let proxy = folder.proxy(&[]);
    curl_through(&proxy, &[&origin.url("/n/3")]).text();
    let ended = proxy.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let recording = Recording::of(folder.path(), &["outbound.log"]);
    let urls: Vec<&str> = recording.calls().iter().map(|call| text(&call["url"])).collect();
    assert_eq!(urls, (1..=3).map(|number| origin.url(&format!("/n/{number}"))).collect::<Vec<_>>());
    let mut sequences = recording.events.windows(2);
    assert!(sequences.all(|pair| pair[0]["sequence"].as_u64() < pair[1]["sequence"].as_u64()));
    assert!(!recording.torn);
}

#[test]
fn a_log_has_one_writer() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let proxy = folder.proxy(&[]);
    let second = folder.run(&["proxy", "--listen", ":0"]);
    assert_eq!(second.code, 3, "{}", second.stderr);
    assert!(
        second.stderr.contains("outbound.log is being written by another infernosim"),
        "{}",
        second.stderr
    );
    // And the first one does not notice.
    assert_eq!(curl_through(&proxy, &[&origin.url("/n/1")]).text(), "1\n");
    proxy.stop();
    assert_eq!(folder.recorded("outbound.log").calls().len(), 1);
    // A lock does not outlive its owner.
    folder.proxy(&[]).stop();
}

/// `-q`: nothing but errors.
#[test]
fn quiet_is_quiet() {
    let folder = Folder::new();
    let mut child =
        folder.command(&["proxy", "--listen", ":0", "-q", "--duration", "300ms"]).spawn().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

/// `2>&1 | head -1`: nobody reads what it says, and it serves and records all the same.
#[test]
fn whoever_stops_listening_to_it_ends_nothing() {
    let (folder, origin) = (Folder::new(), Origin::start());
    let mut child = folder.command(&["proxy", "--listen", ":0"]).spawn().unwrap();
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut BufReader::new(child.stderr.take().unwrap()), &mut ready).unwrap();
    let proxy = ready.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    assert_eq!(curl(&["-x", proxy, &origin.url("/n/1")]).text(), "1\n");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(folder.recorded("outbound.log").calls().len(), 1);
}
