//! The chunks of OpenAI's chat completions, streamed or as one body.
//!
//! One pass over a chunk's JSON takes what is wanted and validates the rest, what stands beside the
//! text among it where that is wanted; nothing is copied that has no escapes.

use alloc::borrow::Cow;

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, judge_json, read_error_value, read_site_error};
use super::super::fields::{first_of_choices, is_truthy, read_filled, read_index, read_is_first};
use super::super::reply::{Ids, ReplyState};
use super::super::said::Said;
use super::super::usage::{Usage, later_usage, read_usage};
use super::openai_extras::{Beside, BesideChoice, Extras};
use super::{Added, DeltaSink, DialectReader, Members, Output};

/// Reads the chunks of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct OpenAi {
    /// Whether the text is the transcript of audio.
    transcribes: bool,
    /// What whole messages told, once one has come: where there are deltas, they are the text.
    messages: Option<Box<Said>>,
}

impl DialectReader for OpenAi {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let mut extras = output.wants_everything().then(Extras::of_chunk);
        let Ok(chunk) = Chunk::read(event.data, extras.as_mut(), |_, reader| reader.skip()) else {
            output.reply.bad_events += 1;
            return None;
        };
        chunk.note(event.data, output.reply);
        output.reply.foreign = chunk.is_foreign();
        self.deliver(&chunk, extras.as_ref(), event.data, output)
    }

    fn owns(members: &Members<'_>) -> bool {
        members.has("choices", Kind::Array)
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "choices" | "error" | "usage")
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let mut extras = Extras::of_body();
        let chunk = Chunk::read(body, Some(&mut extras), |_, reader| reader.skip())?;
        chunk.note(body, output.reply);
        if chunk.has_choices {
            chunk.deliver_whole(&extras, body, output);
        } else if output.reply.is_open() {
            judge_json(body, output.reply);
        }
        Ok(())
    }
}

impl ReadSiteError for OpenAi {}

impl OpenAi {
    /// Delivers what a chunk of a stream holds, unless the reply has ended: its extras, too, which
    /// are there where everything is wanted. Returns what it adds when that is all it does.
    pub(super) fn deliver<'a, S: DeltaSink + ?Sized>(
        &mut self,
        chunk: &Chunk<'a>,
        extras: Option<&Extras<'a>>,
        raw: &'a str,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        if !output.reply.is_open() {
            return None;
        }
        output.reply.note_finish(chunk.choice.finish_reason);
        let wants_everything = output.wants_everything();
        // Until something has come, it matters what there is beside text, wanted or not.
        if !wants_everything && (chunk.content().is_filled() || output.reply.has_come()) {
            self.deliver_text(&chunk.choice, output);
            let read_beside = || read_extras(Extras::of_chunk(), raw).added();
            return chunk.added_text().or_else(|| chunk.may_add_more().then(read_beside)?);
        }
        let read;
        let extras = if let Some(extras) = extras {
            extras
        } else {
            read = read_extras(Extras::of_chunk(), raw);
            &read
        };
        match output.read_logprobs(extras.logprobs) {
            None => self.deliver_all(&chunk.choice, extras, output),
            Some(logprobs) => output.with_logprobs(&logprobs, |output| {
                self.deliver_all(&chunk.choice, extras, output);
            }),
        }
        match extras.logprobs {
            Some(_) => None,
            None if extras.is_empty() => chunk.added_text(),
            None => extras.added().filter(|_| chunk.may_add_more()),
        }
    }

    fn deliver_all<S: DeltaSink + ?Sized>(
        &mut self,
        choice: &Choice<'_>,
        extras: &Extras<'_>,
        output: &mut Output<'_, S>,
    ) {
        extras.deliver_before(output);
        self.deliver_text(choice, output);
        extras.deliver_behind(output);
    }

    fn deliver_text<S: DeltaSink + ?Sized>(
        &mut self,
        choice: &Choice<'_>,
        output: &mut Output<'_, S>,
    ) {
        let content = choice.content();
        if content.is_filled() {
            return output.say(Spoken::Text, content);
        }
        if let Some(transcript) = choice.delta.transcript {
            if self.transcribes || !output.reply.delivered {
                self.transcribes = true;
                output.text(transcript);
            }
        } else if choice.is_whole() && (self.messages.is_some() || !output.reply.delivered) {
            self.deliver_message(&choice.message, output);
        }
    }

    /// Delivers what a whole message tells that none before it told.
    fn deliver_message<S: DeltaSink + ?Sized>(
        &mut self,
        message: &Message<'_>,
        output: &mut Output<'_, S>,
    ) {
        let whole: Cow<'_, str> = match message.answer() {
            Content::None => return,
            Content::Text(text) => text.decode(),
            Content::Bare(raw) => raw.into(),
            content @ Content::Parts(_) => {
                if self.messages.is_none() {
                    output.say(Spoken::Text, content);
                }
                self.messages.get_or_insert_default();
                return;
            }
        };
        let said = self.messages.get_or_insert_default();
        let rest = said.rest(&whole).unwrap_or(&whole);
        said.add(rest);
        output.reply.deliver(rest, output.sink);
    }
}

/// The fields of a chunk that are read.
#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    ids: [Option<Text<'a>>; Ids::NAMES.len()],
    usage: Option<Usage>,
    /// The value of `error`, as written.
    error: Option<&'a str>,
    /// `choices` is there and not null.
    pub(super) has_choices: bool,
    choice: Choice<'a>,
}

/// Of the choices the first one with index 0.
#[derive(Debug, Default)]
struct Choice<'a> {
    has_delta: bool,
    delta: Message<'a>,
    text: Content<'a>,
    message: Message<'a>,
    finish_reason: Option<Text<'a>>,
    /// The value of `error`, as written: its own, or the one beside the choices.
    error: Option<&'a str>,
    usage: Option<Usage>,
}

/// The text of a delta or of a message.
#[derive(Debug, Clone, Copy, Default)]
struct Message<'a> {
    content: Content<'a>,
    /// What the audio says.
    transcript: Option<Text<'a>>,
}

impl<'a> Chunk<'a> {
    /// Reads the chunk, its extras where they are wanted, and leaves the keys it does not know to
    /// `other`.
    pub(super) fn read(
        text: &'a str,
        extras: Option<&mut Extras<'a>>,
        other: impl FnMut(&str, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, JsonError> {
        let mut chunk = Self::default();
        chunk.fill(text, extras, other)?;
        Ok(chunk)
    }

    /// Reads a chunk into this one, which is empty; it is too large to be moved often.
    #[inline]
    pub(super) fn fill(
        &mut self,
        text: &'a str,
        mut extras: Option<&mut Extras<'a>>,
        mut other: impl FnMut(&str, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let mut groq = Groq::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "choices" => self.read_choices(extras.as_deref_mut(), reader)?,
                "error" => self.error = Some(reader.raw()?),
                "usage" => self.usage = read_usage(reader)?,
                "x_groq" => groq = Groq::read(reader)?,
                name => match (Ids::index_of(name), &mut extras) {
                    (Some(index), _) => self.ids[index] = reader.string_or_skip()?,
                    (_, Some(extras)) if Extras::has_key(name) => extras.read(name, reader)?,
                    _ => other(name, reader)?,
                },
            }
            Ok(())
        })?;
        if groq.usage.is_some() || self.choice.usage.is_some() {
            self.usage = later_usage(self.choice.usage, later_usage(self.usage, groq.usage));
        }
        if !self.choice.error.is_some_and(is_truthy) {
            self.choice.error = groq.error;
        }
        Ok(())
    }

    /// Whether the chunk names itself.
    pub(super) fn has_id(&self) -> bool {
        let id = Ids::index_of("id").and_then(|index| self.ids[index]);
        id.is_some_and(|id| !id.is_empty())
    }

    /// Whether an error is reported: null, false, zero and empty values are none.
    pub(super) fn has_error(&self) -> bool {
        self.error.is_some_and(is_truthy)
    }

    /// Whether nothing in it is a chunk's.
    pub(super) fn is_foreign(&self) -> bool {
        !self.has_choices && self.usage.is_none() && !self.has_error()
    }

    /// The content as a stream's chunk holds it.
    pub(super) fn content(&self) -> Content<'a> {
        self.choice.content()
    }

    /// The text of a chunk that does nothing but add what it holds, once its ids are known.
    fn added_text(&self) -> Option<Added<'a>> {
        Added::spoken(Spoken::Text, self.content()).filter(|_| self.adds_only())
    }

    /// Whether a chunk does nothing but add what stands beside its text.
    fn may_add_more(&self) -> bool {
        let Choice { has_delta, delta, .. } = &self.choice;
        let is_silent = !self.content().is_filled() && delta.transcript.is_none();
        self.adds_only() && *has_delta && is_silent
    }

    fn adds_only(&self) -> bool {
        self.usage.is_none() && !self.has_error() && self.finish_reason().is_none()
    }

    /// Writes down ids and usage, and an error, which ends the reply. `raw` is the chunk as it
    /// came.
    pub(super) fn note(&self, raw: &str, reply: &mut ReplyState) {
        for (index, id) in self.ids.iter().enumerate() {
            if let Some(id) = id
                && !reply.ids.is_known(index)
            {
                reply.ids.set(index, &id.decode());
            }
        }
        reply.note_usage(self.usage);
        if self.has_error() {
            let error = read_site_error(raw).unwrap_or_default();
            let message = error.message.unwrap_or_default();
            reply.fail(ErrorKind::Upstream, message, error.code, raw);
        } else if let Some(error) = self.choice.error.filter(|error| is_truthy(error)) {
            reply.note_finish(self.choice.finish_reason);
            let error = read_error_value(error);
            let message = error.message.unwrap_or_default();
            reply.fail(ErrorKind::Upstream, message, error.code, raw);
        }
    }

    /// Delivers the answer of a body that is one chunk, which ends the reply.
    pub(super) fn deliver_whole<S: DeltaSink + ?Sized>(
        &self,
        extras: &Extras<'_>,
        raw: &str,
        output: &mut Output<'_, S>,
    ) {
        if output.reply.is_open() {
            output.reply.note_finish(self.choice.finish_reason);
            match output.read_logprobs(extras.logprobs) {
                None => self.deliver_answer(extras, output),
                Some(logprobs) => {
                    output.with_logprobs(&logprobs, |output| self.deliver_answer(extras, output));
                }
            }
            let answered = output.has_answered() || extras.is_answer();
            output.reply.end_whole(answered, raw);
        }
    }

    fn deliver_answer<S: DeltaSink + ?Sized>(
        &self,
        extras: &Extras<'_>,
        output: &mut Output<'_, S>,
    ) {
        let Choice { message, delta, .. } = self.choice;
        extras.deliver_before(output);
        let answer = message.answer().or(self.content()).or(delta.answer());
        output.say(Spoken::Text, answer);
        extras.deliver_behind(output);
    }

    fn finish_reason(&self) -> Option<Text<'a>> {
        self.choice.finish_reason.filter(|reason| !reason.is_empty())
    }

    fn read_choices(
        &mut self,
        mut extras: Option<&mut Extras<'a>>,
        reader: &mut Reader<'a>,
    ) -> Result<(), JsonError> {
        self.has_choices = reader.peek()? != Kind::Null;
        let mut read = |reader: &mut Reader<'a>| Choice::read(extras.as_deref_mut(), reader);
        let (choice, others) = first_of_choices(reader, &mut read)?;
        if let Some(extras) = extras {
            extras.end_choices(choice.is_some(), others);
        }
        self.choice = choice.unwrap_or_default();
        Ok(())
    }
}

impl<'a> Choice<'a> {
    /// Reads a choice and, where they are wanted, its extras: `None` when its index is not 0, and
    /// how many others its index tells of.
    fn read(
        extras: Option<&mut Extras<'a>>,
        reader: &mut Reader<'a>,
    ) -> Result<(Option<Self>, u64), JsonError> {
        let mut choice = Self::default();
        let (mut is_first, mut index) = (true, 0);
        let mut beside = extras.is_some().then(BesideChoice::default);
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => {
                    if beside.is_some() {
                        index = read_index(&mut reader.clone())?;
                    }
                    is_first = read_is_first(reader)?;
                }
                "delta" => {
                    choice.has_delta = reader.peek()? != Kind::Null;
                    let beside = beside.as_mut().map(|beside| &mut beside.delta);
                    choice.delta = Message::read(beside, reader)?;
                }
                "message" => {
                    let beside = beside.as_mut().map(|beside| &mut beside.message);
                    choice.message = Message::read(beside, reader)?;
                }
                "text" => choice.text = Content::read(reader)?,
                "finish_reason" => choice.finish_reason = reader.string_or_skip()?,
                "error" => choice.error = Some(reader.raw()?),
                "usage" => choice.usage = read_usage(reader)?,
                "logprobs" => match &mut beside {
                    Some(beside) => beside.read_logprobs(reader)?,
                    None => reader.skip()?,
                },
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let (true, Some(extras), Some(beside)) = (is_first, extras, beside) {
            extras.take(beside, choice.has_delta, choice.stops());
        }
        let is_other = u64::from(!is_first);
        Ok((is_first.then_some(choice), index.max(is_other) * is_other))
    }

    /// The content as a stream's chunk holds it.
    fn content(&self) -> Content<'a> {
        if self.has_delta { self.delta.content } else { self.text }
    }

    /// Whether a message of the chunk may be all of the answer: it stands in a delta's place, or in
    /// the last chunk.
    fn is_whole(&self) -> bool {
        !self.has_delta || self.stops()
    }

    /// Whether it tells why the model stopped.
    fn stops(&self) -> bool {
        self.finish_reason.is_some_and(|reason| !reason.is_empty())
    }
}

impl<'a> Message<'a> {
    /// Reads a delta or a message and, where that is wanted, what stands beside its text. What is
    /// no object is the content itself.
    fn read(
        beside: Option<&mut Option<Beside<'a>>>,
        reader: &mut Reader<'a>,
    ) -> Result<Self, JsonError> {
        let is_object = reader.peek()? == Kind::Object;
        let mut beside = beside.and_then(|beside| {
            *beside = is_object.then(Beside::default);
            beside.as_mut()
        });
        if !is_object {
            return Ok(Self { content: Content::read(reader)?, transcript: None });
        }
        let mut message = Self::default();
        reader.object(|key, reader| {
            if key == *"content" {
                message.content = Content::read(reader)?;
            } else if key == *"audio" {
                let has_sound;
                (message.transcript, has_sound) = read_audio(reader)?;
                if let Some(beside) = &mut beside {
                    beside.has_audio = has_sound;
                }
            } else if let Some(beside) = &mut beside {
                beside.read(&key.decode(), reader)?;
            } else {
                reader.skip()?;
            }
            Ok(())
        })?;
        if let Some(beside) = beside {
            beside.end();
        }
        Ok(message)
    }

    /// The content, or what the audio says where there is none.
    fn answer(&self) -> Content<'a> {
        self.content.or(self.transcript.map_or(Content::None, Content::Text))
    }
}

/// What Groq tells beside the choices (`XGroq` of its package for Python).
#[derive(Debug, Default)]
struct Groq<'a> {
    usage: Option<Usage>,
    /// Why a stream was stopped early, as written.
    error: Option<&'a str>,
}

impl<'a> Groq<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut groq = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "usage" => groq.usage = read_usage(reader)?,
                "error" => groq.error = Some(reader.raw()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(groq)
    }
}

/// Reads what a message's audio says, and whether it holds sound.
fn read_audio<'a>(reader: &mut Reader<'a>) -> Result<(Option<Text<'a>>, bool), JsonError> {
    let (mut transcript, mut has_sound) = (None, false);
    reader.object_or_skip(|key, reader| {
        if key == *"transcript" {
            transcript = read_filled(reader)?;
        } else if key == *"data" {
            has_sound = read_filled(reader)?.is_some();
        } else {
            reader.skip()?;
        }
        Ok(())
    })?;
    Ok((transcript, has_sound))
}

/// Reads the extras of a chunk that was read without them.
pub(super) fn read_extras<'a>(mut extras: Extras<'a>, raw: &'a str) -> Extras<'a> {
    // It is valid: it was read before.
    let _ = Chunk::read(raw, Some(&mut extras), |_, reader| reader.skip());
    extras
}
