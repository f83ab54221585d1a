use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use super::targets::Targets;
use crate::capture::Voice;
use crate::error::Result;
use crate::inject::control::{self, Answer, Ask, Listed};
use crate::inject::{Options, run};
use crate::quantity::duration;

/// Disturb the live traffic of a command or a running service, as rules say: no recording, no address changed.
///
/// TCP connections that the target makes, and its lookups, go through this process, which passes on what no rule hits
/// byte for byte. Needs root.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("inject_target").required(true).multiple(true)
    .args(["pid", "cgroup", "container", "unit", "command", "toxiproxy_api", "add", "remove", "list"]))]
pub struct Inject {
    /// What is to go wrong, where and when: `dep=payments latency=+200ms`; may be repeated.
    #[arg(long, value_name = "RULE")]
    inject: Vec<String>,
    /// A file of rules (TOML).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    plan: Option<PathBuf>,
    /// What all chances follow from [default: that of the plan, else drawn and printed].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write what became of each rule, and each firing, to this file as JSON lines.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ledger: Option<PathBuf>,
    /// Write a plan that does the same again, whatever chance says, to this file (TOML).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    write_plan: Option<PathBuf>,
    #[command(flatten)]
    targets: Targets,
    /// Serve toxiproxy's HTTP API there, on loopback: `:8474`; without a target it needs no root.
    #[arg(long, value_name = "ADDRESS", value_parser = super::replay::listen)]
    toxiproxy_api: Option<SocketAddr>,
    /// One rule more in a session that runs; its number is printed.
    #[arg(long, value_name = "RULE", conflicts_with_all = STARTS)]
    add: Option<String>,
    /// One rule less in a session that runs.
    #[arg(long, value_name = "N", conflicts_with_all = STARTS, conflicts_with = "add")]
    remove: Option<u32>,
    /// Print the rules of a session that runs, and what became of them until now.
    #[arg(long, conflicts_with_all = STARTS, conflicts_with_all = ["add", "remove"])]
    list: bool,
    /// With --list: as JSON, an array.
    #[arg(long, requires = "list")]
    json: bool,
    /// Reset connections of the running target that are older than the session, so that it makes new ones.
    #[arg(long, conflicts_with = "command")]
    recycle: bool,
    /// The socket by which rules are changed [default: one in $XDG_RUNTIME_DIR, else in /run].
    #[arg(long, value_name = "SOCKET", value_hint = ValueHint::FilePath)]
    control: Option<PathBuf>,
    /// End after this time [default: with the target, or at Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<u64>,
    /// How long connections that are still open at the end may go on.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    drain: u64,
    /// Print errors only.
    #[arg(short, long)]
    quiet: bool,
}

/// What only the start of a session takes.
const STARTS: [&str; 8] =
    ["inject", "pid", "cgroup", "container", "unit", "command", "toxiproxy_api", "recycle"];

const EXAMPLES: &str = "Examples:
  sudo infernosim inject --inject 'dep=payments.test latency=+200ms' -- ./app
  sudo infernosim inject --inject 'dep=payments.test p=0.1 status=503' --seed 7 -- ./app
  sudo infernosim inject --inject 'dep=*:6379 bandwidth=64KiB/s' --pid 4242 --duration 60s
  sudo infernosim inject --inject 'dep=db.test latency=+1s' --pid 4242 --recycle
  sudo infernosim inject --inject 'p=0.1 reset' --write-plan again.toml -- ./app
  sudo infernosim inject --plan again.toml -- ./app          the same again
  sudo infernosim inject --add 'dep=payments.test refuse'    in the session that runs
  sudo infernosim inject --list --json
  infernosim inject --toxiproxy-api :8474                    for clients of toxiproxy

Exit status: that of CMD (128 and the signal's number if a signal ended it); 4 if CMD succeeded but a rule never \
fired; 127 CMD not found, 126 not executable; 2 usage; 3 this host cannot.";

impl Inject {
    /// What is asked of a session that runs.
    fn asks(&self) -> Option<Ask> {
        let add = self.add.clone().map(Ask::Add);
        add.or_else(|| self.remove.map(Ask::Remove)).or_else(|| self.list.then_some(Ask::List(true)))
    }

    /// Injects; returns the status to exit with.
    pub fn run(self, out: &mut impl Write) -> Result<i32> {
        if let Some(ask) = self.asks() {
            let answer = control::ask(self.control.as_deref(), &ask)?;
            out.write_all(said(&answer, self.json).as_bytes()).or_else(super::quiet_if_pipe_broke)?;
            return Ok(0);
        }
        let options = Options {
            selection: self.targets.selection(),
            plan: crate::fault::Plan::gather(self.plan.as_deref(), &self.inject, self.seed)?,
            ledger: self.ledger,
            recycle: self.recycle,
            write_plan: self.write_plan,
            control: self.control,
            toxiproxy: self.toxiproxy_api,
            duration_ns: self.duration,
            drain_ns: self.drain,
            user: self.targets.user,
            voice: Voice { quiet: self.quiet, json: false },
        };
        run(&options)
    }
}

fn said(answer: &Answer, json: bool) -> String {
    match answer {
        Answer::Added(number) => format!("{number}\n"),
        // Numbers and texts can always be written.
        Answer::Rules(rules) if json => serde_json::to_string(rules).unwrap_or_default() + "\n",
        Answer::Rules(rules) => rules.iter().map(line).collect(),
        Answer::Removed(_) | Answer::Error(_) => String::new(),
    }
}

fn line(rule: &Listed) -> String {
    let Listed { number, rule, reached, fired, observed } = rule;
    format!("{number:>3}  {rule}: reached {reached}, fired {fired}, observed {observed}\n")
}
