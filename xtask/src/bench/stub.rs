//! `--only stub`: what the stub of a replay answers in a second, beside a bare hyper server.

use super::summary::Spread;
use crate::command;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Calls in the incident that is generated; each is asked for once a round.
const CALLS: usize = 200_000;
/// Open at the same time.
const CONNECTIONS: usize = 64;
/// What the stub is to reach, matching included, with its clients on the same two CPUs.
const AIM: f64 = 40_000.0;

/// Measures it in this many rounds.
///
/// # Errors
/// When it cannot be built or run, or a call was not matched.
pub fn run(rounds: usize, quick: bool) -> Result<Value> {
    let calls = if quick { CALLS / 4 } else { CALLS };
    let mut cargo = command::cargo();
    cargo.args(["bench", "-p", "infernosim-agent", "--bench", "stub", "--"]);
    cargo.args([calls, rounds, CONNECTIONS].map(|number| number.to_string()));
    let output = cargo.stderr(std::process::Stdio::inherit()).output().context("cannot run cargo bench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("the stub could not be measured: {}", said.trim());
    }
    let rounds = parse(&said)?;
    let spread =
        |of: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(of)).context("nothing was measured");
    let (bare, stub) = (spread(|round| round.0)?, spread(|round| round.1)?);
    let ratio = spread(|(bare, stub)| stub / bare)?;
    let peak = said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap_or("not measured");
    println!("\nstub: {calls} calls, {CONNECTIONS} connections that are kept, 1 KiB  (min median max)");
    println!("  bare hyper server  {} answers/s", numbers(&bare, 0));
    println!("  stub               {} answers/s", numbers(&stub, 0));
    println!("  stub to bare       {}", numbers(&ratio, 2));
    println!("  peak memory of both and their clients: {peak}");
    let verdict = if stub.median >= AIM { "reached" } else { "missed" };
    println!("  aim: {AIM} answers/s: {verdict}");
    let json = |spread: &Spread| json!([spread.min, spread.median, spread.max]);
    Ok(json!({"calls": calls, "connections": CONNECTIONS, "bare": json(&bare), "stub": json(&stub),
        "ratio": json(&ratio), "peak": peak, "rounds": rounds.len()}))
}

fn numbers(spread: &Spread, digits: usize) -> String {
    let Spread { min, median, max } = spread;
    format!("{min:>9.digits$} {median:>9.digits$} {max:>9.digits$}")
}

/// The rounds: answers a second of the bare server and of the stub.
fn parse(said: &str) -> Result<Vec<(f64, f64)>> {
    let rounds = said.lines().filter_map(|line| line.strip_prefix("bench "));
    rounds
        .map(|line| {
            let (bare, stub) = line.split_once(' ').context("a round with one number")?;
            Ok((bare.parse()?, stub.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_read() {
        assert_eq!(
            parse("x\nbench 100 50\nbench 90 45\npeak 5 kB\n").unwrap(),
            [(100.0, 50.0), (90.0, 45.0)]
        );
        assert!(parse("bench 100\n").is_err());
    }
}
