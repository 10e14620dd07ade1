//! Gemini's `generateContent`: streamed as server-sent events or as one JSON array that comes bit
//! by bit, or one body.
//!
//! Every piece has the same form. Of the candidates the first one with index 0 counts; its parts
//! are text, thoughts (reasoning) and calls of functions. A call comes whole, or, when asked for,
//! its arguments come value by value. No event marks the end but a finish reason.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::collected::Sealed;
use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json};
use super::super::fields::{
    first_of_choices, read_count, read_filled, read_index, read_is_first, read_length, read_truthy,
};
use super::super::passed_over::{Teller, Unspoken, of_media_type};
use super::super::reply::ReplyState;
use super::super::said::Fingerprint;
use super::super::tool_call::{Arguments, CallPiece};
use super::super::usage::{Counts, Usage};
use super::gemini_arguments::{PartialArgument, PartialArguments};
use super::{Added, DeltaSink, DialectReader, Members, Output};

/// Reads the pieces of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct Gemini {
    /// Calls so far: the API does not number them.
    calls: u64,
    /// The last call, while it goes on.
    open: Option<OpenCall>,
}

/// A call whose arguments come value by value.
#[derive(Debug, Clone)]
struct OpenCall {
    number: u64,
    id: Option<Fingerprint>,
    arguments: PartialArguments,
}

impl DialectReader for Gemini {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let Ok(piece) = Piece::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        self.note(&piece, event.data, output.reply);
        output.reply.foreign = piece.is_foreign();
        if !output.reply.is_open() {
            return None;
        }
        self.deliver_piece(&piece, output);
        piece.added()
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
        let piece = Piece::read(body)?;
        self.note(&piece, body, output.reply);
        if !output.reply.is_open() {
            return Ok(());
        }
        if piece.has_candidates || piece.usage.is_some() {
            self.deliver_piece(&piece, output);
            self.release(output);
            let answered = output.has_answered();
            output.reply.end_whole(answered, body);
        } else {
            judge_json(body, output.reply);
        }
        Ok(())
    }

    fn release<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
        if let Some(mut open) = self.open.take() {
            let mut arguments = String::new();
            open.arguments.end(&mut arguments);
            if !arguments.is_empty() {
                let arguments = Arguments::Raw(&arguments);
                let index = Some(open.number);
                output.tool_call(&CallPiece { index, arguments, ..CallPiece::default() });
            }
        }
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
    fn note(&self, piece: &Piece<'_>, raw: &str, reply: &mut ReplyState) {
        reply.note_ids(piece.id, piece.model);
        reply.note_usage(piece.usage);
        if piece.has_error {
            return fail_upstream(raw, self, reply);
        }
        if let Some(reason) = piece.block_reason {
            let reason = reason.decode().into_owned();
            let message = match piece.block_message {
                Some(message) => message.decode().into_owned(),
                None => format!("the prompt was blocked: {reason}"),
            };
            return reply.fail(ErrorKind::Upstream, message, Some(reason), raw);
        }
        reply.note_finish(piece.candidate.finish_reason);
        if let Some(message) = piece.candidate.finish_message {
            reply.unread.note_finish_message(&message.decode());
        }
    }

    fn deliver_piece<S: DeltaSink + ?Sized>(
        &mut self,
        piece: &Piece<'_>,
        output: &mut Output<'_, S>,
    ) {
        output.pass_over(Unspoken::Choice, piece.others, Teller::Whole);
        self.deliver(&piece.candidate, output);
    }

    fn deliver<S: DeltaSink + ?Sized>(
        &mut self,
        candidate: &Candidate<'_>,
        output: &mut Output<'_, S>,
    ) {
        output.pass_over(Unspoken::Citation, candidate.citations, Teller::Whole);
        match output.read_logprobs(candidate.logprobs) {
            None => self.deliver_parts(&candidate.parts, output),
            Some(logprobs) => output.with_logprobs(&logprobs, |output| {
                self.deliver_parts(&candidate.parts, output);
            }),
        }
    }

    fn deliver_parts<S: DeltaSink + ?Sized>(
        &mut self,
        parts: &[Part<'_>],
        output: &mut Output<'_, S>,
    ) {
        for part in parts {
            if let Some(call) = &part.call {
                self.deliver_call(call, output);
            }
            if let Some(unspoken) = part.unspoken {
                output.pass_over(unspoken, 1, Teller::Piece);
            }
            output.say(part.spoken(), part.text);
            let sealed = if part.is_thought { Sealed::Signature } else { Sealed::Text };
            output.seal(part.signature, sealed);
        }
    }

    /// Delivers a call, or a piece of the one that goes on.
    fn deliver_call<S: DeltaSink + ?Sized>(&mut self, call: &Call<'_>, output: &mut Output<'_, S>) {
        let id = call.piece.id.map(|id| Fingerprint::of(&id.decode()));
        if !self.goes_on(call, id) {
            self.release(output);
            self.open =
                Some(OpenCall { number: self.calls, id, arguments: PartialArguments::default() });
            self.calls += 1;
        }
        let Some(open) = &mut self.open else { return };
        let mut text = String::new();
        for argument in &call.partial {
            open.arguments.add(argument, &mut text);
        }
        if !call.goes_on {
            open.arguments.end(&mut text);
        }
        let index = Some(open.number);
        let arguments = if text.is_empty() { call.piece.arguments } else { Arguments::Raw(&text) };
        output.tool_call(&CallPiece { index, arguments, ..call.piece });
        if !call.goes_on {
            self.open = None;
        }
    }

    /// Whether a piece belongs to the call that is open: it has that one's id, or no name.
    fn goes_on(&self, call: &Call<'_>, id: Option<Fingerprint>) -> bool {
        let Some(open) = &self.open else { return false };
        match open.id.zip(id) {
            Some((open, id)) => open == id,
            None => call.piece.name.is_none_or(Text::is_empty),
        }
    }
}

/// The fields of a piece of the reply that are read.
#[derive(Default)]
struct Piece<'a> {
    has_error: bool,
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    usage: Option<Usage>,
    block_reason: Option<Text<'a>>,
    block_message: Option<Text<'a>>,
    has_candidates: bool,
    candidate: Candidate<'a>,
    /// How many other candidates there are.
    others: u64,
}

impl<'a> Piece<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut piece = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "candidates" => piece.read_candidates(reader)?,
                "error" => piece.has_error = read_truthy(reader)?,
                "responseId" => piece.id = reader.string_or_skip()?,
                "modelVersion" => piece.model = reader.string_or_skip()?,
                "usageMetadata" => piece.usage = read_usage(reader)?,
                "promptFeedback" => piece.read_feedback(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(piece)
    }

    fn read_candidates(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.has_candidates = reader.peek()? == Kind::Array;
        let (first, others) = first_of_choices(reader, Candidate::read)?;
        self.candidate = first.unwrap_or_default();
        self.others = others;
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

    /// The text of a piece that does nothing but add it.
    fn added(&self) -> Option<Added<'a>> {
        let [part] = &self.candidate.parts[..] else { return None };
        let adds_text_only = part.call.is_none()
            && self.usage.is_none()
            && self.candidate.logprobs.is_none()
            && self.candidate.citations == 0
            && part.unspoken.is_none()
            && part.signature.is_none()
            && self.candidate.finish_reason.is_none()
            && self.candidate.finish_message.is_none();
        Added::spoken(part.spoken(), part.text).filter(|_| adds_text_only)
    }
}

/// One of the answers.
#[derive(Default)]
struct Candidate<'a> {
    parts: Vec<Part<'a>>,
    finish_reason: Option<Text<'a>>,
    finish_message: Option<Text<'a>>,
    /// The log probabilities of the parts' tokens, as written.
    logprobs: Option<&'a str>,
    /// How many sources it has so far.
    citations: u64,
}

impl<'a> Candidate<'a> {
    /// Reads a candidate: nothing when its index is not 0, and the index.
    fn read(reader: &mut Reader<'a>) -> Result<(Option<Self>, u64), JsonError> {
        let mut candidate = Self::default();
        let (mut is_first, mut index) = (true, 0);
        reader.object(|key, reader| {
            match &*key.decode() {
                "index" => {
                    is_first = read_is_first(&mut reader.clone())?;
                    index = read_index(reader)?;
                }
                "content" => candidate.parts = read_parts(reader)?,
                "finishReason" => candidate.finish_reason = reader.string_or_skip()?,
                "finishMessage" => candidate.finish_message = read_filled(reader)?,
                "logprobsResult" => candidate.logprobs = Some(reader.raw()?),
                "groundingMetadata" | "citationMetadata" | "urlContextMetadata" => {
                    candidate.citations += read_sources(reader)?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let is_other = u64::from(!is_first);
        Ok((is_first.then_some(candidate), index.max(is_other) * is_other))
    }
}

/// Reads how many sources metadata of a candidate names.
fn read_sources(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    let mut sources = 0;
    reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "groundingChunks" | "citationSources" | "citations" | "urlMetadata" => {
                sources += read_length(reader)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(sources)
}

/// Reads the parts of a candidate's content, or the text in their place.
fn read_parts<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    if reader.peek()? != Kind::Object {
        return read_list(reader);
    }
    let mut parts = Vec::new();
    reader.object(|key, reader| {
        if key != *"parts" {
            return reader.skip();
        }
        parts = read_list(reader)?;
        Ok(())
    })?;
    Ok(parts)
}

/// Reads a list of parts, or one part alone.
fn read_list<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    match reader.peek()? {
        Kind::Array => Ok(reader.list_or_skip(Part::read)?.unwrap_or_default()),
        Kind::Null => reader.skip().map(|()| Vec::new()),
        _ => Part::read(reader).map(|part| vec![part]),
    }
}

/// A part of the answer; those of other kinds (data, files, code that was run) are counted.
#[derive(Default)]
struct Part<'a> {
    text: Content<'a>,
    is_thought: bool,
    call: Option<Call<'a>>,
    unspoken: Option<Unspoken>,
    /// What the service wants to have back with the text.
    signature: Option<Text<'a>>,
}

impl<'a> Part<'a> {
    /// Reads a part. What is no object is its text.
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let (mut part, mut signature, mut is_other) = (Self::default(), None, false);
        if reader.peek()? != Kind::Object {
            part.text = Content::read(reader)?;
            return Ok(part);
        }
        reader.object(|key, reader| {
            match &*key.decode() {
                "text" => part.text = Content::read(reader)?,
                "thought" => part.is_thought = reader.bool_or_skip()? == Some(true),
                "functionCall" => part.call = Call::read(reader)?,
                "thoughtSignature" | "thought_signature" => signature = reader.string_or_skip()?,
                "inlineData" | "inline_data" | "fileData" | "file_data" => {
                    part.unspoken = read_data(reader)?;
                }
                "executableCode" | "codeExecutionResult" | "toolCall" | "toolResponse" => {
                    part.unspoken = Some(Unspoken::ServerTool);
                    reader.skip()?;
                }
                "videoMetadata" | "mediaResolution" | "partMetadata" => reader.skip()?,
                _ => {
                    is_other = true;
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        if is_other && part.unspoken.is_none() && part.call.is_none() && !part.text.is_filled() {
            part.unspoken = Some(Unspoken::Other);
        }
        match &mut part.call {
            Some(call) => call.piece.signature = signature,
            None => part.signature = signature,
        }
        Ok(part)
    }

    /// What its text is.
    fn spoken(&self) -> Spoken {
        if self.is_thought { Spoken::Reasoning } else { Spoken::Text }
    }
}

/// Reads what data of a part is; nothing where the value is no object.
fn read_data(reader: &mut Reader<'_>) -> Result<Option<Unspoken>, JsonError> {
    let mut kind = Unspoken::File;
    let is_object = reader.object_or_skip(|key, reader| {
        if key == *"mimeType" || key == *"mime_type" {
            let media_type = read_filled(reader)?;
            kind = media_type.map_or(Unspoken::File, |name| of_media_type(&name.decode()));
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(is_object.then_some(kind))
}

/// A call, or a piece of one.
#[derive(Default)]
struct Call<'a> {
    piece: CallPiece<'a>,
    partial: Vec<PartialArgument<'a>>,
    goes_on: bool,
}

impl<'a> Call<'a> {
    /// Reads a call; `None` when the value is no object.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut call = Self::default();
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "id" => call.piece.id = reader.string_or_skip()?,
                "name" => call.piece.name = reader.string_or_skip()?,
                "args" => call.piece.arguments = Arguments::read(reader)?,
                "partialArgs" => {
                    call.partial = reader.list_or_skip(PartialArgument::read)?.unwrap_or_default();
                }
                "willContinue" => call.goes_on = reader.bool_or_skip()? == Some(true),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_object.then_some(call))
    }
}

/// Reads the counts. The tokens of thoughts are counted apart from the candidates', those of a
/// tool's results apart from the prompt's.
fn read_usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, JsonError> {
    let [mut tool_prompt, mut candidates] = [None; 2];
    let mut counts = Counts::default();
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "promptTokenCount" => counts.prompt = read_count(reader)?,
            "toolUsePromptTokenCount" => tool_prompt = read_count(reader)?,
            "cachedContentTokenCount" => counts.cached = read_count(reader)?,
            "candidatesTokenCount" => candidates = read_count(reader)?,
            "thoughtsTokenCount" => counts.reasoning = read_count(reader)?,
            "totalTokenCount" => counts.total = read_count(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let sum = |a: Option<u64>, b: Option<u64>| Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0)));
    counts.prompt = sum(counts.prompt, tool_prompt);
    counts.completion = sum(candidates, counts.reasoning);
    Ok(is_object.then(|| counts.usage()))
}
