//! The chunks of OpenAI's chat completions, streamed or as one body.
//!
//! One pass over a chunk's JSON takes what is wanted and validates the rest; nothing is copied that
//! has no escapes.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};

use super::super::failure::{ReadSiteError, judge_json, read_error_value, read_site_error};
use super::super::fields::{first_choice, is_truthy, read_count, read_is_first};
use super::super::reply::{End, Ids, ReplyState, Usage};
use super::openai_extras::Extras;
use super::{DeltaSink, DialectReader, Members, Output};

/// Reads the chunks of one reply; each stands for itself.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct OpenAi;

impl DialectReader for OpenAi {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let Ok(chunk) = Chunk::read(event.data, |_, reader| reader.skip()) else {
            output.reply.bad_events += 1;
            return None;
        };
        chunk.note(event.data, output.reply);
        output.reply.foreign = chunk.is_foreign();
        if output.sink.wants_everything() && output.reply.is_open() {
            return chunk.deliver_all(event.data, output);
        }
        chunk.deliver(output);
        chunk.only_content()
    }

    fn owns(members: &Members<'_>) -> bool {
        members.has("choices", Kind::Array)
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "choices" | "error" | "usage")
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let chunk = Chunk::read(body, |_, reader| reader.skip())?;
        chunk.note(body, output.reply);
        if chunk.has_choices {
            chunk.deliver_whole(body, output);
        } else if output.reply.is_open() {
            judge_json(body, output.reply);
        }
        Ok(())
    }
}

impl ReadSiteError for OpenAi {}

/// The fields of a chunk that are read.
#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    ids: [Option<Text<'a>>; Ids::NAMES.len()],
    usage: Option<Usage>,
    /// The value of `error`, as written.
    error: Option<&'a str>,
    /// `choices` is there and not null.
    pub(super) has_choices: bool,
    choice: Choice<'a>,
}

/// Of the choices the first one with index 0.
#[derive(Debug, Default)]
struct Choice<'a> {
    has_delta: bool,
    delta_content: Option<Text<'a>>,
    text: Option<Text<'a>>,
    message_content: Option<Text<'a>>,
    finish_reason: Option<Text<'a>>,
    /// The value of `error`, as written.
    error: Option<&'a str>,
}

impl<'a> Chunk<'a> {
    /// Reads the chunk, and leaves the keys it does not know to `other`.
    pub(super) fn read(
        text: &'a str,
        mut other: impl FnMut(Text<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, JsonError> {
        let mut chunk = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "choices" => chunk.read_choices(reader)?,
                "error" => chunk.error = Some(reader.raw()?),
                "usage" => chunk.usage = read_usage(reader)?,
                name => match Ids::index_of(name) {
                    Some(index) => chunk.ids[index] = reader.string_or_skip()?,
                    None => other(key, reader)?,
                },
            }
            Ok(())
        })?;
        Ok(chunk)
    }

    /// Whether the chunk names itself.
    pub(super) fn has_id(&self) -> bool {
        let id = Ids::index_of("id").and_then(|index| self.ids[index]);
        id.is_some_and(|id| !id.is_empty())
    }

    /// Whether an error is reported: null, false, zero and empty values are none.
    pub(super) fn has_error(&self) -> bool {
        self.error.is_some_and(is_truthy)
    }

    /// Whether nothing in it is a chunk's.
    pub(super) fn is_foreign(&self) -> bool {
        !self.has_choices && self.usage.is_none() && !self.has_error()
    }

    /// The content as a stream's chunk holds it.
    pub(super) fn content(&self) -> Option<Text<'a>> {
        if self.choice.has_delta { self.choice.delta_content } else { self.choice.text }
    }

    /// The content of a chunk that does nothing but add it, once its ids are known.
    pub(super) fn only_content(&self) -> Option<Text<'a>> {
        let adds_content_only =
            self.usage.is_none() && !self.has_error() && self.finish_reason().is_none();
        self.content().filter(|content| adds_content_only && !content.is_empty())
    }

    /// Writes down ids and usage, and an error, which ends the reply. `raw` is the chunk as it
    /// came.
    pub(super) fn note(&self, raw: &str, reply: &mut ReplyState) {
        for (index, id) in self.ids.iter().enumerate() {
            if let Some(id) = id
                && !reply.ids.is_known(index)
            {
                reply.ids.set(index, &id.decode());
            }
        }
        reply.note_usage(self.usage);
        if self.has_error() {
            let error = read_site_error(raw).unwrap_or_default();
            let message = error.message.unwrap_or_default();
            reply.fail(ErrorKind::Upstream, message, error.code, raw);
        } else if let Some(error) = self.choice.error.filter(|error| is_truthy(error)) {
            reply.note_finish(self.choice.finish_reason);
            let error = read_error_value(error);
            let message = error.message.unwrap_or_default();
            reply.fail(ErrorKind::Upstream, message, error.code, raw);
        }
    }

    /// Delivers the content and writes down the finish reason, unless the reply has ended.
    pub(super) fn deliver<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        if output.reply.is_open() {
            output.reply.note_finish(self.choice.finish_reason);
            if let Some(content) = self.content() {
                output.text(content);
            }
        }
    }

    /// Delivers the content and what stands beside it. Returns the content when there is nothing
    /// else.
    fn deliver_all<S: DeltaSink + ?Sized>(
        &self,
        raw: &str,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let extras = Extras::of_chunk(raw);
        extras.deliver_before(output);
        self.deliver(output);
        extras.deliver_behind(output);
        self.only_content().filter(|_| extras.is_empty())
    }

    /// Delivers the answer of a body that is one chunk, which ends the reply.
    pub(super) fn deliver_whole<S: DeltaSink + ?Sized>(
        &self,
        raw: &str,
        output: &mut Output<'_, S>,
    ) {
        if output.reply.is_open() {
            output.reply.note_finish(self.choice.finish_reason);
            let answer = self.choice.message_content.or_else(|| self.content());
            let answer = answer.filter(|answer| !answer.is_empty());
            let extras = Extras::of_body(raw);
            extras.deliver_before(output);
            if answer.is_none() && extras.is_answer() {
                output.reply.end = End::Done;
            } else {
                let answer = answer.map(|answer| answer.decode_with(output.scratch));
                output.reply.end_with_answer(answer, raw, output.sink);
            }
            extras.deliver_behind(output);
        }
    }

    fn finish_reason(&self) -> Option<Text<'a>> {
        self.choice.finish_reason.filter(|reason| !reason.is_empty())
    }

    fn read_choices(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.has_choices = reader.peek()? != Kind::Null;
        self.choice = first_choice(reader, Choice::read)?.unwrap_or_default();
        Ok(())
    }
}

impl<'a> Choice<'a> {
    /// Reads a choice; `None` when its index is not 0.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut choice = Self::default();
        let mut is_first = true;
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => is_first = read_is_first(reader)?,
                "delta" => (choice.has_delta, choice.delta_content) = read_content(reader)?,
                "message" => (_, choice.message_content) = read_content(reader)?,
                "text" => choice.text = reader.string_or_skip()?,
                "finish_reason" => choice.finish_reason = reader.string_or_skip()?,
                "error" => choice.error = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_first.then_some(choice))
    }
}

/// The `content` of a delta or a message, and whether there is such a thing at all.
fn read_content<'a>(reader: &mut Reader<'a>) -> Result<(bool, Option<Text<'a>>), JsonError> {
    let kind = reader.peek()?;
    let mut content = None;
    reader.object_or_skip(|key, reader| {
        if key == *"content" {
            content = reader.string_or_skip()?;
            return Ok(());
        }
        reader.skip()
    })?;
    Ok((kind != Kind::Null, content))
}

fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    let mut usage = Usage::default();
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "prompt_tokens" => usage.prompt_tokens = read_count(reader)?.unwrap_or(0),
            "completion_tokens" => usage.completion_tokens = read_count(reader)?.unwrap_or(0),
            "total_tokens" => usage.total_tokens = read_count(reader)?.unwrap_or(0),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(usage))
}
