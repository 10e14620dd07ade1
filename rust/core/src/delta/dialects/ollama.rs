//! Ollama's own API: one JSON object a line, of `/api/chat` or `/api/generate`; not streamed, one
//! line.
//!
//! Every line has the same form, and calls come whole. The last one says `done`, why the model stopped, and what was
//! counted.

use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, fail_upstream};
use super::super::fields::{read_count, read_length, read_truthy};
use super::super::passed_over::{Teller, Unspoken};
use super::super::tool_call::{CallPiece, read_calls};
use super::super::usage::{Counts, Usage};
use super::{Added, DeltaSink, DialectReader, Members, Output};

/// Reads the lines of one reply; each stands for itself.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct Ollama;

impl DialectReader for Ollama {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let Ok(line) = Line::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        output.reply.note_ids(None, line.model);
        if line.has_error {
            fail_upstream(event.data, self, output.reply);
            return None;
        }
        match output.read_logprobs(line.logprobs) {
            None => line.message().deliver(output),
            Some(logprobs) => {
                output.with_logprobs(&logprobs, |output| line.message().deliver(output));
            }
        }
        output.reply.note_usage(line.usage());
        output.reply.foreign = line.is_foreign();
        if line.done {
            output.reply.note_finish(line.done_reason);
            output.reply.mark_done();
        }
        line.added()
    }

    fn owns(members: &Members<'_>) -> bool {
        members.has_flag("done")
            && (members.has("message", Kind::Object) || members.has("response", Kind::String))
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(
            key,
            "message"
                | "response"
                | "thinking"
                | "done"
                | "done_reason"
                | "logprobs"
                | "error"
                | "prompt_eval_count"
                | "eval_count"
        )
    }

    /// A line says itself what it is.
    fn can_repeat(&self, _: Option<&str>) -> bool {
        true
    }
}

impl ReadSiteError for Ollama {}

/// The fields of a line that are read.
#[derive(Default)]
struct Line<'a> {
    has_error: bool,
    model: Option<Text<'a>>,
    message: Option<Message<'a>>,
    /// The fields that `/api/generate` has instead of a message.
    generated: Message<'a>,
    done: bool,
    done_reason: Option<Text<'a>>,
    counts: Counts,
    /// The log probabilities of the line's tokens, as written.
    logprobs: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut line = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "error" => line.has_error = read_truthy(reader)?,
                "model" => line.model = reader.string_or_skip()?,
                "message" => line.message = Message::read(reader)?,
                "response" => line.generated.text = Content::read(reader)?,
                "thinking" => line.generated.thinking = Content::read_texts(reader)?,
                "done" => line.done = reader.bool_or_skip()? == Some(true),
                "done_reason" => line.done_reason = reader.string_or_skip()?,
                "prompt_eval_count" => line.counts.prompt = read_count(reader)?,
                "eval_count" => line.counts.completion = read_count(reader)?,
                "logprobs" => line.logprobs = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(line)
    }

    fn message(&self) -> &Message<'a> {
        self.message.as_ref().unwrap_or(&self.generated)
    }

    fn usage(&self) -> Option<Usage> {
        let is_told = self.counts.prompt.is_some() || self.counts.completion.is_some();
        is_told.then(|| self.counts.usage())
    }

    /// Whether nothing in it is a line's.
    fn is_foreign(&self) -> bool {
        let Message { text, thinking, calls, .. } = &self.generated;
        self.message.is_none()
            && !text.is_filled()
            && !thinking.is_filled()
            && calls.is_empty()
            && !self.done
    }

    /// What a line adds that does nothing else.
    fn added(&self) -> Option<Added<'a>> {
        let Message { text, thinking, calls, images } = self.message();
        let is_more = !calls.is_empty()
            || *images > 0
            || self.usage().is_some()
            || self.logprobs.is_some()
            || self.done;
        match (text.is_filled(), thinking.is_filled()) {
            _ if is_more => None,
            (true, false) => Added::spoken(Spoken::Text, *text),
            (false, true) => Added::spoken(Spoken::Reasoning, *thinking),
            _ => None,
        }
    }
}

/// The message that a line adds to.
#[derive(Default)]
struct Message<'a> {
    text: Content<'a>,
    thinking: Content<'a>,
    calls: Vec<CallPiece<'a>>,
    /// How many images it holds.
    images: u64,
}

impl<'a> Message<'a> {
    /// Reads a message; `None` when the value is no object.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut message = Self::default();
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "content" => message.text = Content::read(reader)?,
                "thinking" | "reasoning" | "reasoning_content" => {
                    message.thinking = message.thinking.or(Content::read_texts(reader)?);
                }
                "tool_calls" => message.calls = read_calls(reader)?,
                "images" => message.images = read_length(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_object.then_some(message))
    }

    fn deliver<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        output.pass_over(Unspoken::Image, self.images, Teller::Piece);
        output.say(Spoken::Reasoning, self.thinking);
        output.say(Spoken::Text, self.text);
        self.calls.iter().for_each(|call| output.tool_call(call));
    }
}
