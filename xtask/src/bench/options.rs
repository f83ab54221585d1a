//! The command line of `cargo xtask bench`.

use super::load::{LOADS, Load};
use super::side::{GROUPS, Side};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// Printed for `--help`.
pub const HELP: &str = "\
usage: cargo xtask bench [OPTIONS]

Measures what capture costs: of a client, beside no proxy, a bare relay and HAProxy; of a server; of a service that is
both. docs/benchmarks.md says how to read it.

  --quick            1 second a measurement, 1 round
  --loads A,B,…      some of c1, c16, c64, new16, 64k, 1m [default: all]
  --only A,B,…       some of outbound, tap, inbound, both, each beside the same without capture, and stub, the answers of a
                     replay [default: all]
  --rounds N         how often each load is measured on each side [default: 3]
  --json FILE        where everything goes for programs [default: bench.json in the target directory]
  --infernosim FILE  measure this binary instead of building one
  --profile          one more capture of each load and side, under perf
";

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// In the order of [`LOADS`].
    pub loads: Vec<&'static Load>,
    /// In the order of [`Side::ALL`], with what they are compared with.
    pub sides: Vec<Side>,
    /// What answers in a replay too.
    pub stub: bool,
    /// At least 1.
    pub rounds: usize,
    /// No measurement takes longer than a second.
    pub quick: bool,
    /// Where the JSON goes; none: bench.json in the target directory.
    pub json: Option<PathBuf>,
    /// A ready binary.
    pub infernosim: Option<PathBuf>,
    /// Run perf too.
    pub profile: bool,
}

impl Options {
    /// Reads the arguments after `bench`.
    ///
    /// # Errors
    /// A word that is not known, or one that misses its value.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let (mut rounds, mut loads, mut only) = (None, None, None);
        let mut options = Self {
            loads: Vec::new(),
            sides: Vec::new(),
            stub: false,
            rounds: 0,
            quick: false,
            json: None,
            infernosim: None,
            profile: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => options.quick = true,
                "--profile" => options.profile = true,
                "--json" => options.json = Some(value()?.into()),
                "--infernosim" => options.infernosim = Some(std::path::absolute(value()?)?),
                "--loads" => loads = Some(value()?),
                "--only" => only = Some(value()?),
                "--rounds" => {
                    let number: usize = value()?.parse().context("--rounds takes a number")?;
                    rounds = Some(number.max(1));
                }
                _ => bail!("there is no option {word:?}"),
            }
        }
        options.rounds = rounds.unwrap_or(if options.quick { 1 } else { 3 });
        let all = LOADS.map(|load| load.name);
        let names = loads.map_or_else(|| Ok(all.to_vec()), |names| choose(names, &all))?;
        options.loads = LOADS.iter().filter(|load| names.contains(&load.name)).collect();
        let all: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).chain(["stub"]).collect();
        let names = only.map_or_else(|| Ok(all.to_vec()), |names| choose(names, &all))?;
        options.sides = sides(&names);
        options.stub = names.contains(&"stub");
        Ok(options)
    }

    /// How long to measure this load, in seconds.
    pub fn seconds(&self, load: &Load) -> u64 {
        if self.quick { 1 } else { load.seconds }
    }
}

/// Those of the known names that are in the list.
fn choose<'a>(list: &str, known: &[&'a str]) -> Result<Vec<&'a str>> {
    let names: Vec<&str> = list.split(',').collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no {name:?}, only {}", known.join(", "));
    }
    Ok(known.iter().copied().filter(|name| names.contains(name)).collect())
}

fn sides(groups: &[&str]) -> Vec<Side> {
    let chosen = GROUPS.iter().filter(|(name, _)| groups.contains(name)).flat_map(|(_, sides)| *sides);
    let chosen: Vec<Side> = chosen.flat_map(|side| [side.base(), *side]).collect();
    Side::ALL.into_iter().filter(|side| chosen.contains(side)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn quick_changes_what_was_not_said() {
        let options = parse("").unwrap();
        assert_eq!((options.rounds, options.loads.len(), options.seconds(&LOADS[0])), (3, 6, 2));
        let options = parse("--quick").unwrap();
        assert_eq!((options.rounds, options.seconds(&LOADS[0])), (1, 1));
        assert_eq!(parse("--quick --rounds 7").unwrap().rounds, 7);
    }

    #[test]
    fn loads_are_chosen_by_name() {
        let options = parse("--loads 1m,c1").unwrap();
        assert_eq!(options.loads.iter().map(|load| load.name).collect::<Vec<_>>(), ["c1", "1m"]);
        for wrong in ["--loads c2", "--loads", "--rounds x", "--slow"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sides_come_with_what_they_are_compared_with() {
        assert_eq!(parse("").unwrap().sides, Side::ALL);
        assert_eq!(parse("--only inbound,tap").unwrap().sides, [Side::Direct, Side::Tap, Side::Inbound]);
        let both = [Side::Service, Side::BothProxy, Side::BothTap];
        assert_eq!(parse("--only both").unwrap().sides, both);
        assert!(parse("--only direct").is_err());
        let stub = parse("--only stub").unwrap();
        assert!(
            stub.stub
                && stub.sides.is_empty()
                && parse("").unwrap().stub
                && !parse("--only tap").unwrap().stub
        );
    }
}
