//! The chunks of OpenAI's chat completions, streamed or as one body.
//!
//! One pass over a chunk's JSON takes what is wanted and validates the rest; nothing is copied that
//! has no escapes.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::DeltaSink;
use super::no_answer::{judge_json, read_site_error};
use super::openai_rest::Rest;
use super::reply::{Ids, Reply, Usage};

/// What a chunk holds, as far as it is wanted.
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
}

/// Reads one event. Returns its content when it did nothing but add it.
pub(super) fn read_event<'a, S: DeltaSink + ?Sized>(
    event: &Event<'a>,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Option<Text<'a>> {
    if event.data.trim_ascii() == DONE {
        reply.mark_done();
        return None;
    }
    let Ok(chunk) = Chunk::read(event.data, |_, reader| reader.skip()) else {
        reply.bad_events += 1;
        return None;
    };
    chunk.note(event.data, reply);
    if sink.wants_everything() && reply.is_open() {
        return chunk.deliver_all(event.data, reply, scratch, sink);
    }
    chunk.deliver(reply, scratch, sink);
    chunk.only_content()
}

/// Whether the value of a chunk's key can change what the chunk does; ids, once known, cannot.
pub(super) fn matters(key: Text<'_>) -> bool {
    matches!(&*key.decode(), "choices" | "error" | "usage")
}

/// The data of the event that ends a stream.
pub(super) const DONE: &str = "[DONE]";

/// Reads a body that is one JSON object.
pub(super) fn read_body<S: DeltaSink + ?Sized>(
    body: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Result<(), JsonError> {
    let chunk = Chunk::read(body, |_, reader| reader.skip())?;
    chunk.note(body, reply);
    if chunk.has_choices {
        chunk.deliver_whole(body, reply, scratch, sink);
    } else if reply.is_open() {
        judge_json(body, reply);
    }
    Ok(())
}

impl<'a> Chunk<'a> {
    /// Reads the chunk, and leaves the keys it does not know to `other`.
    pub(super) fn read(
        text: &'a str,
        mut other: impl FnMut(Text<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, JsonError> {
        let mut chunk = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            match &*key.decode() {
                "choices" => chunk.read_choices(reader)?,
                "error" => chunk.error = Some(reader.raw()?),
                "usage" => chunk.usage = read_usage(reader)?,
                name => match Ids::place(name) {
                    Some(place) => chunk.ids[place] = reader.string_or_skip()?,
                    None => other(key, reader)?,
                },
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(chunk)
    }

    /// Whether the chunk names itself.
    pub(super) fn has_id(&self) -> bool {
        let id = Ids::place("id").and_then(|place| self.ids[place]);
        id.is_some_and(|id| !id.is_empty())
    }

    /// Whether an error is reported: null, false, zero and empty values are none.
    pub(super) fn has_error(&self) -> bool {
        self.error.is_some_and(is_truthy)
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

    /// Writes down ids and usage, and an error, which ends the reply.
    pub(super) fn note(&self, raw: &str, reply: &mut Reply) {
        for (place, id) in self.ids.iter().enumerate() {
            if let Some(id) = id
                && !reply.ids.is_known(place)
            {
                reply.ids.set(place, &id.decode());
            }
        }
        if self.usage.is_some() {
            reply.usage = self.usage;
        }
        if self.has_error() {
            let error = read_site_error(raw).unwrap_or_default();
            reply.fail(ErrorKind::Upstream, error.message.unwrap_or_default(), error.code, raw);
        }
    }

    /// Delivers the content and writes down the finish reason, unless the reply has ended.
    pub(super) fn deliver<S: DeltaSink + ?Sized>(
        &self,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) {
        if reply.is_open() {
            self.finish(reply);
            if let Some(content) = self.content() {
                reply.deliver(content.decode_with(scratch), sink);
            }
        }
    }

    /// The same, with what stands beside the content. Returns the content when there is nothing
    /// else.
    fn deliver_all<S: DeltaSink + ?Sized>(
        &self,
        raw: &str,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> Option<Text<'a>> {
        let rest = Rest::read(raw, false).unwrap_or_default();
        rest.deliver_before(sink);
        self.deliver(reply, scratch, sink);
        rest.deliver_behind(sink);
        self.only_content().filter(|_| rest.is_empty())
    }

    /// Delivers the answer of a body that is one chunk, which ends the reply.
    pub(super) fn deliver_whole<S: DeltaSink + ?Sized>(
        &self,
        raw: &str,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) {
        if reply.is_open() {
            self.finish(reply);
            let answer = self
                .choice
                .message_content
                .or_else(|| self.content())
                .filter(|answer| !answer.is_empty());
            let rest = Rest::read(raw, true).unwrap_or_default();
            rest.deliver_before(sink);
            if answer.is_none() && rest.is_answer() {
                reply.end = super::End::Done;
            } else {
                end_with_answer(answer.map(|answer| answer.decode_with(scratch)), raw, reply, sink);
            }
            rest.deliver_behind(sink);
        }
    }

    fn finish_reason(&self) -> Option<Text<'a>> {
        self.choice.finish_reason.filter(|reason| !reason.is_empty())
    }

    fn finish(&self, reply: &mut Reply) {
        if let Some(reason) = self.finish_reason() {
            reply.finish_reason = Some(reason.decode().into());
        }
    }

    fn read_choices(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        let kind = reader.peek()?;
        self.choice = Choice::default();
        self.has_choices = kind != Kind::Null;
        if kind != Kind::Array {
            return reader.skip();
        }
        let mut found = false;
        reader.array(|reader| {
            if found || reader.peek()? != Kind::Object {
                return reader.skip();
            }
            let (choice, is_first) = Choice::read(reader)?;
            if is_first {
                found = true;
                self.choice = choice;
            }
            Ok(())
        })
    }
}

impl<'a> Choice<'a> {
    /// Reads a choice, and whether its index is 0.
    fn read(reader: &mut Reader<'a>) -> Result<(Self, bool), JsonError> {
        let mut choice = Self::default();
        let mut is_first = true;
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => is_first = read_index(reader)?,
                "delta" => (choice.has_delta, choice.delta_content) = read_content(reader)?,
                "message" => (_, choice.message_content) = read_content(reader)?,
                "text" => choice.text = reader.string_or_skip()?,
                "finish_reason" => choice.finish_reason = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok((choice, is_first))
    }
}

/// Ends a reply that was read whole with its answer; one that is missing or empty is an error.
pub(super) fn end_with_answer<S: DeltaSink + ?Sized>(
    answer: Option<&str>,
    raw: &str,
    reply: &mut Reply,
    sink: &mut S,
) {
    match answer.filter(|answer| !answer.is_empty()) {
        Some(answer) => {
            reply.deliver(answer, sink);
            reply.end = super::End::Done;
        }
        None => reply.fail_without_answer(raw),
    }
}

/// Zero however it is written, or null.
pub(super) fn read_index(reader: &mut Reader<'_>) -> Result<bool, JsonError> {
    match reader.peek()? {
        Kind::Number => reader.number().map(is_zero),
        kind => reader.skip().map(|()| kind == Kind::Null),
    }
}

/// The `content` of a delta or a message, and whether there is such a thing at all.
fn read_content<'a>(reader: &mut Reader<'a>) -> Result<(bool, Option<Text<'a>>), JsonError> {
    let kind = reader.peek()?;
    if kind != Kind::Object {
        reader.skip()?;
        return Ok((kind != Kind::Null, None));
    }
    let mut content = None;
    reader.object(|key, reader| {
        if key == *"content" {
            content = reader.string_or_skip()?;
            return Ok(());
        }
        reader.skip()
    })?;
    Ok((true, content))
}

fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    let mut usage = Usage::default();
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "prompt_tokens" => usage.prompt_tokens = read_count(reader)?,
            "completion_tokens" => usage.completion_tokens = read_count(reader)?,
            "total_tokens" => usage.total_tokens = read_count(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(usage))
}

fn read_count(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    match reader.peek()? {
        Kind::Number => reader.number().map(|number| number.parse().unwrap_or(0)),
        _ => reader.skip().map(|()| 0),
    }
}

/// Whether a value, as it is written, means something: null, false, zero, `""`, `[]` and `{}` do
/// not.
pub(super) fn is_truthy(raw: &str) -> bool {
    match raw.as_bytes() {
        [b'n' | b'f', ..] | [b'"', b'"'] => false,
        [b't' | b'"', ..] => true,
        [b'{' | b'[', inner @ .., _] => !inner.iter().all(u8::is_ascii_whitespace),
        _ => !is_zero(raw),
    }
}

/// Zero however it is written: `0`, `-0`, `0.0`, `0e3`.
fn is_zero(number: &str) -> bool {
    number.parse::<f64>() == Ok(0.0)
}
