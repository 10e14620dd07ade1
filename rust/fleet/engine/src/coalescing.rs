//! A moment's rest before sockets are asked again, so that one wake-up of a thread serves many
//! streams.
//!
//! Waking a thread for each packet costs more than reading it. Network cards hold their interrupts
//! back for the same reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::clock::Clock;

/// The rests of one thread.
#[derive(Debug)]
pub(crate) struct Coalescing {
    moment: Duration,
    clock: Clock,
    /// When the thread had nothing to do last, or had rested.
    idle: AtomicI64,
    connecting: AtomicUsize,
}

impl Coalescing {
    pub(crate) fn new(moment: Duration, clock: Clock) -> Self {
        Self { moment, clock, idle: AtomicI64::new(clock.now()), connecting: AtomicUsize::new(0) }
    }

    /// Rests, where the thread is busy: it was idle less than such a moment ago. Who connects is
    /// not kept waiting, since each rest would be added to the time of the first token.
    pub(crate) fn rest(&self) {
        if self.moment.is_zero() {
            return;
        }
        let since = self.clock.now() - self.idle.load(Ordering::Relaxed);
        let is_busy = Duration::from_nanos(u64::try_from(since).unwrap_or_default()) < self.moment;
        if is_busy && self.connecting.load(Ordering::Relaxed) == 0 {
            sleep(self.moment);
        }
        self.idle.store(self.clock.now(), Ordering::Relaxed);
    }

    /// Has the thread not rest until what is returned was dropped.
    pub(crate) fn connect(self: &Arc<Self>) -> Connecting {
        self.connecting.fetch_add(1, Ordering::Relaxed);
        Connecting(Arc::clone(self))
    }
}

/// A stream that connects, or is about to send its request.
#[derive(Debug)]
pub(crate) struct Connecting(Arc<Coalescing>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    /// Whether the thread rests, when it has been idle so long ago.
    fn rests(coalescing: &Coalescing, since: Duration) -> bool {
        let idle = coalescing.clock.now() - i64::try_from(since.as_nanos()).unwrap();
        coalescing.idle.store(idle, Ordering::Relaxed);
        let before = coalescing.clock.now();
        coalescing.rest();
        coalescing.clock.now() - before >= i64::try_from(MOMENT.as_nanos()).unwrap()
    }

    #[test]
    fn who_is_busy_rests() {
        let coalescing = Coalescing::new(MOMENT, Clock::new());
        assert!(rests(&coalescing, Duration::ZERO));
    }

    #[test]
    fn a_rare_packet_is_not_kept_waiting() {
        let coalescing = Coalescing::new(MOMENT, Clock::new());
        assert!(!rests(&coalescing, MOMENT * 2));
    }

    #[test]
    fn who_connects_is_not_kept_waiting() {
        let coalescing = Arc::new(Coalescing::new(MOMENT, Clock::new()));
        let connecting = coalescing.connect();
        assert!(!rests(&coalescing, Duration::ZERO));
        drop(connecting);
        assert!(rests(&coalescing, Duration::ZERO));
    }

    #[test]
    fn no_moment_is_no_rest() {
        let coalescing = Coalescing::new(Duration::ZERO, Clock::new());
        assert!(!rests(&coalescing, Duration::ZERO));
    }
}
