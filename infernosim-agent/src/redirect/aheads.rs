use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use aya::maps::{Array, HashMap, MapData};
use infernosim_common::{Ahead, Destination};

use super::verdicts::{VerdictKey, destination};
use crate::error::{Exit, ExpectedError, Result};

/// Connects that fail on purpose, decided ahead: of each series of connects the next [`infernosim_common::AHEAD`], counted
/// by the kernel half, whatever addresses they go to. May be set at any time, from any thread.
pub struct Aheads(Mutex<Maps>);

struct Maps {
    of: HashMap<MapData, Destination, u32>,
    plans: Array<MapData, Ahead>,
    seen: Array<MapData, i64>,
}

impl Aheads {
    pub(super) const fn new(
        of: HashMap<MapData, Destination, u32>,
        plans: Array<MapData, Ahead>,
        seen: Array<MapData, i64>,
    ) -> Self {
        Self(Mutex::new(Maps { of, plans, seen }))
    }

    /// Connects to an address are of this series from now on.
    ///
    /// # Errors
    /// `Exit::Host` if there are too many addresses.
    pub fn number(&self, address: SocketAddr, series: u32) -> Result<()> {
        let key = destination(VerdictKey::Address(address));
        self.maps(|maps| maps.of.insert(key, series, 0))
    }

    /// What becomes of a series' connects; with `anew` they are counted from 0.
    ///
    /// # Errors
    /// `Exit::Host` if there is no such series.
    pub fn set(&self, series: u32, ahead: Ahead, anew: bool) -> Result<()> {
        self.maps(|maps| {
            maps.plans.set(series, ahead, 0)?;
            if anew { maps.seen.set(series, 0, 0) } else { Ok(()) }
        })
    }

    fn maps(&self, what: impl FnOnce(&mut Maps) -> Result<(), aya::maps::MapError>) -> Result<()> {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        what(&mut maps).map_err(|error| {
            ExpectedError::new(Exit::Host, format!("connects cannot be made to fail: {error}"))
                .help("name fewer dependencies in the faults that refuse or swallow connects")
        })
    }
}
