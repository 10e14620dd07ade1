//! Deltas in, the events of Anthropic's messages out, or the whole message.

use crate::delta::{Delta, Usage};
use crate::error::ReplyError;
use crate::json::{nullable, quoted};
use crate::prelude::*;

use super::calls::Calls;
use super::message_blocks::{BlockEvents, Content};
use super::reason::FinishReason;
use super::sequence::Sequence;
use super::{EncoderState, Ending};

/// What a message says of itself.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MessageFields<'a> {
    /// The message's id, `msg_…`.
    pub id: &'a str,
    /// The model's id.
    pub model: &'a str,
    /// Bytes of the answer kept at most, while pieces of calls that run side by side are sorted.
    pub max_kept_bytes: usize,
}

impl<'a> MessageFields<'a> {
    /// The fields of a message.
    pub fn new(id: &'a str, model: &'a str) -> Self {
        Self { id, model, max_kept_bytes: crate::MAX_KEPT_BYTES }
    }
}

/// The events of one streamed message (`/v1/messages`), and the same message whole. Every method
/// appends whole events to `out`.
///
/// The wire knows no log probabilities. A refusal is text, and the stop reason `refusal`. Thinking
/// has the signature that its service gave, else an empty one. Of the blocks one is open at a time: a tool call's begins with its arguments, and is over when they are whole
/// JSON and something else comes, which is held until then, up to a limit: beyond it the message is failed, by an event that
/// says so, and [`failure`](Self::failure) tells it too. What comes behind an end is passed over.
///
/// ```
/// use tailrace_core::{Delta, Ending, MessageEncoder, MessageFields};
///
/// let mut encoder = MessageEncoder::new(&MessageFields::new("msg_1", "mill"));
/// let mut out = Vec::new();
/// encoder.start(9, &mut out);
/// encoder.event(Delta::Text("What runs off"), &mut out);
/// encoder.finish(&Ending::default(), &mut out);
///
/// let events = String::from_utf8(out)?;
/// let kinds = events.lines().filter_map(|line| line.strip_prefix("event: "));
/// assert_eq!(
///     kinds.collect::<Vec<_>>(),
///     [
///         "message_start",
///         "content_block_start",
///         "content_block_delta",
///         "content_block_stop",
///         "message_delta",
///         "message_stop",
///     ]
/// );
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MessageEncoder {
    /// The message up to its content.
    head: Vec<u8>,
    calls: Calls,
    sequence: Sequence,
    events: BlockEvents,
    state: EncoderState,
    failure: Option<Box<ReplyError>>,
}

impl MessageEncoder {
    /// An event that clients pass over: it keeps the connection alive while there is nothing to
    /// tell.
    pub const KEEP_ALIVE: &'static [u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

    /// Prepares what the stream's events share.
    pub fn new(fields: &MessageFields<'_>) -> Self {
        let mut head = br#"{"id":"#.to_vec();
        quoted(fields.id, &mut head);
        head.extend_from_slice(br#","type":"message","role":"assistant","model":"#);
        quoted(fields.model, &mut head);
        let calls = Calls::new("toolu", fields.id);
        Self {
            head,
            sequence: Sequence::new(calls.clone(), fields.max_kept_bytes),
            calls,
            events: BlockEvents::default(),
            state: EncoderState::Open,
            failure: None,
        }
    }

    /// Appends the first event. It tells how many tokens the request has, as far as that is known.
    pub fn start(&self, input_tokens: u64, out: &mut Vec<u8>) {
        begin_event("message_start", out);
        out.extend_from_slice(br#","message":"#);
        out.extend_from_slice(&self.head);
        let usage = format!(r#""usage":{{"input_tokens":{input_tokens},"output_tokens":0}}"#);
        out.extend_from_slice(br#","content":[],"stop_reason":null,"stop_sequence":null,"#);
        out.extend_from_slice(usage.as_bytes());
        out.extend_from_slice(b"}}\n\n");
    }

    /// Appends the events of one delta.
    pub fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        if self.state != EncoderState::Open {
            return;
        }
        if let Err(trouble) = self.sequence.push(delta, "", &mut self.events, out) {
            let failure = self.failure.insert(Box::new(trouble.error()));
            let message = failure.message.clone();
            self.error(&message, "api_error", None, None, out);
        }
    }

    /// Appends the events that end the answer: what is left of its blocks, the stop reason and the
    /// usage, `message_stop`.
    pub fn finish(&mut self, ending: &Ending<'_>, out: &mut Vec<u8>) {
        if self.state != EncoderState::Open {
            return;
        }
        self.sequence.finish(&mut self.events, out);
        begin_event("message_delta", out);
        out.extend_from_slice(br#","delta":{"#);
        write_stop(ending, &self.sequence, out);
        out.extend_from_slice(br#"},"usage":"#);
        write_usage(ending, false, out);
        out.extend_from_slice(b"}\n\n");
        begin_event("message_stop", out);
        out.extend_from_slice(b"}\n\n");
        self.state = EncoderState::Done;
    }

    /// Appends the last event of a message that failed. An error of a `kind` that the API does not
    /// know is an `api_error`; `param` and `code`, which it does not know either, stand beside the
    /// message where they are given.
    pub fn error(
        &mut self,
        message: &str,
        kind: &str,
        param: Option<&str>,
        code: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        if self.state != EncoderState::Open {
            return;
        }
        let kind = ERRORS.into_iter().find(|known| *known == kind).unwrap_or("api_error");
        begin_event("error", out);
        out.extend_from_slice(format!(r#","error":{{"type":"{kind}","message":"#).as_bytes());
        quoted(message, out);
        for (name, value) in [("param", param), ("code", code)] {
            if value.is_some() {
                out.extend_from_slice(format!(r#","{name}":"#).as_bytes());
                nullable(value, out);
            }
        }
        out.extend_from_slice(b"}}\n\n");
        self.state = EncoderState::Failed;
    }

    /// The same message whole: the body of a reply to a request that does not stream. What was told
    /// of a stream is not in it.
    pub fn whole(&self) -> WholeMessage<'_> {
        WholeMessage { encoder: self, sequence: Sequence::new(self.calls.clone(), usize::MAX) }
    }

    /// Whether events can follow.
    pub fn state(&self) -> EncoderState {
        self.state
    }

    /// Why the encoder itself ended the message as failed; `None` where it did not.
    pub fn failure(&self) -> Option<&ReplyError> {
        self.failure.as_deref()
    }
}

/// A message that is told at once. Arguments that are no JSON object are told as text there, in a
/// member `INVALID_JSON`.
///
/// ```
/// use tailrace_core::{Delta, Ending, MessageEncoder, MessageFields};
///
/// let encoder = MessageEncoder::new(&MessageFields::new("msg_1", "mill"));
/// let mut whole = encoder.whole();
/// whole.add(Delta::Text("What runs off"));
/// let mut body = Vec::new();
/// whole.write(&Ending::default(), &mut body);
/// let content = r#""content":[{"type":"text","text":"What runs off"}]"#;
/// assert!(String::from_utf8(body)?.contains(content));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WholeMessage<'e> {
    encoder: &'e MessageEncoder,
    sequence: Sequence,
}

impl WholeMessage<'_> {
    /// Takes what a delta adds.
    pub fn add(&mut self, delta: Delta<'_>) {
        self.sequence.gather(delta, "");
    }

    /// Appends the message, a JSON object.
    pub fn write(mut self, ending: &Ending<'_>, out: &mut Vec<u8>) {
        let mut content = Content::default();
        self.sequence.finish(&mut content, &mut Vec::new());
        out.extend_from_slice(&self.encoder.head);
        out.extend_from_slice(br#","content":["#);
        out.extend_from_slice(&content.blocks);
        out.extend_from_slice(b"],");
        write_stop(ending, &self.sequence, out);
        out.extend_from_slice(br#","usage":"#);
        write_usage(ending, true, out);
        out.push(b'}');
    }
}

/// The types of errors that the API knows.
const ERRORS: [&str; 10] = [
    "api_error",
    "authentication_error",
    "billing_error",
    "invalid_request_error",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "request_too_large",
    "timeout_error",
];

/// The stop reasons that the API knows, but for an end and calls of tools: of those the answer itself
/// tells.
const STOP_REASONS: [&str; 5] =
    ["max_tokens", "model_context_window_exceeded", "pause_turn", "refusal", "stop_sequence"];

/// The stop reason: the service's own word where the API knows it.
fn stop_reason(ending: &Ending<'_>, sequence: &Sequence) -> &'static str {
    let word = ending.finish_reason.unwrap_or_default();
    if ending.stop_sequence.is_some() {
        return "stop_sequence";
    }
    let own = STOP_REASONS.into_iter().find(|known| *known == word);
    own.unwrap_or_else(|| match FinishReason::of(word) {
        FinishReason::Length => "max_tokens",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Stop if sequence.has_refusal => "refusal",
        FinishReason::Stop | FinishReason::ToolCalls if sequence.has_calls => "tool_use",
        FinishReason::Stop | FinishReason::ToolCalls => "end_turn",
    })
}

fn write_stop(ending: &Ending<'_>, sequence: &Sequence, out: &mut Vec<u8>) {
    let reason = stop_reason(ending, sequence);
    out.extend_from_slice(format!(r#""stop_reason":"{reason}","stop_sequence":"#).as_bytes());
    nullable(ending.stop_sequence, out);
}

/// Appends the token counts. Those of the request are counted apart by what became of them in the
/// cache, and left out of a stream's end where they are not known: the beginning may have told them.
fn write_usage(ending: &Ending<'_>, is_whole: bool, out: &mut Vec<u8>) {
    let usage = ending.usage.unwrap_or_default();
    let Usage { prompt_tokens, completion_tokens, .. } = usage;
    out.extend_from_slice(format!(r#"{{"output_tokens":{completion_tokens}"#).as_bytes());
    if is_whole || prompt_tokens > 0 {
        let input = prompt_tokens.saturating_sub(usage.cached_tokens.unwrap_or(0));
        out.extend_from_slice(format!(r#","input_tokens":{input}"#).as_bytes());
    }
    if let Some(cached) = usage.cached_tokens {
        out.extend_from_slice(format!(r#","cache_read_input_tokens":{cached}"#).as_bytes());
    }
    if let Some(reasoning) = usage.reasoning_tokens {
        let details = format!(r#","output_tokens_details":{{"thinking_tokens":{reasoning}}}"#);
        out.extend_from_slice(details.as_bytes());
    }
    out.push(b'}');
    if ending.estimated {
        out.extend_from_slice(br#","usage_estimated":true"#);
    }
}

fn begin_event(kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {kind}\ndata: {{\"type\":\"{kind}\"").as_bytes());
}
