//! Deltas in, the events of OpenAI's legacy completions out.

use crate::delta::{Delta, LogprobToken, Logprobs};
use crate::json::{decimal, escape, quoted};
use crate::prelude::*;

use super::COMMENT;
use super::calls::Calls;
use super::frame::{self, ChunkFields, ChunkUsage, Frame};

/// The events of one streamed legacy completion (`/v1/completions`). Every method appends whole
/// events to `out`; kept is which tool calls have begun, and how many characters the tokens had whose
/// log probabilities were told.
///
/// ```
/// use tailrace_core::{ChunkFields, CompletionEncoder};
///
/// let encoder = CompletionEncoder::new(&ChunkFields::new("cmpl-1", 1_700_000_000, "mill"));
/// let mut out = Vec::new();
/// encoder.delta("What runs off", &mut out);
/// encoder.finish(Some("stop"), &mut out);
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
    /// Where in the text the next token of which log probabilities are told begins.
    offset: u64,
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
            offset: 0,
            frame,
        }
    }

    /// Appends one event with `text`.
    #[inline]
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
            Delta::Seal(_) => {} // the wire has no place for it
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
        let mut behind = br#","logprobs":"#.to_vec();
        write_legacy(&logprobs.tokens(), &mut self.offset, &mut behind);
        behind.extend_from_slice(br#","finish_reason":null}"#);
        self.write(delta, &behind, out);
    }

    /// Appends one event with a delta and what stands behind it in its choice.
    fn write(&mut self, delta: Delta<'_>, behind: &[u8], out: &mut Vec<u8>) {
        let mut members = Vec::new();
        match delta {
            Delta::Text(text) | Delta::Refusal(text) => {
                members.extend_from_slice(br#"{"index":0,"text":"#);
                quoted(text, &mut members);
            }
            Delta::Reasoning(text) => {
                members.extend_from_slice(NO_TEXT);
                members.extend_from_slice(br#""reasoning_content":"#);
                quoted(text, &mut members);
            }
            Delta::ToolCall(piece) => {
                members.extend_from_slice(NO_TEXT);
                members.extend_from_slice(br#""tool_calls":["#);
                self.calls.element(&piece, &mut members);
                members.push(b']');
            }
            Delta::Seal(_) => return,
        }
        self.frame.event(&[&members, behind], out);
    }

    /// Appends the event that says why the answer ends, in OpenAI's word for what is given in any
    /// service's: `tool_calls` where calls were told, unless it was cut or filtered. Before that,
    /// calls that have no arguments get `{}`, unless the answer was cut.
    pub fn finish(&self, reason: Option<&str>, out: &mut Vec<u8>) {
        for element in self.calls.missing_arguments(reason) {
            let member = format!(r#""tool_calls":[{element}]"#);
            self.frame.event(&[NO_TEXT, member.as_bytes(), UNFINISHED], out);
        }
        self.frame.finish(NO_TEXT, reason, self.calls.are_any(), out);
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

/// Appends log probabilities as legacy completions tell them, a list for each field. `offset` is
/// where the first token begins, in characters, and then where the next one does.
fn write_legacy(tokens: &[LogprobToken<'_>], offset: &mut u64, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"tokens":"#);
    write_list(tokens, out, |token, out| quoted(&token.text(), out));
    out.extend_from_slice(br#","token_logprobs":"#);
    write_list(tokens, out, |token, out| out.extend_from_slice(token.logprob().as_bytes()));
    out.extend_from_slice(br#","top_logprobs":"#);
    write_list(tokens, out, |token, out| {
        out.push(b'{');
        write_joined(&token.top, out, |token, out| {
            quoted(&token.text(), out);
            out.push(b':');
            out.extend_from_slice(token.logprob().as_bytes());
        });
        out.push(b'}');
    });
    out.extend_from_slice(br#","text_offset":"#);
    write_list(tokens, out, |token, out| {
        decimal(*offset, out);
        *offset += token.text().chars().count() as u64;
    });
    out.push(b'}');
}

fn write_list<T>(elements: &[T], out: &mut Vec<u8>, write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    write_joined(elements, out, write);
    out.push(b']');
}

fn write_joined<T>(elements: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(element, out);
    }
}
