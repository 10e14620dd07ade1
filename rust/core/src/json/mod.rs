//! JSON text in, borrowed strings and numbers out: a reader that validates all and builds nothing.
//!
//! It reads RFC 8259, and what Python's `json` with `strict=False` reads beyond it, as servers send
//! both: control characters in strings as they are, and `NaN`, `Infinity`, `-Infinity`.
//!
//! The caller walks the text once and takes what it wants; skipping the rest validates too.
//! Duplicate keys are all visited, in order: a caller that assigns on each visit lets the last one
//! win.

mod escape;
mod one_line;
mod places;
mod reader;
mod special;
mod string;
mod text;
mod unescape;

pub(crate) use escape::{decimal, escape, nullable, quoted};
pub(crate) use one_line::{finite_on_one_line, on_one_line};
pub use places::{Members, Place, elements};
pub use reader::Reader;
pub(crate) use string::{Scratch, string_content, string_end};
pub use text::Text;
pub(crate) use text::range_in;

use crate::limits::MAX_JSON_DEPTH;

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or `-`, or the first letter of `NaN` or `Infinity`.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// Why a text is not JSON, or not as expected. Offsets are in bytes from the start of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// The byte at this offset cannot stand there, or another kind of value was expected.
    Syntax {
        /// The offset of the byte.
        offset: usize,
    },
    /// The text ended inside a value.
    UnexpectedEnd,
    /// More than [`MAX_JSON_DEPTH`] containers were open.
    TooDeep {
        /// The offset at which the container too many opens.
        offset: usize,
    },
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax { offset } => write!(f, "invalid JSON at byte {offset}"),
            Self::UnexpectedEnd => f.write_str("the JSON text ends inside a value"),
            Self::TooDeep { offset } => {
                write!(f, "more than {MAX_JSON_DEPTH} containers are open at byte {offset}")
            }
        }
    }
}

impl std::error::Error for JsonError {}
