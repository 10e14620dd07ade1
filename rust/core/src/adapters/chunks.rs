//! Bytes from a stream of chunks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::TryStream;

use crate::prelude::*;

use super::source::{Sealed, Source};

/// The bytes of a stream of chunks, `Stream<Item = Result<B, E>>` with `B: AsRef<[u8]>`: `Bytes`,
/// `Vec<u8>`, `&[u8]`.
pub struct Chunks<S: TryStream> {
    stream: Pin<Box<S>>,
    chunk: Option<S::Ok>,
    /// Bytes of the chunk that are read.
    read: usize,
}

impl<S: TryStream> Chunks<S>
where
    S::Ok: AsRef<[u8]>,
{
    /// The bytes of this stream. It need not be `Unpin`.
    pub fn new(stream: S) -> Self {
        Self { stream: Box::pin(stream), chunk: None, read: 0 }
    }
}

impl<S: TryStream> Sealed for Chunks<S> {}

impl<S: TryStream> Source for Chunks<S>
where
    S::Ok: AsRef<[u8]>,
{
    type Error = S::Error;

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, S::Error>> {
        let Some(chunk) = ready!(self.stream.as_mut().try_poll_next(cx)) else {
            return Poll::Ready(Ok(false));
        };
        (self.chunk, self.read) = (Some(chunk?), 0);
        Poll::Ready(Ok(true))
    }

    fn unread(&self) -> &[u8] {
        let chunk = self.chunk.as_ref().map(AsRef::as_ref);
        chunk.and_then(|bytes| bytes.get(self.read..)).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.read += count;
        // A stream that waits holds no chunk.
        if self.unread().is_empty() {
            self.chunk = None;
        }
    }
}

// The stream is in a box, and a chunk is never pinned.
impl<S: TryStream> Unpin for Chunks<S> {}

impl<S: TryStream> fmt::Debug for Chunks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
}
