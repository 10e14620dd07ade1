#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
// Without `std` its name stands for `core`, which has all that is used of it but what allocates.
#[cfg(not(feature = "std"))]
extern crate core as std;

#[cfg(any(feature = "std", feature = "stream"))]
pub mod adapters;
mod delta;
mod encode;
mod error;
mod event;
mod html;
mod limits;
mod line;
mod prelude;
#[cfg(feature = "sites")]
mod sign;
mod simd;
mod utf8;

// Hidden modules are looked at by tests and fuzz targets. They are no part of the interface and
// change at any time.
#[cfg(feature = "sites")]
#[doc(hidden)]
pub mod entity;
#[doc(hidden)]
pub mod json;
#[cfg(feature = "sites")]
#[doc(hidden)]
pub mod page;

pub use delta::{
    Collected, CollectedCall, Delta, DeltaDecoder, DeltaKind, DeltaOptions, DeltaSink, Dialect,
    End, EventSink, Framing, Ids, Logprobs, OwnedDelta, OwnedSeal, OwnedToolCall, ReadEvent, Seal,
    ThinkingBlock, ToolCall, UnknownDialect, Usage,
};
pub use encode::{
    ChunkEncoder, ChunkFields, ChunkUsage, CompletionEncoder, EncoderState, Ending, FinishReason,
    MessageEncoder, MessageFields, ResponseEncoder, ResponseFields, WholeMessage, WholeResponse,
};
pub use error::{ErrorKind, ReplyError};
pub use event::{Event, EventDecoder, OwnedEvent};
pub use limits::{
    Limit, LimitExceeded, MAX_BODY_BYTES, MAX_EVENT_BYTES, MAX_JSON_DEPTH, MAX_KEPT_BYTES,
    MAX_PAGE_BYTES,
};
#[cfg(feature = "sites")]
pub use page::{
    ChatWidget, NoSuchWidget, Page, PageFacts, PageProblem, PageScanner, PageTokens, Placement,
    ScanOptions, WidgetKind, scan_page,
};
#[cfg(feature = "sites")]
pub use sign::sign_request;
