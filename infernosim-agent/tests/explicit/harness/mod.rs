//! What these tests stand on: our two commands as processes, and what the privileged tests have that needs no
//! privilege.
#![allow(dead_code, reason = "parts of what the privileged tests use all of")]

mod client;
#[path = "../../kernel/harness/netns.rs"]
mod netns;
#[path = "../../kernel/harness/origin.rs"]
mod origin;
#[path = "../../kernel/harness/output.rs"]
mod output;
#[path = "../../kernel/harness/recording.rs"]
mod recording;
mod running;
mod servant;
#[path = "../../kernel/harness/tcp.rs"]
mod tcp;
#[path = "../../kernel/harness/wire.rs"]
mod wire;

pub use client::{Client, Said, curl, curl_through};
use netns::Netns;
pub use origin::Origin;
pub use output::Output;
pub use recording::{Recording, Side, sha256, text};
pub use running::{Folder, Running};
pub use servant::Program;
pub use tcp::Tcp;
pub use wire::Wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const INFERNOSIM: &str = env!("CARGO_BIN_EXE_infernosim");

/// Debian's own: another one in PATH may be a script of a version manager's.
pub const PYTHON: &str = "/usr/bin/python3";

/// Of these a shell may have set some; each would change what the tests see.
pub const REMOVED: [&str; 12] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SUDO_UID",
    "SUDO_GID",
    "SUDO_USER",
    "SUDO_COMMAND",
];

fn require_root() {
    panic!("no test of these needs root");
}

/// The path of a program that a test runs.
pub fn program(name: &str) -> PathBuf {
    if name.contains('/') {
        assert!(Path::new(name).exists(), "install {name}: cargo xtask setup tests");
        return PathBuf::from(name);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"]);
    places
        .map(|place| Path::new(place).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("install {name}: cargo xtask setup tests"))
}

/// Waits until `done` says so; `what` is what would otherwise never have happened.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE / 2, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port of loopback that was free a moment ago, and the kernel gives it to nobody else so soon.
pub fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
