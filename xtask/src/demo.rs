//! `cargo xtask demo`: a newcomer's first incident. Each command is printed, so that it can be typed again.

use crate::{command, misuse, workspace};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

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

    println!("\nA dependency: a small stock service.");
    let inventory =
        Inventory::start(workspace::command(&orders).args(["inventory", "--listen", "127.0.0.1:0"]))?;

    println!(
        "\nA program that calls it, captured as it is. Only infernosim runs as root; the program runs as you."
    );
    if let Err(error) = command::as_root("true").and_then(|mut root| command::output(&mut root)) {
        eprintln!("xtask demo: capture loads programs into the kernel, which takes root: {error:#}");
        return Ok(ExitCode::from(3));
    }
    let mut capture = command::as_root(&infernosim)?;
    capture.args(["capture", "--force", "--incident"]).arg(&incident).arg("--").arg(&orders);
    let status = command::status(capture.args(["place", "--inventory", &inventory.url]))?;
    if !status.success() {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        eprintln!(
            "xtask demo: the capture ended with {status}; `infernosim doctor` says what this host can do"
        );
        return Ok(ExitCode::from(code));
    }

    println!("\nWhat was recorded.");
    let status = command::status(workspace::command(&infernosim).arg("inspect").arg(&incident))?;
    let shown = workspace::relative(&incident);
    let binary = workspace::relative(&infernosim);
    println!("\nOne exchange whole: {} inspect {} ID", binary.display(), shown.display());
    println!("The recording is plain JSON lines: {}/outbound.log", shown.display());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The running dependency; dropping it ends it.
struct Inventory {
    process: Child,
    url: String,
    /// Kept open: it would not survive writing to a closed pipe.
    _output: BufReader<ChildStdout>,
}

impl Inventory {
    /// Starts it and waits for the line that says where it listens.
    fn start(command: &mut Command) -> Result<Self> {
        println!("$ {} &", command::show(command));
        let mut process = command.stdout(Stdio::piped()).spawn().context("cannot start the stock service")?;
        let output = process.stdout.take().context("its output was asked for")?;
        let (mut output, mut line) = (BufReader::new(output), String::new());
        let read = output.read_line(&mut line);
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned);
        let Some(url) = url else {
            let _ = process.kill();
            let _ = process.wait();
            bail!("the stock service did not say where it listens: {read:?} {line:?}");
        };
        print!("{line}");
        Ok(Self { process, url, _output: output })
    }
}

impl Drop for Inventory {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
