//! Gemini's `generateContent`: streamed as server-sent events or as one JSON array that comes bit
//! by bit, or one body.
//!
//! Every piece has the same form. Of the candidates the first one with index 0 counts; its parts
//! are text, thoughts (reasoning) and calls of functions, which come whole. No event marks the end
//! but a finish reason.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::call::{Arguments, Call, read_whole};
use super::no_answer::{fail_upstream, judge_json};
use super::openai::{DONE, is_truthy, read_index};
use super::reply::{End, Reply, Usage};
use super::{DeltaSink, Dialect};

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(super) struct Gemini {
    /// Calls so far: the API does not number them.
    calls: u64,
}

impl Gemini {
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
            reply.bad_events += 1;
            return None;
        };
        frame.note(event.data, reply);
        if !reply.is_open() {
            return None;
        }
        self.deliver(&frame.candidate.parts, reply, scratch, sink);
        frame.only_content()
    }

    /// Delivers the parts. False when there was nothing that answers: thoughts alone do not.
    fn deliver<S: DeltaSink + ?Sized>(
        &mut self,
        parts: &[Part<'_>],
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> bool {
        let mut answered = false;
        for part in parts {
            if let Some(call) = part.call {
                let index = Some(self.calls);
                self.calls += 1;
                if sink.wants_everything() {
                    Call { index, ..call }.deliver(sink);
                }
                answered = true;
            }
            match part.text {
                Some(_) if part.is_thought && !sink.wants_everything() => {}
                Some(text) if part.is_thought => sink.reasoning(text.decode_with(scratch)),
                Some(text) => {
                    reply.deliver(text.decode_with(scratch), sink);
                    answered = true;
                }
                None => {}
            }
        }
        answered
    }
}

/// Whether the value of an event's key can change what the event does.
pub(super) fn matters(key: Text<'_>) -> bool {
    matches!(
        &*key.decode(),
        "candidates" | "error" | "usageMetadata" | "promptFeedback" | "responseId" | "modelVersion"
    )
}

/// Reads a body that is one JSON object.
pub(super) fn read_body<S: DeltaSink + ?Sized>(
    body: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Result<(), JsonError> {
    let frame = Frame::read(body)?;
    frame.note(body, reply);
    if !reply.is_open() {
        return Ok(());
    }
    if !frame.has_candidates && frame.usage.is_none() {
        judge_json(body, reply);
    } else if Gemini::default().deliver(&frame.candidate.parts, reply, scratch, sink) {
        reply.end = End::Done;
    } else {
        reply.fail_without_answer(body);
    }
    Ok(())
}

/// What a piece of the reply holds, as far as it is wanted.
#[derive(Default)]
struct Frame<'a> {
    has_error: bool,
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    usage: Option<Usage>,
    block_reason: Option<Text<'a>>,
    block_message: Option<Text<'a>>,
    has_candidates: bool,
    candidate: Candidate<'a>,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            match &*key.decode() {
                "candidates" => frame.read_candidates(reader)?,
                "error" => frame.has_error = is_truthy(reader.raw()?),
                "responseId" => frame.id = reader.string_or_skip()?,
                "modelVersion" => frame.model = reader.string_or_skip()?,
                "usageMetadata" => frame.usage = read_usage(reader)?,
                "promptFeedback" => frame.read_feedback(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(frame)
    }

    fn read_candidates(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.candidate = Candidate::default();
        self.has_candidates = reader.peek()? == Kind::Array;
        if !self.has_candidates {
            return reader.skip();
        }
        let mut found = None;
        reader.array(|reader| {
            if found.is_some() || reader.peek()? != Kind::Object {
                return reader.skip();
            }
            found = Candidate::read(reader)?;
            Ok(())
        })?;
        self.candidate = found.unwrap_or_default();
        Ok(())
    }

    fn read_feedback(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        if reader.peek()? != Kind::Object {
            return reader.skip();
        }
        reader.object(|key, reader| {
            match &*key.decode() {
                "blockReason" => self.block_reason = reader.string_or_skip()?,
                "blockReasonMessage" => self.block_message = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    /// Writes down ids, usage and finish reason, and an error or a blocked prompt, which ends the
    /// reply.
    fn note(&self, raw: &str, reply: &mut Reply) {
        reply.note_ids(self.id, self.model);
        if self.usage.is_some() {
            reply.usage = self.usage;
        }
        if self.has_error {
            return fail_upstream(raw, Dialect::Gemini, reply);
        }
        if let Some(reason) =
            self.block_reason.map(Text::decode).filter(|reason| !reason.is_empty())
        {
            let message =
                self.block_message.map(Text::decode).filter(|message| !message.is_empty());
            let message =
                message.map_or_else(|| format!("the prompt was blocked: {reason}"), Into::into);
            return reply.fail(ErrorKind::Upstream, message, Some(reason.into_owned()), raw);
        }
        reply.note_finish(self.candidate.finish_reason);
    }

    fn only_content(&self) -> Option<Text<'a>> {
        let [part] = &self.candidate.parts[..] else { return None };
        let adds_content_only = !part.is_thought && part.call.is_none();
        let adds_content_only =
            adds_content_only && self.usage.is_none() && self.candidate.finish_reason.is_none();
        part.text.filter(|_| adds_content_only)
    }
}

#[derive(Default)]
struct Candidate<'a> {
    parts: Vec<Part<'a>>,
    finish_reason: Option<Text<'a>>,
}

impl<'a> Candidate<'a> {
    /// `None` when its index is not 0.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut candidate = Self::default();
        let mut is_first = true;
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => is_first = read_index(reader)?,
                "content" => candidate.parts = read_content(reader)?,
                "finishReason" => candidate.finish_reason = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Some(candidate).filter(|_| is_first))
    }
}

fn read_content<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    let mut parts = Vec::new();
    reader.object_or_skip(|key, reader| {
        if key != *"parts" || reader.peek()? != Kind::Array {
            return reader.skip();
        }
        parts.clear();
        reader.array(|reader| {
            parts.push(Part::read(reader)?);
            Ok(())
        })
    })?;
    Ok(parts)
}

/// A part of the answer; of other kinds (data, files, code that was run) nothing is kept.
#[derive(Default)]
struct Part<'a> {
    text: Option<Text<'a>>,
    is_thought: bool,
    call: Option<Call<'a>>,
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "text" => part.text = reader.string_or_skip()?.filter(|text| !text.is_empty()),
                "thought" => {
                    part.is_thought = reader.peek()? == Kind::True;
                    reader.skip()?;
                }
                "functionCall" => part.call = read_call(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Option<Call<'a>>, JsonError> {
    let mut call = Call::default();
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "id" => call.id = reader.string_or_skip()?,
            "name" => call.name = reader.string_or_skip()?,
            "args" => call.arguments = Arguments::read(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(call))
}

/// The tokens of thoughts are counted apart from the candidates', those of a tool's results apart
/// from the prompt's.
fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    let [mut prompt, mut tool_prompt, mut candidates, mut thoughts, mut total] = [None; 5];
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "promptTokenCount" => prompt = read_whole(reader)?,
            "toolUsePromptTokenCount" => tool_prompt = read_whole(reader)?,
            "candidatesTokenCount" => candidates = read_whole(reader)?,
            "thoughtsTokenCount" => thoughts = read_whole(reader)?,
            "totalTokenCount" => total = read_whole(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let sum = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0).saturating_add(b.unwrap_or(0));
    let usage = Usage::of(sum(prompt, tool_prompt), sum(candidates, thoughts));
    Ok(is_object.then_some(Usage { total_tokens: total.unwrap_or(usage.total_tokens), ..usage }))
}
