//! Where bytes come from, put in front of the decoders: streams and iterators of events and of
//! deltas, over what HTTP clients, servers and runtimes have.
//!
//! | bytes come from | as | a stream | an iterator | feature |
//! |---|---|---|---|---|
//! | `std::io::Read`, `BufRead` | | | [`EventIterator`], [`DeltaIterator`] | `std` |
//! | any `futures_core::Stream` of chunks: `Bytes`, `Vec<u8>`, … | `Chunks` | `EventStream`, `DeltaStream` | | `stream` |
//! | any `http_body::Body`: of reqwest, hyper, axum | `BodyData` | the same | | `http-body` |
//! | `tokio::io::AsyncRead` | `Reads` | the same | | `tokio` |
//!
//! Nothing here opens a connection, starts a task or sets a timer: a stream reads when it is
//! polled, an iterator when it is asked. So there is none that connects again. An event source that
//! does needs the request, a clock and a policy; [`EventDecoder::last_event_id`] and
//! [`EventDecoder::retry`] are what it asks of a decoder, by `decoder()` of each type here.
//!
//! [`EventDecoder::last_event_id`]: crate::EventDecoder::last_event_id
//! [`EventDecoder::retry`]: crate::EventDecoder::retry
//!
//! # What holds of all of them
//!
//! - The items are those that the decoder gives, however the bytes are cut.
//! - An error of the bytes' own (`Read`) is told from what was wrong with them (`Limit`, `Reply`).
//!   What was decoded before it comes before it, and after an error nothing comes: they are fused.
//!   One error of a reader of `std::io` ends nothing: `WouldBlock` says that there are no bytes for
//!   now, and the next call reads on.
//! - Beside the decoder's own limits, no more is held than one chunk, and the deltas of 16 KiB of
//!   it or of one event. A chunk that is read is let go of at once.
//! - A stream of deltas ends with the reply. What stands behind `[DONE]` is passed over where it
//!   has come in the same chunk, and not read where it has not; `DeltaStream::drain` reads it.
//! - They see the bytes alone. What else there is to know of a reply, its HTTP status above all, is
//!   told to the decoder by its [`DeltaOptions`](crate::DeltaOptions): from 400 on the body becomes
//!   the error.
//! - A poll takes 64 chunks at most while nothing comes of them, and then wakes itself, so that a
//!   peer that never stops saying nothing keeps no other task from its turn.
//!
//! ```
//! use tailrace_core::adapters::{DeltaError, DeltaIterator};
//! use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End};
//!
//! let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"Ebb\"}}]}\n\n"; // any `Read`
//! let decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
//! let mut deltas = DeltaIterator::new(&body[..], decoder);
//! assert_eq!(deltas.next().transpose()?.as_ref().and_then(|delta| delta.text()), Some("Ebb"));
//!
//! // The connection closed without `[DONE]` or a finish reason.
//! let Some(Err(DeltaError::Reply(error))) = deltas.next() else { panic!("it is cut") };
//! assert_eq!(error.kind, tailrace_core::ErrorKind::Truncated);
//! assert!(deltas.next().is_none());
//! assert_eq!(deltas.decoder().end(), End::Truncated); // so are usage, ids, finish reason there
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "http-body")]
mod body;
#[cfg(feature = "stream")]
mod chunks;
mod deltas;
mod error;
mod events;
#[cfg(feature = "std")]
mod iterators;
#[cfg(feature = "tokio")]
mod reads;
#[cfg(feature = "stream")]
mod source;
#[cfg(feature = "stream")]
mod streams;

#[cfg(feature = "http-body")]
pub use body::BodyData;
#[cfg(feature = "stream")]
pub use chunks::Chunks;
pub use error::{DeltaError, EventError};
#[cfg(feature = "std")]
pub use iterators::{DeltaIterator, EventIterator};
#[cfg(feature = "tokio")]
pub use reads::Reads;
#[cfg(feature = "stream")]
pub use source::Source;
#[cfg(feature = "stream")]
pub use streams::{DeltaStream, EventStream};
