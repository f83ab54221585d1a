//! `cargo xtask demo`: a newcomer's first incident. Each command is printed, so that it can be typed again.

use crate::{command, misuse, workspace};
use anyhow::{Context, Result, anyhow};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};

/// Exit status: that of `infernosim capture`, which is 3 where this host cannot; else that of `inspect`.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if !arguments.is_empty() {
        return misuse("demo");
    }
    let mut build = command::cargo();
    command::run(build.args(["build", "--release", "-p", "infernosim-agent", "-p", "orders"]))?;
    let target = workspace::target_dir()?;
    let infernosim = target.join("release/infernosim");
    let orders = target.join("release/orders");
    let incident = target.join("demo-incident");

    if let Err(error) = command::as_root("true").and_then(|mut root| command::output(&mut root)) {
        eprintln!("xtask demo: capture loads programs into the kernel, which takes root: {error:#}");
        return Ok(ExitCode::from(3));
    }
    println!("\nA dependency: a small stock service.");
    let mut inventory = workspace::command(&orders);
    let inventory = Service::start(inventory.args(["inventory", "--listen", "127.0.0.1:0"]))?
        .map_err(|status| anyhow!("the stock service ended with {status}"))?;

    println!(
        "\nA shop that calls it, captured as it is. Only infernosim runs as root; the shop runs as you."
    );
    let mut capture = command::as_root(&infernosim)?;
    capture.args(["capture", "--force", "--incident"]).arg(&incident).arg("--").arg(&orders);
    capture.args(["serve", "--listen", "127.0.0.1:0", "--inventory", &inventory.url]);
    let mut shop = match Service::start(capture.args(["--connections", CONNECTIONS]))? {
        Ok(shop) => shop,
        Err(status) => {
            println!("`infernosim doctor` says what this host can do");
            return Ok(ended(status));
        }
    };

    println!(
        "\nA customer, who is not captured. When he has gone, the shop closes, and with it the capture ends."
    );
    command::run(workspace::command(&orders).args(["buy", "--shop", &shop.url]))?;
    let status = shop.process.wait().context("cannot wait for the capture")?;
    if !status.success() {
        return Ok(ended(status));
    }

    println!("\nWhat was recorded.");
    let status = command::status(workspace::command(&infernosim).arg("inspect").arg(&incident))?;
    let shown = workspace::relative(&incident);
    let binary = workspace::relative(&infernosim);
    println!("\nOne exchange whole: {} inspect {} ID", binary.display(), shown.display());
    println!("The recording is plain JSON lines: {0}/inbound.log, {0}/outbound.log", shown.display());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ended(status: ExitStatus) -> ExitCode {
    eprintln!("xtask demo: the capture ended with {status}");
    ExitCode::from(
        status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1),
    )
}

/// So many the customer makes; the shop then closes.
const CONNECTIONS: &str = "4";

/// A running server; dropping it ends it.
struct Service {
    process: Child,
    url: String,
    /// Kept open: it would not survive writing to a closed pipe.
    _output: BufReader<ChildStdout>,
}

impl Service {
    /// Starts it and waits for the line that says where it listens; else it has ended.
    fn start(command: &mut Command) -> Result<std::result::Result<Self, ExitStatus>> {
        println!("$ {} &", command::show(command));
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command::show(command)))?;
        let output = process.stdout.take().context("its output was asked for")?;
        let (mut output, mut line) = (BufReader::new(output), String::new());
        let read = output.read_line(&mut line);
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned);
        let Some(url) = url else {
            let _ = process.kill();
            let status = process.wait()?;
            read.context("cannot read where it listens")?;
            return Ok(Err(status));
        };
        print!("{line}");
        Ok(Ok(Self { process, url, _output: output }))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What runs through sudo is not ours to kill.
        if self.process.kill().is_err() {
            let ended = command::as_root("kill")
                .and_then(|mut kill| command::output(kill.arg(self.process.id().to_string())).map(drop));
            if ended.is_err() {
                return;
            }
        }
        let _ = self.process.wait();
    }
}
