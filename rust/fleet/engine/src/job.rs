//! What a stream's task, its connection and its caller tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::Waker;

use atomic_waker::AtomicWaker;

/// Heads that are no reply's (1xx, RFC 9110, 15.2) in front of one reply at most.
const MAX_INTERIM_HEADS: u32 = 64;

/// A request that was submitted.
#[derive(Debug, Clone)]
pub struct Ticket {
    process: u32,
    tag: i64,
    job: Arc<Job>,
}

impl Ticket {
    /// The ticket of a request that a process sends.
    pub(crate) fn new(process: u32, tag: i64, job: Arc<Job>) -> Self {
        Self { process, tag, job }
    }

    /// The caller's number of the request.
    pub fn tag(&self) -> i64 {
        self.tag
    }

    /// Whether this process has the thread that sends it.
    pub fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// Cancels the stream, unless it has ended.
    pub fn cancel(&self) {
        self.job.cancel();
    }
}

/// What a stream's task, its connection and its caller tell each other.
#[derive(Debug, Default)]
pub(crate) struct Job {
    stopped: AtomicU8,
    /// Pieces of the body that a connection was given.
    sent: AtomicU32,
    /// Whether a connection was given all of it.
    is_sent_whole: AtomicBool,
    interim_heads: AtomicU32,
    task: AtomicWaker,
}

const CANCELLED: u8 = 1;
const TOO_MANY_HEADS: u8 = 2;

impl Job {
    /// Wakes this task when something is told.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Forgets the task, whose memory would be held for as long as somebody keeps the ticket.
    pub(crate) fn end(&self) {
        drop(self.task.take());
    }

    pub(crate) fn cancel(&self) {
        self.stop(CANCELLED);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::Acquire) == CANCELLED
    }

    /// Whether the task is to stop, for whichever reason.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) != 0
    }

    pub(crate) fn note_interim_head(&self) {
        if self.interim_heads.fetch_add(1, Ordering::Relaxed) >= MAX_INTERIM_HEADS {
            self.stop(TOO_MANY_HEADS);
        }
    }

    pub(crate) fn note_sending(&self) {
        self.sent.fetch_add(1, Ordering::AcqRel);
        self.task.wake();
    }

    pub(crate) fn note_sent_whole(&self) {
        self.is_sent_whole.store(true, Ordering::Release);
    }

    pub(crate) fn is_sent_whole(&self) -> bool {
        self.is_sent_whole.load(Ordering::Acquire)
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Acquire)
    }

    fn stop(&self, why: u8) {
        // The first reason stays.
        let _ = self.stopped.compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_ticket_holds_no_task_that_has_ended() {
        let (job, task) = (Job::default(), Arc::new(Task));
        job.listen(&Waker::from(Arc::clone(&task)));
        assert_eq!(Arc::strong_count(&task), 2);
        job.end();
        assert_eq!(Arc::strong_count(&task), 1);
    }
}
