//! What the tests stand on: captures, recordings, origins, namespaces, and programs to capture.

mod capture;
mod cgroup;
mod daemon;
mod exchanges;
mod hammer;
mod kernel;
mod mount;
mod netns;
mod origin;
mod output;
pub mod programs;
mod recording;
mod server;
mod service;
mod stopped;
mod tally;
mod tcp;
mod wire;

pub use capture::{Capture, Finished, Running};
pub use cgroup::{Cgroup, PidNs, cgroup_mount, membership};
pub use daemon::{Daemon, Place};
pub use exchanges::Exchange;
pub use hammer::Hammer;
pub use kernel::Held;
pub use mount::{Ext4, Tmpfs};
pub use netns::{Lab, Netns};
pub use origin::{GZIP, Origin, Seen};
pub use output::Output;
pub use recording::{Recording, Side, sha256, text};
pub use server::{Kind, Server, big};
pub use service::{Service, is_alive};
pub use stopped::Stopped;
pub use tally::Tally;
pub use tcp::Tcp;
pub use wire::Wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub const INFERNOSIM: &str = env!("CARGO_BIN_EXE_infernosim");

/// Debian's own: another one in PATH may be a script of a version manager's, that root cannot run.
pub const PYTHON: &str = "/usr/bin/python3";

/// Whether the long counts were asked for.
pub fn long() -> bool {
    std::env::var("INFERNOSIM_PROOFS").is_ok_and(|value| value == "long")
}

/// Without root these tests prove nothing.
pub fn require_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "these tests need root, for they attach programs to the kernel: run them with `cargo xtask test`"
    );
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
