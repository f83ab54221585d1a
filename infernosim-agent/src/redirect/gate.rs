use std::sync::Mutex;

use aya::maps::{Array, MapData};
use infernosim_common::State;

/// Opens and shuts the redirect for new connections; what was redirected stays so.
pub struct Gate {
    inner: Mutex<Inner>,
}

struct Inner {
    map: Array<MapData, u32>,
    state: State,
}

impl Gate {
    pub(super) fn new(map: Array<MapData, u32>) -> Self {
        Self { inner: Mutex::new(Inner { map, state: State::Off }) }
    }

    /// Redirects from now on.
    pub fn open(&self) {
        self.set(|_| State::On);
    }

    /// Redirects no more; for good, whatever the limits say later.
    pub fn shut(&self) {
        self.set(|_| State::Off);
    }

    /// At a limit, or no longer: no effect on a gate that is shut.
    pub fn at_limit(&self, at_limit: bool) {
        self.set(|state| match state {
            State::Off => State::Off,
            _ if at_limit => State::AtLimit,
            _ => State::On,
        });
    }

    fn set(&self, next: impl FnOnce(State) -> State) {
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = next(inner.state);
        if state != inner.state {
            inner.state = state;
            // An array element that exists cannot fail to be set.
            let _ = inner.map.set(0, state as u32, 0);
        }
    }
}
