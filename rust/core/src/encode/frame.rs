//! What the events of a chat completion and of a legacy completion share: their fields, the event
//! with token counts, the error.

use crate::delta::Usage;
use crate::json::{nullable, quoted};
use crate::prelude::*;

use super::reason::FinishReason;

/// The fields that every chunk of one stream says of itself.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ChunkFields<'a> {
    /// The completion's id, `chatcmpl-…` or `cmpl-…`.
    pub id: &'a str,
    /// When the completion began, in seconds since 1970.
    pub created: i64,
    /// The model's id.
    pub model: &'a str,
    /// The fingerprint of the server's configuration; `null` where it is `None`.
    pub system_fingerprint: Option<&'a str>,
    /// Whether a usage chunk will follow, so that every other chunk says `"usage":null`
    /// (`stream_options.include_usage`).
    pub include_usage: bool,
}

impl<'a> ChunkFields<'a> {
    /// The fields of a stream without a fingerprint and without a usage chunk.
    pub fn new(id: &'a str, created: i64, model: &'a str) -> Self {
        Self { id, created, model, system_fingerprint: None, include_usage: false }
    }
}

/// The token counts that a usage chunk tells.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ChunkUsage {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer.
    pub completion: u64,
    /// Tokens of both, by the site's own count; their sum where it is `None`.
    pub total: Option<u64>,
    /// Tokens of the prompt that came from a cache; left out where it is `None`.
    pub cached: Option<u64>,
    /// Tokens of the answer that are reasoning; left out where it is `None`.
    pub reasoning: Option<u64>,
    /// Whether the counts are a guess, which `usage_estimated` says beside them.
    pub estimated: bool,
}

impl ChunkUsage {
    /// Counts that are no guess, with nothing known beside them.
    pub fn new(prompt: u64, completion: u64) -> Self {
        let (total, cached, reasoning) = (None, None, None);
        Self { prompt, completion, total, cached, reasoning, estimated: false }
    }
}

impl From<&Usage> for ChunkUsage {
    /// The counts that a reply told.
    fn from(usage: &Usage) -> Self {
        Self {
            total: Some(usage.total_tokens),
            cached: usage.cached_tokens,
            reasoning: usage.reasoning_tokens,
            ..Self::new(usage.prompt_tokens, usage.completion_tokens)
        }
    }
}

/// The bytes around the choices of every event of one stream.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Up to and with `"choices":[`.
    pub(super) head: Vec<u8>,
    /// From `]` to the empty line.
    pub(super) tail: &'static [u8],
}

impl Frame {
    pub(super) fn new(object: &str, fields: &ChunkFields<'_>) -> Self {
        let mut head = br#"data: {"id":"#.to_vec();
        quoted(fields.id, &mut head);
        head.extend_from_slice(format!(r#","object":"{object}","created":"#).as_bytes());
        head.extend_from_slice(fields.created.to_string().as_bytes());
        head.extend_from_slice(br#","model":"#);
        quoted(fields.model, &mut head);
        head.extend_from_slice(br#","system_fingerprint":"#);
        nullable(fields.system_fingerprint, &mut head);
        head.extend_from_slice(br#","choices":["#);
        let tail: &[u8] = if fields.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        Self { head, tail }
    }

    /// Appends one event whose only choice is these bytes, joined.
    pub(super) fn event(&self, choice: &[&[u8]], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        for part in choice {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(self.tail);
    }

    /// Appends the event that says why an answer ends, which has calls or has none; `choice` is its
    /// choice up to that.
    pub(super) fn finish(
        &self,
        choice: &[u8],
        reason: Option<&str>,
        has_calls: bool,
        out: &mut Vec<u8>,
    ) {
        let reason = FinishReason::of(reason.unwrap_or_default()).with_calls(has_calls);
        let end = format!(r#""logprobs":null,"finish_reason":"{reason}"}}"#);
        self.event(&[choice, end.as_bytes()], out);
    }

    /// Appends the event with token counts and no choices.
    pub(super) fn usage(&self, usage: &ChunkUsage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        let ChunkUsage { prompt, completion, estimated, .. } = usage;
        let total = usage.total.unwrap_or_else(|| prompt.saturating_add(*completion));
        let cached = detail("prompt", "cached", usage.cached);
        let reasoning = detail("completion", "reasoning", usage.reasoning);
        let counts = format!(
            "],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\
             \"total_tokens\":{total}{cached}{reasoning}}},\"usage_estimated\":{estimated}}}\n\n"
        );
        out.extend_from_slice(counts.as_bytes());
    }
}

/// The last event of a stream that ended well.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Appends the last event of a stream that failed.
pub(super) fn error(
    message: &str,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#"data: {"error":{"message":"#);
    quoted(message, out);
    out.extend_from_slice(br#","type":"#);
    quoted(kind, out);
    out.extend_from_slice(br#","param":"#);
    nullable(param, out);
    out.extend_from_slice(br#","code":"#);
    nullable(code, out);
    out.extend_from_slice(b"}}\n\n");
}

/// The member that says how many of the tokens are of a kind; empty where that is not known.
fn detail(of: &str, kind: &str, count: Option<u64>) -> String {
    count.map_or_else(String::new, |count| {
        format!(",\"{of}_tokens_details\":{{\"{kind}_tokens\":{count}}}")
    })
}
