//! Bytes of a chat reply in, text deltas out; and beside it: page in, tokens out; message in, signature out.
#![forbid(unsafe_code)]

pub mod entity;
pub mod json;
mod limits;
pub mod page;
mod sign;

pub use limits::{Limit, LimitExceeded, MAX_BODY_BYTES, MAX_EVENT_BYTES, MAX_JSON_DEPTH, MAX_PAGE_BYTES};
pub use page::{
    ChatWidget, NoSuchWidget, Page, PageProblem, PageScanner, PageTokens, Placement, ScanOptions, WidgetKind, scan_page,
};
pub use sign::sign_request;
