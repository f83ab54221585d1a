//! A run under `infernosim capture`: of the client, or of the server while the client is outside.

use super::load;
use super::measurement::Bench;
use super::process::{self, Used, Watch};
use super::profile;
use super::recorded::Recorded;
use super::server;
use super::side::{Captured, Side};
use crate::command;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// 0 as it should be; 4 recorded, but not all of it, which the counts will say; 143 a server without a handler for
/// the signal that ended it.
const STATUSES: [i32; 3] = [0, 4, 143];

/// What came of it.
pub struct Outcome {
    /// What wrk wrote.
    pub output: Vec<u8>,
    /// By the agent, until it was gone.
    pub used: Option<Used>,
    /// What it recorded.
    pub recorded: Recorded,
}

/// A capture that is ready.
struct Running {
    capture: Child,
    agent: u32,
    said: JoinHandle<String>,
    incident: PathBuf,
}

/// Runs one load with one side captured, and takes the recording away again. With `profile` under perf, whose record
/// goes there.
///
/// # Errors
/// When something does not run.
pub fn run(
    bench: &Bench,
    load: &load::Load,
    side: Side,
    seconds: u64,
    profile: Option<&Path>,
) -> Result<Outcome> {
    let (upstream, directory) = (bench.origin.address, &bench.directory);
    let wrk =
        |address| load::command(load, &format!("http://{address}{}", load.path()), &bench.script, seconds);
    let server = match side.captured().context("nothing is captured there")? {
        Captured::Client => None,
        Captured::Origin => Some(server::origin(&bench.xtask, directory, "captured")?),
        Captured::Service => Some(server::service(upstream, directory, "captured")?),
    };
    let Some((server, address)) = server else {
        return Running::start(bench, side, &wrk(upstream))?.until_end(profile, None);
    };
    let running = Running::start(bench, side, &server)?;
    server::until_listening(address).context("the captured server does not listen")?;
    let name = server.get_program().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
    let pid = process::find_descendant(running.capture.id(), &name).context("the captured server is gone")?;
    let mut wrk = wrk(address);
    let client = std::thread::spawn(move || {
        let output = wrk.stdin(Stdio::null()).output();
        // The capture ends with its target.
        let ended = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        (output, ended)
    });
    running.until_end(profile, Some(client))
}

type Client = JoinHandle<(std::io::Result<std::process::Output>, nix::Result<()>)>;

impl Running {
    fn start(bench: &Bench, side: Side, target: &Command) -> Result<Self> {
        let incident = bench.directory.join("incident");
        let mut capture = command::as_root(&bench.infernosim)?;
        capture.args(["capture", "--force", "--incident"]).arg(&incident).args(side.options()).arg("--");
        capture.arg(target.get_program()).args(target.get_args());
        capture.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut capture = capture.spawn().context("cannot run infernosim")?;
        let said = match until_ready(&mut capture) {
            Ok(said) => said,
            Err(error) => {
                let status = capture.wait()?;
                return Err(error.context(format!("infernosim capture ended with {status}")));
            }
        };
        let agent = process::find_descendant(capture.id(), "infernosim").context("infernosim is gone")?;
        Ok(Self { capture, agent, said, incident })
    }

    /// Waits for the end; `client` is who asks, where that is not the target.
    fn until_end(self, profile: Option<&Path>, client: Option<Client>) -> Result<Outcome> {
        let watch = Watch::begin(self.agent)?;
        let perf = profile.map(|record| profile::begin(self.agent, record)).transpose()?;
        let used = process::watch_until_end(&self.capture, Some(watch))?;
        let mut output = self.capture.wait_with_output()?;
        let said = self.said.join().unwrap_or_default();
        perf.map(|mut perf| perf.wait()).transpose()?;
        if !output.status.code().is_some_and(|code| STATUSES.contains(&code)) {
            bail!("infernosim capture ended with {}: {}", output.status, said.trim());
        }
        if let Some(client) = client {
            let Ok((wrk, ended)) = client.join() else { bail!("wrk could not be watched") };
            ended.context("cannot end the captured server")?;
            output.stdout = wrk.context("cannot run wrk")?.stdout;
        }
        let recorded = Recorded::read(&self.incident)?;
        fs::remove_dir_all(&self.incident).context("cannot remove the recording")?;
        Ok(Outcome { output: output.stdout, used, recorded })
    }
}

/// Waits for the ready line, and reads on in a thread that gives all that was said.
fn until_ready(child: &mut Child) -> Result<JoinHandle<String>> {
    let stderr = child.stderr.take().context("its messages were asked for")?;
    let (ready, is_ready) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut said, mut ready) = (String::new(), Some(ready));
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.starts_with("infernosim: capturing")
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(());
            }
            said.push_str(&line);
            said.push('\n');
        }
        said
    });
    // The sender is gone without a word when the messages end before.
    if is_ready.recv().is_err() {
        bail!("{}", reader.join().unwrap_or_default().trim().to_owned());
    }
    Ok(reader)
}
