//! Services that nobody here wrote, in front of nginx.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ask, free_port};
use crate::harness::{
    Capture, INFERNOSIM, Kind, Netns, PYTHON, Place, Recording, Replay, Server, eventually, program,
};

/// Where `cargo xtask setup` put it.
fn package(path: &str) -> PathBuf {
    let target = Path::new(INFERNOSIM).ancestors().nth(2).unwrap();
    let path = target.join("third-party").join(path);
    assert!(path.exists(), "{} is missing: cargo xtask setup tests", path.display());
    path
}

/// All that is ours about the Flask application is what its upstream is.
const FLASK: &str = r#"
import os, sys
sys.path.insert(0, os.environ["PACKAGES"])
from flask import Flask
from flask_proxy import Proxy, Upstream

class Files(Upstream):
    host, port, prefix = "127.0.0.1", int(os.environ["UPSTREAM"]), "/files"
    routes = [{"url": "/<path:path>", "methods": ["GET"]}]

app = Flask("shop")
Proxy(app).add_upstream(Files)
app.run("127.0.0.1", int(os.environ["PORT"]))
"#;

fn a_service_replays_ten_times(words: impl FnOnce(u16, u16) -> Vec<String>, prefix: &str) {
    let netns = Netns::new();
    let nginx = Server::start(Kind::Nginx, &Place::within(&netns, std::net::Ipv4Addr::LOCALHOST.into()));
    let port = netns.enter(free_port);
    let words = words(port, nginx.addr.port());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let running = Capture::of(&words).within(&netns).start().ready();
    let prefix = prefix.to_owned();
    netns.enter(move || {
        let base = format!("http://127.0.0.1:{port}");
        eventually("the service listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        for path in ["/n/1", "/big", "/missing", "/n/1"] {
            ask(&base, &format!("{prefix}{path}"), None);
        }
    });
    kill(Pid::from_raw(running.target_pid() as i32), Signal::SIGTERM).unwrap();
    let finished = running.finish();
    let recording = Recording::read(&finished.incident);
    assert_eq!(recording.calls().len(), 4, "{:#?}", recording.events);
    let replay = || Replay::of(&finished.incident).against(&words).within(&netns).run();
    let asked = || std::fs::read_to_string(nginx.root.path().join("access")).unwrap();
    let before = asked();
    let first = replay().assert_passed(10);
    assert_eq!(asked(), before, "nginx was asked");
    drop(nginx);
    assert_eq!(replay().assert_passed(10), first);
}

#[test]
fn an_express_application_replays() {
    let words = |port: u16, upstream: u16| {
        let node = program("/usr/bin/node").to_str().unwrap().to_owned();
        let bin = package("node/node_modules/local-cors-proxy/bin/lcp.js").to_str().unwrap().to_owned();
        vec![
            node,
            bin,
            "--port".into(),
            port.to_string(),
            "--proxyUrl".into(),
            format!("http://127.0.0.1:{upstream}"),
        ]
    };
    a_service_replays_ten_times(words, "/proxy");
}

#[test]
fn a_flask_application_replays() {
    let words = |port: u16, upstream: u16| {
        let packages = package("python").to_str().unwrap().to_owned();
        vec![
            "env".into(),
            format!("PACKAGES={packages}"),
            format!("PORT={port}"),
            format!("UPSTREAM={upstream}"),
            PYTHON.to_owned(),
            "-c".into(),
            FLASK.to_owned(),
        ]
    };
    a_service_replays_ten_times(words, "/files");
}
