use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::{self, Nanos};

/// Waits for a moment of our clock. tokio's own timers go by whole milliseconds, which is half of the least gap.
pub struct Alarm(AsyncFd<Timer>);

struct Timer(TimerFd);

/// Which nix's does not have, and tokio asks for.
impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// Within a runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that change hands; this one is ours"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self(AsyncFd::with_interest(Timer(timer), Interest::READABLE)?))
    }

    /// Returns when it is that late.
    pub async fn until(&self, at: Nanos) -> io::Result<()> {
        if at <= clock::now() {
            return Ok(());
        }
        let when = TimeSpec::from_duration(std::time::Duration::from_nanos(at.0));
        self.0.get_ref().0.set(Expiration::OneShot(when), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        while clock::now() < at {
            // A readiness of an earlier alarm is cleared and waited on.
            self.0.readable().await?.clear_ready();
            let _ = self.0.get_ref().0.wait();
        }
        Ok(())
    }
}
