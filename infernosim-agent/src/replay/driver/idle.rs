//! How long a runtime's thread had nothing to do: CPU time does not tell that where others have the CPUs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Builder;

use crate::clock;

/// Of one thread, in ns of the clock.
#[derive(Debug, Default)]
pub struct Idle {
    /// All times that are over.
    over_ns: AtomicU64,
    /// Since when it has nothing to do; 0 while it has.
    since: AtomicU64,
}

impl Idle {
    /// Watches the thread of this runtime.
    pub fn watch(self: &Arc<Self>, builder: &mut Builder) {
        let (parked, woken) = (Arc::clone(self), Arc::clone(self));
        builder.on_thread_park(move || parked.since.store(clock::now().0, Ordering::Relaxed));
        builder.on_thread_unpark(move || {
            let since = woken.since.swap(0, Ordering::Relaxed);
            if since > 0 {
                woken.over_ns.fetch_add(clock::now().0.saturating_sub(since), Ordering::Relaxed);
            }
        });
    }

    /// For how long it has had nothing to do, until now.
    pub fn ns(&self) -> u64 {
        let since = self.since.load(Ordering::Relaxed);
        let now = if since > 0 { clock::now().0.saturating_sub(since) } else { 0 };
        self.over_ns.load(Ordering::Relaxed) + now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn waiting_is_idle_and_working_is_not() {
        let idle = Arc::new(Idle::default());
        let mut builder = Builder::new_current_thread();
        idle.watch(builder.enable_all());
        let runtime = builder.build().unwrap();
        let work = |ns| {
            let began = clock::now();
            while clock::now().since(began) < ns {}
        };
        runtime.block_on(async { work(20_000_000) });
        assert_eq!(idle.ns(), 0);
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        let waited = idle.ns();
        assert!(waited >= 15_000_000, "{waited}");
        work(5_000_000);
        assert_eq!(idle.ns(), waited);
    }
}
