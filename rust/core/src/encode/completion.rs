//! Deltas in, the events of OpenAI's legacy completions out.

use crate::json::{escape, quoted};
use crate::prelude::*;

use super::calls::Calls;
use super::frame::{self, ChunkFields, ChunkUsage, Frame};
use super::{COMMENT, Delta};

/// The events of one streamed legacy completion (`/v1/completions`). Every method appends whole
/// events to `out`; kept is which tool calls have begun.
///
/// ```
/// use tailrace_core::{ChunkFields, CompletionEncoder};
///
/// let encoder = CompletionEncoder::new(&ChunkFields::new("cmpl-1", 1_700_000_000, "mill"));
/// let mut out = Vec::new();
/// encoder.delta("What runs off", &mut out);
/// encoder.finish("stop", &mut out);
/// out.extend_from_slice(CompletionEncoder::DONE);
///
/// let events = String::from_utf8(out)?;
/// assert!(events.contains(r#""choices":[{"index":0,"text":"What runs off","logprobs":null,"#));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CompletionEncoder {
    frame: Frame,
    /// Up to and with `"text":"`.
    text_head: Vec<u8>,
    text_tail: Vec<u8>,
    calls: Calls,
}

const CHOICE: &[u8] = br#"{"index":0,"text":""#;
const NO_TEXT: &[u8] = br#"{"index":0,"text":"","#;
const UNFINISHED: &[u8] = br#","logprobs":null,"finish_reason":null}"#;

impl CompletionEncoder {
    /// The last event of a stream that ended well.
    pub const DONE: &'static [u8] = frame::DONE;

    /// A comment, which keeps the connection alive while there is nothing to tell.
    pub const KEEP_ALIVE: &'static [u8] = COMMENT;

    /// Prepares the bytes that the stream's events share.
    pub fn new(fields: &ChunkFields<'_>) -> Self {
        let frame = Frame::new("text_completion", fields);
        Self {
            text_head: [&frame.head, CHOICE].concat(),
            text_tail: [br#"""#, UNFINISHED, frame.tail].concat(),
            calls: Calls::new("call", fields.id),
            frame,
        }
    }

    /// Appends one event with `text`.
    pub fn delta(&self, text: &str, out: &mut Vec<u8>) {
        out.reserve(self.delta_bytes() + text.len());
        out.extend_from_slice(&self.text_head);
        escape(text, out);
        out.extend_from_slice(&self.text_tail);
    }

    /// How many bytes an event of [`delta`](Self::delta) takes beside its text.
    pub fn delta_bytes(&self) -> usize {
        self.text_head.len() + self.text_tail.len()
    }

    /// Appends one event with a delta of any kind. The wire knows text alone: a refusal is text,
    /// and reasoning and tool calls stand in the choice under the names that they have in a chat
    /// completion's delta, beside an empty text.
    pub fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) | Delta::Refusal(text) => self.delta(text, out),
            Delta::Reasoning(text) => {
                let mut member = br#""reasoning_content":"#.to_vec();
                quoted(text, &mut member);
                self.frame.event(&[NO_TEXT, &member, UNFINISHED], out);
            }
            Delta::ToolCall(piece) => {
                let mut member = br#""tool_calls":["#.to_vec();
                self.calls.element(&piece, &mut member);
                self.frame.event(&[NO_TEXT, &member, b"]", UNFINISHED], out);
            }
        }
    }

    /// Appends the event that says why the answer ends, e.g. `stop`.
    pub fn finish(&self, reason: &str, out: &mut Vec<u8>) {
        let mut choice = br#""logprobs":null,"finish_reason":"#.to_vec();
        quoted(reason, &mut choice);
        self.frame.event(&[NO_TEXT, &choice, b"}"], out);
    }

    /// Appends the event with token counts and no choices.
    pub fn usage(&self, usage: &ChunkUsage, out: &mut Vec<u8>) {
        self.frame.usage(usage, out);
    }

    /// Appends the last event of a stream that failed: OpenAI's error object, with `kind` as its
    /// `type`. It has nothing of the stream's own.
    pub fn error(
        message: &str,
        kind: &str,
        param: Option<&str>,
        code: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        frame::error(message, kind, param, code, out);
    }
}
