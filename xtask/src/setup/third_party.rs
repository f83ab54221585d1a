//! Services that nobody here wrote, for replays of them: from the registries of npm and of Python, into the target
//! directory.

use crate::{command, workspace};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// An Express application: passes requests on to another server.
const EXPRESS: &str = "local-cors-proxy@1.1.0";
/// A client of toxiproxy, for our form of its API.
const TOXIPROXY_NODE: &str = "toxiproxy-node-client@4.1.0";
/// A Flask application's upstream, which asks another server by `requests`.
const FLASK: &str = "Flask-Proxy==0.2.1";
/// Another one, and what it needs besides the system's requests.
const TOXIPROXY: [&str; 2] = ["toxiproxy-python==0.1.1", "future==1.0.0"];

/// Where they are: `node` holds `node_modules`, `python` packages.
///
/// # Errors
/// When cargo cannot name the target directory.
pub fn directory() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("third-party"))
}

/// Installs what is missing.
///
/// # Errors
/// When a registry or its client is not there.
pub fn install() -> Result<()> {
    let directory = directory()?;
    let (node, python) = (directory.join("node"), directory.join("python"));
    if node.join("node_modules/local-cors-proxy").exists()
        && node.join("node_modules/toxiproxy-node-client").exists()
        && python.join("flask_proxy").exists()
        && python.join("toxiproxy").exists()
    {
        println!("setup: the services that replays are tried on are here");
        return Ok(());
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut npm = workspace::command("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix"])
        .arg(&node)
        .args([EXPRESS, TOXIPROXY_NODE]);
    command::run(&mut npm)?;
    // The system's: its Flask and its requests are what the package is used with.
    let mut pip = workspace::command("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"])
        .arg(&python)
        .arg(FLASK)
        .args(TOXIPROXY);
    command::run(&mut pip)
}
