//! Deltas in, OpenAI's `chat.completion.chunk` events out: one JSON object a `data` line, an empty
//! line after each.

use crate::delta::{Delta, Logprobs};
use crate::json::{escape, quoted};
use crate::prelude::*;

use super::COMMENT;
use super::calls::Calls;
use super::frame::{self, ChunkFields, ChunkUsage, Frame};

/// The events of one streamed chat completion. Every method appends whole events to `out`; kept is
/// which tool calls have begun.
///
/// ```
/// use tailrace_core::{ChunkEncoder, ChunkFields};
///
/// let encoder = ChunkEncoder::new(&ChunkFields::new("chatcmpl-1", 1_700_000_000, "mill"));
/// let mut out = Vec::new();
/// encoder.role(&mut out);
/// encoder.delta("What runs off", &mut out);
/// encoder.finish(Some("end_turn"), &mut out);
/// out.extend_from_slice(ChunkEncoder::DONE);
///
/// let events = String::from_utf8(out)?;
/// assert_eq!(events.matches("data: ").count(), 4);
/// assert!(events.contains(r#""delta":{"content":"What runs off"}"#));
/// assert!(events.contains(r#""finish_reason":"stop""#));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChunkEncoder {
    frame: Frame,
    /// Up to and with `"content":"`.
    content_head: Vec<u8>,
    content_tail: Vec<u8>,
    calls: Calls,
}

const CHOICE: &[u8] = br#"{"index":0,"delta":"#;
const UNFINISHED: &[u8] = br#","logprobs":null,"finish_reason":null}"#;

impl ChunkEncoder {
    /// The last event of a stream that ended well.
    pub const DONE: &'static [u8] = frame::DONE;

    /// A comment, which keeps the connection alive while there is nothing to tell.
    pub const KEEP_ALIVE: &'static [u8] = COMMENT;

    /// Prepares the bytes that the stream's events share.
    pub fn new(fields: &ChunkFields<'_>) -> Self {
        let frame = Frame::new("chat.completion.chunk", fields);
        Self {
            content_head: [&frame.head, CHOICE, br#"{"content":""#].concat(),
            content_tail: [br#""}"#, UNFINISHED, frame.tail].concat(),
            calls: Calls::new("call", fields.id),
            frame,
        }
    }

    /// Appends the first event, which says who speaks.
    pub fn role(&self, out: &mut Vec<u8>) {
        let delta: &[u8] = br#"{"role":"assistant","content":"","refusal":null}"#;
        self.frame.event(&[CHOICE, delta, UNFINISHED], out);
    }

    /// Appends one event with `text`.
    #[inline]
    pub fn delta(&self, text: &str, out: &mut Vec<u8>) {
        out.reserve(self.delta_bytes() + text.len());
        out.extend_from_slice(&self.content_head);
        escape(text, out);
        out.extend_from_slice(&self.content_tail);
    }

    /// How many bytes an event of [`delta`](Self::delta) takes beside its text.
    pub fn delta_bytes(&self) -> usize {
        self.content_head.len() + self.content_tail.len()
    }

    /// Appends one event with a delta of any kind. Reasoning is `reasoning_content`, as most
    /// servers name it; tool calls are numbered from 0 on, and one that has no id gets one made of
    /// the stream's and its number.
    pub fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.delta(text, out),
            // The wire has no place for it; a call's signature stands in the call.
            Delta::Seal(_) => {}
            _ => self.write(delta, UNFINISHED, out),
        }
    }

    /// Appends one event with a delta of any kind and the log probabilities of its tokens.
    pub fn event_with_logprobs(
        &mut self,
        delta: Delta<'_>,
        logprobs: &Logprobs,
        out: &mut Vec<u8>,
    ) {
        let behind = format!(r#","logprobs":{logprobs},"finish_reason":null}}"#);
        self.write(delta, behind.as_bytes(), out);
    }

    /// Appends one event with a delta and what stands behind it in its choice.
    fn write(&mut self, delta: Delta<'_>, behind: &[u8], out: &mut Vec<u8>) {
        let mut member = Vec::new();
        match delta {
            Delta::Text(text) => push_member(br#"{"content":"#, text, &mut member),
            Delta::Reasoning(text) => push_member(br#"{"reasoning_content":"#, text, &mut member),
            Delta::Refusal(text) => push_member(br#"{"refusal":"#, text, &mut member),
            Delta::ToolCall(piece) => {
                member.extend_from_slice(br#"{"tool_calls":["#);
                self.calls.element(&piece, &mut member);
                member.push(b']');
            }
            Delta::Seal(_) => return,
        }
        self.frame.event(&[CHOICE, &member, b"}", behind], out);
    }

    /// Appends the event that says why the answer ends, in OpenAI's word for what is given in any
    /// service's: `tool_calls` where calls were told, unless it was cut or filtered. Before that,
    /// calls that have no arguments get `{}`, unless the answer was cut.
    pub fn finish(&self, reason: Option<&str>, out: &mut Vec<u8>) {
        for element in self.calls.missing_arguments(reason) {
            let delta = format!(r#"{{"tool_calls":[{element}]}}"#);
            self.frame.event(&[CHOICE, delta.as_bytes(), UNFINISHED], out);
        }
        self.frame.finish(br#"{"index":0,"delta":{},"#, reason, self.calls.are_any(), out);
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

fn push_member(name: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    quoted(text, out);
}
