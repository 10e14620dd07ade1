//! What a connection that sends a request is told, and tells: a reply may come, or the peer may
//! close, before all of it was sent.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// The sending side of a connection: shared by the connection and its streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Upload(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether the peer takes nothing for the moment.
    is_held_up: AtomicBool,
    /// Whether nobody wants the connection any more.
    is_given_up: AtomicBool,
    /// Whether the peer takes nothing any more.
    is_refused: AtomicBool,
    task: AtomicWaker,
}

impl Upload {
    /// Whether the peer takes nothing for the moment.
    pub(crate) fn is_held_up(&self) -> bool {
        self.0.is_held_up.load(Ordering::Acquire)
    }

    /// Has the connection end, whatever it still has to send.
    pub(crate) fn give_up(&self) {
        self.0.is_given_up.store(true, Ordering::Release);
        self.0.task.wake();
    }

    /// Tells a connection that is given up to end, when it wants to read.
    #[inline]
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.is_given_up.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// Passes a write on, or its flush, of which `done` is what a whole one returns.
    ///
    /// A peer that takes nothing any more may have said why, or have answered: so a write that
    /// fails counts as done, like all after it, and reading tells what there is.
    pub(crate) fn write<T>(
        &self,
        context: &mut Context<'_>,
        done: T,
        write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let state = &*self.0;
        if state.is_refused.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(done));
        }
        let written = write(context);
        if written.is_pending() {
            state.task.register(context.waker());
        }
        if written.is_pending() != state.is_held_up.load(Ordering::Relaxed) {
            state.is_held_up.store(written.is_pending(), Ordering::Release);
        }
        if !matches!(written, Poll::Ready(Err(_))) {
            return written;
        }
        state.is_refused.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(done))
    }
}
