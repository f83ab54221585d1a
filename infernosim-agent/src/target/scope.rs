use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Cgroup, Hierarchy, processes};
use crate::error::{Exit, ExpectedError, Result};

/// What the user chose to capture.
#[derive(Clone, Debug)]
pub enum Selection {
    /// A command to launch, with its arguments.
    Command(Vec<OsString>),
    /// Running processes, by their numbers in our pid namespace, with their children.
    Processes(Vec<u32>),
    /// Everything in some cgroups and below them.
    Cgroups(Vec<CgroupName>),
}

/// How a cgroup is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupName {
    /// By its path.
    Path(String),
    /// By the id of the container that is in it.
    Container(String),
    /// By the systemd unit that it is of.
    Unit(String),
}

/// Where the kernel half is attached, and for whom.
#[derive(Debug)]
pub struct Scope {
    /// None of them is inside another.
    cgroups: Vec<(PathBuf, File)>,
    roots: Option<Vec<u32>>,
    made: Option<Cgroup>,
}

impl Scope {
    /// Finds it, or makes it for a command.
    pub fn of(selection: &Selection) -> Result<Self> {
        match selection {
            Selection::Command(_) => match Cgroup::create() {
                Ok(made) => Self::of_one(made),
                // CI containers: no cgroup can be made, but programs can be attached to the one we are in, for
                // CMD's process alone.
                Err(_) if Hierarchy::find().is_ok_and(|it| it.is_read_only()) => {
                    Self::of_processes(&[std::process::id()])
                        .map(|own| Self { roots: Some(Vec::new()), ..own })
                }
                Err(error) => Err(error),
            },
            Selection::Processes(pids) => Self::of_processes(pids),
            Selection::Cgroups(names) => Self::of_cgroups(names),
        }
    }

    /// A cgroup that is there, for a command to be launched into.
    pub fn given(path: &str) -> Result<Self> {
        Self::of_one(Cgroup::given(path)?)
    }

    fn of_one(made: Cgroup) -> Result<Self> {
        let directory = made.directory().try_clone().map_err(|error| unusable(made.path(), &error))?;
        let cgroups = vec![(made.path().to_owned(), directory)];
        Ok(Self { cgroups, roots: None, made: Some(made) })
    }

    fn of_processes(pids: &[u32]) -> Result<Self> {
        let hierarchy = Hierarchy::find()?;
        let mut paths = Vec::new();
        for &pid in pids {
            paths.push(hierarchy.of_process(pid)?);
            if let Some(why) = processes::unsuitable(pid) {
                return Err(ExpectedError::new(Exit::Usage, format!("process {pid} {why}"))
                    .help("find the service's number with `pgrep -a NAME`"));
            }
        }
        Ok(Self { cgroups: open(paths)?, roots: Some(pids.to_vec()), made: None })
    }

    fn of_cgroups(names: &[CgroupName]) -> Result<Self> {
        let hierarchy = Hierarchy::find()?;
        let mut paths = Vec::new();
        for name in names {
            paths.push(match name {
                CgroupName::Path(path) => hierarchy.cgroup(path)?,
                CgroupName::Container(id) => hierarchy.container(id)?,
                CgroupName::Unit(unit) => hierarchy.unit(unit)?,
            });
        }
        Ok(Self { cgroups: open(paths)?, roots: None, made: None })
    }

    /// The ids of the cgroups to attach to, and of all below them.
    pub fn cgroup_ids(&self) -> BTreeSet<u64> {
        let mut ids = BTreeSet::new();
        let mut left: Vec<PathBuf> = self.cgroups.iter().map(|(path, _)| path.clone()).collect();
        while let Some(path) = left.pop() {
            // One that goes while we look has no sockets to be missed.
            ids.extend(fs::metadata(&path).map(|directory| directory.ino()));
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            left.extend(
                entries.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())).map(|it| it.path()),
            );
        }
        ids
    }

    /// The cgroups to attach to.
    pub fn cgroups(&self) -> impl Iterator<Item = (&Path, &File)> {
        self.cgroups.iter().map(|(path, file)| (path.as_path(), file))
    }

    /// Whether only processes that are followed are the target.
    pub const fn is_by_process(&self) -> bool {
        self.roots.is_some()
    }

    /// The cgroup a command is launched into, where one could be made for it or was given.
    pub const fn made(&self) -> Option<&Cgroup> {
        self.made.as_ref()
    }

    /// A command was launched: where only processes are followed, it is the one that its descendants are found by.
    pub fn launched(&mut self, pid: u32) {
        if let Some(roots) = &mut self.roots {
            *roots = vec![pid];
        }
    }

    /// The target's processes as they are now, by their numbers in our pid namespace; children that are forked
    /// meanwhile may be missing.
    pub fn processes(&self) -> Vec<u32> {
        match &self.roots {
            Some(roots) => processes::with_descendants(roots),
            None => self.cgroups.iter().flat_map(|(path, _)| processes::in_cgroup(path)).collect(),
        }
    }

    /// Whether the cgroups are gone, so that nobody can come into them any more.
    pub fn is_removed(&self) -> bool {
        self.cgroups.iter().all(|(path, _)| !path.exists())
    }

    /// Whether no process lives in the cgroups; one that cannot be read counts as inhabited, one that is gone not.
    pub fn is_deserted(&self) -> bool {
        self.cgroups.iter().all(|(path, _)| match fs::read_to_string(path.join("cgroup.events")) {
            Ok(events) => events.lines().any(|line| line == "populated 0"),
            Err(_) => !path.exists(),
        })
    }
}

/// Opens cgroups, leaving out those inside others: a program would run twice for the inner.
fn open(mut paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, File)>> {
    paths.sort();
    let mut outer: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !outer.iter().any(|other| path.starts_with(other)) {
            outer.push(path);
        }
    }
    let opened = outer.into_iter().map(|path| match File::open(&path) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(unusable(&path, &error)),
    });
    opened.collect()
}

fn unusable(path: &Path, error: &std::io::Error) -> ExpectedError {
    ExpectedError::new(Exit::Host, format!("the cgroup {} cannot be used: {error}", path.display()))
}
