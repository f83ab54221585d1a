use super::pressure::Measured;
use super::script::Script;
use super::seen::Run;
use super::waits::Waits;

/// What was measured of the runs that count.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Of the target, run by run.
    pub measured: Vec<Measured>,
    /// What their requests waited for.
    pub waits: Waits,
}

impl Observed {
    /// One more run. Recorded waits took `time_scale` as long in it.
    pub fn add(&mut self, measured: Option<Measured>, run: &Run, script: &Script, time_scale: f64) {
        self.measured.extend(measured);
        // The target's own time is never less for it.
        let scale = time_scale.max(1.0);
        let took_ns = |exchange| {
            let exchange = script.exchange(exchange);
            Some((exchange.end_ns?.saturating_sub(exchange.start_ns) as f64 * scale) as u64)
        };
        self.waits.join(&Waits::of(run, |call| &*script.call(call).dependency, took_ns));
    }
}
