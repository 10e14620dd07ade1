//! Events and deltas of what is polled.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};

use crate::delta::{DeltaDecoder, OwnedDelta};
use crate::event::{EventDecoder, OwnedEvent};

use super::deltas::{Deltas, Next};
use super::events::Events;
use super::source::Source;
use super::{DeltaError, EventError};

/// A stream of the events of a source of bytes.
///
/// ```
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// use futures_core::Stream;
/// use tailrace_core::adapters::{Chunks, EventError, EventStream};
///
/// /// Says what comes: over any stream of chunks.
/// async fn say<S, B, E>(chunks: S) -> Result<usize, EventError<E>>
/// where
///     S: Stream<Item = Result<B, E>>,
///     B: AsRef<[u8]>,
/// {
///     let mut events = EventStream::new(Chunks::new(chunks));
///     let mut count = 0;
///     // `while let Some(event) = events.next().await`, with `futures` or `tokio-stream`.
///     while let Some(event) = std::future::poll_fn(|cx| pin!(&mut events).poll_next(cx)).await {
///         println!("{}", event?.data);
///         count += 1;
///     }
///     Ok(count)
/// }
/// # struct Once(Option<&'static [u8]>);
/// # impl Stream for Once {
/// #     type Item = Result<&'static [u8], std::convert::Infallible>;
/// #     fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
/// #         Poll::Ready(self.0.take().map(Ok))
/// #     }
/// # }
/// # let said = pin!(say(Once(Some(b"data: 1\n\ndata: 2\n\n"))));
/// # let said = std::future::Future::poll(said, &mut Context::from_waker(Waker::noop()));
/// # assert_eq!(said, Poll::Ready(Ok(2)));
/// ```
#[derive(Debug)]
pub struct EventStream<S> {
    source: S,
    events: Events,
}

impl<S: Source> EventStream<S> {
    /// The events of this source. One of them is 8 MiB at most.
    pub fn new(source: S) -> Self {
        Self::with_decoder(source, EventDecoder::default())
    }

    /// The events of this source, by a decoder that nothing was fed to; its limit holds.
    pub fn with_decoder(source: S, decoder: EventDecoder) -> Self {
        Self { source, events: Events::new(decoder) }
    }

    /// The decoder, which knows the last event id and the reconnection time.
    pub fn decoder(&self) -> &EventDecoder {
        &self.events.decoder
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &S {
        &self.source
    }
}

impl<S: Source + Unpin> Stream for EventStream<S> {
    type Item = Result<OwnedEvent, EventError<S::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { source, events } = self.get_mut();
        while !events.is_over {
            let unread = source.unread();
            if !unread.is_empty() {
                let (count, found) = events.next(unread);
                source.consume(count);
                if let Some(item) = found.map_err(EventError::Limit).transpose() {
                    return Poll::Ready(Some(item));
                }
                continue;
            }
            match ready!(source.poll_more(cx)) {
                Ok(true) => {}
                Ok(false) => events.close(),
                Err(error) => {
                    events.close();
                    return Poll::Ready(Some(Err(EventError::Read(error))));
                }
            }
        }
        Poll::Ready(None)
    }
}

impl<S: Source + Unpin> FusedStream for EventStream<S> {
    fn is_terminated(&self) -> bool {
        self.events.is_over
    }
}

/// A stream of the deltas of a reply, of every kind; the last item is an error where the reply
/// failed or is cut. What the reply told beside that is known by its [`decoder`](Self::decoder).
///
/// ```
/// use std::pin::{Pin, pin};
///
/// use futures_core::Stream;
/// use tailrace_core::adapters::{BodyData, DeltaError, DeltaStream};
/// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};
///
/// /// The answer, and the tokens that it cost: of a body of reqwest's, hyper's or axum's.
/// async fn answer<B: http_body::Body>(body: B) -> Result<(String, u64), DeltaError<B::Error>> {
///     let decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
///     let mut deltas = DeltaStream::new(BodyData::new(body), decoder);
///     let mut answer = String::new();
///     while let Some(delta) = std::future::poll_fn(|cx| pin!(&mut deltas).poll_next(cx)).await {
///         answer.push_str(delta?.text().unwrap_or_default());
///     }
///     let usage = deltas.decoder().usage();
///     Ok((answer, usage.map_or(0, |usage| usage.completion_tokens)))
/// }
/// ```
#[derive(Debug)]
pub struct DeltaStream<S: Source> {
    source: S,
    deltas: Deltas<S::Error>,
}

impl<S: Source> DeltaStream<S> {
    /// The deltas of this source.
    pub fn new(source: S, decoder: DeltaDecoder) -> Self {
        Self { source, deltas: Deltas::new(decoder) }
    }

    /// The decoder, which knows end, error, usage, ids and finish reason.
    pub fn decoder(&self) -> &DeltaDecoder {
        &self.deltas.decoder
    }

    /// The decoder, to be kept after the last delta.
    pub fn into_decoder(self) -> DeltaDecoder {
        self.deltas.decoder
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &S {
        &self.source
    }
}

impl<S: Source + Unpin> Stream for DeltaStream<S> {
    type Item = Result<OwnedDelta, DeltaError<S::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { source, deltas } = self.get_mut();
        loop {
            match deltas.next() {
                Next::Item(item) => return Poll::Ready(Some(item)),
                Next::End => return Poll::Ready(None),
                Next::Bytes => {}
            }
            let unread = source.unread();
            if !unread.is_empty() {
                let count = deltas.feed(unread);
                source.consume(count);
                continue;
            }
            match ready!(source.poll_more(cx)) {
                Ok(true) => {}
                Ok(false) => deltas.close(None),
                Err(error) => deltas.close(Some(error)),
            }
        }
    }
}

// An error that waits for its deltas is never pinned.
impl<S: Source + Unpin> Unpin for DeltaStream<S> {}

impl<S: Source + Unpin> FusedStream for DeltaStream<S> {
    fn is_terminated(&self) -> bool {
        self.deltas.is_over()
    }
}
