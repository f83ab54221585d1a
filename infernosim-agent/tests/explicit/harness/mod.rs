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
#[path = "../../kernel/harness/surroundings.rs"]
mod surroundings;
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
pub use surroundings::{PYTHON, REMOVED, eventually, program};
pub use tcp::Tcp;
pub use wire::Wire;

use std::time::Duration;

/// A test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const INFERNOSIM: &str = env!("CARGO_BIN_EXE_infernosim");

fn require_root() {
    panic!("no test of these needs root");
}

/// A port of loopback that was free a moment ago, and the kernel gives it to nobody else so soon.
pub fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
