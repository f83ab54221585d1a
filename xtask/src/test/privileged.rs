//! The tests that need root: test target `kernel` of infernosim-agent. Only they run as root; cargo never does.

use super::Count;
use crate::{command, workspace};
use anyhow::{Context, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The tests that need root.
const PRIVILEGED: &str = "binary(=kernel)";

/// What the privileged tests need of root, as bits of a capability set (linux/capability.h).
const CAPABILITIES: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39)];

/// What became of the privileged tests.
pub enum Privileged {
    /// They were run.
    Ran {
        /// How many.
        count: Count,
        /// Whether the runner was content.
        success: bool,
    },
    /// This machine cannot run them.
    Cannot(String),
}

/// Runs the privileged tests under nextest's profile of that name. `cargo` carries the environment of the build;
/// `options` choose cargo's profile.
///
/// # Errors
/// When they do not build, or nextest leaves no report.
pub fn run(cargo: Command, profile: &str, options: &[&str]) -> Result<Privileged> {
    if let Some(reason) = obstacle()? {
        return Ok(Privileged::Cannot(reason));
    }
    let report = workspace::report(profile);
    // A report of an earlier run must not be counted.
    let _ = std::fs::remove_file(&report);
    let status = if command::is_root() {
        as_root(cargo, profile, options)?
    } else {
        through_sudo(cargo, profile, options, &report)?
    };
    Ok(Privileged::Ran { count: Count::from_junit(&report)?, success: status })
}

/// Why this machine cannot run them, if so. What else a host may lack, the tests themselves find out.
///
/// # Errors
/// When sudo cannot be started.
pub fn obstacle() -> Result<Option<String>> {
    let mut ask = match command::as_root("cat") {
        Ok(command) => command,
        Err(error) => return Ok(Some(error.to_string())),
    };
    // With a terminal sudo may ask for a password here.
    let output = ask.arg("/proc/self/status").stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Ok(Some("sudo does not let us be root".to_owned()));
    }
    Ok(missing_capability(&String::from_utf8_lossy(&output.stdout))
        .map(|capability| format!("root lacks {capability} here, as in a container without privileges")))
}

/// The first capability that the process of this /proc/PID/status lacks.
fn missing_capability(status: &str) -> Option<&'static str> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let set = u64::from_str_radix(set.trim(), 16).unwrap_or_default();
    CAPABILITIES.iter().find(|(_, bit)| set & (1 << bit) == 0).map(|(name, _)| *name)
}

/// As root nothing is special.
fn as_root(mut cargo: Command, profile: &str, options: &[&str]) -> Result<bool> {
    cargo.args(["nextest", "run", "--workspace", "--no-fail-fast", "--profile", profile, "-E", PRIVILEGED]);
    Ok(command::status(cargo.args(options))?.success())
}

/// Builds as the user and lets root run what was built: nextest is told where the binaries are and calls no cargo,
/// so the target directory stays the user's.
fn through_sudo(mut cargo: Command, profile: &str, options: &[&str], report: &Path) -> Result<bool> {
    cargo.args([
        "nextest",
        "list",
        "--workspace",
        "--list-type",
        "binaries-only",
        "--message-format",
        "json",
    ]);
    cargo.args(options);
    println!("$ {}", command::show(&cargo));
    let binaries = save("binaries.json", &command::output(&mut cargo)?)?;
    let metadata = command::output(command::cargo().args(["metadata", "--format-version", "1"]))?;
    let metadata = save("metadata.json", &metadata)?;
    let nextest = command::find_tool("cargo-nextest").context("no cargo-nextest: cargo xtask setup tests")?;
    let mut sudo = command::as_root("env")?;
    sudo.args(kept_environment());
    // What this run sets for the tests: cargo would have handed it on.
    for (name, value) in cargo.get_envs() {
        if let Some(value) = value {
            sudo.arg(format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
        }
    }
    sudo.arg(nextest).args(["nextest", "run", "--no-fail-fast", "--profile", profile, "-E", PRIVILEGED]);
    sudo.arg("--binaries-metadata").arg(binaries).arg("--cargo-metadata").arg(metadata);
    let status = command::status(&mut sudo)?;
    // Root has made the report, and the next run must be able to replace it.
    let owner = std::fs::metadata("/proc/self")?;
    let owner = format!("{}:{}", owner.uid(), owner.gid());
    command::run(command::as_root("chown")?.args(["-R", &owner]).args(report.parent()))?;
    Ok(status.success())
}

/// What sudo would drop and the tests need, as `NAME=VALUE` for env(1).
fn kept_environment() -> Vec<String> {
    let kept = |name: &str| {
        name.starts_with("INFERNOSIM_")
            || name.starts_with("NEXTEST_")
            || ["PATH", "CI", "RUST_BACKTRACE", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
                .contains(&name)
    };
    let mut environment: Vec<String> = std::env::vars()
        .filter(|(name, _)| kept(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if let Ok(home) = std::env::var("HOME") {
        // The user's rustup and cargo, whose `rustc -vV` nextest asks; root's home stays root's.
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(name).is_none() {
                environment.push(format!("{name}={home}/{folder}"));
            }
        }
    }
    environment
}

/// Keeps a file for nextest under the target directory.
fn save(name: &str, text: &str) -> Result<PathBuf> {
    let directory = workspace::target_dir()?.join("xtask");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_is_asked_for() {
        let all = CAPABILITIES.iter().fold(0u64, |set, (_, bit)| set | 1 << bit);
        assert_eq!(missing_capability(&format!("Name:\tx\nCapEff:\t{all:016x}\n")), None);
        for (name, bit) in CAPABILITIES {
            let status = format!("CapPrm:\t{:016x}\nCapEff:\t{:016x}\n", u64::MAX, !(1u64 << bit));
            assert_eq!(missing_capability(&status), Some(name));
        }
        assert!(missing_capability("").is_some());
    }
}
