//! Reasoning, refusals, tool calls and log probabilities, which stand beside the text in OpenAI's
//! chunks and bodies.
//!
//! They are read, in the pass that takes the text, only where they are wanted, so that who wants
//! text alone does not pay for them.

use crate::json::{JsonError, Kind, Reader};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::fields::read_length;
use super::super::passed_over::{Counts, Teller, Unspoken};
use super::super::tool_call::{CallPiece, read_calls, read_function};
use super::{Added, DeltaSink, Output};

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
    beside: Beside<'a>,
    /// The log probabilities of the tokens of all that, and of the text, as written.
    pub(super) logprobs: Option<&'a str>,
    /// Whether they are a whole message's: of each kind they count where none came before.
    is_whole: bool,
    /// What the chunk tells of it all: the choices, and sources that some servers tell again with
    /// each chunk.
    told_whole: Counts,
    /// How many sources stand beside the choices.
    sources: u64,
    /// Whether the chunk is a body.
    is_body: bool,
}

/// What stands beside the text of a delta, or of a message.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    reasoning: [Content<'a>; REASONING.len()],
    refusal: Content<'a>,
    calls: Vec<CallPiece<'a>>,
    /// The API's older way: one call, without index and id.
    function: Option<CallPiece<'a>>,
    /// What of the message no delta is made of.
    passed_over: Counts,
    /// Whether it holds a piece of sound.
    pub(super) has_audio: bool,
}

/// What stands in a choice beside the text; of a delta or a message that is no object, nothing.
#[derive(Debug, Default)]
pub(super) struct BesideChoice<'a> {
    pub(super) delta: Option<Beside<'a>>,
    pub(super) message: Option<Beside<'a>>,
    logprobs: Option<&'a str>,
}

impl<'a> BesideChoice<'a> {
    pub(super) fn read_logprobs(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        if reader.peek()? == Kind::Null {
            return reader.skip();
        }
        self.logprobs = Some(reader.raw()?);
        Ok(())
    }
}

impl<'a> Extras<'a> {
    /// Those of a stream's chunk, of which nothing was read yet.
    pub(super) fn of_chunk() -> Self {
        Self::default()
    }

    /// Those of a body that is one chunk, of which nothing was read yet.
    pub(super) fn of_body() -> Self {
        Self { is_body: true, ..Self::default() }
    }

    /// Whether a key of the chunk is one of theirs.
    pub(super) fn has_key(name: &str) -> bool {
        name == "images" || CITATIONS.contains(&name)
    }

    /// Reads the value of such a key.
    pub(super) fn read(&mut self, name: &str, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        let length = read_length(reader)?;
        if name == "images" {
            self.told_whole.add(Unspoken::Image, length);
        } else {
            self.sources = length.max(self.sources);
        }
        Ok(())
    }

    /// Takes those of the first choice.
    pub(super) fn take(&mut self, choice: BesideChoice<'a>, has_delta: bool, is_last: bool) {
        let BesideChoice { delta, message, logprobs } = choice;
        let tells = delta.as_ref().is_some_and(|delta| !delta.is_empty());
        let is_delta = !self.is_body && has_delta && (tells || !is_last);
        self.is_whole = !is_delta && !self.is_body && message.is_some();
        self.beside = if is_delta { delta } else { message.or(delta) }.unwrap_or_default();
        self.logprobs = logprobs;
    }

    /// Ends a list of choices, with so many beside the first, if that is there.
    pub(super) fn end_choices(&mut self, has_first: bool, others: u64) {
        if !has_first {
            (self.beside, self.logprobs, self.is_whole) = (Beside::default(), None, false);
        }
        self.told_whole.add(Unspoken::Choice, others);
    }

    /// Whether they answer without text.
    pub(super) fn is_answer(&self) -> bool {
        self.beside.is_answer()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.beside.is_empty()
    }

    /// What of them is added, where that is one text alone.
    pub(super) fn added(&self) -> Option<Added<'a>> {
        if self.is_whole { None } else { self.beside.added() }
    }

    /// Delivers the extras that come before the text.
    pub(super) fn deliver_before<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        let Beside { passed_over, has_audio, .. } = &self.beside;
        let teller = if self.is_whole { Teller::Whole } else { Teller::Piece };
        output.pass_all_over(passed_over, teller);
        let mut told_whole = self.told_whole;
        told_whole.add(Unspoken::Citation, self.sources);
        output.pass_all_over(&told_whole, Teller::Whole);
        output.pass_over(Unspoken::Audio, u64::from(*has_audio), Teller::Whole);
        if !(self.is_whole && output.reply.told.reasoning) {
            output.say(Spoken::Reasoning, self.beside.reasoning());
        }
    }

    /// Delivers the extras that come behind the text.
    pub(super) fn deliver_behind<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        let Beside { refusal, calls, .. } = &self.beside;
        if !(self.is_whole && output.reply.told.refusal) {
            output.say(Spoken::Refusal, *refusal);
        }
        if !(self.is_whole && output.reply.told.call) {
            for call in calls {
                output.tool_call(call);
            }
        }
    }
}

impl<'a> Beside<'a> {
    /// Reads the value of a key of the message.
    pub(super) fn read(&mut self, name: &str, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        let (kind, count) = match name {
            "refusal" => {
                self.refusal = Content::read_texts(reader)?;
                return Ok(());
            }
            "tool_calls" => {
                self.calls = read_calls(reader)?;
                return Ok(());
            }
            "function_call" => {
                self.function = read_function(reader)?;
                return Ok(());
            }
            "images" => (Unspoken::Image, read_length(reader)?),
            "executed_tools" => (Unspoken::ServerTool, read_length(reader)?),
            "context" => (Unspoken::Citation, read_context(reader)?),
            name if CITATIONS.contains(&name) => (Unspoken::Citation, read_length(reader)?),
            name => {
                match REASONING.iter().position(|known| *known == name) {
                    Some(index) => self.reasoning[index] = Content::read_texts(reader)?,
                    None => reader.skip()?,
                }
                return Ok(());
            }
        };
        self.passed_over.add(kind, count);
        Ok(())
    }

    /// Ends the message. Servers that write a call both ways write the same call.
    pub(super) fn end(&mut self) {
        if self.calls.is_empty() {
            let function = self.function.take();
            self.calls.extend(function.map(|call| CallPiece { is_only: true, ..call }));
        }
    }

    fn is_empty(&self) -> bool {
        let is_unspoken = self.has_audio || !self.passed_over.is_empty();
        !self.reasoning().is_filled() && !self.is_answer() && !is_unspoken
    }

    fn is_answer(&self) -> bool {
        self.refusal.is_filled() || !self.calls.is_empty()
    }

    fn added(&self) -> Option<Added<'a>> {
        let thought = self.reasoning.iter().position(|content| content.is_filled());
        match (thought, self.refusal.is_filled(), &self.calls[..]) {
            _ if self.has_audio || !self.passed_over.is_empty() => None,
            (Some(at), false, []) => {
                let added = Added::spoken(Spoken::Reasoning, self.reasoning[at])?;
                let again = self.reasoning[at + 1..].iter().copied();
                Some(Added {
                    unread: again.filter(|content| content.is_filled()).collect(),
                    ..added
                })
            }
            (None, true, []) => Added::spoken(Spoken::Refusal, self.refusal),
            (None, false, [call]) => call.added(),
            _ => None,
        }
    }

    fn reasoning(&self) -> Content<'a> {
        self.reasoning.into_iter().find(|content| content.is_filled()).unwrap_or_default()
    }
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
