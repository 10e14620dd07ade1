//! The errors of a reply. An error is a state of the decoder, so that text that came before it is
//! not lost.

use std::fmt;

use crate::prelude::*;

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The site, or the model behind it, reported an error.
    Upstream,
    /// The reply broke off.
    Truncated,
    /// Not a reply of this dialect.
    NotAStream,
    /// A page meant for a browser. Without the feature `sites` it is told from no other page.
    Challenge,
    /// A reply without an answer in it.
    Empty,
    /// A buffer's limit was passed.
    Limit,
}

impl ErrorKind {
    /// The kind's name, e.g. `not_a_stream`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Truncated => "truncated",
            Self::NotAStream => "not_a_stream",
            Self::Challenge => "challenge",
            Self::Empty => "empty",
            Self::Limit => "limit",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An error of a reply, as the decoder found it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyError {
    /// The error's kind.
    pub kind: ErrorKind,
    /// The site's own words where it gave some, else ours: one line of at most 300 characters.
    pub message: String,
    /// The reply's HTTP status.
    pub status: u16,
    /// The site's error code, when it gave one.
    pub code: Option<String>,
    /// What was received and not delivered, as far as it was kept, or the whole of a message that
    /// had to be cut: at most 64 KiB.
    pub raw: String,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReplyError {}
