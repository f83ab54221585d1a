use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Debian's own: another one in PATH may be a script of a version manager's, that root cannot run.
pub const PYTHON: &str = "/usr/bin/python3";

/// Of these a shell or sudo may have set some; each would change what the tests see.
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
