//! The examples that can be captured: what they need, how they are built and started; and
//! `cargo xtask examples record`, which records their incidents anew.

use crate::{command, misuse, workspace};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A program that an example needs besides Rust.
pub struct Runtime {
    program: &'static str,
    package: &'static str,
}

/// A target to try InfernoSIM on.
pub struct Example {
    /// Its folder in `examples/`.
    pub name: &'static str,
    /// What it is written in, where that is not Rust.
    pub runtime: Option<Runtime>,
    /// How many requests its customer makes, and how many calls it makes because of them.
    pub exchanges: (u64, u64),
}

/// All of them; the first one is the default.
pub const EXAMPLES: [Example; 5] = [
    Example { name: "orders", runtime: None, exchanges: (5, 9) },
    shop("shop-python", Some(Runtime { program: "python3", package: "python3" })),
    shop("shop-node", Some(Runtime { program: "node", package: "nodejs" })),
    shop("shop-go", Some(Runtime { program: "go", package: "golang-go" })),
    shop("shop-rust", None),
];

const fn shop(name: &'static str, runtime: Option<Runtime>) -> Example {
    Example { name, runtime, exchanges: (7, 14) }
}

impl Example {
    /// The one of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        EXAMPLES.iter().find(|example| example.name == name)
    }

    /// The runtime's program, or what to do about its absence. The system's own comes first: sudo finds no other.
    ///
    /// # Errors
    /// In words for people, where it is not installed.
    pub fn runtime(&self) -> std::result::Result<Option<PathBuf>, String> {
        let Some(Runtime { program, package }) = self.runtime else { return Ok(None) };
        match command::find(program).or_else(|| command::find_tool(program)) {
            Some(path) => Ok(Some(path)),
            None => Err(format!(
                "{} needs {program}, which is not installed here: `cargo xtask setup tests`, or install the package {package}",
                self.name
            )),
        }
    }

    /// The command line that starts it, once it is built into `directory`.
    ///
    /// # Errors
    /// Where its runtime is missing.
    pub fn command(&self, directory: &Path) -> std::result::Result<Vec<PathBuf>, String> {
        let runtime = self.runtime()?;
        let source = |file: &str| workspace::root().join("examples").join(self.name).join(file);
        Ok(match (self.name, runtime) {
            ("shop-python", Some(python)) => vec![python, source("shop.py")],
            ("shop-node", Some(node)) => vec![node, source("shop.js")],
            (name, _) => vec![directory.join(name)],
        })
    }
}

/// The profile of a build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As tests use it.
    Dev,
    /// As users do.
    Release,
}

impl Profile {
    /// Where cargo leaves what it builds.
    ///
    /// # Errors
    /// Those of `cargo metadata`.
    pub fn directory(self) -> Result<PathBuf> {
        Ok(workspace::target_dir()?.join(if self == Self::Dev { "debug" } else { "release" }))
    }

    /// Gives cargo the option that chooses it.
    pub fn choose(self, cargo: &mut Command) -> &mut Command {
        if self == Self::Release { cargo.arg("--release") } else { cargo }
    }
}

/// Builds those in Rust and what they call, and puts the one in Go beside them, if Go is here.
///
/// # Errors
/// When a build fails.
pub fn build(mut cargo: Command, profile: Profile) -> Result<()> {
    cargo.args(["build", "-p", "orders", "-p", "shop-dependencies", "-p", "shop-rust"]);
    command::run(profile.choose(&mut cargo))?;
    build_go(profile)
}

/// Builds the one in Go alone; those in Rust come with the workspace's tests.
///
/// # Errors
/// When the build fails. That Go is not here is none: what wants the shop will say that it is missing.
pub fn build_go(profile: Profile) -> Result<()> {
    let Some(Ok(Some(go))) = Example::find("shop-go").map(Example::runtime) else { return Ok(()) };
    let directory = profile.directory()?;
    // `env -C` stands for `go -C`, which is younger than Debian's Go. No version control is asked for a stamp: it
    // might refuse, and a stamp serves nobody here.
    let mut build = workspace::command("env");
    build.args(["-C", "examples/shop-go"]).arg(go).args(["build", "-buildvcs=false", "-o"]);
    command::run(build.arg(directory.join("shop-go")).arg(".")).context("the shop in Go")
}

/// `record [NAME…]`: captures the shops once more and replaces their incidents. Exit status: 3 where this host cannot.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let recordable = |name: &str| name.starts_with("shop-") && Example::find(name).is_some();
    let names: Vec<&str> = match arguments {
        [record] if record == "record" => {
            EXAMPLES.iter().map(|example| example.name).filter(|name| recordable(name)).collect()
        }
        [record, names @ ..] if record == "record" && names.iter().all(|name| recordable(name)) => {
            names.iter().map(String::as_str).collect()
        }
        _ => return misuse("examples"),
    };
    for example in EXAMPLES.iter().filter(|example| names.contains(&example.name)) {
        if let Err(missing) = example.runtime() {
            eprintln!("xtask examples: {missing}");
            return Ok(ExitCode::from(3));
        }
    }
    let mut agent = command::cargo();
    command::run(agent.args(["build", "-p", "infernosim-agent"]))?;
    build(command::cargo(), Profile::Dev)?;
    let mut record = command::as_root(workspace::root().join("examples/record.sh"))?;
    command::run(record.arg(Profile::Dev.directory()?).args(names))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_of_the_examples_that_can_be_captured_is_in_the_table() {
        for example in &EXAMPLES {
            assert!(workspace::root().join("examples").join(example.name).is_dir(), "{}", example.name);
        }
        for entry in std::fs::read_dir(workspace::root().join("examples")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with("shop-") && name != "shop-dependencies" {
                assert!(Example::find(&name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn a_missing_runtime_is_named_together_with_its_package() {
        let runtime = Some(Runtime { program: "no-such-program", package: "its-package" });
        let example = Example { name: "x", runtime, exchanges: (0, 0) };
        let said = example.command(Path::new("/")).unwrap_err();
        assert!(said.contains("no-such-program") && said.contains("its-package"), "{said}");
        assert!(example.runtime().is_err());
    }

    #[test]
    fn what_is_built_is_started_from_where_it_was_built() {
        let command = Example::find("shop-rust").unwrap().command(Path::new("/built"));
        assert_eq!(command.unwrap(), [PathBuf::from("/built/shop-rust")]);
    }
}
