//! Events and deltas of what is polled.

use std::future::poll_fn;
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
///     while let Some(event) = events.next().await {
///         println!("{}", event?.data);
///         count += 1;
///     }
///     Ok(count)
/// }
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
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
    /// Whether the end was told.
    is_terminated: bool,
}

impl<S: Source> EventStream<S> {
    /// The events of this source. One of them is 8 MiB at most.
    pub fn new(source: S) -> Self {
        Self::with_decoder(source, EventDecoder::default())
    }

    /// The events of this source, by a decoder that nothing was fed to; its limit holds.
    pub fn with_decoder(source: S, decoder: EventDecoder) -> Self {
        Self { source, events: Events::new(decoder), is_terminated: false }
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

impl<S: Source + Unpin> EventStream<S> {
    /// Waits for the next event; `None` where there is none any more. Who stops waiting loses
    /// nothing. It is what `StreamExt::next` of futures-util or tokio-stream does.
    ///
    /// # Errors
    /// When the bytes break off, and when an event is larger than the decoder's limit.
    pub async fn next(&mut self) -> Option<Result<OwnedEvent, EventError<S::Error>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<S: Source + Unpin> Stream for EventStream<S> {
    type Item = Result<OwnedEvent, EventError<S::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { source, events, is_terminated } = self.get_mut();
        let mut turn = Turn::default();
        while !events.is_over {
            let mut unread = source.unread();
            let length = unread.len();
            if length > 0 {
                let found = events.next(&mut unread);
                let count = length - unread.len();
                source.consume(count);
                if let Some(event) = found {
                    return Poll::Ready(Some(Ok(event)));
                }
                continue;
            }
            match ready!(turn.poll_more(source, cx)) {
                Ok(true) => {}
                Ok(false) => events.close(),
                Err(error) => {
                    events.close();
                    return Poll::Ready(Some(Err(EventError::Read(error))));
                }
            }
        }
        let limit = events.take_limit();
        *is_terminated = limit.is_none();
        Poll::Ready(limit)
    }
}

impl<S: Source + Unpin> FusedStream for EventStream<S> {
    fn is_terminated(&self) -> bool {
        self.is_terminated
    }
}

/// A stream of the deltas of a reply, of every kind; the last item is an error where the reply
/// failed or is cut. What the reply told beside that is known by its [`decoder`](Self::decoder).
///
/// ```
/// use tailrace_core::adapters::{BodyData, DeltaError, DeltaStream};
/// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};
///
/// /// The answer, and the tokens that it cost: of a response of hyper's or axum's, or of
/// /// reqwest's, which turns `into` one.
/// async fn answer<B: http_body::Body>(
///     response: http::Response<B>,
/// ) -> Result<(String, u64), DeltaError<B::Error>> {
///     // With it, what the service says in the body of a 429 is the error.
///     let status = response.status().as_u16();
///     let options = DeltaOptions { status, ..DeltaOptions::default() };
///     let decoder = DeltaDecoder::new(Dialect::OpenAi, options);
///     let mut deltas = DeltaStream::new(BodyData::new(response.into_body()), decoder);
///     let mut answer = String::new();
///     while let Some(delta) = deltas.next().await {
///         answer.push_str(delta?.text().unwrap_or_default());
///     }
///     let usage = deltas.decoder().usage();
///     Ok((answer, usage.map_or(0, |usage| usage.completion_tokens)))
/// }
/// ```
#[derive(Debug)]
pub struct DeltaStream<S: Source> {
    source: S,
    /// Whether the source has told its end, and is not asked any more.
    is_drained: bool,
    deltas: Deltas<S::Error>,
}

impl<S: Source> DeltaStream<S> {
    /// The deltas of this source.
    pub fn new(source: S, decoder: DeltaDecoder) -> Self {
        Self { source, is_drained: false, deltas: Deltas::new(decoder) }
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

impl<S: Source + Unpin> DeltaStream<S> {
    /// Waits for the next delta; `None` where there is none any more. Who stops waiting loses
    /// nothing. It is what `StreamExt::next` of futures-util or tokio-stream does.
    ///
    /// # Errors
    /// When the bytes break off, and when the reply failed or is cut.
    pub async fn next(&mut self) -> Option<Result<OwnedDelta, DeltaError<S::Error>>> {
        poll_fn(|cx| self.poll_delta(cx, &mut Turn::default())).await
    }

    /// Reads to the end of the bytes, and drops what comes: deltas that were not taken yet, and
    /// what stands behind the reply's end. Without it, that is not read: a connection of HTTP/1.1
    /// that is not read to its reply's last byte is closed, where it could have served the next
    /// request, and trailers stay unknown. Nothing limits how long it takes.
    ///
    /// # Errors
    /// When the bytes break off, and when the reply failed or is cut, unless the stream has told
    /// it.
    pub async fn drain(&mut self) -> Result<(), DeltaError<S::Error>> {
        poll_fn(|cx| self.poll_drained(cx)).await
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeltaError<S::Error>>> {
        let mut turn = Turn::default();
        while let Some(delta) = ready!(self.poll_delta(cx, &mut turn)) {
            delta?;
        }
        while !self.is_drained {
            let unread = self.source.unread().len();
            if unread > 0 {
                self.source.consume(unread);
            } else {
                let more = ready!(turn.poll_more(&mut self.source, cx));
                self.is_drained = !matches!(more, Ok(true));
                more.map_err(DeltaError::Read)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_delta(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Poll<Option<Result<OwnedDelta, DeltaError<S::Error>>>> {
        let Self { source, is_drained, deltas } = self;
        loop {
            match deltas.next() {
                Next::Item(item) => return Poll::Ready(Some(item)),
                Next::End => return Poll::Ready(None),
                Next::Bytes => {}
            }
            let mut unread = source.unread();
            let length = unread.len();
            if length > 0 {
                deltas.feed(&mut unread);
                let count = length - unread.len();
                source.consume(count);
                continue;
            }
            let more = ready!(turn.poll_more(source, cx));
            *is_drained = !matches!(more, Ok(true));
            match more {
                Ok(true) => {}
                Ok(false) => deltas.close(None),
                Err(error) => deltas.close(Some(error)),
            }
        }
    }
}

impl<S: Source + Unpin> Stream for DeltaStream<S> {
    type Item = Result<OwnedDelta, DeltaError<S::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_delta(cx, &mut Turn::default())
    }
}

// An error that waits for its deltas is never pinned.
impl<S: Source + Unpin> Unpin for DeltaStream<S> {}

impl<S: Source + Unpin> FusedStream for DeltaStream<S> {
    fn is_terminated(&self) -> bool {
        self.deltas.is_over()
    }
}

/// The reads of one poll, of which there are not any number: a source that always has more, of
/// which nothing comes, would keep everything else from its turn, the clock of a timeout with it.
struct Turn {
    reads: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Self { reads: 64 }
    }
}

impl Turn {
    /// Gets more bytes from the source; behind the last read of this turn, when it is polled again.
    fn poll_more<S: Source>(
        &mut self,
        source: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, S::Error>> {
        let Some(reads) = self.reads.checked_sub(1) else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        self.reads = reads;
        source.poll_more(cx)
    }
}
