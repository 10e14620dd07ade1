//! What a thread has read and nobody has taken yet, and the bell that calls whoever takes it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::ended::Ended;
use crate::rows::Rows;

/// Bytes of texts that wait to be taken at most, but for those of the read that passes it.
const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// What was taken of one thread: its rows, and the streams that have ended. The rows of a stream
/// come with its end, or before.
#[derive(Debug, Default)]
pub struct Taken {
    /// A row for each delta.
    pub rows: Rows,
    /// The streams that have ended.
    pub ended: Vec<Ended>,
}

/// What one thread has read.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Taken>,
    /// Called when there is room again.
    pub(crate) room: Notify,
}

impl Outbox {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Taken> {
        lock(&self.waiting)
    }

    /// Swaps what waits for empty columns.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = self.lock();
        let successor = Taken { rows: waiting.rows.successor(), ended: Vec::new() };
        std::mem::replace(&mut *waiting, successor)
    }
}

/// A lock that a panic of another thread does not close: what is behind it stays whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What waits in all outboxes, counted.
#[derive(Debug)]
pub(crate) struct Waiting {
    max_rows: usize,
    rows: AtomicUsize,
    text: AtomicUsize,
    ended: AtomicUsize,
    /// Streams that have not ended.
    under_way: AtomicUsize,
    /// When the first row came that waits; 0 for none.
    since: AtomicI64,
    pub(crate) bell: Bell,
}

impl Waiting {
    pub(crate) fn new(max_rows: usize) -> Self {
        Self {
            max_rows,
            rows: AtomicUsize::new(0),
            text: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            since: AtomicI64::new(0),
            bell: Bell::default(),
        }
    }

    /// Whether nothing more is to be read until something was taken.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.load(Ordering::Relaxed) >= self.max_rows
            || self.text.load(Ordering::Relaxed) >= MAX_TEXT_BYTES
    }

    /// Whether so much waits that there will be no more room soon.
    fn is_half_full(&self) -> bool {
        self.rows.load(Ordering::Relaxed) >= self.max_rows.div_ceil(2)
            || self.text.load(Ordering::Relaxed) >= MAX_TEXT_BYTES / 2
    }

    /// Counts rows that were added at this time.
    pub(crate) fn add_rows(&self, rows: usize, text: usize, now: i64) {
        if rows == 0 {
            return;
        }
        self.text.fetch_add(text, Ordering::Relaxed);
        let before = self.rows.fetch_add(rows, Ordering::AcqRel);
        let half = self.max_rows.div_ceil(2);
        if before == 0 {
            self.since.store(now, Ordering::Release);
        }
        if before == 0 || (before < half && before + rows >= half) || self.is_full() {
            self.bell.ring();
        }
    }

    /// Counts a stream that begins.
    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a stream that has ended, and whose record waits.
    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        self.bell.ring();
    }

    /// Streams that have not ended.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    /// Counts what was taken.
    pub(crate) fn remove(&self, taken: &Taken) {
        self.rows.fetch_sub(taken.rows.len(), Ordering::AcqRel);
        self.text.fetch_sub(taken.rows.text.len(), Ordering::Relaxed);
        self.ended.fetch_sub(taken.ended.len(), Ordering::AcqRel);
    }

    /// How long whoever takes may wait, so that no row waits longer than `max_wait`, at this time.
    pub(crate) fn due(&self, max_wait: Duration, now: i64) -> Due {
        // Read before the others: a stream that ends adds its record first.
        let under_way = self.under_way();
        if self.ended.load(Ordering::Acquire) > 0 || self.is_half_full() {
            return Due::Now;
        }
        if self.rows.load(Ordering::Acquire) == 0 {
            return if under_way == 0 { Due::Over } else { Due::Later };
        }
        let since = u64::try_from(now - self.since.load(Ordering::Acquire)).unwrap_or_default();
        match max_wait.checked_sub(Duration::from_nanos(since)) {
            Some(left) if !left.is_zero() && under_way > 0 => Due::Within(left),
            _ => Due::Now,
        }
    }
}

/// When something is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// After this time, unless the bell rings before.
    Within(Duration),
    /// When the bell rings.
    Later,
    /// Never: nothing is under way, and nothing waits.
    Over,
}

/// Calls one who waits: in a thread, or for a socket.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    has_rung: AtomicBool,
    socket: Mutex<Option<UnixStream>>,
    rung: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        if self.has_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let socket = lock(&self.socket);
        if let Some(mut socket) = socket.as_ref() {
            // A socket that is full has a byte to be read.
            let _ = socket.write(&[0]);
        }
        drop(socket);
        self.rung.notify_all();
    }

    /// Forgets that it has rung; called before one looks what there is.
    pub(crate) fn forget(&self) {
        self.has_rung.store(false, Ordering::Release);
    }

    /// Waits until it rings, in this thread, not longer than `most`; returns whether it has rung.
    pub(crate) fn wait(&self, most: Duration) -> bool {
        let silent = |_: &mut Option<UnixStream>| !self.has_rung.load(Ordering::Acquire);
        drop(self.rung.wait_timeout_while(lock(&self.socket), most, silent));
        self.has_rung.load(Ordering::Acquire)
    }

    /// Has it write a byte, whenever it rings, into the socket whose other end is returned.
    pub(crate) fn connect(&self) -> std::io::Result<UnixStream> {
        let (here, there) = UnixStream::pair()?;
        here.set_nonblocking(true)?;
        there.set_nonblocking(true)?;
        *lock(&self.socket) = Some(here);
        Ok(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const WAIT: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_due() {
        let waiting = Waiting::new(10);
        assert_eq!(waiting.due(WAIT, 1), Due::Over);
        waiting.begin();
        assert_eq!(waiting.due(WAIT, 1), Due::Later);
        waiting.add_rows(1, 0, 1);
        assert_eq!(waiting.due(WAIT, 1), Due::Within(WAIT));
        assert_eq!(waiting.due(WAIT, 1_000_000_001), Due::Now);
        waiting.add_rows(4, 0, 1);
        assert_eq!((waiting.due(WAIT, 1), waiting.is_full()), (Due::Now, false));
        waiting.add_rows(5, 0, 1);
        assert!(waiting.is_full());
    }

    #[test]
    fn an_end_is_due_at_once() {
        let waiting = Waiting::new(10);
        waiting.begin();
        waiting.begin();
        waiting.end();
        assert_eq!(waiting.due(WAIT, 1), Due::Now);
    }

    #[test]
    fn texts_have_a_limit_too() {
        let waiting = Waiting::new(10);
        waiting.add_rows(1, MAX_TEXT_BYTES, 1);
        assert!(waiting.is_full());
    }

    #[test]
    fn a_bell_rings_once_until_it_is_forgotten() {
        let bell = Bell::default();
        let mut socket = bell.connect().unwrap();
        bell.ring();
        bell.ring();
        assert!(bell.wait(Duration::from_secs(60)));
        let mut bytes = [0; 8];
        assert_eq!(socket.read(&mut bytes).unwrap(), 1);
        bell.forget();
        bell.ring();
        assert_eq!(socket.read(&mut bytes).unwrap(), 1);
    }
}
