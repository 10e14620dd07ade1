//! Deltas in, the events of one answer out: an encoder for each wire that clients speak, and the
//! whole bodies of those that name them.
//!
//! Bytes that a stream repeats are prepared once; each delta is escaped straight into the caller's
//! buffer. The text is a stranger's: whatever it holds, it stays within its JSON string and its
//! line. Escaped are, beside what JSON asks for (RFC 8259, section 7), every other character that
//! some reader takes for a line's end or a terminal for a command (U+007F to U+009F, U+2028,
//! U+2029), and `<`, so that an event quoted in a page's script is no markup.
//!
//! `calls` numbers tool calls, `sequence` puts deltas into blocks of which one is open at a time; a
//! file for each wire does the rest.

mod calls;
mod chunk;
mod completion;
mod frame;
mod message;
mod message_blocks;
mod reason;
mod response;
mod response_items;
mod response_object;
mod sequence;

pub use chunk::ChunkEncoder;
pub use completion::CompletionEncoder;
pub use frame::{ChunkFields, ChunkUsage};
pub use message::{MessageEncoder, MessageFields, WholeMessage};
pub use reason::FinishReason;
pub use response::{ResponseEncoder, ResponseFields, WholeResponse};

use std::fmt;

use crate::delta::Usage;

/// How an answer ended, as its last events are to tell it.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Ending<'a> {
    /// Why the model stopped, in the word of whichever service; an end of its own where it is
    /// `None`.
    pub finish_reason: Option<&'a str>,
    /// The stop sequence that the answer ran into.
    pub stop_sequence: Option<&'a str>,
    /// The token counts, where they are known.
    pub usage: Option<Usage>,
    /// Whether the counts are a guess.
    pub estimated: bool,
}

/// The state of an encoder whose stream has an end of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EncoderState {
    /// Events can follow.
    #[default]
    Open,
    /// The end was told.
    Done,
    /// The last event says what failed.
    Failed,
}

impl EncoderState {
    /// The state's name: `open`, `done`, `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for EncoderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A comment, which readers of events pass over: it keeps a connection that is silent alive.
const COMMENT: &[u8] = b": keep-alive\n\n";
