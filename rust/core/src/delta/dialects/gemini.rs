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

use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json};
use super::super::fields::{first_choice, read_count, read_filled, read_is_first, read_truthy};
use super::super::reply::{ReplyState, Usage};
use super::super::tool_call::{Arguments, CallPiece};
use super::{DeltaSink, DialectReader, Members, Output};

/// Reads the pieces of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct Gemini {
    /// Calls so far: the API does not number them.
    calls: u64,
}

impl DialectReader for Gemini {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let Ok(content) = Content::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        self.note(&content, event.data, output.reply);
        output.reply.foreign = content.is_foreign();
        if !output.reply.is_open() {
            return None;
        }
        self.deliver(&content.candidate.parts, output);
        content.only_content()
    }

    fn owns(members: &Members<'_>) -> bool {
        members.has("candidates", Kind::Array)
            || ["usageMetadata", "promptFeedback"].iter().any(|key| members.has(key, Kind::Object))
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(
            key,
            "candidates"
                | "error"
                | "usageMetadata"
                | "promptFeedback"
                | "responseId"
                | "modelVersion"
        )
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let content = Content::read(body)?;
        self.note(&content, body, output.reply);
        if !output.reply.is_open() {
            return Ok(());
        }
        if content.has_candidates || content.usage.is_some() {
            let answered = self.deliver(&content.candidate.parts, output);
            output.reply.end_whole(answered, body);
        } else {
            judge_json(body, output.reply);
        }
        Ok(())
    }

    /// Events have no names, and lines and elements neither.
    fn can_repeat(&self, _: Option<&str>) -> bool {
        true
    }
}

impl ReadSiteError for Gemini {
    /// An error's code repeats the HTTP status; its status tells more.
    fn error_code(&self, error: SiteError, _: &str) -> Option<String> {
        error.status.or(error.code)
    }
}

impl Gemini {
    /// Writes down ids, usage and finish reason, and an error or a blocked prompt, which ends the
    /// reply. `raw` is the piece as it came.
    fn note(&self, content: &Content<'_>, raw: &str, reply: &mut ReplyState) {
        reply.note_ids(content.id, content.model);
        reply.note_usage(content.usage);
        if content.has_error {
            return fail_upstream(raw, self, reply);
        }
        if let Some(reason) = content.block_reason {
            let reason = reason.decode().into_owned();
            let message = match content.block_message {
                Some(message) => message.decode().into_owned(),
                None => format!("the prompt was blocked: {reason}"),
            };
            return reply.fail(ErrorKind::Upstream, message, Some(reason), raw);
        }
        reply.note_finish(content.candidate.finish_reason);
    }

    /// Delivers the parts. False when none of them answers: thoughts alone do not.
    fn deliver<S: DeltaSink + ?Sized>(
        &mut self,
        parts: &[Part<'_>],
        output: &mut Output<'_, S>,
    ) -> bool {
        let mut answered = false;
        for part in parts {
            if let Some(call) = part.call {
                output.tool_call(&CallPiece { index: Some(self.calls), ..call });
                self.calls += 1;
                answered = true;
            }
            match part.text {
                Some(text) if part.is_thought => output.reasoning(text),
                Some(text) => {
                    output.text(text);
                    answered = true;
                }
                None => {}
            }
        }
        answered
    }
}

/// The fields of a piece of the reply that are read.
#[derive(Default)]
struct Content<'a> {
    has_error: bool,
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    usage: Option<Usage>,
    block_reason: Option<Text<'a>>,
    block_message: Option<Text<'a>>,
    has_candidates: bool,
    candidate: Candidate<'a>,
}

impl<'a> Content<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut content = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "candidates" => content.read_candidates(reader)?,
                "error" => content.has_error = read_truthy(reader)?,
                "responseId" => content.id = reader.string_or_skip()?,
                "modelVersion" => content.model = reader.string_or_skip()?,
                "usageMetadata" => content.usage = read_usage(reader)?,
                "promptFeedback" => content.read_feedback(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(content)
    }

    fn read_candidates(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.has_candidates = reader.peek()? == Kind::Array;
        self.candidate = first_choice(reader, Candidate::read)?.unwrap_or_default();
        Ok(())
    }

    fn read_feedback(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        reader
            .object_or_skip(|key, reader| {
                match &*key.decode() {
                    "blockReason" => self.block_reason = read_filled(reader)?,
                    "blockReasonMessage" => self.block_message = read_filled(reader)?,
                    _ => reader.skip()?,
                }
                Ok(())
            })
            .map(drop)
    }

    /// Whether nothing in it is a piece's.
    fn is_foreign(&self) -> bool {
        !self.has_candidates && self.usage.is_none() && self.id.is_none()
    }

    fn only_content(&self) -> Option<Text<'a>> {
        let [part] = &self.candidate.parts[..] else { return None };
        let adds_content_only = !part.is_thought
            && part.call.is_none()
            && self.usage.is_none()
            && self.candidate.finish_reason.is_none();
        part.text.filter(|_| adds_content_only)
    }
}

/// One of the answers.
#[derive(Default)]
struct Candidate<'a> {
    parts: Vec<Part<'a>>,
    finish_reason: Option<Text<'a>>,
}

impl<'a> Candidate<'a> {
    /// Reads a candidate; `None` when its index is not 0.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut candidate = Self::default();
        let mut is_first = true;
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => is_first = read_is_first(reader)?,
                "content" => candidate.parts = read_parts(reader)?,
                "finishReason" => candidate.finish_reason = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_first.then_some(candidate))
    }
}

/// Reads the parts of a candidate's content.
fn read_parts<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    let mut parts = Vec::new();
    reader.object_or_skip(|key, reader| {
        if key != *"parts" {
            return reader.skip();
        }
        if let Some(list) = reader.list_or_skip(Part::read)? {
            parts = list;
        }
        Ok(())
    })?;
    Ok(parts)
}

/// A part of the answer; of other kinds (data, files, code that was run) nothing is kept.
#[derive(Default)]
struct Part<'a> {
    text: Option<Text<'a>>,
    is_thought: bool,
    call: Option<CallPiece<'a>>,
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "text" => part.text = read_filled(reader)?,
                "thought" => part.is_thought = reader.bool_or_skip()? == Some(true),
                "functionCall" => part.call = read_call(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Option<CallPiece<'a>>, JsonError> {
    let mut call = CallPiece::default();
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

/// Reads the counts. The tokens of thoughts are counted apart from the candidates', those of a
/// tool's results apart from the prompt's.
fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    let [mut prompt, mut tool_prompt, mut candidates, mut thoughts, mut total] = [None; 5];
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "promptTokenCount" => prompt = read_count(reader)?,
            "toolUsePromptTokenCount" => tool_prompt = read_count(reader)?,
            "candidatesTokenCount" => candidates = read_count(reader)?,
            "thoughtsTokenCount" => thoughts = read_count(reader)?,
            "totalTokenCount" => total = read_count(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let sum = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0).saturating_add(b.unwrap_or(0));
    let usage = Usage::of(sum(prompt, tool_prompt), sum(candidates, thoughts));
    Ok(is_object.then_some(usage.with_total(total)))
}
