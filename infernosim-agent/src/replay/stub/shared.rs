use std::sync::Arc;

use infernosim_common::Flow;
use tokio::sync::watch;

use super::StubSetup;
use super::activity::Activity;
use super::engine::StubSeen;
use crate::clock::Nanos;
use crate::error::Result;

/// Which run it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// Its number, from 0.
    pub run: u64,
    /// It has not begun.
    pub held: bool,
    /// There is none any more.
    pub over: bool,
}

/// What all threads share.
pub struct Shared {
    pub setup: StubSetup,
    pub phase: watch::Sender<Phase>,
    pub activity: Arc<Activity>,
}

impl Shared {
    pub fn new(setup: StubSetup) -> Result<Self> {
        let phase = Phase { run: 0, held: true, over: false };
        Ok(Self { setup, phase: watch::Sender::new(phase), activity: Arc::default() })
    }
    pub fn prepare(&self) -> Result<()> {
        Ok(())
    }
    pub fn begin(&self, _zero: Nanos) -> Result<()> {
        Ok(())
    }
    pub fn refused(&self, _flow: &Flow) {}
    pub fn seen(&self) -> StubSeen {
        let _ = &self.setup;
        StubSeen::default()
    }
}
