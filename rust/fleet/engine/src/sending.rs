//! A request's body, which tells how far it was sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::job::Job;

/// Bytes handed to a connection at a time: while the peer takes them slowly, each such piece is
/// progress.
const PIECE: usize = 64 * 1024;

/// The body of a request.
pub(crate) struct Sending {
    job: Arc<Job>,
    rest: Bytes,
    /// Whether a connection has asked for it.
    is_begun: bool,
}

impl Sending {
    pub(crate) fn new(job: Arc<Job>, body: Bytes) -> Self {
        Self { job, rest: body, is_begun: false }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        this.is_begun = true;
        this.job.note_sending();
        let piece = this.rest.split_to(PIECE.min(this.rest.len()));
        if this.rest.is_empty() {
            this.job.note_sent_whole();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_begun && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
