//! Bytes from what is read the way of tokio.

use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::prelude::*;

use super::source::{Sealed, Source};

/// Bytes of one read at most: 16 KiB.
const READ_BYTES: usize = 16 * 1024;

/// The bytes of any `tokio::io::AsyncRead`: a socket, a file, a child's output.
pub struct Reads<R> {
    reader: Pin<Box<R>>,
    buffer: Box<[u8]>,
    /// Bytes of the buffer that are read, and those that have come.
    read: usize,
    filled: usize,
}

impl<R: AsyncRead> Reads<R> {
    /// The bytes of this reader, which is read through a buffer of 16 KiB. It need not be `Unpin`.
    pub fn new(reader: R) -> Self {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self { reader: Box::pin(reader), buffer, read: 0, filled: 0 }
    }
}

impl<R> Sealed for Reads<R> {}

impl<R: AsyncRead> Source for Reads<R> {
    type Error = io::Error;

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match ready!(self.reader.as_mut().poll_read(cx, &mut buffer)) {
                Ok(()) => break (self.read, self.filled) = (0, buffer.filled().len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(self.filled > 0))
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.read..self.filled).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.read += count;
    }
}

impl<R> fmt::Debug for Reads<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}
