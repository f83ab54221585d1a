//! The command line of `cargo xtask bench`.

use super::load::{LOADS, Load};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// Printed for `--help`.
pub const HELP: &str = "\
usage: cargo xtask bench [OPTIONS]

Measures what capture costs, beside no proxy, a bare relay and HAProxy. docs/benchmarks.md says how to read it.

  --quick            1 second a measurement, 3 rounds
  --loads A,B,…      some of c1, c16, c64, new16, 64k, 1m [default: all]
  --rounds N         how often each load is measured on each side [default: 5]
  --json FILE        where everything goes for programs [default: bench.json in the target directory]
  --infernosim FILE  measure this binary instead of building one
  --profile          one more capture of each load, under perf
";

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// In the order of [`LOADS`].
    pub loads: Vec<&'static Load>,
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
        let (mut rounds, mut names) = (None, None);
        let mut options =
            Self { loads: Vec::new(), rounds: 0, quick: false, json: None, infernosim: None, profile: false };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => options.quick = true,
                "--profile" => options.profile = true,
                "--json" => options.json = Some(value()?.into()),
                "--infernosim" => options.infernosim = Some(std::path::absolute(value()?)?),
                "--loads" => names = Some(value()?),
                "--rounds" => {
                    let number: usize = value()?.parse().context("--rounds takes a number")?;
                    rounds = Some(number.max(1));
                }
                _ => bail!("there is no option {word:?}"),
            }
        }
        options.rounds = rounds.unwrap_or(if options.quick { 3 } else { 5 });
        options.loads = names.map_or_else(|| Ok(LOADS.iter().collect()), |names| choose(names))?;
        Ok(options)
    }

    /// How long to measure this load, in seconds.
    pub fn seconds(&self, load: &Load) -> u64 {
        if self.quick { 1 } else { load.seconds }
    }
}

fn choose(names: &str) -> Result<Vec<&'static Load>> {
    let names: Vec<&str> = names.split(',').collect();
    if let Some(name) = names.iter().find(|name| LOADS.iter().all(|load| load.name != **name)) {
        let known: Vec<&str> = LOADS.iter().map(|load| load.name).collect();
        bail!("there is no load {name:?}, only {}", known.join(", "));
    }
    Ok(LOADS.iter().filter(|load| names.contains(&load.name)).collect())
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
        assert_eq!((options.rounds, options.loads.len(), options.seconds(&LOADS[0])), (5, 6, 2));
        let options = parse("--quick").unwrap();
        assert_eq!((options.rounds, options.seconds(&LOADS[0])), (3, 1));
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
}
