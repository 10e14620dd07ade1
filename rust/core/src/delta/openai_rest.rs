//! What stands beside the text in OpenAI's chunks and bodies: reasoning, refusals, calls of tools.
//!
//! It is read in a pass of its own over JSON that has been validated, and only where it is wanted,
//! so that the pass that takes the text stays as short as it is. Reasoning is no part of OpenAI's
//! own API: `DeepSeek` and vLLM call it `reasoning_content`, `OpenRouter` and Groq `reasoning`; a
//! server that sends both sends the same text twice.

use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::DeltaSink;
use super::call::{Call, read_calls, read_function, read_some};
use super::openai::read_index;

/// Of the first choice with index 0, what is no text.
#[derive(Debug, Default)]
pub(super) struct Rest<'a> {
    reasoning_content: Option<Text<'a>>,
    reasoning: Option<Text<'a>>,
    refusal: Option<Text<'a>>,
    calls: Vec<Call<'a>>,
}

impl<'a> Rest<'a> {
    /// The rest of a chunk, or of a body that is `whole`.
    pub(super) fn read(text: &'a str, whole: bool) -> Result<Self, JsonError> {
        let mut rest = Self::default();
        Reader::new(text).object(|key, reader| {
            if key == *"choices" {
                rest = Self::of_choices(reader, whole)?;
                return Ok(());
            }
            reader.skip()
        })?;
        Ok(rest)
    }

    /// It holds what answers without text.
    pub(super) fn is_answer(&self) -> bool {
        self.refusal.is_some() || !self.calls.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reasoning().is_none() && !self.is_answer()
    }

    /// Delivers what comes before the text.
    pub(super) fn deliver_before<S: DeltaSink + ?Sized>(&self, sink: &mut S) {
        if let Some(reasoning) = self.reasoning() {
            sink.reasoning(&reasoning.decode());
        }
    }

    /// Delivers what comes behind it.
    pub(super) fn deliver_behind<S: DeltaSink + ?Sized>(&self, sink: &mut S) {
        if let Some(refusal) = self.refusal {
            sink.refusal(&refusal.decode());
        }
        self.calls.iter().for_each(|call| call.deliver(sink));
    }

    fn reasoning(&self) -> Option<Text<'a>> {
        self.reasoning_content.or(self.reasoning)
    }

    fn of_choices(reader: &mut Reader<'a>, whole: bool) -> Result<Self, JsonError> {
        let mut found = None;
        if reader.peek()? != Kind::Array {
            return reader.skip().map(|()| Self::default());
        }
        reader.array(|reader| {
            if found.is_some() || reader.peek()? != Kind::Object {
                return reader.skip();
            }
            found = Self::of_choice(reader, whole)?;
            Ok(())
        })?;
        Ok(found.unwrap_or_default())
    }

    /// `None` when its index is not 0.
    fn of_choice(reader: &mut Reader<'a>, whole: bool) -> Result<Option<Self>, JsonError> {
        let mut is_first = true;
        let (mut delta, mut message) = (Self::default(), None);
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => is_first = read_index(reader)?,
                "delta" => delta = Self::of_message(reader)?.unwrap_or_default(),
                "message" if whole => message = Self::of_message(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_first.then(|| message.unwrap_or(delta)))
    }

    /// `None` when it is no object.
    fn of_message(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut rest = Self::default();
        let mut function = None;
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "reasoning_content" => rest.reasoning_content = read_some(reader)?,
                "reasoning" => rest.reasoning = read_some(reader)?,
                "refusal" => rest.refusal = read_some(reader)?,
                "tool_calls" => rest.calls = numbered(read_calls(reader)?),
                "function_call" => function = read_function(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        // The API's older way: one call, without index and id.
        rest.calls.extend(function);
        Ok(is_object.then_some(rest))
    }
}

/// Calls without an index, as bodies have them, count by their places.
fn numbered(mut calls: Vec<Call<'_>>) -> Vec<Call<'_>> {
    for (call, place) in calls.iter_mut().zip(0..) {
        call.index = call.index.or(Some(place));
    }
    calls
}
