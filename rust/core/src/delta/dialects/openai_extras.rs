//! Reasoning, refusals and tool calls, which stand beside the text in OpenAI's chunks and bodies.
//!
//! A pass of its own, over JSON that has been validated, reads them, and only where they are
//! wanted, so that the pass that takes the text stays short. Reasoning is no part of OpenAI's own
//! API: `DeepSeek` and vLLM call it `reasoning_content`, `OpenRouter` and Groq `reasoning`; a
//! server that sends both sends the same text twice.

use crate::json::{JsonError, Reader, Text};
use crate::prelude::*;

use super::super::fields::{first_choice, read_filled, read_is_first};
use super::super::tool_call::{CallPiece, read_calls, read_function};
use super::{DeltaSink, Output};

/// Of the first choice with index 0, everything but text.
#[derive(Debug, Default)]
pub(super) struct Extras<'a> {
    reasoning_content: Option<Text<'a>>,
    reasoning: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    calls: Vec<CallPiece<'a>>,
}

impl<'a> Extras<'a> {
    /// The extras of a stream's chunk.
    pub(super) fn of_chunk(chunk: &'a str) -> Self {
        Self::read(chunk, false).unwrap_or_default()
    }

    /// The extras of a body that is one chunk.
    pub(super) fn of_body(body: &'a str) -> Self {
        Self::read(body, true).unwrap_or_default()
    }

    /// Whether they answer without text.
    pub(super) fn is_answer(&self) -> bool {
        self.refusal.is_some() || !self.calls.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reasoning().is_none() && !self.is_answer()
    }

    /// Delivers the extras that come before the text.
    pub(super) fn deliver_before<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        if let Some(reasoning) = self.reasoning() {
            output.reasoning(reasoning);
        }
    }

    /// Delivers the extras that come behind the text.
    pub(super) fn deliver_behind<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        if let Some(refusal) = self.refusal {
            output.refusal(refusal);
        }
        self.calls.iter().for_each(|call| output.tool_call(call));
    }

    fn reasoning(&self) -> Option<Text<'a>> {
        self.reasoning_content.or(self.reasoning)
    }

    fn read(text: &'a str, is_body: bool) -> Result<Self, JsonError> {
        let mut extras = Self::default();
        Reader::new(text).object(|key, reader| {
            if key == *"choices" {
                let first = first_choice(reader, |reader| Self::of_choice(reader, is_body))?;
                extras = first.unwrap_or_default();
                return Ok(());
            }
            reader.skip()
        })?;
        Ok(extras)
    }

    /// Reads a choice; `None` when its index is not 0.
    fn of_choice(reader: &mut Reader<'a>, is_body: bool) -> Result<Option<Self>, JsonError> {
        let mut is_first = true;
        let (mut delta, mut message) = (Self::default(), None);
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => is_first = read_is_first(reader)?,
                "delta" => delta = Self::of_message(reader)?.unwrap_or_default(),
                "message" if is_body => message = Self::of_message(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_first.then(|| message.unwrap_or(delta)))
    }

    /// Reads a delta or a message; `None` when the value is no object.
    fn of_message(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut extras = Self::default();
        let mut function = None;
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "reasoning_content" => extras.reasoning_content = read_filled(reader)?,
                "reasoning" => extras.reasoning = read_filled(reader)?,
                "refusal" => extras.refusal = read_filled(reader)?,
                "tool_calls" => extras.calls = numbered(read_calls(reader)?),
                "function_call" => function = read_function(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        // The API's older way: one call, without index and id.
        extras.calls.extend(function);
        Ok(is_object.then_some(extras))
    }
}

/// Numbers calls without an index, as bodies have them, in the order in which they stand.
fn numbered(mut calls: Vec<CallPiece<'_>>) -> Vec<CallPiece<'_>> {
    for (call, position) in calls.iter_mut().zip(0..) {
        call.index = call.index.or(Some(position));
    }
    calls
}
