//! The clock of all stamps: the system's monotonic one, in nanoseconds, as Python's
//! `time.monotonic_ns` reads it.

use std::time::{Duration, Instant};

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// The clock that Python and Rust both read.
#[cfg(target_vendor = "apple")]
const MONOTONIC: ClockId = ClockId::CLOCK_UPTIME_RAW;
#[cfg(not(target_vendor = "apple"))]
const MONOTONIC: ClockId = ClockId::CLOCK_MONOTONIC;

/// A moment known by both names: as an `Instant`, and in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    instant: Instant,
    nanoseconds: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Reads the system's clock under both names.
    pub fn new() -> Self {
        let nanoseconds = nanoseconds_of(MONOTONIC);
        Self { instant: Instant::now(), nanoseconds }
    }

    /// The time, in nanoseconds.
    #[inline]
    pub fn now(&self) -> i64 {
        self.nanoseconds_at(Instant::now())
    }

    /// An instant in nanoseconds.
    #[inline]
    pub fn nanoseconds_at(&self, instant: Instant) -> i64 {
        let nanoseconds =
            |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match instant.checked_duration_since(self.instant) {
            Some(since) => self.nanoseconds.saturating_add(nanoseconds(since)),
            None => self
                .nanoseconds
                .saturating_sub(nanoseconds(self.instant.saturating_duration_since(instant))),
        }
    }

    /// Nanoseconds as an instant; `None` where that is past already, or further away than the
    /// system can tell.
    pub fn instant_at(&self, nanoseconds: i64) -> Option<Instant> {
        let ahead = u64::try_from(nanoseconds.checked_sub(self.nanoseconds)?).ok()?;
        self.instant.checked_add(Duration::from_nanos(ahead))
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
    fn both_names_are_one_moment() {
        let clock = Clock::new();
        let later = clock.now() + 1_000_000_000;
        let instant = clock.instant_at(later).unwrap();
        assert_eq!(clock.nanoseconds_at(instant), later);
    }

    #[test]
    fn what_is_past_is_no_instant_to_wait_for() {
        let clock = Clock::new();
        assert_eq!(clock.instant_at(0), None);
        assert_eq!(clock.instant_at(i64::MIN), None);
    }

    #[test]
    fn an_instant_before_it_was_read_is_earlier() {
        let before = Instant::now();
        let clock = Clock::new();
        assert!(clock.nanoseconds_at(before) <= clock.now());
    }
}
