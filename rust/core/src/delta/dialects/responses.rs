//! OpenAI's Responses: named events, each of which says its name in its data too, or one JSON body.
//!
//! Delivered is what a client is to see or to do: text, refusals, reasoning and its summaries,
//! calls of the caller's own tools. Events about tools that run at the service are passed over, and
//! so are events that are not known here.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json};
use super::super::fields::{read_count, read_filled, read_truthy};
use super::super::reply::{ReplyState, Usage};
use super::super::tool_call::{Arguments, CallPiece};
use super::{DeltaSink, DialectReader, Members, Output};

/// Reads the events of one reply; each stands for itself.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct OpenAiResponses;

impl DialectReader for OpenAiResponses {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let Ok(data) = EventData::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        let kind = data.kind.map_or(event.kind().into(), Text::decode);
        match &*kind {
            _ if data.has_error || kind == "error" => {
                fail_upstream(event.data, self, output.reply);
            }
            "response.output_text.delta" => {
                output.text(data.delta?);
                // An event that says itself what it is means the same under any name.
                return data.delta.filter(|_| data.kind.is_some());
            }
            "response.created" => data.response.note(output.reply),
            "response.completed" | "response.incomplete" => {
                data.response.note(output.reply);
                output.reply.note_finish(data.response.finish_reason());
                output.reply.mark_done();
            }
            "response.failed" | "response.cancelled" => {
                data.response.note(output.reply);
                self.fail(&data.response, data.response_text, output.reply);
            }
            _ => {
                output.reply.foreign = !kind.starts_with("response.");
                data.deliver_extras(&kind, output);
            }
        }
        None
    }

    fn owns(members: &Members<'_>) -> bool {
        members.text("type").starts_with("response.")
            || (members.text("object") == "response" && members.has("output", Kind::Array))
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "type" | "delta" | "error" | "response" | "item")
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let mut reader = Reader::new(body);
        let mut items = None;
        let response = Response::read(&mut reader, |reader| {
            items = reader.list_or_skip(Item::read)?;
            Ok(())
        })?;
        reader.end()?;
        response.note(output.reply);
        if response.has_error || response.has_failed() {
            self.fail(&response, body, output.reply);
            return Ok(());
        }
        let Some(items) = items else {
            judge_json(body, output.reply);
            return Ok(());
        };
        output.reply.note_finish(response.finish_reason());
        let mut answered = false;
        for (item, index) in items.iter().zip(0..) {
            answered |= item.deliver(index, output);
        }
        output.reply.end_whole(answered, body);
        Ok(())
    }

    /// An event says itself what it is.
    fn can_repeat(&self, _: Option<&str>) -> bool {
        true
    }

    /// Events are numbered.
    fn number_matters(&self) -> bool {
        false
    }
}

impl ReadSiteError for OpenAiResponses {
    /// Some errors have no code but their type.
    fn error_code(&self, error: SiteError, _: &str) -> Option<String> {
        error.code.or(error.kind)
    }
}

impl OpenAiResponses {
    fn fail(&self, response: &Response<'_>, raw: &str, reply: &mut ReplyState) {
        match response.status {
            Some(status) if !response.has_error => {
                let status = status.decode().into_owned();
                let message = format!("the response is {status}");
                reply.fail(ErrorKind::Upstream, message, Some(status), raw);
            }
            _ => fail_upstream(raw, self, reply),
        }
    }
}

/// The fields of an event that are read.
#[derive(Default)]
struct EventData<'a> {
    kind: Option<Text<'a>>,
    has_error: bool,
    delta: Option<Text<'a>>,
    output_index: Option<u64>,
    item: Item<'a>,
    response: Response<'a>,
    /// The response, as written.
    response_text: &'a str,
}

impl<'a> EventData<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut data = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "type" => data.kind = reader.string_or_skip()?,
                "error" => data.has_error = read_truthy(reader)?,
                "delta" => data.delta = read_filled(reader)?,
                "output_index" => data.output_index = read_count(reader)?,
                "item" => data.item = Item::read(reader)?,
                "response" if reader.peek()? == Kind::Object => {
                    let mut ahead = reader.clone();
                    data.response = Response::read(reader, Reader::skip)?;
                    data.response_text = ahead.raw()?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(data)
    }

    /// Delivers what an event of this type adds beside text.
    fn deliver_extras<S: DeltaSink + ?Sized>(&self, kind: &str, output: &mut Output<'_, S>) {
        let index = self.output_index;
        match (kind, self.delta) {
            ("response.output_item.added", _) => {
                if let Some(call) = self.item.call(index) {
                    // Its arguments come with the events that follow.
                    output.tool_call(&CallPiece { arguments: Arguments::None, ..call });
                }
            }
            ("response.refusal.delta", Some(delta)) => output.refusal(delta),
            (
                "response.reasoning_text.delta" | "response.reasoning_summary_text.delta",
                Some(delta),
            ) => output.reasoning(delta),
            (
                "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta",
                Some(delta),
            ) => {
                let arguments = Arguments::Text(delta);
                output.tool_call(&CallPiece { index, arguments, ..CallPiece::default() });
            }
            _ => {}
        }
    }
}

/// A response's fields but its output.
#[derive(Default)]
struct Response<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    status: Option<Text<'a>>,
    incomplete_reason: Option<Text<'a>>,
    usage: Option<Usage>,
    has_error: bool,
}

impl<'a> Response<'a> {
    /// Reads the response, and leaves its output to `output`.
    fn read(
        reader: &mut Reader<'a>,
        mut output: impl FnMut(&mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, JsonError> {
        let mut response = Self::default();
        reader.object(|key, reader| {
            match &*key.decode() {
                "id" => response.id = reader.string_or_skip()?,
                "model" => response.model = reader.string_or_skip()?,
                "status" => response.status = reader.string_or_skip()?,
                "incomplete_details" => response.incomplete_reason = read_reason(reader)?,
                "usage" => response.usage = read_usage(reader)?,
                "error" => response.has_error = read_truthy(reader)?,
                "output" => output(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(response)
    }

    fn note(&self, reply: &mut ReplyState) {
        reply.note_ids(self.id, self.model);
        reply.note_usage(self.usage);
    }

    /// Why the response is incomplete, or else its status: the API has no finish reason.
    fn finish_reason(&self) -> Option<Text<'a>> {
        self.incomplete_reason.filter(|reason| !reason.is_empty()).or(self.status)
    }

    fn has_failed(&self) -> bool {
        self.status.is_some_and(|status| status == *"failed" || status == *"cancelled")
    }
}

/// An item of the output: a message, reasoning, or a call of a tool.
#[derive(Default)]
struct Item<'a> {
    kind: Option<Text<'a>>,
    call: CallPiece<'a>,
    content: Vec<Part<'a>>,
    summary: Vec<Part<'a>>,
}

impl<'a> Item<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut item = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "type" => item.kind = reader.string_or_skip()?,
                "call_id" => item.call.id = reader.string_or_skip()?,
                "name" => item.call.name = reader.string_or_skip()?,
                "arguments" | "input" => item.call.arguments = Arguments::read(reader)?,
                "content" => item.content = read_parts(reader)?,
                "summary" => item.summary = read_parts(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(item)
    }

    fn call(&self, index: Option<u64>) -> Option<CallPiece<'a>> {
        let is_call =
            self.kind.is_some_and(|kind| kind == *"function_call" || kind == *"custom_tool_call");
        is_call.then_some(CallPiece { index, ..self.call })
    }

    /// Delivers the item. False when it does not answer: reasoning alone does not.
    fn deliver<S: DeltaSink + ?Sized>(&self, index: u64, output: &mut Output<'_, S>) -> bool {
        let call = self.call(Some(index));
        if let Some(call) = &call {
            output.tool_call(call);
        }
        let mut answered = call.is_some();
        for part in self.summary.iter().chain(&self.content) {
            answered |= part.deliver(output);
        }
        answered
    }
}

/// A part of a message, of reasoning or of its summary.
#[derive(Default)]
struct Part<'a> {
    kind: Option<Text<'a>>,
    text: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "type" => part.kind = reader.string_or_skip()?,
                "text" => part.text = read_filled(reader)?,
                "refusal" => part.refusal = read_filled(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }

    /// Delivers the part. False when it does not answer: reasoning alone does not.
    fn deliver<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) -> bool {
        let kind = self.kind.map(Text::decode);
        match (kind.as_deref(), self.text, self.refusal) {
            (Some("output_text"), Some(text), _) => {
                output.text(text);
                true
            }
            (Some("refusal"), _, Some(refusal)) => {
                output.refusal(refusal);
                true
            }
            (Some("reasoning_text" | "summary_text"), Some(text), _) => {
                output.reasoning(text);
                false
            }
            _ => false,
        }
    }
}

fn read_parts<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    reader.list_or_skip(Part::read).map(Option::unwrap_or_default)
}

fn read_reason<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, JsonError> {
    let mut reason = None;
    reader.object_or_skip(|key, reader| {
        if key == *"reason" {
            reason = reader.string_or_skip()?;
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(reason)
}

fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    let [mut input, mut output, mut total] = [None; 3];
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "input_tokens" => input = read_count(reader)?,
            "output_tokens" => output = read_count(reader)?,
            "total_tokens" => total = read_count(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let usage = Usage::of(input.unwrap_or(0), output.unwrap_or(0));
    Ok(is_object.then_some(usage.with_total(total)))
}
