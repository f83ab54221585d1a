//! The kernel half in replay: nothing of the target's leaves, unless a verdict says so.

use std::collections::BTreeMap;

use aya::{Ebpf, EbpfLoader};
use infernosim_common::{Counter, Replay};

use super::load::{array, hash};
use super::{Aheads, Redirect, Resolvers, Setting, Verdicts};
use crate::error::Result;

/// Destinations that may have a verdict.
pub const MOST_VERDICTS: u32 = 16_384;
/// Series of connects that may fail on purpose.
const MOST_SERIES: u32 = 1024;
/// Sockets of which it is known whom they asked.
const ASKING: u32 = 4096;

/// How replay is to work; fixed once the kernel half is loaded.
#[derive(Clone, Copy, Debug)]
pub struct ReplaySetting {
    /// What has no verdict is refused, and every packet that would leave the machine is dropped and counted
    /// ([`Redirect::leaks`]); else both are left alone (`--on-unmatched passthrough`).
    pub deny: bool,
}

/// What belongs to replay.
pub struct ReplayHandles {
    /// Says what becomes of the target's connects.
    pub verdicts: Verdicts,
    /// Says which connects fail on purpose.
    pub aheads: Aheads,
    /// Finds which resolver was asked.
    pub resolvers: Resolvers,
}

impl Redirect {
    /// Whether connects can be made to fail with any errno in replay (bpf_set_retval, Linux 5.18); where not, those
    /// that cannot be sent to a port of ours fail with EPERM.
    pub const fn has_exact_errno(&self) -> bool {
        self.exact_errno
    }

    /// Packets of the target that were dropped since the kernel half was loaded, by kind (`udp`, `udp-ipv6`, `tcp`,
    /// `tcp-ipv6`, `icmp`, `icmp-ipv6`, `raw`, `other-protocol`); kinds of which there were none are left out.
    pub fn leaks(&self) -> BTreeMap<String, u64> {
        let counts = Counter::LEAKS.map(|(counter, kind)| (kind.to_owned(), self.count(counter)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// The value of the constant `REPLAY`.
pub(super) const fn mode(setting: &Setting) -> u32 {
    match setting.replay {
        None => 0,
        Some(_) if setting.inject => Replay::Inject as u32,
        Some(ReplaySetting { deny: true }) => Replay::Deny as u32,
        Some(ReplaySetting { deny: false }) => Replay::Pass as u32,
    }
}

/// Sizes replay's maps; without a replay they take next to no memory.
pub(super) fn size(loader: &mut EbpfLoader<'_>, setting: Option<ReplaySetting>) {
    let entries = |most: u32| if setting.is_some() { most } else { 1 };
    loader.map_max_entries("VERDICTS", entries(MOST_VERDICTS)).map_max_entries("ASKED", entries(ASKING));
    loader.map_max_entries("AHEAD_OF", entries(MOST_VERDICTS));
    loader
        .map_max_entries("AHEAD_PLANS", entries(MOST_SERIES))
        .map_max_entries("AHEAD_SEEN", entries(MOST_SERIES));
}

pub(super) fn handles(ebpf: &mut Ebpf) -> Result<ReplayHandles> {
    Ok(ReplayHandles {
        verdicts: Verdicts::new(hash(ebpf, "VERDICTS")?),
        aheads: Aheads::new(hash(ebpf, "AHEAD_OF")?, array(ebpf, "AHEAD_PLANS")?, array(ebpf, "AHEAD_SEEN")?),
        resolvers: Resolvers::new(hash(ebpf, "ASKED")?),
    })
}
