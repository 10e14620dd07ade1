//! What is known of a response from its beginning in, the object that its events and its body hold
//! out.

use crate::delta::Usage;
use crate::json::{JsonError, Reader, on_one_line, quoted};
use crate::prelude::*;

use super::Ending;
use super::reason::FinishReason;

/// What a response says of itself.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseFields<'a> {
    /// The response's id, `resp_…`.
    pub id: &'a str,
    /// When the response began, in seconds since 1970.
    pub created_at: i64,
    /// The model's id.
    pub model: &'a str,
    /// The request, a JSON object: what a response repeats of one is taken from it.
    pub request: &'a str,
    /// Bytes of the answer kept at most, because its last events tell all of it again.
    pub max_kept_bytes: usize,
}

impl<'a> ResponseFields<'a> {
    /// The fields of a response to a request that says nothing worth repeating.
    pub fn new(id: &'a str, created_at: i64, model: &'a str) -> Self {
        Self { id, created_at, model, request: "{}", max_kept_bytes: crate::MAX_KEPT_BYTES }
    }
}

/// The members of a request that its response repeats, and what each is where the request leaves it
/// out.
const REPEATED: [(&str, &str); 20] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", "null"),
    ("store", "false"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "null"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

/// How a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status<'a> {
    InProgress,
    Completed,
    /// Why the answer is not whole.
    Incomplete(&'static str),
    /// The error object.
    Failed(&'a [u8]),
}

impl Status<'_> {
    /// The status of an answer that ended so.
    pub(super) fn of(ending: &Ending<'_>) -> Self {
        match FinishReason::of(ending.finish_reason.unwrap_or_default()) {
            FinishReason::Length => Self::Incomplete("max_output_tokens"),
            FinishReason::ContentFilter => Self::Incomplete("content_filter"),
            FinishReason::Stop | FinishReason::ToolCalls => Self::Completed,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(_) => "failed",
        }
    }
}

/// The object, as far as it never changes: from its brace on.
#[derive(Clone, Debug)]
pub(super) struct ResponseObject(Vec<u8>);

impl ResponseObject {
    /// # Errors
    /// When the request is no JSON object.
    pub(super) fn new(fields: &ResponseFields<'_>) -> Result<Self, JsonError> {
        let mut object = br#"{"id":"#.to_vec();
        quoted(fields.id, &mut object);
        object.extend_from_slice(br#","object":"response","created_at":"#);
        object.extend_from_slice(fields.created_at.to_string().as_bytes());
        object.extend_from_slice(br#","model":"#);
        quoted(fields.model, &mut object);
        let mut repeated = REPEATED.map(|(_, otherwise)| otherwise);
        Reader::new(fields.request).whole_object(|key, reader| {
            let value = reader.raw()?;
            let known = REPEATED.iter().position(|(name, _)| key == **name);
            if let Some(at) = known.filter(|_| value != "null") {
                repeated[at] = value;
            }
            Ok(())
        })?;
        for ((name, _), value) in REPEATED.iter().zip(repeated) {
            object.extend_from_slice(format!(r#","{name}":"#).as_bytes());
            on_one_line(value, &mut object)?;
        }
        Ok(Self(object))
    }

    /// Appends the object. `output` are its items.
    pub(super) fn write(
        &self,
        status: Status<'_>,
        output: &[u8],
        ending: &Ending<'_>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.0);
        out.extend_from_slice(format!(r#","status":"{}","error":"#, status.as_str()).as_bytes());
        out.extend_from_slice(if let Status::Failed(error) = status { error } else { b"null" });
        out.extend_from_slice(br#","incomplete_details":"#);
        match status {
            Status::Incomplete(reason) => {
                out.extend_from_slice(format!(r#"{{"reason":"{reason}"}}"#).as_bytes());
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","output":["#);
        out.extend_from_slice(output);
        out.extend_from_slice(br#"],"usage":"#);
        write_usage(ending, out);
        out.push(b'}');
    }
}

/// Appends the token counts. The API has no way to leave one out: what is not known is 0.
fn write_usage(ending: &Ending<'_>, out: &mut Vec<u8>) {
    let Some(usage) = ending.usage else { return out.extend_from_slice(b"null") };
    let Usage { prompt_tokens, completion_tokens, total_tokens, .. } = usage;
    let (cached, reasoning) =
        (usage.cached_tokens.unwrap_or(0), usage.reasoning_tokens.unwrap_or(0));
    let counts = format!(
        "{{\"input_tokens\":{prompt_tokens},\"input_tokens_details\":\
         {{\"cache_write_tokens\":0,\"cached_tokens\":{cached}}},\
         \"output_tokens\":{completion_tokens},\"output_tokens_details\":\
         {{\"reasoning_tokens\":{reasoning}}},\"total_tokens\":{total_tokens}}}"
    );
    out.extend_from_slice(counts.as_bytes());
    if ending.estimated {
        out.extend_from_slice(br#","usage_estimated":true"#);
    }
}
