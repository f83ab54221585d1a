//! Servers that a demo starts.

use crate::command;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A running server; dropping it ends it.
pub struct Service {
    /// The command that was started; it may be sudo.
    pub process: Child,
    /// Where it listens, in the order in which it says so.
    pub urls: Vec<String>,
    /// Kept open: it would not survive writing to a closed pipe.
    _output: BufReader<ChildStdout>,
}

impl Service {
    /// Starts it and waits for so many lines that say where it listens; else it has ended.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, lines: usize) -> Result<std::result::Result<Self, ExitStatus>> {
        println!("$ {} &", command::show(command));
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command::show(command)))?;
        let mut output = BufReader::new(process.stdout.take().context("its output was asked for")?);
        let mut urls = Vec::new();
        while urls.len() < lines {
            let mut line = String::new();
            let read = output.read_line(&mut line);
            let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) else {
                let _ = process.kill();
                let status = process.wait()?;
                read.context("cannot read where it listens")?;
                return Ok(Err(status));
            };
            print!("{line}");
            urls.push(url.to_owned());
        }
        Ok(Ok(Self { process, urls, _output: output }))
    }

    /// Ends it; where it listened.
    pub fn end(mut self) -> Vec<String> {
        std::mem::take(&mut self.urls)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What has ended and was waited for has no id any more; another process may have it.
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
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
