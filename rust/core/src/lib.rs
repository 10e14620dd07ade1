//! Bytes of a chat reply in, text deltas out; and beside it: page in, tokens out; message in, signature out.
#![forbid(unsafe_code)]

pub mod entity;
pub mod page;
pub mod sign;

pub use sign::sign_request;
