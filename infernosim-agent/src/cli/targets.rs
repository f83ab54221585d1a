use std::ffi::OsString;

use clap::{Args, ValueHint};

use crate::error::{Exit, ExpectedError, Result};
use crate::target::{CgroupName, Selection};

/// Whom a command is about: processes, cgroups, or a command that it starts.
#[derive(Args, Debug)]
pub struct Targets {
    /// This running process and its children, present and future; may be repeated.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["cgroup", "container", "unit", "command"])]
    pid: Vec<u32>,
    /// Every process of this cgroup (v2) and below; may be repeated.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    cgroup: Vec<String>,
    /// The cgroup of this container, named by its id or the beginning of it; may be repeated.
    #[arg(long, value_name = "ID", value_hint = ValueHint::Other, conflicts_with = "command")]
    container: Vec<String>,
    /// The cgroup of this systemd unit; may be repeated.
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other, conflicts_with = "command")]
    unit: Vec<String>,
    /// Run CMD as this user [default: who called sudo].
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    pub user: Option<String>,
    /// The command to run and its arguments.
    #[arg(last = true, value_name = "CMD", value_hint = ValueHint::CommandName)]
    command: Vec<OsString>,
}

impl Targets {
    /// Each of these arguments names a target.
    pub const WORDS: [&str; 5] = ["pid", "cgroup", "container", "unit", "command"];

    /// What was named; none if nothing was. What excludes each other was refused before.
    pub fn selection(&self) -> Option<Selection> {
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

    /// What was named.
    ///
    /// # Errors
    /// `Exit::Usage` if nothing was.
    pub fn required(&self) -> Result<Selection> {
        self.selection().ok_or_else(|| {
            ExpectedError::new(Exit::Usage, "there is no target")
                .help("give one: -- CMD, --pid N or --cgroup PATH")
        })
    }
}
