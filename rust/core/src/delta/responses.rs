//! OpenAI's Responses: named events, each of which says its name in its data too, or one JSON body.
//!
//! What is delivered is what a client is to see or to do: text, refusals, reasoning and its
//! summaries, calls of the caller's own tools. Events about tools that run at the service and
//! events that are not known here are passed over.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::call::{Arguments, Call, read_whole};
use super::no_answer::{fail_upstream, judge_bad_event, judge_json};
use super::openai::{DONE, is_truthy};
use super::reply::{End, Reply, Usage};
use super::{DeltaSink, Dialect};

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
    let Ok(frame) = Frame::read(event.data) else {
        judge_bad_event(event, reply);
        return None;
    };
    let kind = frame.kind.map_or(event.kind().into(), Text::decode);
    let delta = frame.delta.filter(|delta| !delta.is_empty());
    match &*kind {
        _ if frame.has_error || kind == "error" => {
            fail_upstream(event.data, Dialect::OpenAiResponses, reply);
        }
        "response.output_text.delta" => {
            reply.deliver(delta?.decode_with(scratch), sink);
            // An event that says itself what it is means the same under any name.
            return delta.filter(|_| frame.kind.is_some());
        }
        "response.created" => frame.response.note(reply),
        "response.completed" | "response.incomplete" => {
            frame.response.note(reply);
            reply.note_finish(frame.response.finish_reason());
            reply.mark_done();
        }
        "response.failed" | "response.cancelled" => {
            frame.response.note(reply);
            frame.response.fail(frame.response_text, reply);
        }
        _ if sink.wants_everything() => deliver_rest(&kind, delta, &frame, scratch, sink),
        _ => {}
    }
    None
}

/// Whether the value of an event's key can change what the event does.
pub(super) fn matters(key: Text<'_>) -> bool {
    matches!(&*key.decode(), "type" | "delta" | "error" | "response" | "item")
}

/// Reads a body that is one JSON object.
pub(super) fn read_body<S: DeltaSink + ?Sized>(
    body: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(body);
    let mut output = None;
    let response = Response::read(&mut reader, |reader| {
        output = read_items(reader)?;
        Ok(())
    })?;
    reader.end()?;
    response.note(reply);
    if response.has_error || response.has_failed() {
        response.fail(body, reply);
        return Ok(());
    }
    let Some(output) = output else {
        judge_json(body, reply);
        return Ok(());
    };
    reply.note_finish(response.finish_reason());
    let mut answered = false;
    for (item, index) in output.iter().zip(0..) {
        answered |= item.deliver(index, reply, scratch, sink);
    }
    if answered {
        reply.end = End::Done;
    } else {
        reply.fail_without_answer(body);
    }
    Ok(())
}

fn deliver_rest<S: DeltaSink + ?Sized>(
    kind: &str,
    delta: Option<Text<'_>>,
    frame: &Frame<'_>,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) {
    match (kind, delta) {
        ("response.output_item.added", _) => {
            if let Some(call) = frame.item.call(frame.output_index) {
                // Its arguments come with the events that follow.
                Call { arguments: Arguments::None, ..call }.deliver(sink);
            }
        }
        ("response.refusal.delta", Some(delta)) => sink.refusal(delta.decode_with(scratch)),
        (
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta",
            Some(delta),
        ) => {
            sink.reasoning(delta.decode_with(scratch));
        }
        (
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta",
            Some(delta),
        ) => {
            let arguments = Arguments::Text(delta);
            Call { index: frame.output_index, arguments, ..Call::default() }.deliver(sink);
        }
        _ => {}
    }
}

/// What an event holds, as far as it is wanted.
#[derive(Default)]
struct Frame<'a> {
    kind: Option<Text<'a>>,
    has_error: bool,
    delta: Option<Text<'a>>,
    output_index: Option<u64>,
    item: Item<'a>,
    response: Response<'a>,
    /// The response, as written.
    response_text: &'a str,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            match &*key.decode() {
                "type" => frame.kind = reader.string_or_skip()?,
                "error" => frame.has_error = is_truthy(reader.raw()?),
                "delta" => frame.delta = reader.string_or_skip()?,
                "output_index" => frame.output_index = read_whole(reader)?,
                "item" => frame.item = Item::read(reader)?,
                "response" if reader.peek()? == Kind::Object => {
                    let mut ahead = reader.clone();
                    frame.response = Response::read(reader, Reader::skip)?;
                    frame.response_text = ahead.raw()?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(frame)
    }
}

/// What a response tells of itself.
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
                "error" => response.has_error = is_truthy(reader.raw()?),
                "output" => output(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(response)
    }

    fn note(&self, reply: &mut Reply) {
        reply.note_ids(self.id, self.model);
        reply.usage = self.usage.or(reply.usage);
    }

    /// The API has no finish reason: why a response is incomplete comes nearest, or else its
    /// status.
    fn finish_reason(&self) -> Option<Text<'a>> {
        self.incomplete_reason.filter(|reason| !reason.is_empty()).or(self.status)
    }

    fn has_failed(&self) -> bool {
        self.status.is_some_and(|status| status == *"failed" || status == *"cancelled")
    }

    fn fail(&self, raw: &str, reply: &mut Reply) {
        match self.status {
            Some(status) if !self.has_error => {
                let status = status.decode().into_owned();
                reply.fail(
                    ErrorKind::Upstream,
                    format!("the response is {status}"),
                    Some(status),
                    raw,
                );
            }
            _ => fail_upstream(raw, Dialect::OpenAiResponses, reply),
        }
    }
}

/// A part of the output: a message, reasoning, or a call of a tool.
#[derive(Default)]
struct Item<'a> {
    kind: Option<Text<'a>>,
    call: Call<'a>,
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

    fn call(&self, index: Option<u64>) -> Option<Call<'a>> {
        let is_call =
            self.kind.is_some_and(|kind| kind == *"function_call" || kind == *"custom_tool_call");
        is_call.then_some(Call { index, ..self.call })
    }

    /// Delivers it. False when it was nothing that answers: reasoning alone does not.
    fn deliver<S: DeltaSink + ?Sized>(
        &self,
        index: u64,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> bool {
        let call = self.call(Some(index));
        if let Some(call) = call
            && sink.wants_everything()
        {
            call.deliver(sink);
        }
        let mut answered = call.is_some();
        for part in self.summary.iter().chain(&self.content) {
            answered |= part.deliver(reply, scratch, sink);
        }
        answered
    }
}

fn read_items<'a>(reader: &mut Reader<'a>) -> Result<Option<Vec<Item<'a>>>, JsonError> {
    if reader.peek()? != Kind::Array {
        return reader.skip().map(|()| None);
    }
    let mut items = Vec::new();
    reader.array(|reader| {
        items.push(Item::read(reader)?);
        Ok(())
    })?;
    Ok(Some(items))
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
                "text" => part.text = reader.string_or_skip()?.filter(|text| !text.is_empty()),
                "refusal" => {
                    part.refusal = reader.string_or_skip()?.filter(|text| !text.is_empty());
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }

    fn deliver<S: DeltaSink + ?Sized>(
        &self,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> bool {
        let kind = self.kind.map(Text::decode);
        match (kind.as_deref(), self.text, self.refusal) {
            (Some("output_text"), Some(text), _) => {
                reply.deliver(text.decode_with(scratch), sink);
                true
            }
            (Some("refusal"), _, Some(refusal)) => {
                if sink.wants_everything() {
                    sink.refusal(refusal.decode_with(scratch));
                }
                true
            }
            (Some("reasoning_text" | "summary_text"), Some(text), _) => {
                if sink.wants_everything() {
                    sink.reasoning(text.decode_with(scratch));
                }
                false
            }
            _ => false,
        }
    }
}

fn read_parts<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    let mut parts = Vec::new();
    if reader.peek()? != Kind::Array {
        return reader.skip().map(|()| parts);
    }
    reader.array(|reader| {
        parts.push(Part::read(reader)?);
        Ok(())
    })?;
    Ok(parts)
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
            "input_tokens" => input = read_whole(reader)?,
            "output_tokens" => output = read_whole(reader)?,
            "total_tokens" => total = read_whole(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let usage = Usage::of(input.unwrap_or(0), output.unwrap_or(0));
    Ok(is_object.then_some(Usage { total_tokens: total.unwrap_or(usage.total_tokens), ..usage }))
}
