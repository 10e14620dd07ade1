//! Bytes in given pieces, by every trait that bytes can come by, and an error behind them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, ReadBuf};

/// The error that a source ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

/// Pieces that are polled for, as a stream and as a body. They must not be moved then.
pub struct Pieces(RefCell<State>, PhantomPinned);

struct State {
    pieces: VecDeque<Result<Bytes, Broken>>,
    /// Whether it is ready only every second time.
    is_slow: bool,
    is_ready: bool,
    is_over: bool,
}

impl Pieces {
    pub fn new(reads: &[&[u8]], broken: bool, is_slow: bool) -> Self {
        let pieces = reads.iter().map(|read| Ok(Bytes::copy_from_slice(read)));
        Self::with(pieces.chain(broken.then_some(Err(Broken))).collect(), is_slow)
    }

    /// These pieces, without a copy.
    pub fn of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::with(pieces.into_iter().map(Ok).collect(), false)
    }

    fn with(pieces: VecDeque<Result<Bytes, Broken>>, is_slow: bool) -> Self {
        let state = State { pieces, is_slow, is_ready: false, is_over: false };
        Self(RefCell::new(state), PhantomPinned)
    }

    fn poll(self: Pin<&mut Self>, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let mut state = self.0.borrow_mut();
        assert!(!state.is_over, "it is asked behind its end");
        state.is_ready = !state.is_ready;
        if state.is_slow && state.is_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = state.pieces.pop_front();
        state.is_over = !matches!(piece, Some(Ok(_)));
        Poll::Ready(piece)
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl Body for Pieces {
    /// A piece lies in two places.
    type Data = Chain<Bytes, Bytes>;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Broken>>> {
        self.poll(cx).map_ok(|mut piece| {
            let first = piece.split_to(piece.len() / 2);
            Frame::data(first.chain(piece))
        })
    }
}

/// A body of these frames.
pub struct Frames(VecDeque<Frame<Bytes>>);

impl Frames {
    pub fn new(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Self {
        Self(frames.into_iter().collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// Pieces that are read, the way of `std` and of tokio: one a read, unless it does not fit.
pub struct ReadPieces {
    pieces: VecDeque<Bytes>,
    failures: Vec<io::Error>,
    /// What an empty piece stands for.
    hindrance: ErrorKind,
    is_ready: bool,
}

impl ReadPieces {
    pub fn new(reads: &[&[u8]], broken: bool) -> Self {
        Self {
            pieces: reads.iter().map(|read| Bytes::copy_from_slice(read)).collect(),
            failures: broken.then(|| io::Error::other(Broken)).into_iter().collect(),
            hindrance: ErrorKind::Interrupted,
            is_ready: false,
        }
    }

    /// The same, whose every read of a piece fails with such an error first.
    pub fn hindered(mut self, hindrance: ErrorKind) -> Self {
        self.pieces = self.pieces.into_iter().flat_map(|piece| [Bytes::new(), piece]).collect();
        self.hindrance = hindrance;
        self
    }
}

impl Read for ReadPieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return self.failures.pop().map_or(Ok(0), Err);
        };
        if piece.is_empty() {
            self.pieces.pop_front();
            return Err(self.hindrance.into());
        }
        let count = piece.len().min(buffer.len());
        piece.copy_to_slice(&mut buffer[..count]);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(count)
    }
}

impl AsyncRead for ReadPieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_ready = !self.is_ready;
        if self.is_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes = vec![0; buffer.remaining()];
        let count = self.read(&mut bytes)?;
        buffer.put_slice(&bytes[..count]);
        Poll::Ready(Ok(()))
    }
}
