//! The state of a reply: its end, its error, its ids. Every dialect writes into it.

use std::fmt;

use crate::error::{ErrorKind, ReplyError};
use crate::json::Text;
use crate::limits::{LimitExceeded, MESSAGE_CHARS, RAW_BYTES, RAW_KEPT_BYTES};
use crate::prelude::*;

use super::DeltaSink;
use super::added::AddedKind;
use super::collected::{Collecting, Keeping};
use super::content::Spoken;
use super::halves::{Half, LONE};
use super::passed_over::PassedOver;
use super::said::{Said, TrimmedSaid};
use super::tool_call::Calls;
use super::usage::{Usage, later_usage};

/// Stands in where a site reports an error and says nothing about it.
const NO_MESSAGE: &str = "it gave no message";

/// Characters of what was not understood that a message shows: the last ones.
const UNREAD_CHARS: usize = 150;

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
    /// Broken off, before its time.
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

/// The ids that a reply gave of itself. Of each name the first value that is not empty stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids([Option<Box<str>>; Ids::NAMES.len()]);

impl Ids {
    /// The names of ids, as they stand in replies.
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

    /// Which of the ids a key names: its index in [`NAMES`](Self::NAMES).
    pub(super) fn index_of(key: &str) -> Option<usize> {
        Self::NAMES.iter().position(|name| *name == key)
    }

    /// Whether the reply gave the id of this index.
    pub(super) fn is_known(&self, index: usize) -> bool {
        self.0[index].is_some()
    }

    /// Sets the id of this index, unless it is known or `value` is empty.
    pub(super) fn set(&mut self, index: usize, value: &str) {
        if self.0[index].is_none() && !value.is_empty() {
            self.0[index] = Some(value.into());
        }
    }
}

/// The state of a reply: what it has told of itself so far.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, any of which may hold"
)]
pub(super) struct ReplyState {
    pub(super) status: u16,
    pub(super) end: End,
    pub(super) done: bool,
    pub(super) finish_reason: Option<Box<str>>,
    pub(super) usage: Option<Box<Usage>>,
    /// Tokens of the answer whose ids were counted, for a sink that wants events.
    pub(super) token_ids: u32,
    pub(super) ids: Ids,
    pub(super) error: Option<Box<ReplyError>>,
    pub(super) events: u64,
    pub(super) bad_events: u64,
    /// Whether text was delivered.
    pub(super) delivered: bool,
    /// Whether the event, or the body, that was read last holds nothing that its dialect knows.
    pub(super) foreign: bool,
    /// Whether it promises nothing, and was passed over, unless it tells an error.
    pub(super) is_passed_over: bool,
    /// Events without data, or with JSON that is no object: they keep a connection alive.
    pub(super) keep_alives: u32,
    /// Whether it comes as server-sent events.
    pub(super) is_stream: bool,
    /// Whether it comes as one JSON text a line.
    pub(super) is_lines: bool,
    pub(super) unread: Unread,
    pub(super) told: Told,
    pub(super) halves: Halves,
    pub(super) calls: Option<Box<Calls>>,
    /// What is kept of all that is no text, where that is asked for.
    pub(super) collecting: Option<Box<Collecting>>,
    /// What no delta is made of, where any is.
    pub(super) passed_over: Option<Box<PassedOver>>,
    /// Whether all of it is counted.
    pub(super) counts_all: bool,
    /// What was told of the part of the text that is coming, where a later event may tell it again.
    pub(super) part: Option<Box<Part>>,
    /// Whether another part has begun, so that no event repeats an earlier one.
    pub(super) is_another_part: bool,
}

/// What was told of a part of the text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// It may be told again as it was.
    Exact(Said),
    /// It may be told again without the blanks at its ends.
    Trimmed(TrimmedSaid),
}

impl Part {
    fn add(&mut self, text: &str) {
        match self {
            Self::Exact(said) => said.add(text),
            Self::Trimmed(said) => said.add(text),
        }
    }
}

/// What a reply told beside text, also where nobody wanted it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) reasoning: bool,
    pub(super) refusal: bool,
    pub(super) call: bool,
}

/// The halves of characters that texts of each kind end with, so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Halves {
    pub(super) text: Half,
    pub(super) reasoning: Half,
    pub(super) refusal: Half,
}

/// What was not understood: lines that belong to no event, and events that are none of the dialect;
/// and what few replies tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Option<Box<Kept>>);

#[derive(Debug, Clone, Default)]
struct Kept {
    /// The end of it, at most 4 KiB of UTF-8, of whose first character some may be cut.
    bytes: Vec<u8>,
    /// The name of the dialect that the first such event is unmistakably of.
    looks_like: Option<&'static str>,
    /// What the site says of the finish reason, which few do.
    finish_message: Option<Box<str>>,
    /// The nonce that the reply gives for later requests.
    new_token: Secret,
}

/// A text that its `Debug` form does not show.
#[derive(Clone, Default)]
struct Secret(Option<Box<str>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").finish_non_exhaustive()
    }
}

/// What was not understood, for an error.
pub(super) struct Shown {
    /// The end of a message that shows it; empty where there is nothing.
    pub(super) clause: String,
    pub(super) text: String,
}

impl Unread {
    /// Adds a line, or some.
    pub(super) fn push(&mut self, line: &str) {
        let line = cut_bytes(line.trim_end(), RAW_KEPT_BYTES);
        if line.is_empty() {
            return;
        }
        let Kept { bytes, .. } = &mut **self.0.get_or_insert_default();
        if !bytes.is_empty() {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line.as_bytes());
        let excess = bytes.len().saturating_sub(RAW_KEPT_BYTES);
        bytes.drain(..excess);
    }

    /// Writes down the name of the dialect that it looks like, unless one is known.
    pub(super) fn note_likeness(&mut self, dialect: Option<&'static str>) {
        if dialect.is_some() {
            let looks_like = &mut self.0.get_or_insert_default().looks_like;
            *looks_like = looks_like.or(dialect);
        }
    }

    /// Writes down what the site says of the finish reason.
    pub(super) fn note_finish_message(&mut self, message: &str) {
        self.0.get_or_insert_default().finish_message = Some(message.into());
    }

    /// Keeps a nonce, if it can be one: 1 to 256 visible ASCII characters.
    pub(super) fn note_new_token(&mut self, token: Option<Text<'_>>) {
        let token = token.map(Text::decode).filter(|token| {
            (1..=256).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        });
        if let Some(token) = token {
            self.0.get_or_insert_default().new_token = Secret(Some(token.into()));
        }
    }

    /// The nonce, if the reply gave one.
    pub(super) fn new_token(&self) -> Option<&str> {
        self.0.as_ref()?.new_token.0.as_deref()
    }

    fn finish_message(&self) -> Option<&str> {
        self.0.as_ref()?.finish_message.as_deref()
    }

    /// The name of the dialect that it looks like.
    fn looks_like(&self) -> Option<&'static str> {
        self.0.as_ref()?.looks_like
    }

    pub(super) fn text(&self) -> String {
        let Some(kept) = &self.0 else { return String::new() };
        let cut = kept.bytes.iter().take_while(|byte| (0x80..0xC0).contains(*byte)).count();
        String::from_utf8_lossy(&kept.bytes[cut..]).into_owned()
    }

    pub(super) fn shown(&self) -> Shown {
        let text = self.text();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let clause = match words.chars().count().saturating_sub(UNREAD_CHARS) {
            _ if words.is_empty() => String::new(),
            0 => format!("; what it holds besides: \"{words}\""),
            excess => {
                let end: String = words.chars().skip(excess).collect();
                format!("; what it holds besides: \"…{end}\"")
            }
        };
        Shown { clause, text }
    }
}

impl ReplyState {
    /// The state of a reply with this HTTP status, of which nothing has come.
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// Writes down how the reply and its model call themselves.
    pub(super) fn note_ids(&mut self, id: Option<Text<'_>>, model: Option<Text<'_>>) {
        self.note_id("id", id);
        self.note_id("model", model);
    }

    /// Writes down one of the ids in [`Ids::NAMES`], if it is given.
    pub(super) fn note_id(&mut self, name: &str, value: Option<Text<'_>>) {
        if let (Some(index), Some(value)) = (Ids::index_of(name), value)
            && !self.ids.is_known(index)
        {
            self.ids.set(index, &value.decode());
        }
    }

    /// Writes down one of the ids in [`Ids::NAMES`].
    pub(super) fn set_id(&mut self, name: &str, value: &str) {
        if let Some(index) = Ids::index_of(name) {
            self.ids.set(index, value);
        }
    }

    /// Writes down why the model stopped, if that is told.
    pub(super) fn note_finish(&mut self, reason: Option<Text<'_>>) {
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason.decode().into());
        }
    }

    /// Writes down the usage, if it is told: see [`Usage::updated`].
    pub(super) fn note_usage(&mut self, usage: Option<Usage>) {
        if usage.is_some() {
            let known = self.usage.as_deref().copied();
            self.usage = later_usage(known, usage).map(Box::new);
        }
    }

    /// Hands text of the answer to the sink; an empty one is none.
    pub(super) fn deliver<S: DeltaSink + ?Sized>(&mut self, text: &str, sink: &mut S) {
        if !text.is_empty() {
            self.deliver_filled(text, sink);
        }
    }

    /// Hands text of the answer to the sink, which is not empty.
    #[inline]
    pub(super) fn deliver_filled<S: DeltaSink + ?Sized>(&mut self, text: &str, sink: &mut S) {
        self.delivered = true;
        if let Some(part) = &mut self.part {
            part.add(text);
        }
        sink.text(text);
    }

    /// Hands to the sink, at the reply's end, the halves of characters that nothing goes on with.
    pub(super) fn release_halves<S: DeltaSink + ?Sized>(&mut self, sink: &mut S) {
        if self.halves.text.take() {
            sink.text(LONE);
        }
        let mut sink = Keeping { collecting: self.collecting.as_deref_mut(), sink };
        if !sink.wants_everything() {
            return;
        }
        if self.halves.reasoning.take() {
            sink.reasoning(LONE);
        }
        if self.halves.refusal.take() {
            sink.refusal(LONE);
        }
        if let Some(calls) = &mut self.calls {
            calls.release(&mut sink);
        }
    }

    /// Whether half a character is held that a text of this kind goes on with.
    #[inline]
    pub(super) fn holds_half(&self, kind: &AddedKind) -> bool {
        if kind.is_text() { self.halves.text.is_held() } else { self.holds_other_half(kind) }
    }

    #[inline(never)]
    fn holds_other_half(&self, kind: &AddedKind) -> bool {
        let Halves { text, reasoning, refusal } = self.halves;
        match *kind {
            AddedKind::Spoken(kind) | AddedKind::Part { kind, .. } => match kind {
                Spoken::Text => text.is_held(),
                Spoken::Reasoning => reasoning.is_held(),
                Spoken::Refusal => refusal.is_held(),
            },
            AddedKind::Arguments { index, is_only } => self
                .calls
                .as_ref()
                .is_some_and(|calls| calls.hold_half(index.map(u64::from), is_only)),
        }
    }

    /// Whether more than text is wanted: by the sink, or to be collected.
    pub(super) fn wants_everything<S: DeltaSink + ?Sized>(&self, sink: &S) -> bool {
        self.collecting.is_some() || sink.wants_everything()
    }

    /// Ends the reply when more was to be collected than may be.
    pub(super) fn check_collected(&mut self) {
        if let Some(Err(limit)) = self.collecting.as_deref().map(Collecting::check)
            && self.is_open()
        {
            self.fail_limit(limit);
        }
    }

    /// Takes the end marker.
    pub(super) fn mark_done(&mut self) {
        self.done = true;
        if !self.is_open() {
            return;
        }
        if self.has_come() || self.finish_reason.is_some() {
            self.end_for_its_reason(End::Done, "");
        } else {
            let message = format!("it ended without an answer{}", self.besides());
            self.fail(ErrorKind::Empty, message, None, "");
        }
    }

    /// Whether anything of an answer came.
    pub(super) fn has_come(&self) -> bool {
        let Told { reasoning, refusal, call } = self.told;
        self.delivered || reasoning || refusal || call
    }

    /// Opens a reply again that ended without an answer. False when it did not.
    pub(super) fn reopen_empty(&mut self) -> bool {
        let is_empty = self.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Empty);
        if is_empty {
            self.end = End::Open;
            self.error = None;
        }
        is_empty
    }

    /// Cuts the error's message; one that is cut is kept whole where nothing longer is.
    pub(super) fn shorten_message(&mut self) {
        let Some(error) = &mut self.error else { return };
        let message = one_line(&error.message);
        if message.ends_with('…')
            && message != error.message
            && error.raw.len() < error.message.len()
        {
            cut_bytes(&error.message, RAW_BYTES).clone_into(&mut error.raw);
        }
        error.message = if message.is_empty() { NO_MESSAGE.to_owned() } else { message };
    }

    /// What the reply looks like instead, in words.
    pub(super) fn likeness(&self) -> Option<String> {
        let dialect = self.unread.looks_like().filter(|_| !self.has_come())?;
        Some(format!("its events look like {dialect}'s"))
    }

    /// Ends a reply that was read whole: as done when it `answered`, else with an error.
    pub(super) fn end_whole(&mut self, answered: bool, raw: &str) {
        if !self.is_open() {
            // More was to be collected than may be.
        } else if answered || self.finish_reason.as_deref().is_some_and(tells_failure) {
            self.end_for_its_reason(End::Done, raw);
        } else {
            self.fail_without_answer(raw);
        }
    }

    /// Ends a reply that is all there as `end`, unless its finish reason says that it failed.
    pub(super) fn end_for_its_reason(&mut self, end: End, raw: &str) {
        let Some(reason) = self.finish_reason.as_deref().filter(|reason| tells_failure(reason))
        else {
            self.end = end;
            return;
        };
        let told = match self.unread.finish_message() {
            Some(message) => format!(": {message}"),
            None => String::new(),
        };
        let message = format!("the answer failed, with the finish reason {reason}{told}");
        let code = reason.to_owned();
        self.fail(ErrorKind::Upstream, message, Some(code), raw);
    }

    /// Ends the reply with an error. A `message` that is empty, or spaces only, becomes one that
    /// says so; of `raw` at most 64 KiB are kept.
    pub(super) fn fail(
        &mut self,
        kind: ErrorKind,
        message: impl Into<String>,
        code: Option<String>,
        raw: &str,
    ) {
        self.end_with(End::Failed, kind, message.into(), code, raw);
    }

    /// Ends a reply that reports success and has no answer.
    pub(super) fn fail_without_answer(&mut self, raw: &str) {
        let message = format!("it reports success and holds no text{}", self.besides());
        self.fail(ErrorKind::Empty, message, None, raw);
    }

    /// What the reply holds that no delta is made of, as the end of a message.
    fn besides(&self) -> String {
        let shown = self.passed_over.as_deref().map(PassedOver::shown).unwrap_or_default();
        if shown.is_empty() { shown } else { format!("; what it holds besides: {shown}") }
    }

    /// Ends a reply that passed a limit.
    pub(super) fn fail_limit(&mut self, limit: LimitExceeded) {
        self.end_with(End::Failed, ErrorKind::Limit, limit.to_string(), None, "");
    }

    /// Ends a reply whose transport broke, or, when it is `complete`, that ended before its time.
    pub(super) fn truncate(&mut self, complete: bool, raw: &str) {
        let cause = if complete {
            "it ended with neither an end marker nor a finish reason"
        } else {
            "the connection was lost before its end"
        };
        let unread = self.unread.shown();
        let likeness = self.likeness().map(|likeness| format!("; {likeness}")).unwrap_or_default();
        let message = format!("{cause}{likeness}{}", unread.clause);
        let raw = if raw.is_empty() { &unread.text } else { raw };
        self.end_with(End::Truncated, ErrorKind::Truncated, message, None, raw);
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
        let raw = cut_bytes(raw, RAW_BYTES).to_owned();
        self.error = Some(Box::new(ReplyError { kind, message, status: self.status, code, raw }));
    }
}

/// Whether a finish reason says that the answer is none: the model or its service failed, and no
/// error tells it.
fn tells_failure(reason: &str) -> bool {
    // In small letters it is the word of some services for whatever they have no word for.
    reason == "OTHER"
        || reason.starts_with("function_call_filter")
        || FAILURES.iter().any(|failure| reason.eq_ignore_ascii_case(failure))
}

/// Finish reasons of Gemini's, and of servers with OpenAI's API.
const FAILURES: [&str; 12] = [
    "malformed_function_call",
    "unexpected_tool_call",
    "too_many_tool_calls",
    "missing_thought_signature",
    "malformed_response",
    "image_other",
    "no_image",
    "error",
    "timeout",
    "abort",
    "network_error",
    "insufficient_system_resource",
];

/// At most 300 characters of `text` in one line; an ellipsis says that there were more.
fn one_line(text: &str) -> String {
    let ends_line =
        |c| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let lines: Vec<&str> =
        text.split(ends_line).map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    if line.char_indices().nth(MESSAGE_CHARS).is_none() {
        return line;
    }
    let (end, _) = line.char_indices().nth(MESSAGE_CHARS - 1).unwrap_or_default();
    format!("{}…", without_half_an_address(&line, end).trim_end())
}

/// The beginning of `line` that ends at `end`, without the beginning of an address that is cut in
/// its user and password: they could not be told from its host any more.
fn without_half_an_address(line: &str, end: usize) -> &str {
    let (kept, rest) = line.split_at(end);
    let ends_word = |c: char| c.is_whitespace() || "\"'<>".contains(c);
    let is_cut = rest.split(ends_word).next().is_some_and(|word| word.contains('@'));
    let start = kept.rfind(ends_word).map_or(0, |blank| blank + 1);
    if is_cut && kept.is_char_boundary(start) { &kept[..start] } else { kept }
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
