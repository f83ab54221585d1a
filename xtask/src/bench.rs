//! `cargo xtask bench`: what capture costs a client, a server and a service that is both, measured in turns beside the
//! same without it, a bare relay and HAProxy.
//!
//! `bench relay` and `bench origin` are the servers of the benchmark itself, run as processes of their own.

mod captured;
mod load;
mod measurement;
mod options;
mod origin;
mod process;
mod profile;
mod recorded;
mod relay;
mod report;
mod server;
mod side;
mod stub;
mod summary;

use crate::{command, workspace};
use anyhow::{Context, Result, bail};
use load::Load;
use measurement::Bench;
use options::Options;
use serde_json::{Value, json};
use server::{Scratch, Server};
use side::Side;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use summary::Results;

/// Free space without which the disk may be full before a recording ends.
const NEEDED_GIB: f64 = 6.0;

/// Exit status: 0 measured, whatever the numbers; 2 usage.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["relay", listen, upstream] => relay::run(listen.parse()?, upstream.parse()?)?,
        ["origin", listen, directory] => origin::run(listen.parse()?, Path::new(directory))?,
        _ if words.iter().any(|word| ["-h", "--help"].contains(word)) => print!("{}", options::HELP),
        _ => match Options::parse(arguments) {
            Ok(options) => bench(&options)?,
            Err(error) => {
                eprint!("xtask bench: {error:#}\n\n{}", options::HELP);
                return Ok(ExitCode::from(crate::USAGE));
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn bench(options: &Options) -> Result<()> {
    if command::find("wrk").is_none() {
        bail!("there is no wrk here, which makes the load: `cargo xtask setup tests` installs it");
    }
    if options.profile && command::find("perf").is_none() {
        bail!("there is no perf here, which --profile runs: install linux-perf or linux-tools");
    }
    let target = workspace::target_dir()?;
    build(options)?;
    let scratch = Scratch::new(target.join("bench"))?;
    let script = scratch.0.join("wrk.lua");
    fs::write(&script, load::SCRIPT)?;
    let xtask = target.join("release/xtask");
    let bench = Bench {
        origin: Server::origin(&xtask, &scratch.0)?,
        directory: scratch.0.clone(),
        script,
        xtask,
        infernosim: options.infernosim.clone().unwrap_or_else(|| target.join("release/infernosim")),
        haproxy: command::find("haproxy"),
    };
    let host = host(&bench, options)?;
    println!();
    for (name, value) in host.as_object().into_iter().flatten() {
        println!("{name:<11} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }

    let stub = options.stub.then(|| stub::run(options.rounds, options.quick)).transpose()?;
    let mut all = Vec::new();
    let loads = if options.sides.is_empty() { &[][..] } else { &options.loads };
    for load in loads {
        let results = rounds(&bench, load, options)?;
        println!("\n{}", report::load(&results).trim_end());
        all.push(results.json());
        if options.profile {
            profiles(&bench, load, options, &target)?;
        }
    }
    let path = options.json.clone().unwrap_or_else(|| target.join("bench.json"));
    let text = serde_json::to_string_pretty(&json!({ "host": host, "loads": all, "stub": stub }))?;
    fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{}", workspace::relative(&path).display());
    Ok(())
}

/// Builds in release what is run: the agent, unless there is one, and this program for its relay.
fn build(options: &Options) -> Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--release", "-p", "xtask"]);
    if options.infernosim.is_none() {
        cargo.args(["-p", "infernosim-agent"]);
    }
    command::run(&mut cargo)
}

/// Measures a load on all sides, round by round; in each round another side begins.
fn rounds(bench: &Bench, load: &'static Load, options: &Options) -> Result<Results> {
    let mut sides = options.sides.clone();
    sides.retain(|side| match side {
        Side::Haproxy => bench.haproxy.is_some(),
        side => side.base() != Side::Service || command::find("nginx").is_some(),
    });
    let mut measurements = Vec::new();
    for round in 0..options.rounds {
        for side in &sides {
            measurements.push(bench.measure(load, *side, round, options.seconds(load))?);
        }
        if !sides.is_empty() {
            sides.rotate_left(1);
        }
    }
    Ok(Results { load, measurements })
}

fn profiles(bench: &Bench, load: &Load, options: &Options, target: &Path) -> Result<()> {
    for side in options.sides.iter().filter(|side| side.captured().is_some()) {
        let name = side.name().replace(", ", "-");
        let record = target.join(format!("bench-{}-{name}.perf", load.name));
        bench.profile(load, *side, options.seconds(load), &record)?;
        let shown = workspace::relative(&record);
        println!("  profile of {name} ({}):\n{}", shown.display(), profile::table(&record)?.trim_end());
    }
    Ok(())
}

/// What the numbers depend on.
fn host(bench: &Bench, options: &Options) -> Result<Value> {
    let space = nix::sys::statvfs::statvfs(&bench.directory)?;
    let free_gib = space.blocks_available() as f64 * space.fragment_size() as f64 / f64::from(1 << 30);
    if free_gib < NEEDED_GIB {
        bail!(
            "{free_gib:.1} GiB are free under {}, and recordings need {NEEDED_GIB}",
            bench.directory.display()
        );
    }
    let origin = command::find("nginx").map_or("our own".to_owned(), |nginx| version(&nginx, "-v"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("there is no /proc")?;
    // What else the machine does: two numbers are as good as it is idle.
    let load_before = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(json!({
        "CPUs": std::thread::available_parallelism()?.get(),
        "kernel": kernel.trim(),
        "infernosim": version(&bench.infernosim, "--version"),
        "origin": origin,
        "wrk": version(&PathBuf::from("wrk"), "-v"),
        "haproxy": bench.haproxy.as_ref().map_or("none".to_owned(), |haproxy| version(haproxy, "-v")),
        "rounds": options.rounds,
        "quick": options.quick,
        "free disk": format!("{free_gib:.0} GiB"),
        "load before": load_before.split(' ').next(),
    }))
}

/// The first words that a program says of itself, whatever the stream and the status.
fn version(program: &Path, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).output() else { return "unknown".to_owned() };
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let said = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
    let words: Vec<&str> = said.split_whitespace().collect();
    let end =
        words.iter().position(|word| word.contains(|c: char| c.is_ascii_digit())).map_or(0, |at| at + 1);
    words[..end].join(" ")
}
