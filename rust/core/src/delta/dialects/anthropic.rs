//! Anthropic's messages: named events, each of which says its name in its data too, or one JSON
//! body.
//!
//! An answer is a list of blocks. Of the blocks that are text, thinking or a call of one of the
//! caller's tools each piece is delivered. Blocks of other types (citations, signatures, tools that
//! run at the service) are passed over, and so are events of types that are not known here.

use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json};
use super::super::fields::{is_truthy, read_count, read_truthy};
use super::super::reply::{ReplyState, Usage};
use super::super::tool_call::{Arguments, CallPiece};
use super::{DeltaSink, DialectReader, Members, Output};

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct Anthropic {
    counts: Counts,
    /// The open block, when it is a call of a tool that runs at the service.
    passed_over: Option<u64>,
}

impl DialectReader for Anthropic {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let Ok(message) = Message::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        let kind = message.kind.map_or(event.kind().into(), Text::decode);
        match &*kind {
            _ if message.has_error || kind == "error" => {
                fail_upstream(event.data, self, output.reply);
            }
            "content_block_delta" if self.passes_over(&message) => {}
            "content_block_delta" => {
                message.block.deliver(message.index, output);
                // An event that says itself what it is means the same under any name.
                return message.block.text().filter(|_| message.kind.is_some());
            }
            "content_block_start" => {
                let runs_at_the_service = message.block.runs_at_the_service();
                self.passed_over = message.index.filter(|_| runs_at_the_service);
                message.block.deliver(message.index, output);
            }
            "message_start" | "message_delta" => {
                message.metadata.note(&mut self.counts, output.reply);
                output.reply.note_finish(message.block.stop_reason);
            }
            "message_stop" => output.reply.mark_done(),
            "content_block_stop" | "ping" => {}
            _ => output.reply.foreign = true,
        }
        None
    }

    fn owns(members: &Members<'_>) -> bool {
        match &*members.text("type") {
            "message_start" => members.has("message", Kind::Object),
            "content_block_start" => members.has("content_block", Kind::Object),
            "content_block_delta" | "message_delta" => members.has("delta", Kind::Object),
            "content_block_stop" | "message_stop" => true,
            "message" => members.has("content", Kind::Array),
            _ => false,
        }
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "type" | "delta" | "content_block" | "error")
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let message = Message::read(body)?;
        if message.has_error {
            fail_upstream(body, self, output.reply);
            return Ok(());
        }
        let Some(blocks) = message.content else {
            judge_json(body, output.reply);
            return Ok(());
        };
        message.metadata.note(&mut self.counts, output.reply);
        let mut answered = false;
        for (block, index) in blocks.iter().zip(0..) {
            answered |= block.deliver(Some(index), output);
        }
        output.reply.end_whole(answered, body);
        Ok(())
    }

    /// An event says itself what it is.
    fn can_repeat(&self, _: Option<&str>) -> bool {
        true
    }
}

impl ReadSiteError for Anthropic {
    /// Errors have no code but their type.
    fn error_code(&self, error: SiteError, _: &str) -> Option<String> {
        error.code.or(error.kind)
    }
}

impl Anthropic {
    fn passes_over(&self, message: &Message<'_>) -> bool {
        self.passed_over.is_some()
            && self.passed_over == message.index
            && message.block.is(&["input_json_delta"])
    }
}

/// The fields of an event or a body that are read.
#[derive(Default)]
struct Message<'a> {
    kind: Option<Text<'a>>,
    has_error: bool,
    index: Option<u64>,
    /// The block that begins, or what is added to it, or to the message.
    block: Block<'a>,
    metadata: Metadata<'a>,
    content: Option<Vec<Block<'a>>>,
}

impl<'a> Message<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut message = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "type" => message.kind = reader.string_or_skip()?,
                "error" => message.has_error = read_truthy(reader)?,
                "index" => message.index = read_count(reader)?,
                "delta" | "content_block" => message.block = Block::read(reader)?,
                "message" => message.metadata.read_message(reader)?,
                "content" => message.content = reader.list_or_skip(Block::read)?,
                name => message.metadata.read_key(name, reader)?,
            }
            Ok(())
        })?;
        Ok(message)
    }
}

/// A block of the answer, or a piece of one.
#[derive(Default)]
struct Block<'a> {
    kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    json: Option<Text<'a>>,
    input: Option<&'a str>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
}

impl<'a> Block<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut block = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "type" => block.kind = reader.string_or_skip()?,
                "text" => block.text = reader.string_or_skip()?,
                "thinking" => block.thinking = reader.string_or_skip()?,
                "partial_json" => block.json = reader.string_or_skip()?,
                "input" => block.input = Some(reader.raw()?),
                "id" => block.id = reader.string_or_skip()?,
                "name" => block.name = reader.string_or_skip()?,
                "stop_reason" => block.stop_reason = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(block)
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

    fn thinking(&self) -> Option<Text<'a>> {
        self.thinking.filter(|text| !text.is_empty() && self.is(&["thinking_delta", "thinking"]))
    }

    /// Delivers the block. False when it does not answer: reasoning alone does not.
    fn deliver<S: DeltaSink + ?Sized>(
        &self,
        index: Option<u64>,
        output: &mut Output<'_, S>,
    ) -> bool {
        if let Some(text) = self.text() {
            output.text(text);
            return true;
        }
        if let Some(thinking) = self.thinking() {
            output.reasoning(thinking);
        }
        self.call(index).inspect(|call| output.tool_call(call)).is_some()
    }

    /// The call, or the piece of one, that the block is. A stream's call begins with an empty
    /// input.
    fn call(&self, index: Option<u64>) -> Option<CallPiece<'a>> {
        if self.is(&["input_json_delta"]) {
            let json = self.json.filter(|json| !json.is_empty())?;
            let arguments = Arguments::Text(json);
            return Some(CallPiece { index, arguments, ..CallPiece::default() });
        }
        let input = self.input.filter(|input| is_truthy(input));
        let arguments = input.map_or(Arguments::None, Arguments::Raw);
        self.is(&["tool_use"]).then_some(CallPiece {
            index,
            id: self.id,
            name: self.name,
            arguments,
        })
    }
}

/// A message's fields but its content.
#[derive(Default)]
struct Metadata<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
    counts: Option<Counts>,
}

impl<'a> Metadata<'a> {
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

    /// Writes the fields down; `counts` are those so far.
    fn note(&self, counts: &mut Counts, reply: &mut ReplyState) {
        reply.note_ids(self.id, self.model);
        reply.note_finish(self.stop_reason);
        if let Some(newer) = self.counts {
            counts.update(newer);
            reply.note_usage(Some(counts.usage()));
        }
    }
}

/// Tokens as the service counts them: a later count replaces an earlier one, field by field.
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
                "input_tokens" => counts.input = read_count(reader)?,
                "cache_creation_input_tokens" => counts.cache_creation = read_count(reader)?,
                "cache_read_input_tokens" => counts.cache_read = read_count(reader)?,
                "output_tokens" => counts.output = read_count(reader)?,
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

    /// The usage as other APIs count it: here the request's tokens are counted apart by what became
    /// of them in the cache.
    fn usage(self) -> Usage {
        let parts = [self.input, self.cache_creation, self.cache_read];
        let input = parts.into_iter().flatten().fold(0, u64::saturating_add);
        Usage::of(input, self.output.unwrap_or(0))
    }
}
