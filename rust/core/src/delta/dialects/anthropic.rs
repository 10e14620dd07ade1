//! Anthropic's messages: named events, each of which says its name in its data too, or one JSON
//! body.
//!
//! An answer is a list of blocks. Of the blocks that are text, thinking or a call of one of the
//! caller's tools each piece is delivered; signatures of thinking are collected. Citations, and blocks
//! of other types (tools that run at the service), are counted, and so are events of types that are
//! not known here.

use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::collected::Sealed;
use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json};
use super::super::fields::{is_truthy, read_count, read_length, read_truthy};
use super::super::held_calls::HeldCalls;
use super::super::passed_over::{Teller, Unspoken, of_type};
use super::super::reply::ReplyState;
use super::super::tool_call::{Arguments, CallPiece};
use super::super::usage::{self, Usage, later_count};
use super::{Added, AddedKind, DeltaSink, DialectReader, Members, Output};

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct Anthropic {
    counts: Counts,
    /// The open block, when its type is none of those that are delivered.
    passed_over: Option<PassedOver>,
    /// Calls that began with an input: it is empty where deltas bring it.
    held: HeldCalls,
    /// The blocks, as written, that the message began with, while no block has come otherwise.
    began_with: Option<Box<str>>,
}

/// A block of which nothing is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PassedOver {
    index: Option<u64>,
}

impl DialectReader for Anthropic {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let Ok(message) = Message::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        let kind = message.kind.map_or(event.kind().into(), Text::decode);
        match &*kind {
            _ if message.has_error || kind == "error" => {
                self.release(output);
                fail_upstream(event.data, self, output.reply);
            }
            "content_block_delta" if self.passes_over(&message) => {}
            "content_block_delta" => {
                self.began_with = None;
                message.block.pass_over_delta(output);
                message.block.deliver(message.index, &mut self.held, output);
                return message.added();
            }
            "content_block_start" => {
                self.began_with = None;
                self.begin_block(&message, output);
            }
            "content_block_stop" => self.held.deliver(message.index, true, output),
            "message_start" | "message_delta" => {
                message.metadata.note(&mut self.counts, output.reply);
                output.reply.note_finish(message.block.stop_reason);
                if let Some(content) = message.metadata.content.filter(|raw| is_truthy(raw)) {
                    self.began_with = Some(content.into());
                    output.reply.is_another_part = true;
                }
            }
            "message_stop" => {
                self.release(output);
                output.reply.mark_done();
            }
            "message" if message.kind.is_some() => self.read_whole(&message, output),
            "completion" => {
                output.reply.note_finish(message.metadata.stop_reason);
                output.say(Spoken::Text, message.completion);
            }
            "ping" => {}
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
        matches!(key, "type" | "delta" | "content_block" | "error" | "index")
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
        if message.metadata.content.is_none() && !message.completion.is_filled() {
            judge_json(body, output.reply);
            return Ok(());
        }
        output.say(Spoken::Text, message.completion);
        self.read_whole(&message, output);
        let answered = output.has_answered();
        output.reply.end_whole(answered, body);
        Ok(())
    }

    fn release<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
        self.held.release(output);
        if let Some(content) = self.began_with.take() {
            deliver_blocks(&content, output);
        }
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
        self.passed_over == Some(PassedOver { index: message.index })
            && !message.block.text().is_filled()
            && !message.block.is(&["thinking_delta", "citations_delta"])
    }

    fn begin_block<S: DeltaSink + ?Sized>(
        &mut self,
        message: &Message<'_>,
        output: &mut Output<'_, S>,
    ) {
        let index = message.index;
        // What deltas do depends on the block.
        output.reply.is_another_part = true;
        self.passed_over = message.block.is_unspoken().then_some(PassedOver { index });
        message.block.pass_over(Teller::Piece, output);
        // A block of this index that nothing has ended ends here.
        self.held.deliver(message.index, true, output);
        match message.block.whole_call(message.index) {
            Some(call) => self.held.hold(&call, output),
            None => message.block.deliver(message.index, &mut self.held, output),
        }
    }

    /// Takes a message that comes at once, whose blocks count where none came before.
    fn read_whole<S: DeltaSink + ?Sized>(
        &mut self,
        message: &Message<'_>,
        output: &mut Output<'_, S>,
    ) {
        message.metadata.note(&mut self.counts, output.reply);
        if let Some(content) = message.metadata.content
            && !output.has_answered()
            && !output.reply.told.reasoning
        {
            deliver_blocks(content, output);
        }
    }
}

/// Delivers the blocks of a message, or the text that stands in their place.
fn deliver_blocks<S: DeltaSink + ?Sized>(content: &str, output: &mut Output<'_, S>) {
    // The list is valid: it was read before.
    let _ = read_blocks(&mut Reader::new(content), output);
}

fn read_blocks<S: DeltaSink + ?Sized>(
    reader: &mut Reader<'_>,
    output: &mut Output<'_, S>,
) -> Result<(), JsonError> {
    if reader.peek()? != Kind::Array {
        return Content::read(reader).map(|content| output.say(Spoken::Text, content));
    }
    let mut index = 0;
    reader.array(|reader| {
        let block = Block::read(reader)?;
        block.pass_over(Teller::Item, output);
        match block.whole_call(Some(index)) {
            Some(call) => output.tool_call(&call),
            None => block.deliver(Some(index), &mut HeldCalls::default(), output),
        }
        index += 1;
        Ok(())
    })
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
    /// The text of the API's older way.
    completion: Content<'a>,
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
                "completion" => message.completion = Content::read(reader)?,
                name => message.metadata.read_key(name, reader)?,
            }
            Ok(())
        })?;
        Ok(message)
    }

    /// What a delta adds that does nothing else. An event that says itself what it is means the
    /// same under any name.
    fn added(&self) -> Option<Added<'a>> {
        let block = &self.block;
        let text = block.text();
        let is_signed = block.signature.is_some_and(|signature| !signature.is_empty());
        if self.kind.is_none() || block.citations > 0 {
            None
        } else if text.is_filled() {
            Added::spoken(Spoken::Text, text)
        } else if block.is(&["thinking_delta"]) && !is_signed {
            Added::spoken(Spoken::Reasoning, block.thinking)
        } else if block.is(&["input_json_delta"]) {
            Added::of(AddedKind::arguments(self.index, false)?, block.json?)
        } else {
            None
        }
    }
}

/// A block of the answer, or a piece of one.
#[derive(Default)]
struct Block<'a> {
    kind: Option<Text<'a>>,
    text: Content<'a>,
    thinking: Content<'a>,
    /// The signature of thinking, and thinking that is encrypted.
    signature: Option<Text<'a>>,
    data: Option<Text<'a>>,
    json: Option<Text<'a>>,
    input: Arguments<'a>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
    /// How many sources the text has, or the delta tells.
    citations: u64,
}

/// The types of blocks that are delivered, or collected.
const DELIVERED: [&str; 4] = ["text", "thinking", "redacted_thinking", "tool_use"];

/// The types of deltas that are, and that of what citations are counted by.
const DELIVERED_DELTAS: [&str; 5] =
    ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"];

impl<'a> Block<'a> {
    /// Reads a block. What is no object is its text.
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut block = Self::default();
        if reader.peek()? != Kind::Object {
            block.text = Content::read(reader)?;
            return Ok(block);
        }
        reader.object(|key, reader| {
            match &*key.decode() {
                "type" => block.kind = reader.string_or_skip()?,
                "text" => block.text = Content::read(reader)?,
                "thinking" => block.thinking = Content::read_texts(reader)?,
                "signature" => block.signature = reader.string_or_skip()?,
                "data" => block.data = reader.string_or_skip()?,
                "partial_json" => block.json = reader.string_or_skip()?,
                "input" => block.input = Arguments::read(reader)?,
                "id" => block.id = reader.string_or_skip()?,
                "name" => block.name = reader.string_or_skip()?,
                "stop_reason" => block.stop_reason = reader.string_or_skip()?,
                "citations" => block.citations = read_length(reader)?,
                "citation" => block.citations = u64::from(read_truthy(reader)?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(block)
    }

    /// Whether its type is none of a block that is delivered.
    fn is_unspoken(&self) -> bool {
        self.kind.is_some() && !self.is(&DELIVERED) && !self.text().is_filled()
    }

    /// Counts what of a block no delta is made of.
    fn pass_over<S: DeltaSink + ?Sized>(&self, teller: Teller, output: &mut Output<'_, S>) {
        output.pass_over(Unspoken::Citation, self.citations, teller);
        if let Some(kind) = self.kind.filter(|_| self.is_unspoken()) {
            output.pass_over(of_type(&kind.decode()), 1, teller);
        }
    }

    /// Counts what of a piece of a block no delta is made of.
    fn pass_over_delta<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        output.pass_over(Unspoken::Citation, self.citations, Teller::Piece);
        let is_known = self.kind.is_none() || self.is(&DELIVERED) || self.is(&DELIVERED_DELTAS);
        if !is_known && !self.text().is_filled() {
            output.pass_over(Unspoken::Other, 1, Teller::Piece);
        }
    }

    fn is(&self, kinds: &[&str]) -> bool {
        self.kind.is_some_and(|kind| kinds.contains(&&*kind.decode()))
    }

    fn text(&self) -> Content<'a> {
        let is_text = self.kind.is_none() || self.is(&["text_delta", "text"]);
        if is_text { self.text } else { Content::None }
    }

    /// Delivers the block, or the piece of one, unless it begins a call.
    fn deliver<S: DeltaSink + ?Sized>(
        &self,
        index: Option<u64>,
        held: &mut HeldCalls,
        output: &mut Output<'_, S>,
    ) {
        let text = self.text();
        if text.is_filled() {
            return output.say(Spoken::Text, text);
        }
        if self.is(&["thinking_delta", "thinking", "signature_delta"]) {
            output.say(Spoken::Reasoning, self.thinking);
            output.seal(self.signature, Sealed::Signature);
        } else if self.is(&["redacted_thinking"]) {
            output.seal(self.data, Sealed::Redacted);
        } else if self.is(&["input_json_delta"])
            && let Some(json) = self.json.filter(|json| !json.is_empty())
        {
            held.deliver(index, false, output);
            let arguments = Arguments::Text(json);
            output.tool_call(&CallPiece { index, arguments, ..CallPiece::default() });
        }
    }

    /// The call that the block is or begins. A stream's call begins with an empty input, and so
    /// does one without arguments.
    fn whole_call(&self, index: Option<u64>) -> Option<CallPiece<'a>> {
        let arguments = match self.input {
            Arguments::Raw(raw) if !is_truthy(raw) => Arguments::None,
            arguments => arguments,
        };
        let Self { id, name, .. } = *self;
        let call = CallPiece { index, id, name, arguments, ..CallPiece::default() };
        self.is(&["tool_use"]).then_some(call)
    }
}

/// A message's fields.
#[derive(Default)]
struct Metadata<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
    counts: Option<Counts>,
    /// The message's blocks, as written.
    content: Option<&'a str>,
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
            "content" => self.content = Some(reader.raw()?),
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
    thinking: Option<u64>,
}

impl Counts {
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, JsonError> {
        let (mut counts, mut aliased) = (Self::default(), Self::default());
        let is_object = reader.object_or_skip(|key, reader| {
            let count = match &*key.decode() {
                "input_tokens" => &mut counts.input,
                "cache_creation_input_tokens" => &mut counts.cache_creation,
                "cache_read_input_tokens" => &mut counts.cache_read,
                "output_tokens" => &mut counts.output,
                // OpenAI's names.
                "prompt_tokens" => &mut aliased.input,
                "completion_tokens" => &mut aliased.output,
                "output_tokens_details" => {
                    counts.thinking = read_thinking(reader)?;
                    return Ok(());
                }
                _ => return reader.skip(),
            };
            *count = read_count(reader)?;
            Ok(())
        })?;
        counts.update(aliased);
        Ok(is_object.then_some(counts))
    }

    fn update(&mut self, newer: Self) {
        self.input = later_count(self.input, newer.input);
        self.cache_creation = later_count(self.cache_creation, newer.cache_creation);
        self.cache_read = later_count(self.cache_read, newer.cache_read);
        self.output = later_count(self.output, newer.output);
        self.thinking = later_count(self.thinking, newer.thinking);
    }

    /// The usage as other APIs count it: here the request's tokens are counted apart by what became
    /// of them in the cache.
    fn usage(self) -> Usage {
        let parts = [self.input, self.cache_creation, self.cache_read];
        let prompt = parts.into_iter().flatten().fold(0, u64::saturating_add);
        usage::Counts {
            prompt: Some(prompt),
            completion: self.output,
            cached: self.cache_read,
            reasoning: self.thinking,
            ..usage::Counts::default()
        }
        .usage()
    }
}

/// Reads how many of the answer's tokens are thinking.
fn read_thinking(reader: &mut Reader<'_>) -> Result<Option<u64>, JsonError> {
    let mut thinking = None;
    reader.object_or_skip(|key, reader| {
        if key == *"thinking_tokens" {
            thinking = read_count(reader)?;
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(thinking)
}
