use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use crate::capture::Voice;
use crate::error::Result;
use crate::inject::control::{self, Answer, Ask, Listed};
use crate::inject::{Options, run};
use crate::quantity::duration;
use crate::target::{CgroupName, Selection};

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
    /// Into this running process and its children, present and future; may be repeated.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["cgroup", "container", "unit", "command"])]
    pid: Vec<u32>,
    /// Into every process of this cgroup (v2) and below; may be repeated.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    cgroup: Vec<String>,
    /// Into the cgroup of this container, named by its id or the beginning of it; may be repeated.
    #[arg(long, value_name = "ID", value_hint = ValueHint::Other, conflicts_with = "command")]
    container: Vec<String>,
    /// Into the cgroup of this systemd unit; may be repeated.
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other, conflicts_with = "command")]
    unit: Vec<String>,
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
    /// The socket by which rules are changed [default: one in $XDG_RUNTIME_DIR, else in /run].
    #[arg(long, value_name = "SOCKET", value_hint = ValueHint::FilePath)]
    control: Option<PathBuf>,
    /// End after this time [default: with the target, or at Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<u64>,
    /// How long connections that are still open at the end may go on.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    drain: u64,
    /// Run CMD as this user [default: who called sudo].
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    user: Option<String>,
    /// Print errors only.
    #[arg(short, long)]
    quiet: bool,
    /// The command to run and its arguments.
    #[arg(last = true, value_name = "CMD", value_hint = ValueHint::CommandName)]
    command: Vec<OsString>,
}

/// What only the start of a session takes.
const STARTS: [&str; 7] = ["inject", "pid", "cgroup", "container", "unit", "command", "toxiproxy_api"];

const EXAMPLES: &str = "Examples:
  sudo infernosim inject --inject 'dep=payments.test latency=+200ms' -- ./app
  sudo infernosim inject --inject 'dep=payments.test p=0.1 status=503' --seed 7 -- ./app
  sudo infernosim inject --inject 'dep=*:6379 bandwidth=64KiB/s' --pid 4242 --duration 60s
  sudo infernosim inject --inject 'p=0.1 reset' --write-plan again.toml -- ./app
  sudo infernosim inject --plan again.toml -- ./app          the same again
  sudo infernosim inject --add 'dep=payments.test refuse'    in the session that runs
  sudo infernosim inject --list --json
  infernosim inject --toxiproxy-api :8474                    for clients of toxiproxy

Exit status: that of CMD (128 and the signal's number if a signal ended it); 4 if CMD succeeded but a rule never \
fired; 127 CMD not found, 126 not executable; 2 usage; 3 this host cannot.";

impl Inject {
    fn selection(&self) -> Option<Selection> {
        if !self.pid.is_empty() {
            return Some(Selection::Processes(self.pid.clone()));
        }
        if !self.command.is_empty() {
            return Some(Selection::Command(self.command.clone()));
        }
        let paths = self.cgroup.iter().cloned().map(CgroupName::Path);
        let containers = self.container.iter().cloned().map(CgroupName::Container);
        let units = self.unit.iter().cloned().map(CgroupName::Unit);
        let names: Vec<CgroupName> = paths.chain(containers).chain(units).collect();
        (!names.is_empty()).then_some(Selection::Cgroups(names))
    }

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
        let selection = self.selection();
        let options = Options {
            selection,
            plan: crate::fault::Plan::gather(self.plan.as_deref(), &self.inject, self.seed)?,
            ledger: self.ledger,
            write_plan: self.write_plan,
            control: self.control,
            toxiproxy: self.toxiproxy_api,
            duration_ns: self.duration,
            drain_ns: self.drain,
            user: self.user,
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
