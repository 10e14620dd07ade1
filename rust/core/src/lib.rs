//! Bytes of a chat reply in, text deltas out; and beside it: page in, tokens out; message in, signature out;
//! text in, chat chunks out.
#![forbid(unsafe_code)]

mod delta;
mod encode;
pub mod entity;
mod error;
mod event;
pub mod json;
mod lanes;
mod limits;
mod line;
pub mod page;
mod sign;
mod utf8;

pub use delta::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End, Framing, Ids, ToolCall, UnknownDialect, Usage};
pub use encode::{ChunkEncoder, ChunkFields, DONE, error_event};
pub use error::{ErrorKind, ReplyError};
pub use event::{Event, EventDecoder};
pub use limits::{Limit, LimitExceeded, MAX_BODY_BYTES, MAX_EVENT_BYTES, MAX_JSON_DEPTH, MAX_PAGE_BYTES};
pub use page::{
    ChatWidget, NoSuchWidget, Page, PageProblem, PageScanner, PageTokens, Placement, ScanOptions, WidgetKind, scan_page,
};
pub use sign::sign_request;
