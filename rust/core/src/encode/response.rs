//! Deltas in, the events of OpenAI's Responses out, or the whole response.

use crate::delta::{Delta, Logprobs};
use crate::error::ReplyError;
use crate::json::{JsonError, nullable, quoted};
use crate::limits::{Limit, LimitExceeded};
use crate::prelude::*;

use super::calls::Calls;
use super::response_items::Items;
pub use super::response_object::ResponseFields;
use super::response_object::{ResponseObject, Status};
use super::sequence::{Sequence, Trouble};
use super::{COMMENT, EncoderState, Ending};

/// The events of one streamed response (`/v1/responses`), and the same response whole. Every method
/// appends whole events to `out`.
///
/// Reasoning is told as a summary of it, a refusal as a part of the message; a tool call's item
/// begins with its arguments, and is over when they are whole JSON and something else comes; one
/// without arguments is told at the end. Because the last events tell all of the answer again, it is
/// kept, up to a limit: beyond it the response is failed, by an event that says so, and
/// [`failure`](Self::failure) tells it too. What comes behind an end is passed over.
///
/// ```
/// use tailrace_core::{Delta, Ending, ResponseEncoder, ResponseFields};
///
/// let mut encoder = ResponseEncoder::new(&ResponseFields::new("resp_1", 1_700_000_000, "mill"))?;
/// let mut out = Vec::new();
/// encoder.start(&mut out);
/// encoder.event(Delta::Text("What runs off"), &mut out);
/// encoder.finish(&Ending::default(), &mut out);
///
/// let events = String::from_utf8(out)?;
/// let kinds = events.lines().filter_map(|line| line.strip_prefix("event: response."));
/// assert_eq!(
///     kinds.collect::<Vec<_>>(),
///     [
///         "created",
///         "in_progress",
///         "output_item.added",
///         "content_part.added",
///         "output_text.delta",
///         "output_text.done",
///         "content_part.done",
///         "output_item.done",
///         "completed",
///     ]
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResponseEncoder {
    object: ResponseObject,
    calls: Calls,
    sequence: Sequence,
    items: Items,
    max_kept_bytes: usize,
    state: EncoderState,
    failure: Option<Box<ReplyError>>,
}

impl ResponseEncoder {
    /// A comment, which keeps the connection alive while there is nothing to tell.
    pub const KEEP_ALIVE: &'static [u8] = COMMENT;

    /// Prepares what the stream's events share.
    ///
    /// # Errors
    /// When the request is no JSON object.
    pub fn new(fields: &ResponseFields<'_>) -> Result<Self, JsonError> {
        let calls = Calls::new("call", fields.id);
        Ok(Self {
            object: ResponseObject::new(fields)?,
            sequence: Sequence::new(calls.clone(), fields.max_kept_bytes),
            calls,
            items: Items::new(fields.id),
            max_kept_bytes: fields.max_kept_bytes,
            state: EncoderState::Open,
            failure: None,
        })
    }

    /// Appends the first events, which say that the response is there and under way.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        for kind in ["response.created", "response.in_progress"] {
            self.response_event(kind, Status::InProgress, &Ending::default(), out);
        }
    }

    /// Appends the events of one delta.
    pub fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.push(delta, "", out);
    }

    /// Appends the events of one delta and the log probabilities of its tokens, which this wire tells
    /// of a text alone. Those of an empty text are told with the next one.
    pub fn event_with_logprobs(
        &mut self,
        delta: Delta<'_>,
        logprobs: &Logprobs,
        out: &mut Vec<u8>,
    ) {
        self.push(delta, logprobs.content(), out);
    }

    fn push(&mut self, delta: Delta<'_>, logprobs: &str, out: &mut Vec<u8>) {
        if self.state != EncoderState::Open {
            return;
        }
        let told = self.sequence.push(delta, logprobs, &mut self.items, out);
        if let Err(trouble) = told.and_then(|()| self.check()) {
            let failure = self.failure.insert(Box::new(trouble.error()));
            let message = failure.message.clone();
            self.error(&message, "server_error", None, None, out);
        }
    }

    /// Appends the events that end the answer, `response.completed` or `response.incomplete` the
    /// last of them.
    pub fn finish(&mut self, ending: &Ending<'_>, out: &mut Vec<u8>) {
        if self.state != EncoderState::Open {
            return;
        }
        let status = Status::of(ending);
        self.items.is_cut = matches!(status, Status::Incomplete(_));
        self.sequence.finish(&mut self.items, out);
        self.items.end_item(out);
        self.response_event(&format!("response.{}", status.as_str()), status, ending, out);
        self.state = EncoderState::Done;
    }

    /// Appends the last event of a response that failed, with what came before of the answer. Its
    /// error's code is `code`, or by `kind`, the error's type, `rate_limit_exceeded` or
    /// `server_error`.
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
        let by_kind =
            if kind.starts_with("rate_limit") { "rate_limit_exceeded" } else { "server_error" };
        let mut error = br#"{"code":"#.to_vec();
        quoted(code.unwrap_or(by_kind), &mut error);
        error.extend_from_slice(br#","message":"#);
        quoted(message, &mut error);
        error.extend_from_slice(br#","type":"#);
        quoted(kind, &mut error);
        error.extend_from_slice(br#","param":"#);
        nullable(param, &mut error);
        error.push(b'}');
        self.response_event("response.failed", Status::Failed(&error), &Ending::default(), out);
        self.state = EncoderState::Failed;
    }

    /// The same response whole: the body of a reply to a request that does not stream. What was
    /// told of a stream is not in it.
    pub fn whole(&self) -> WholeResponse<'_> {
        let sequence = Sequence::new(self.calls.clone(), usize::MAX);
        WholeResponse { encoder: self, sequence }
    }

    /// Whether events can follow.
    pub fn state(&self) -> EncoderState {
        self.state
    }

    /// Why the encoder itself ended the response as failed; `None` where it did not.
    pub fn failure(&self) -> Option<&ReplyError> {
        self.failure.as_deref()
    }

    fn check(&self) -> Result<(), Trouble> {
        if self.items.kept <= self.max_kept_bytes {
            return Ok(());
        }
        let (limit, bytes) = (Limit::Kept, self.max_kept_bytes);
        Err(Trouble::Kept(LimitExceeded { limit, bytes }))
    }

    fn response_event(
        &mut self,
        kind: &str,
        status: Status<'_>,
        ending: &Ending<'_>,
        out: &mut Vec<u8>,
    ) {
        let (object, output) = (&self.object, self.items.output());
        let members = |out: &mut Vec<u8>| {
            out.extend_from_slice(br#","response":"#);
            object.write(status, &output, ending, out);
        };
        self.items.event(kind, members, out);
    }
}

/// A response that is told at once.
///
/// ```
/// use tailrace_core::{Delta, Ending, ResponseEncoder, ResponseFields};
///
/// let encoder = ResponseEncoder::new(&ResponseFields::new("resp_1", 1_700_000_000, "mill"))?;
/// let mut whole = encoder.whole();
/// whole.add(Delta::Text("What runs off"));
/// let mut body = Vec::new();
/// whole.write(&Ending::default(), &mut body);
/// assert!(String::from_utf8(body)?.contains(r#""text":"What runs off"}]"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct WholeResponse<'e> {
    encoder: &'e ResponseEncoder,
    sequence: Sequence,
}

impl WholeResponse<'_> {
    /// Takes what a delta adds.
    pub fn add(&mut self, delta: Delta<'_>) {
        self.sequence.gather(delta, "");
    }

    /// Takes what a delta adds, and the log probabilities of its tokens.
    pub fn add_with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        self.sequence.gather(delta, logprobs.content());
    }

    /// Appends the response, a JSON object.
    pub fn write(mut self, ending: &Ending<'_>, out: &mut Vec<u8>) {
        let status = Status::of(ending);
        let (mut items, mut events) = (self.encoder.items.anew(), Vec::new());
        items.is_cut = matches!(status, Status::Incomplete(_));
        self.sequence.finish(&mut items, &mut events);
        items.end_item(&mut events);
        self.encoder.object.write(status, &items.output(), ending, out);
    }
}
