//! The clock of all stamps: the system's monotonic one, in nanoseconds, as Python's
//! `time.monotonic_ns` reads it.

use std::time::{Duration, Instant};

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// The clock that Python and Rust both read.
#[cfg(target_vendor = "apple")]
const MONOTONIC: ClockId = ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);
#[cfg(not(target_vendor = "apple"))]
const MONOTONIC: ClockId = ClockId::CLOCK_MONOTONIC;

/// The clock, which has no state: what two reads of it were added to would be off by the time
/// between them, for as long as it was used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The system's clock.
    pub fn new() -> Self {
        Self
    }

    /// The time, in nanoseconds.
    #[inline]
    pub fn now(self) -> i64 {
        nanoseconds_of(MONOTONIC)
    }

    /// Nanoseconds as an instant, which is never earlier; `None` where that is past already, or
    /// further away than the system can tell.
    pub fn instant_at(self, nanoseconds: i64) -> Option<Instant> {
        let ahead = u64::try_from(nanoseconds.checked_sub(self.now())?).ok()?;
        Instant::now().checked_add(Duration::from_nanos(ahead))
    }
}

/// Nanoseconds of one of the system's clocks; 0 where it has none of that name.
pub(crate) fn nanoseconds_of(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| time.num_nanoseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_behind_the_systems() {
        for _ in 0..10_000 {
            let before = nanoseconds_of(MONOTONIC);
            let now = Clock::new().now();
            assert!(before <= now && now <= nanoseconds_of(MONOTONIC));
        }
    }

    #[test]
    fn an_instant_is_never_early() {
        let clock = Clock::new();
        let due = clock.now() + 1_000_000;
        let instant = clock.instant_at(due).unwrap();
        while Instant::now() < instant {}
        assert!(clock.now() >= due);
    }

    #[test]
    fn what_is_past_is_no_instant_to_wait_for() {
        let clock = Clock::new();
        assert_eq!(clock.instant_at(0), None);
        assert_eq!(clock.instant_at(i64::MIN), None);
        assert!(clock.instant_at(i64::MAX).is_some());
    }
}
