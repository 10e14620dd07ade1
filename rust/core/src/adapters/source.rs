//! What all places that bytes come from have in common.

use std::task::{Context, Poll};

/// Where the bytes of a stream come from: `Chunks`, `BodyData` and `Reads` are such places, and
/// there are no others.
pub trait Source: Sealed {
    /// What can go wrong with it.
    type Error;

    /// Gets more bytes, as none are unread. False where there are none any more.
    #[doc(hidden)]
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Self::Error>>;

    /// The bytes that have come and are not yet read; they may be none although more have come.
    #[doc(hidden)]
    fn unread(&self) -> &[u8];

    /// Goes on behind so many of the unread bytes.
    #[doc(hidden)]
    fn consume(&mut self, count: usize);
}

/// Keeps others from being such places: what the methods above promise may change.
pub trait Sealed {}
