//! `cargo xtask demo [--example NAME] [--dev]`: a newcomer's first incident, replayed, and a fault that the replay
//! finds. Each command is printed, so that it can be typed again.

mod parts;
mod replay;
mod service;

use crate::examples::{self, EXAMPLES, Example, Profile};
use crate::{command, misuse, workspace};
use anyhow::{Context, Result, anyhow, bail};
use parts::{Mood, Parts};
use replay::Scene;
use serde_json::Value;
use service::Service;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

/// What the host cannot: root, a runtime.
const CANNOT: u8 = 3;

/// Exit status: that of `infernosim capture`, which is 3 where this host cannot, and 3 where the example's runtime is
/// missing; else that of `inspect` and of `replay`; 1 where the recording is not what it should be, or the replay does not find
/// what is broken. 0: all of that was seen.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((example, profile)) = parse(arguments) else {
        let names: Vec<&str> = EXAMPLES.iter().map(|example| example.name).collect();
        eprintln!("examples: {}", names.join(", "));
        return misuse("demo");
    };
    if let Err(missing) = example.runtime() {
        eprintln!("xtask demo: {missing}");
        return Ok(ExitCode::from(CANNOT));
    }
    let mut agent = command::cargo();
    command::run(profile.choose(agent.args(["build", "-p", "infernosim-agent"])))?;
    examples::build(command::cargo(), profile)?;
    if let Err(error) = command::as_root("true").and_then(|mut root| command::output(&mut root)) {
        eprintln!("xtask demo: capture loads programs into the kernel, which takes root: {error:#}");
        return Ok(ExitCode::from(CANNOT));
    }
    show(example, &profile.directory()?)
}

/// The example, and how it is built; none for arguments that make no sense.
fn parse(arguments: &[String]) -> Option<(&'static Example, Profile)> {
    let (mut example, mut profile) = (&EXAMPLES[0], Profile::Release);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("--dev", "") => profile = Profile::Dev,
            ("--example", "") => example = Example::find(words.next()?)?,
            ("--example", name) => example = Example::find(name)?,
            _ => return None,
        }
    }
    Some((example, profile))
}

/// Captures an example that was built into `directory`, with infernosim beside it, while a customer is there.
///
/// # Errors
/// When a program cannot be started, a dependency or the customer fails.
pub fn show(example: &'static Example, directory: &Path) -> Result<ExitCode> {
    let parts = Parts::of(example, directory);
    let infernosim = directory.join("infernosim");
    let incident = workspace::target_dir()?.join("demo-incident");

    println!("\nWhat the shop calls.");
    let (mut dependencies, services) = parts.dependencies();
    let dependencies = Service::start(&mut dependencies, services)?
        .map_err(|status| anyhow!("what the shop calls ended with {status}"))?;

    println!("\nA shop, captured as it is. Only infernosim runs as root; the shop runs as you.");
    let mut capture = command::as_root(&infernosim)?;
    capture.args(["capture", "--force", "--incident"]).arg(&incident).arg("--");
    // The replay sends to the port that was recorded, so that it is not any free one each time.
    let port = free_port()?;
    let target = parts.target(port, &dependencies.urls, Mood::ClosesAfterTheCustomer);
    capture.args(target.map_err(|missing| anyhow!(missing))?);
    // All this is on this machine.
    capture.env_remove("HTTP_PROXY").env_remove("http_proxy");
    let mut shop = match Service::start(&mut capture, 1)? {
        Ok(shop) => shop,
        Err(status) => {
            println!("`infernosim doctor` says what this host can do");
            return Ok(ended("capture", status));
        }
    };

    println!("\nA customer, who is not captured.");
    command::run(&mut parts.customer(&shop.urls[0]))?;
    if parts.stays() {
        println!("\nWhen the shop ends, the capture does.");
        let pid = manifest(&incident)?["target"]["pid"].to_string();
        command::run(workspace::command("kill").args(["-TERM", &pid]))?;
    }
    let status = shop.process.wait().context("cannot wait for the capture")?;
    if !status.success() {
        return Ok(ended("capture", status));
    }

    println!("\nWhat was recorded.");
    let status = command::status(workspace::command(&infernosim).arg("inspect").arg(&incident))?;
    assert_recorded(example, &manifest(&incident)?)?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }

    let dependencies = dependencies.end();
    let (parts, dependencies) = (&parts, dependencies.as_slice());
    let scene = Scene { parts, infernosim: &infernosim, incident: &incident, port, dependencies };
    let done = scene.play()?;
    let shown = workspace::relative(&incident);
    let binary = workspace::relative(&infernosim);
    println!("\nOne exchange whole: {} inspect {} ID", binary.display(), shown.display());
    println!("The recording is plain JSON lines: {0}/inbound.log, {0}/outbound.log", shown.display());
    println!(
        "What was printed last is in {0}/replay_result.txt, all of it in {0}/replay_report.json",
        shown.display()
    );
    Ok(done)
}

/// A port of loopback that nobody has now.
fn free_port() -> Result<u16> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(free.local_addr()?.port())
}

/// Each request and each call was recorded, and nothing lost.
fn assert_recorded(example: &Example, manifest: &Value) -> Result<()> {
    let (inbound, outbound) = example.exchanges;
    for (kind, expected) in
        [("InboundRequest", inbound), ("InboundResponse", inbound), ("OutboundCall", outbound)]
    {
        let recorded = manifest["counts"][kind].as_u64().unwrap_or_default();
        if recorded != expected {
            bail!("{recorded} lines {kind} were recorded of {expected}");
        }
    }
    Ok(())
}

fn manifest(incident: &Path) -> Result<Value> {
    let path = incident.join("incident.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no manifest", path.display()))
}

fn ended(what: &str, status: ExitStatus) -> ExitCode {
    eprintln!("xtask demo: the {what} ended with {status}");
    ExitCode::from(
        status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<(&'static str, bool)> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&words).map(|(example, profile)| (example.name, profile == Profile::Dev))
    }

    #[test]
    fn an_example_and_a_profile() {
        assert_eq!(parsed(&[]), Some(("orders", false)));
        assert_eq!(parsed(&["--example", "shop-go", "--dev"]), Some(("shop-go", true)));
        assert_eq!(parsed(&["--dev", "--example=shop-node"]), Some(("shop-node", true)));
        for wrong in [&["shop-go"][..], &["--example"], &["--example", "shop-cobol"], &["--dev=yes"]] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_recording_that_lacks_a_line_is_not_good_enough() {
        let mut manifest = serde_json::json!({
            "counts": { "InboundRequest": 7, "InboundResponse": 7, "OutboundCall": 14, "Dns": 2 }
        });
        let shop = Example::find("shop-rust").unwrap();
        assert!(assert_recorded(shop, &manifest).is_ok());
        for kind in ["InboundRequest", "InboundResponse", "OutboundCall"] {
            let before = manifest["counts"][kind].take();
            assert!(assert_recorded(shop, &manifest).is_err(), "{kind}");
            manifest["counts"][kind] = before;
        }
    }
}
