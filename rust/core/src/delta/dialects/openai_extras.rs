//! Reasoning, refusals, tool calls and log probabilities, which stand beside the text in OpenAI's
//! chunks and bodies.
//!
//! A pass of its own, over JSON that has been validated, reads them, and only where they are
//! wanted, so that the pass that takes the text stays short.

use crate::json::{JsonError, Kind, Reader};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::fields::{first_of_choices, read_filled, read_index, read_is_first, read_length};
use super::super::passed_over::{Counts, Teller, Unspoken};
use super::super::tool_call::{CallPiece, read_calls, read_function};
use super::{DeltaSink, Output};

/// The names that reasoning has. It is no part of OpenAI's own API, and a server that sends two of
/// them sends the same text twice: the first one counts.
const REASONING: [&str; 11] = [
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "thinking_content",
    "thinking_text",
    "thought",
    "reasoning_summary",
    "cot_summary",
    "thinking_blocks",
    "reasoning_details",
];

/// The names that the sources of an answer have, beside its text or beside the choices.
const CITATIONS: [&str; 4] = ["annotations", "citations", "search_results", "references"];

/// Of the first choice with index 0, everything but text.
#[derive(Debug, Default)]
pub(super) struct Extras<'a> {
    reasoning: [Content<'a>; REASONING.len()],
    refusal: Content<'a>,
    calls: Vec<CallPiece<'a>>,
    /// The log probabilities of the tokens of all that, and of the text, as written.
    pub(super) logprobs: Option<&'a str>,
    /// Whether they are a whole message's: of each kind they count where none came before.
    is_whole: bool,
    /// What of the message no delta is made of.
    passed_over: Counts,
    /// Whether it holds a piece of sound.
    has_audio: bool,
    /// What the chunk tells of it all: the choices, and sources that some servers tell again with
    /// each chunk.
    told_whole: Counts,
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
        self.refusal.is_filled() || !self.calls.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.reasoning().is_filled() && !self.is_answer() && !self.is_unspoken()
    }

    fn is_unspoken(&self) -> bool {
        self.has_audio || !self.passed_over.is_empty()
    }

    /// Delivers the extras that come before the text.
    pub(super) fn deliver_before<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        let teller = if self.is_whole { Teller::Whole } else { Teller::Piece };
        output.pass_all_over(&self.passed_over, teller);
        output.pass_all_over(&self.told_whole, Teller::Whole);
        output.pass_over(Unspoken::Audio, u64::from(self.has_audio), Teller::Whole);
        if !(self.is_whole && output.reply.told.reasoning) {
            output.say(Spoken::Reasoning, self.reasoning());
        }
    }

    /// Delivers the extras that come behind the text.
    pub(super) fn deliver_behind<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        if !(self.is_whole && output.reply.told.refusal) {
            output.say(Spoken::Refusal, self.refusal);
        }
        if !(self.is_whole && output.reply.told.call) {
            self.calls.iter().for_each(|call| output.tool_call(call));
        }
    }

    fn reasoning(&self) -> Content<'a> {
        self.reasoning.into_iter().find(|content| content.is_filled()).unwrap_or_default()
    }

    fn read(text: &'a str, is_body: bool) -> Result<Self, JsonError> {
        let (mut extras, mut told_whole) = (Self::default(), Counts::default());
        let mut sources = 0;
        Reader::new(text).object(|key, reader| {
            match &*key.decode() {
                "choices" => {
                    let choices =
                        first_of_choices(reader, |reader| Self::of_choice(reader, is_body))?;
                    extras = choices.0.unwrap_or_default();
                    told_whole.add(Unspoken::Choice, choices.1);
                }
                "images" => told_whole.add(Unspoken::Image, read_length(reader)?),
                name if CITATIONS.contains(&name) => sources = read_length(reader)?.max(sources),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        told_whole.add(Unspoken::Citation, sources);
        Ok(Self { told_whole, ..extras })
    }

    /// Reads a choice: nothing when its index is not 0, and the index.
    fn of_choice(reader: &mut Reader<'a>, is_body: bool) -> Result<(Option<Self>, u64), JsonError> {
        let (mut is_first, mut is_last, mut has_delta) = (true, is_body, false);
        let mut index = 0;
        let (mut delta, mut message, mut logprobs) = (None, None, None);
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => {
                    is_first = read_is_first(&mut reader.clone())?;
                    index = read_index(reader)?;
                }
                "delta" => {
                    has_delta = reader.peek()? != Kind::Null;
                    delta = Self::of_message(reader)?;
                }
                "message" => message = Self::of_message(reader)?,
                "finish_reason" => is_last |= read_filled(reader)?.is_some(),
                "logprobs" if reader.peek()? != Kind::Null => logprobs = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let message = message.map(|message| Self { is_whole: !is_body, ..message });
        let tells = delta.as_ref().is_some_and(|delta| !delta.is_empty());
        let is_delta = !is_body && has_delta && (tells || !is_last);
        let extras = if is_delta { delta } else { message.or(delta) };
        let is_other = u64::from(!is_first);
        let first = is_first.then(|| Self { logprobs, ..extras.unwrap_or_default() });
        Ok((first, index.max(is_other) * is_other))
    }

    /// Reads a delta or a message; `None` when the value is no object.
    fn of_message(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut extras = Self::default();
        let mut function = None;
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "refusal" => extras.refusal = Content::read_texts(reader)?,
                "tool_calls" => extras.calls = read_calls(reader)?,
                "function_call" => function = read_function(reader)?,
                "images" => extras.passed_over.add(Unspoken::Image, read_length(reader)?),
                "audio" => extras.has_audio |= read_audio(reader)?,
                "executed_tools" => {
                    extras.passed_over.add(Unspoken::ServerTool, read_length(reader)?);
                }
                "context" => extras.passed_over.add(Unspoken::Citation, read_context(reader)?),
                name if CITATIONS.contains(&name) => {
                    extras.passed_over.add(Unspoken::Citation, read_length(reader)?);
                }
                name => match REASONING.iter().position(|known| *known == name) {
                    Some(index) => extras.reasoning[index] = Content::read_texts(reader)?,
                    None => reader.skip()?,
                },
            }
            Ok(())
        })?;
        // The API's older way: one call, without index and id. Servers that write both ways write
        // the same call.
        if extras.calls.is_empty() {
            extras.calls.extend(function.map(|call| CallPiece { is_only: true, ..call }));
        }
        Ok(is_object.then_some(extras))
    }
}

/// Reads whether a message's audio holds sound.
fn read_audio(reader: &mut Reader<'_>) -> Result<bool, JsonError> {
    let mut has_data = false;
    reader.object_or_skip(|key, reader| {
        if key == *"data" {
            has_data = read_filled(reader)?.is_some();
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(has_data)
}

/// Reads how many sources stand in what Azure has beside an answer from one's own data.
fn read_context(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    let mut sources = 0;
    reader.object_or_skip(|key, reader| {
        if key == *"citations" {
            sources = read_length(reader)?;
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(sources)
}
