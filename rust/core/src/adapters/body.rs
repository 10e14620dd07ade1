//! Bytes from the body of an HTTP message.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::HeaderMap;
use http_body::Body;

use crate::prelude::*;

use super::source::{Sealed, Source};

/// Fields of trailers that are kept, where there are several sections of them.
const MAX_TRAILERS: usize = 1024;

/// The data of any `http_body::Body`: reqwest's, hyper's, axum's, a server's or a client's.
pub struct BodyData<B: Body> {
    body: Pin<Box<B>>,
    data: Option<B::Data>,
    trailers: Option<HeaderMap>,
}

impl<B: Body> BodyData<B> {
    /// The data of this body. It need not be `Unpin`. Where its error is a `Box<dyn Error + Send +
    /// Sync>`, which is no `Error` itself, [`EventError`](super::EventError) is none either:
    /// `body.map_err(std::io::Error::other)`, by `BodyExt` of http-body-util, makes it one.
    pub fn new(body: B) -> Self {
        Self { body: Box::pin(body), data: None, trailers: None }
    }

    /// The fields that followed the data, if some have come: behind the last event, and so behind
    /// the end of a [`DeltaStream`](super::DeltaStream), until it is drained. A message has one
    /// section of them; of a body that has more, 1,024 fields are kept.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    fn take_trailers(&mut self, trailers: HeaderMap) {
        let Some(known) = &mut self.trailers else {
            self.trailers = Some(trailers);
            return;
        };
        let mut name = None;
        for (next, value) in trailers {
            name = next.or(name);
            if let Some(name) = &name
                && known.len() < MAX_TRAILERS
            {
                known.append(name, value);
            }
        }
    }
}

impl<B: Body> Sealed for BodyData<B> {}

impl<B: Body> Source for BodyData<B> {
    type Error = B::Error;

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, B::Error>> {
        loop {
            let Some(frame) = ready!(self.body.as_mut().poll_frame(cx)).transpose()? else {
                self.data = None;
                return Poll::Ready(Ok(false));
            };
            match frame.into_data() {
                Ok(data) => {
                    self.data = Some(data);
                    return Poll::Ready(Ok(true));
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.take_trailers(trailers);
                    }
                }
            }
        }
    }

    fn unread(&self) -> &[u8] {
        self.data.as_ref().map(Buf::chunk).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        if let Some(data) = &mut self.data {
            data.advance(count);
            // A stream that waits holds no data.
            if !data.has_remaining() {
                self.data = None;
            }
        }
    }
}

// The body is in a box, and its data is never pinned.
impl<B: Body> Unpin for BodyData<B> {}

impl<B: Body> fmt::Debug for BodyData<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyData").finish_non_exhaustive()
    }
}
