//! What is refused before anything is served, and what the command line of the original becomes.

use std::net::TcpListener;

use crate::harness::{Folder, Origin, curl_through};

fn refused(words: &[&str], code: i32, said: &[&str]) {
    let folder = Folder::new();
    let ended = folder.run(words);
    assert_eq!(ended.code, code, "{words:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{words:?}");
    for part in said {
        assert!(ended.stderr.contains(part), "{words:?} does not say {part:?}: {}", ended.stderr);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{words:?} left {left:?}");
}

#[test]
fn an_open_relay_is_refused_unless_somebody_is_named() {
    for address in ["0.0.0.0:0", "[::]:0", "203.0.113.1:9000"] {
        refused(&["proxy", "--listen", address], 2, &["open relay", "--allow"]);
        let inbound = ["inbound", "--listen", address, "--forward", "localhost:1"];
        refused(&inbound, 2, &["open relay", "--allow"]);
    }
    // With somebody named the same address is served.
    let folder = Folder::new();
    let proxy = folder.start(&["proxy", "--listen", "0.0.0.0:0", "--allow", "203.0.113.0/24,198.51.100.7"]);
    assert!(proxy.addr.ip().is_unspecified());
    assert!(!proxy.stop().contains("panicked"));
}

#[test]
fn a_port_that_is_taken_is_said_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!(":{}", taken.local_addr().unwrap().port());
    refused(&["proxy", "--listen", &listen], 3, &[&listen, "taken", "--listen"]);
    let inbound = ["inbound", "--listen", &listen, "--forward", "localhost:1"];
    refused(&inbound, 3, &[&listen, "taken", "--listen"]);
    refused(
        &["proxy", "--listen", "203.0.113.1:0", "--allow", "10.0.0.0/8"],
        3,
        &["no address of this host"],
    );
}

#[test]
fn mistakes_are_usage_errors() {
    refused(&["inbound", "--listen", ":0"], 2, &["--forward"]);
    refused(&["inbound", "--listen", ":0", "--forward", "https://localhost:1"], 2, &["TLS"]);
    refused(&["inbound", "--listen", ":0", "--forward", "localhost"], 2, &["HOST:PORT"]);
    refused(&["inbound", "--listen", ":18999", "--forward", "localhost:18999"], 2, &["ourselves"]);
    refused(&["proxy", "--listen", "shop:9000"], 2, &["no address to listen on"]);
    refused(&["proxy", "--listen", ":0", "--allow", "everybody"], 2, &["no network"]);
    refused(&["proxy", "--listen", ":0", "--tag-responses"], 2, &["--tag-responses"]);
    refused(&["proxy", "--listen", ":0", "--connect-timeout", "0s"], 2, &["--connect-timeout"]);
    refused(&["--mode=mitm", "--listen=:0"], 2, &["mitm", "--mode=proxy", "--mode=inbound"]);
}

#[test]
fn a_log_without_a_folder_or_behind_a_link_is_refused() {
    refused(&["proxy", "--listen", ":0", "--log", "nowhere/outbound.log"], 4, &["nowhere"]);
    let folder = Folder::new();
    std::fs::write(folder.join("precious"), "do not touch").unwrap();
    std::os::unix::fs::symlink("precious", folder.join("outbound.log")).unwrap();
    let ended = folder.run(&["proxy", "--listen", ":0"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("link"), "{}", ended.stderr);
    assert_eq!(folder.text("precious"), "do not touch");
}

#[test]
fn the_command_line_of_the_original_is_ours() {
    let origin = Origin::start();
    for line in [
        &["--mode=proxy", "--listen=:0", "--log=outbound.log"][..],
        &["--mode", "proxy", "--listen", ":0", "--log", "outbound.log"],
        &["-log=outbound.log", "-listen=:0", "-mode=proxy"],
    ] {
        let folder = Folder::new();
        let proxy = folder.start(line);
        assert_eq!(curl_through(&proxy, &[&origin.url("/n/1")]).text(), "1\n");
        proxy.stop();
        assert_eq!(folder.recorded("outbound.log").call()["status"], 200);
    }
    let folder = Folder::new();
    let forward = format!("--forward={}", origin.addr);
    let inbound = folder.start(&["--mode=inbound", "--listen=:0", &forward, "--log=inbound.log"]);
    assert_eq!(crate::harness::curl(&[&inbound.url("/n/2")]).text(), "2\n");
    inbound.stop();
    assert_eq!(folder.recorded("inbound.log").of_type("InboundResponse").len(), 1);
}
