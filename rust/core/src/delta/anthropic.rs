//! Anthropic's messages: named events, each of which says its name in its data too, or one JSON
//! body.
//!
//! An answer is a list of blocks. Of the blocks that are text, thinking or a call of one of the
//! caller's tools each piece is delivered; those of other types (citations, signatures, tools that
//! run at the service) are passed over, and so are events of types that are not known here.

use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::call::{Arguments, Call, read_whole};
use super::no_answer::{fail_upstream, judge_bad_event, judge_json};
use super::openai::{DONE, is_truthy};
use super::reply::{End, Reply, Usage};
use super::{DeltaSink, Dialect};

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(super) struct Anthropic {
    counts: Counts,
    /// The open block, when it is a call of a tool that runs at the service.
    passed_over: Option<u64>,
}

impl Anthropic {
    /// Reads one event. Returns its content when it did nothing but add it.
    pub(super) fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> Option<Text<'a>> {
        if event.data.trim_ascii() == DONE {
            reply.mark_done();
            return None;
        }
        let Ok(frame) = Frame::read(event.data) else {
            judge_bad_event(event, reply);
            return None;
        };
        let kind = frame.kind.map_or(event.kind().into(), Text::decode);
        match &*kind {
            _ if frame.has_error || kind == "error" => {
                fail_upstream(event.data, Dialect::Anthropic, reply);
            }
            "content_block_delta" if self.passes_over(&frame) => {}
            "content_block_delta" => {
                frame.part.deliver(frame.index, reply, scratch, sink);
                // An event that says itself what it is means the same under any name.
                return frame.part.text().filter(|_| frame.kind.is_some());
            }
            "content_block_start" => {
                self.passed_over = frame.index.filter(|_| frame.part.runs_at_the_service());
                frame.part.deliver(frame.index, reply, scratch, sink);
            }
            "message_start" | "message_delta" => {
                frame.about.note(&mut self.counts, reply);
                reply.note_finish(frame.part.stop_reason);
            }
            "message_stop" => reply.mark_done(),
            _ => {}
        }
        None
    }

    fn passes_over(&self, frame: &Frame<'_>) -> bool {
        self.passed_over.is_some()
            && self.passed_over == frame.index
            && frame.part.is(&["input_json_delta"])
    }
}

/// Whether the value of an event's key can change what the event does.
pub(super) fn matters(key: Text<'_>) -> bool {
    matches!(&*key.decode(), "type" | "delta" | "content_block" | "error")
}

/// Reads a body that is one JSON object.
pub(super) fn read_body<S: DeltaSink + ?Sized>(
    body: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Result<(), JsonError> {
    let frame = Frame::read(body)?;
    if frame.has_error {
        fail_upstream(body, Dialect::Anthropic, reply);
        return Ok(());
    }
    let Some(content) = frame.content else {
        judge_json(body, reply);
        return Ok(());
    };
    frame.about.note(&mut Counts::default(), reply);
    let mut answered = false;
    for (part, index) in content.iter().zip(0..) {
        answered |= part.deliver(Some(index), reply, scratch, sink);
    }
    if answered {
        reply.end = End::Done;
    } else {
        reply.fail_without_answer(body);
    }
    Ok(())
}

/// What an event or a body holds, as far as it is wanted.
#[derive(Default)]
struct Frame<'a> {
    kind: Option<Text<'a>>,
    has_error: bool,
    index: Option<u64>,
    /// The block that begins, or what is added to it, or to the message.
    part: Part<'a>,
    about: About<'a>,
    content: Option<Vec<Part<'a>>>,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            match &*key.decode() {
                "type" => frame.kind = reader.string_or_skip()?,
                "error" => frame.has_error = is_truthy(reader.raw()?),
                "index" => frame.index = read_whole(reader)?,
                "delta" | "content_block" => frame.part = Part::read(reader)?,
                "message" => frame.about.read_message(reader)?,
                "content" => frame.content = read_content(reader)?,
                name => frame.about.read_key(name, reader)?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(frame)
    }
}

/// A block of the answer, or a piece of one.
#[derive(Default)]
struct Part<'a> {
    kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    json: Option<Text<'a>>,
    input: Option<&'a str>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "type" => part.kind = reader.string_or_skip()?,
                "text" => part.text = reader.string_or_skip()?,
                "thinking" => part.thinking = reader.string_or_skip()?,
                "partial_json" => part.json = reader.string_or_skip()?,
                "input" => part.input = Some(reader.raw()?),
                "id" => part.id = reader.string_or_skip()?,
                "name" => part.name = reader.string_or_skip()?,
                "stop_reason" => part.stop_reason = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }

    fn is(&self, kinds: &[&str]) -> bool {
        self.kind.is_some_and(|kind| kinds.contains(&&*kind.decode()))
    }

    fn runs_at_the_service(&self) -> bool {
        self.is(&["server_tool_use", "mcp_tool_use"])
    }

    fn text(&self) -> Option<Text<'a>> {
        self.text.filter(|text| !text.is_empty() && self.is(&["text_delta", "text"]))
    }

    /// Delivers it. False when it was nothing that answers: reasoning alone does not.
    fn deliver<S: DeltaSink + ?Sized>(
        &self,
        index: Option<u64>,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> bool {
        if let Some(text) = self.text() {
            reply.deliver(text.decode_with(scratch), sink);
            return true;
        }
        let call = self.call(index);
        if !sink.wants_everything() {
            return call.is_some();
        }
        if let Some(thinking) = self.thinking.filter(|text| !text.is_empty())
            && self.is(&["thinking_delta", "thinking"])
        {
            sink.reasoning(thinking.decode_with(scratch));
        }
        call.inspect(|call| call.deliver(sink)).is_some()
    }

    /// A stream's call begins with an empty input.
    fn call(&self, index: Option<u64>) -> Option<Call<'a>> {
        if self.is(&["input_json_delta"]) {
            let json = self.json.filter(|json| !json.is_empty())?;
            return Some(Call { index, arguments: Arguments::Text(json), ..Call::default() });
        }
        let input = self.input.filter(|input| is_truthy(input));
        let arguments = input.map_or(Arguments::None, Arguments::Raw);
        self.is(&["tool_use"]).then_some(Call { index, id: self.id, name: self.name, arguments })
    }
}

/// Reads the blocks of a body; `None` when there is no such list.
fn read_content<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<Part<'a>>>, JsonError> {
    if reader.peek()? != Kind::Array {
        return reader.skip().map(|()| None);
    }
    let mut content = Vec::new();
    reader.array(|reader| {
        content.push(Part::read(reader)?);
        Ok(())
    })?;
    Ok(Some(content))
}

/// What a message tells of itself.
#[derive(Default)]
struct About<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
    counts: Option<Counts>,
}

impl<'a> About<'a> {
    fn read_message(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        reader.object_or_skip(|key, reader| self.read_key(&key.decode(), reader)).map(drop)
    }

    fn read_key(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        match key {
            "id" => self.id = reader.string_or_skip()?,
            "model" => self.model = reader.string_or_skip()?,
            "stop_reason" => self.stop_reason = reader.string_or_skip()?,
            "usage" => self.counts = Counts::read(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn note(&self, counts: &mut Counts, reply: &mut Reply) {
        reply.note_ids(self.id, self.model);
        reply.note_finish(self.stop_reason);
        if let Some(newer) = self.counts {
            counts.update(newer);
            reply.usage = Some(counts.usage());
        }
    }
}

/// Tokens as the service counts them: what comes later replaces what came before, field by field.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    input: Option<u64>,
    cache_creation: Option<u64>,
    cache_read: Option<u64>,
    output: Option<u64>,
}

impl Counts {
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, JsonError> {
        let mut counts = Self::default();
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "input_tokens" => counts.input = read_whole(reader)?,
                "cache_creation_input_tokens" => counts.cache_creation = read_whole(reader)?,
                "cache_read_input_tokens" => counts.cache_read = read_whole(reader)?,
                "output_tokens" => counts.output = read_whole(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_object.then_some(counts))
    }

    fn update(&mut self, newer: Self) {
        self.input = newer.input.or(self.input);
        self.cache_creation = newer.cache_creation.or(self.cache_creation);
        self.cache_read = newer.cache_read.or(self.cache_read);
        self.output = newer.output.or(self.output);
    }

    /// The request's tokens are counted apart by what became of them in the cache.
    fn usage(self) -> Usage {
        let parts = [self.input, self.cache_creation, self.cache_read];
        Usage::of(
            parts.into_iter().flatten().fold(0, u64::saturating_add),
            self.output.unwrap_or(0),
        )
    }
}
