//! What a reply has told of itself so far: its end, its error, its ids. Every dialect writes into
//! this.

use std::fmt;

use crate::error::{ErrorKind, ReplyError};
use crate::json::Text;
use crate::limits::{LimitExceeded, RAW_KEPT_BYTES};
use crate::prelude::*;

use super::DeltaSink;

/// Stands in where a site reports an error and says nothing about it.
const NO_MESSAGE: &str = "it gave no message";

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum End {
    /// Not yet.
    #[default]
    Open,
    /// With the dialect's end marker, or with a body read whole.
    Done,
    /// With a finish reason, but without the end marker.
    Stopped,
    /// It broke off.
    Truncated,
    /// With an error.
    Failed,
}

impl End {
    /// The end's name, e.g. `stopped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Truncated => "truncated",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Tokens as the reply counted them; 0 where it gave no plain whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

impl Usage {
    /// From counts whose sum the API does not give.
    pub(super) fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        }
    }
}

/// What the reply calls itself. The first value that is not empty stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids([Option<Box<str>>; Ids::NAMES.len()]);

impl Ids {
    /// The names there can be, as they stand in replies.
    #[doc(hidden)]
    pub const NAMES: [&str; 5] = ["thread_id", "message_id", "openai_response_id", "id", "model"];

    /// The id of that name, if the reply gave one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Names and values of the ids that the reply gave.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        Self::NAMES
            .into_iter()
            .zip(&self.0)
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The place of the id that a key names.
    pub(super) fn place(key: &str) -> Option<usize> {
        Self::NAMES.iter().position(|name| *name == key)
    }

    pub(super) fn is_known(&self, place: usize) -> bool {
        self.0[place].is_some()
    }

    pub(super) fn set(&mut self, place: usize, value: &str) {
        if self.0[place].is_none() && !value.is_empty() {
            self.0[place] = Some(value.into());
        }
    }
}

/// The state that all dialects share.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) end: End,
    pub(super) done: bool,
    pub(super) finish_reason: Option<Box<str>>,
    pub(super) usage: Option<Usage>,
    pub(super) ids: Ids,
    pub(super) error: Option<Box<ReplyError>>,
    pub(super) events: u64,
    pub(super) bad_events: u64,
    pub(super) delivered: bool,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// What the reply calls itself and its model.
    pub(super) fn note_ids(&mut self, id: Option<Text<'_>>, model: Option<Text<'_>>) {
        for (name, value) in [("id", id), ("model", model)] {
            if let (Some(place), Some(value)) = (Ids::place(name), value)
                && !self.ids.is_known(place)
            {
                self.ids.set(place, &value.decode());
            }
        }
    }

    /// Why the model stopped, if that is told.
    pub(super) fn note_finish(&mut self, reason: Option<Text<'_>>) {
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason.decode().into());
        }
    }

    pub(super) fn deliver<S: DeltaSink + ?Sized>(&mut self, text: &str, sink: &mut S) {
        if !text.is_empty() {
            self.delivered = true;
            sink.text(text);
        }
    }

    /// The end marker came.
    pub(super) fn mark_done(&mut self) {
        self.done = true;
        if self.is_open() {
            self.end = End::Done;
        }
    }

    /// It is an error; without a `message`, or with spaces only, one that says so.
    pub(super) fn fail(
        &mut self,
        kind: ErrorKind,
        message: impl Into<String>,
        code: Option<String>,
        raw: &str,
    ) {
        self.end_with(End::Failed, kind, message.into(), code, cut_bytes(raw, RAW_KEPT_BYTES));
    }

    /// A reply that was read whole reports success and has no answer.
    pub(super) fn fail_without_answer(&mut self, raw: &str) {
        self.fail(ErrorKind::Empty, "it reports success and holds no text", None, raw);
    }

    /// Like [`fail`](Self::fail), for a `raw` whose size its own limit has settled.
    pub(super) fn fail_whole(
        &mut self,
        kind: ErrorKind,
        message: String,
        code: Option<String>,
        raw: &str,
    ) {
        self.end_with(End::Failed, kind, message, code, raw);
    }

    pub(super) fn fail_limit(&mut self, limit: LimitExceeded) {
        self.end_with(End::Failed, ErrorKind::Limit, limit.to_string(), None, "");
    }

    /// The transport broke, or the reply ended before its time.
    pub(super) fn truncate(&mut self, complete: bool, raw: &str) {
        let message = if complete {
            "it ended with neither an end marker nor a finish reason"
        } else {
            "the connection was lost before its end"
        };
        let raw = cut_bytes(raw, RAW_KEPT_BYTES);
        self.end_with(End::Truncated, ErrorKind::Truncated, message.to_owned(), None, raw);
    }

    fn end_with(
        &mut self,
        end: End,
        kind: ErrorKind,
        message: String,
        code: Option<String>,
        raw: &str,
    ) {
        let message = if message.trim().is_empty() { NO_MESSAGE.to_owned() } else { message };
        self.end = end;
        let raw = raw.to_owned();
        self.error = Some(Box::new(ReplyError { kind, message, status: self.status, code, raw }));
    }
}

/// The longest beginning of `text` that is at most `limit` bytes long.
pub(super) fn cut_bytes(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most `limit` characters of `text`; an ellipsis says that there were more.
pub(super) fn cut_chars(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
