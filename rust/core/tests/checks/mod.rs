//! Comparisons that hold for any input, each a function of bytes: what `rust/fuzz` calls, and the
//! ordinary tests replay.
//!
//! Every one panics where the crate differs from a plain implementation, or from itself cut
//! otherwise.

pub mod chunk;
pub mod cutting;
pub mod delta;
pub mod json;
pub mod oracle;
pub mod page;
pub mod plain;
pub mod repeats;
pub mod sign;
pub mod sse;
pub mod text;
pub mod tokens;
pub mod tree;

/// A comparison, under the name of its fuzz target.
pub type Check = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Check; 9] = [
    ("json", json::check),
    ("chunk", chunk::check),
    ("sse", sse::check),
    ("delta", delta::check),
    ("repeats", repeats::check),
    ("text", text::check),
    ("tokens", tokens::check),
    ("page", page::check),
    ("sign", sign::check),
];
