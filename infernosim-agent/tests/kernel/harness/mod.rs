//! What the tests stand on: captures, recordings, origins, namespaces, and programs to capture.

mod cable;
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
mod replay;
mod server;
mod service;
mod stopped;
mod surroundings;
mod tally;
mod tcp;
mod wire;

pub use cable::Cable;
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
pub use replay::{Replay, Replayed};
pub use server::{Kind, Server, big};
pub use service::{Service, is_alive};
pub use stopped::{Stopped, threads};
pub use surroundings::{PYTHON, REMOVED, eventually, program};
pub use tally::Tally;
pub use tcp::Tcp;
pub use wire::Wire;

use std::time::Duration;

/// A test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub const INFERNOSIM: &str = env!("CARGO_BIN_EXE_infernosim");

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
