use std::collections::BTreeSet;

use super::eventually;

/// What a process holds in the kernel: ids of programs, maps and links.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    pub programs: BTreeSet<u32>,
    pub maps: BTreeSet<u32>,
    pub links: BTreeSet<u32>,
}

impl Held {
    /// By a running process.
    pub fn by(pid: u32) -> Self {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
        let texts: Vec<String> = entries
            .flatten()
            .map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default())
            .collect();
        let ids = |name: &str| {
            let lines = texts.iter().flat_map(|text| text.lines());
            lines.filter_map(|line| line.strip_prefix(name)?.trim().parse().ok()).collect()
        };
        Self { programs: ids("prog_id:"), maps: ids("map_id:"), links: ids("link_id:") }
    }

    /// Of these, what is in the kernel now. One that vanishes while it is looked at is no error of ours.
    fn left(&self) -> Self {
        let programs = aya::programs::loaded_programs().flatten().map(|program| program.id());
        let maps = aya::maps::loaded_maps().flatten().map(|map| map.id());
        let links = aya::programs::loaded_links().flatten().map(|link| link.id());
        Self {
            programs: programs.filter(|id| self.programs.contains(id)).collect(),
            maps: maps.filter(|id| self.maps.contains(id)).collect(),
            links: links.filter(|id| self.links.contains(id)).collect(),
        }
    }

    /// Asserts that there is something of each kind, and that it is there.
    pub fn assert_there(&self) {
        let kinds = [self.programs.len(), self.maps.len(), self.links.len()];
        assert!(kinds.iter().all(|count| *count > 5), "{self:?}");
        assert_eq!(self.left(), *self);
    }

    /// Waits until nothing is left: the kernel takes a moment.
    pub fn assert_gone(&self) {
        eventually("programs, maps and links are gone", || {
            let left = self.left();
            left.programs.is_empty() && left.maps.is_empty() && left.links.is_empty()
        });
    }
}
