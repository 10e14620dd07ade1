//! Bytes from the body of an HTTP message.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::HeaderMap;
use http_body::Body;

use crate::prelude::*;

use super::source::{Sealed, Source};

/// The data of any `http_body::Body`: reqwest's, hyper's, axum's, a server's or a client's.
pub struct BodyData<B: Body> {
    body: Pin<Box<B>>,
    data: Option<B::Data>,
    trailers: Option<HeaderMap>,
}

impl<B: Body> BodyData<B> {
    /// The data of this body. It need not be `Unpin`.
    pub fn new(body: B) -> Self {
        Self { body: Box::pin(body), data: None, trailers: None }
    }

    /// The fields that followed the data, if some have come. They come behind the last event.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    fn take_trailers(&mut self, trailers: HeaderMap) {
        match &mut self.trailers {
            Some(known) => known.extend(trailers),
            None => self.trailers = Some(trailers),
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
