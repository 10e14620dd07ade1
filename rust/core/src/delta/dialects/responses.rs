//! OpenAI's Responses: named events, each of which says its name in its data too, or one JSON body.
//!
//! Delivered is what a client is to see or to do: text, refusals, reasoning and its summaries,
//! calls of the caller's own tools. Citations and items of other types (tools that run at the service)
//! are counted, and so are events that are not known here.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::collected::Sealed;
use super::super::content::Content;
use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json};
use super::super::fields::{is_truthy, read_count, read_length, read_truthy};
use super::super::held_calls::HeldCalls;
use super::super::passed_over::{Counts, Teller, Unspoken, of_type};
use super::super::reply::ReplyState;
use super::super::said::Fingerprint;
use super::super::tool_call::{Arguments, CallPiece};
use super::super::usage::{Usage, read_usage};
use super::responses_told::{PartKind, Place, Told};
use super::{Added, AddedKind, DeltaSink, DialectReader, Members, Output};

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct OpenAiResponses {
    told: Told,
    /// Calls that began with arguments.
    held: HeldCalls,
    /// Fingerprints of the reasoning that came encrypted, of which the last event tells again.
    sealed: Vec<Fingerprint>,
    /// Whether the text is the transcript of audio.
    transcribes: bool,
}

impl DialectReader for OpenAiResponses {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let Ok(data) = EventData::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        let kind = data.kind.map_or(event.kind().into(), Text::decode);
        match &*kind {
            _ if data.has_error || kind == "error" => {
                self.release(output);
                fail_upstream(event.data, self, output.reply);
            }
            "response.output_text.delta" => {
                let place = data.place(PartKind::Text);
                self.told.add(place, data.delta, data.logprobs, output);
                return data.added(&kind).filter(|_| data.logprobs.is_none());
            }
            "response.created" | "response.queued" | "response.in_progress" => {
                data.response.note(output.reply);
            }
            "response.completed" | "response.incomplete" | "response.done" => {
                self.end_response(&data.response, data.response_text, output);
            }
            "response.failed" | "response.cancelled" => {
                self.deliver_output(&data.response, output);
                data.response.note(output.reply);
                self.fail(&data.response, data.response_text, output.reply);
            }
            _ if data.kind.is_none() && data.output.is_some() => {
                if let Ok(response) = Response::read(&mut Reader::new(event.data)) {
                    self.end_response(&response, event.data, output);
                }
            }
            _ => {
                output.reply.foreign = !kind.starts_with("response.");
                self.deliver(&kind, &data, output);
                return data.added(&kind);
            }
        }
        None
    }

    fn add_again<S: DeltaSink + ?Sized>(
        &mut self,
        kind: AddedKind,
        content: &str,
        output: &mut Output<'_, S>,
    ) {
        if output.wants_everything() {
            match kind {
                AddedKind::Part { kind, is_summary, item, part } => {
                    let kind = PartKind::of(kind, is_summary);
                    let (item, part) = (item.map(u64::from), part.into());
                    self.told.note_part(Place { kind, item, part }, content);
                }
                AddedKind::Arguments { index, .. } => {
                    self.told.add_arguments(index.map(u64::from), content);
                }
                AddedKind::Spoken(_) => {}
            }
        }
        output.add(kind, content);
    }

    fn owns(members: &Members<'_>) -> bool {
        members.text("type").starts_with("response.")
            || (members.text("object") == "response" && members.has("output", Kind::Array))
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(
            key,
            "type"
                | "delta"
                | "error"
                | "response"
                | "item"
                | "output_index"
                | "content_index"
                | "summary_index"
        )
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let mut reader = Reader::new(body);
        let response = Response::read(&mut reader)?;
        reader.end()?;
        response.note(output.reply);
        if response.has_error || response.has_failed() {
            self.fail(&response, body, output.reply);
        } else if response.output.is_none() {
            judge_json(body, output.reply);
        } else {
            output.reply.note_finish(response.finish_reason());
            self.deliver_output(&response, output);
            let answered = output.has_answered();
            output.reply.end_whole(answered, body);
        }
        Ok(())
    }

    fn release<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
        self.held.release(output);
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
    /// Delivers what an event of this type tells, if it is one that is known here.
    fn deliver<S: DeltaSink + ?Sized>(
        &mut self,
        kind: &str,
        data: &EventData<'_>,
        output: &mut Output<'_, S>,
    ) {
        let item = data.output_index;
        let Some((name, step)) =
            kind.strip_prefix("response.").and_then(|name| name.rsplit_once('.'))
        else {
            return;
        };
        match (name, step) {
            ("output_item", "added") => {
                output.pass_all_over(&data.item.unspoken(), Teller::Piece);
                if let Some(call) = data.item.call(item) {
                    self.begin_call(&call, output);
                }
            }
            ("output_item", "done") => {
                output.pass_all_over(&data.item.unspoken(), Teller::Item);
                self.deliver_item(&data.item, item, output);
            }
            ("output_text.annotation", "added") => {
                output.pass_over(Unspoken::Citation, 1, Teller::Piece);
            }
            ("content_part" | "reasoning_summary_part", "done") => {
                output.pass_all_over(&data.part.unspoken(), Teller::Part);
                if let Some(kind) = data.part.kind() {
                    self.add_whole(data.place(kind), &data.part, output);
                }
            }
            (name, "delta") => match About::of(name) {
                None => pass_over_event(name, output),
                about => self.add(about, data, output),
            },
            (name, "done") => match About::of(name) {
                Some(About::Part(kind)) => {
                    self.told.add_whole(data.place(kind), data.whole, data.logprobs, output);
                }
                Some(About::Transcript) if self.may_transcribe(output) => {
                    self.told.add_whole(data.place(PartKind::Text), data.whole, None, output);
                }
                Some(About::Arguments) => self.add_whole_call(&data.call(data.whole), output),
                _ => pass_over_event(name, output),
            },
            _ => pass_over_event(name, output),
        }
    }

    fn add<S: DeltaSink + ?Sized>(
        &mut self,
        about: Option<About>,
        data: &EventData<'_>,
        output: &mut Output<'_, S>,
    ) {
        match (about, data.delta) {
            (Some(About::Part(kind)), delta) => {
                self.told.add(data.place(kind), delta, None, output);
            }
            (Some(About::Transcript), delta) if self.may_transcribe(output) => {
                self.told.add(data.place(PartKind::Text), delta, None, output);
            }
            (Some(About::Arguments), Content::Text(delta)) if !delta.is_empty() => {
                self.held.deliver(data.output_index, false, output);
                if output.wants_everything() {
                    self.told.add_arguments(data.output_index, &delta.decode());
                }
                output.tool_call(&CallPiece {
                    index: data.output_index,
                    arguments: Arguments::Text(delta),
                    ..CallPiece::default()
                });
            }
            _ => {}
        }
    }

    /// Whether what audio says is the text: where there is no other.
    fn may_transcribe<S: DeltaSink + ?Sized>(&mut self, output: &Output<'_, S>) -> bool {
        self.transcribes |= !output.reply.delivered;
        self.transcribes
    }

    /// Delivers the beginning of a call. Its arguments mostly come with the events that follow.
    fn begin_call<S: DeltaSink + ?Sized>(
        &mut self,
        call: &CallPiece<'_>,
        output: &mut Output<'_, S>,
    ) {
        self.held.deliver(call.index, true, output);
        self.told.begin_call(call);
        self.held.hold(call, output);
        // The first arguments that come now are of a call that is held.
        output.reply.is_another_part = true;
    }

    fn add_whole_call<S: DeltaSink + ?Sized>(
        &mut self,
        call: &CallPiece<'_>,
        output: &mut Output<'_, S>,
    ) {
        self.held.deliver(call.index, false, output);
        self.told.add_whole_call(call, output);
    }

    fn add_whole<S: DeltaSink + ?Sized>(
        &mut self,
        place: Place,
        part: &Part<'_>,
        output: &mut Output<'_, S>,
    ) {
        if part.is_text() || self.may_transcribe(output) {
            self.told.add_whole(place, part.content(place.kind), part.logprobs, output);
        }
    }

    fn deliver_item<S: DeltaSink + ?Sized>(
        &mut self,
        item: &Item<'_>,
        index: Option<u64>,
        output: &mut Output<'_, S>,
    ) {
        if let Some(call) = item.call(index) {
            self.add_whole_call(&call, output);
        }
        for (place, part) in item.parts(index) {
            self.add_whole(place, part, output);
        }
        self.seal(item, output);
    }

    /// Delivers reasoning that comes encrypted, once.
    fn seal<S: DeltaSink + ?Sized>(&mut self, item: &Item<'_>, output: &mut Output<'_, S>) {
        let Some(data) = item.encrypted.filter(|_| output.wants_everything()) else { return };
        let fingerprint = Fingerprint::of(&data.decode());
        if !self.sealed.contains(&fingerprint) && self.sealed.len() < KNOWN_SEALS {
            self.sealed.push(fingerprint);
            output.seal_item(item.id, Some(data), Sealed::Encrypted);
        }
    }

    /// Delivers of a response's output what no event before told.
    fn deliver_output<S: DeltaSink + ?Sized>(
        &mut self,
        response: &Response<'_>,
        output: &mut Output<'_, S>,
    ) {
        let items = response.items();
        let mut unspoken = Counts::default();
        for item in &items {
            unspoken.add_all(&item.unspoken());
        }
        output.pass_all_over(&unspoken, Teller::Whole);
        let parts = || items.iter().zip(0..).flat_map(|(item, index)| item.parts(Some(index)));
        let texts = parts().filter(|(place, _)| place.kind == PartKind::Text);
        let length: usize = texts
            .filter_map(|(place, part)| part.content(place.kind).decode())
            .map(|text| text.len())
            .sum();
        // Items may be counted otherwise here, and texts be joined.
        let is_told = self.told.text_length(output) == length || self.told.has_forgotten();
        let before = self.told.count();
        for (item, index) in items.iter().zip(0..) {
            if let Some(call) = item.call(Some(index)) {
                self.add_whole_call(&call, output);
            }
            for (place, part) in item.parts(Some(index)) {
                let is_known = place.kind == PartKind::Text && is_told
                    || part
                        .content(place.kind)
                        .decode()
                        .is_some_and(|text| self.told.knows(place.kind, &text, before));
                if !is_known {
                    self.add_whole(place, part, output);
                } else if !self.told.has_logprobs() {
                    self.told.add_logprobs(place, part.logprobs, output);
                }
            }
            self.seal(item, output);
        }
        self.release(output);
    }

    /// Takes a response that is over.
    fn end_response<S: DeltaSink + ?Sized>(
        &mut self,
        response: &Response<'_>,
        raw: &str,
        output: &mut Output<'_, S>,
    ) {
        self.deliver_output(response, output);
        response.note(output.reply);
        if response.has_failed() {
            return self.fail(response, raw, output.reply);
        }
        output.reply.note_finish(response.finish_reason());
        output.reply.mark_done();
    }

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
    delta: Content<'a>,
    /// What an event that ends a part tells, under the name that texts of its kind have.
    whole: Content<'a>,
    /// The log probabilities of the text's tokens, as written.
    logprobs: Option<&'a str>,
    output_index: Option<u64>,
    /// The index of content, or of a summary, within its item.
    part_index: Option<u64>,
    item: Item<'a>,
    part: Part<'a>,
    response: Response<'a>,
    /// The response, as written.
    response_text: &'a str,
    /// The output, where the event is itself a response.
    output: Option<&'a str>,
}

impl<'a> EventData<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut data = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "type" => data.kind = reader.string_or_skip()?,
                "error" => data.has_error = read_truthy(reader)?,
                "delta" => data.delta = Content::read(reader)?,
                "text" | "refusal" | "arguments" | "input" | "transcript" => {
                    data.whole = data.whole.or(Content::read_texts(reader)?);
                }
                "logprobs" => data.logprobs = read_logprobs(reader)?,
                "call_id" => data.item.call.id = reader.string_or_skip()?,
                "name" => data.item.call.name = reader.string_or_skip()?,
                "output_index" => data.output_index = read_count(reader)?,
                "content_index" | "summary_index" => data.part_index = read_count(reader)?,
                "item" => data.item = Item::read(reader)?,
                "part" => data.part = Part::read(reader)?,
                "output" => data.output = Some(reader.raw()?),
                "response" if reader.peek()? == Kind::Object => {
                    let mut ahead = reader.clone();
                    data.response = Response::read(reader)?;
                    data.response_text = ahead.raw()?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(data)
    }

    fn place(&self, kind: PartKind) -> Place {
        Place { kind, item: self.output_index, part: self.part_index.unwrap_or(0) }
    }

    /// What a delta of this type adds, if it is one that does nothing else. An event that says
    /// itself what it is means the same under any name.
    fn added(&self, kind: &str) -> Option<Added<'a>> {
        let name = kind.strip_prefix("response.")?.strip_suffix(".delta")?;
        let content = self.delta.text().filter(|_| self.kind.is_some())?;
        let kind = match About::of(name)? {
            About::Part(PartKind::Text) => AddedKind::TEXT,
            About::Part(kind) => {
                let Place { item, part, .. } = self.place(kind);
                AddedKind::part(kind.spoken(), kind == PartKind::Summary, item, part)?
            }
            About::Arguments => AddedKind::arguments(self.output_index, false)?,
            About::Transcript => return None,
        };
        Added::of(kind, content)
    }

    /// The piece of a call that holds these arguments.
    fn call(&self, arguments: Content<'a>) -> CallPiece<'a> {
        let arguments = match arguments {
            Content::Text(text) => Arguments::Text(text),
            Content::Parts(raw) => Arguments::Raw(raw),
            Content::None | Content::Bare(_) => Arguments::None,
        };
        CallPiece { index: self.output_index, arguments, ..self.item.call }
    }
}

/// What an event is about, and how much of it it tells.
#[derive(Debug, Clone, Copy)]
enum About {
    Part(PartKind),
    Transcript,
    Arguments,
}

impl About {
    /// What the events with this beginning of their name are about.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "output_text" => Self::Part(PartKind::Text),
            "refusal" => Self::Part(PartKind::Refusal),
            "reasoning_text" | "reasoning" => Self::Part(PartKind::Reasoning),
            "reasoning_summary_text" | "reasoning_summary" => Self::Part(PartKind::Summary),
            "output_audio_transcript" | "audio_transcript" | "audio.transcript" => Self::Transcript,
            "function_call_arguments" | "custom_tool_call_input" => Self::Arguments,
            _ => return None,
        })
    }
}

/// A response's fields.
#[derive(Default)]
struct Response<'a> {
    id: Option<Text<'a>>,
    model: Option<Text<'a>>,
    status: Option<Text<'a>>,
    incomplete_reason: Option<Text<'a>>,
    usage: Option<Usage>,
    has_error: bool,
    /// The list of items, as written.
    output: Option<&'a str>,
}

impl<'a> Response<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut response = Self::default();
        reader.object(|key, reader| {
            match &*key.decode() {
                "id" => response.id = reader.string_or_skip()?,
                "model" => response.model = reader.string_or_skip()?,
                "status" => response.status = reader.string_or_skip()?,
                "incomplete_details" => response.incomplete_reason = read_reason(reader)?,
                "usage" => response.usage = read_usage(reader)?,
                "error" => response.has_error = read_truthy(reader)?,
                "output" if reader.peek()? == Kind::Array => response.output = Some(reader.raw()?),
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

    fn items(&self) -> Vec<Item<'a>> {
        let items = self.output.map(|output| Reader::new(output).list_or_skip(Item::read));
        // The list is valid: it was read before.
        items.and_then(Result::ok).flatten().unwrap_or_default()
    }
}

/// Items of reasoning that are told apart at most: more of them come from no model.
const KNOWN_SEALS: usize = 4096;

/// The types of items that are delivered.
const DELIVERED: [&str; 4] = ["message", "reasoning", "function_call", "custom_tool_call"];

/// What events tell of that is told again when it is over, or is no part of an answer.
const PROGRESS: [&str; 9] = [
    "output_item",
    "content_part",
    "reasoning_summary_part",
    "reasoning_part",
    "function_call_arguments",
    "custom_tool_call_input",
    "mcp_list_tools",
    "rate_limits",
    "in_progress",
];

/// Counts an event of which nothing is delivered, unless an item tells what it is about.
fn pass_over_event<S: DeltaSink + ?Sized>(name: &str, output: &mut Output<'_, S>) {
    if name.contains("audio") && !name.contains("transcript") {
        // A stream of sound is one, in however many pieces it comes.
        output.pass_over(Unspoken::Audio, 1, Teller::Whole);
    } else if !name.contains("_call") && !name.contains("audio") && !PROGRESS.contains(&name) {
        output.pass_over(Unspoken::Other, 1, Teller::Piece);
    }
}

/// An item of the output: a message, reasoning, or a call of a tool.
#[derive(Default)]
struct Item<'a> {
    kind: Option<Text<'a>>,
    id: Option<Text<'a>>,
    /// Reasoning, encrypted.
    encrypted: Option<Text<'a>>,
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
                "id" => item.id = reader.string_or_skip()?,
                "encrypted_content" => item.encrypted = reader.string_or_skip()?,
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

    /// What of it no delta is made of.
    fn unspoken(&self) -> Counts {
        let mut unspoken = Counts::default();
        for part in self.summary.iter().chain(&self.content) {
            unspoken.add_all(&part.unspoken());
        }
        if let Some(kind) = self.kind.map(Text::decode)
            && !DELIVERED.contains(&&*kind)
        {
            unspoken.add(of_type(&kind), 1);
        }
        unspoken
    }

    /// The parts, each with its place in an item of this index.
    fn parts(&self, item: Option<u64>) -> impl Iterator<Item = (Place, &Part<'a>)> {
        let parts = self.summary.iter().zip(0..).chain(self.content.iter().zip(0..));
        parts.filter_map(move |(part, index)| {
            Some((Place { kind: part.kind()?, item, part: index }, part))
        })
    }
}

/// A part of a message, of reasoning or of its summary.
#[derive(Default)]
struct Part<'a> {
    name: Option<Text<'a>>,
    text: Content<'a>,
    refusal: Content<'a>,
    transcript: Content<'a>,
    /// The log probabilities of the text's tokens, as written.
    logprobs: Option<&'a str>,
    /// How many sources the text has.
    annotations: u64,
}

impl<'a> Part<'a> {
    /// Reads a part. What is no object is its text.
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        if reader.peek()? != Kind::Object {
            part.text = Content::read(reader)?;
            return Ok(part);
        }
        reader.object(|key, reader| {
            match &*key.decode() {
                "type" => part.name = reader.string_or_skip()?,
                "text" => part.text = Content::read(reader)?,
                "refusal" => part.refusal = Content::read(reader)?,
                "transcript" => part.transcript = Content::read(reader)?,
                "logprobs" => part.logprobs = read_logprobs(reader)?,
                "annotations" => part.annotations = read_length(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }

    /// What of it no delta is made of.
    fn unspoken(&self) -> Counts {
        let mut unspoken = Counts::default();
        unspoken.add(Unspoken::Citation, self.annotations);
        if let Some(name) = self.name.filter(|_| self.kind().is_none()) {
            unspoken.add(of_type(&name.decode()), 1);
        }
        unspoken
    }

    fn kind(&self) -> Option<PartKind> {
        let Some(name) = self.name else { return Some(PartKind::Text) };
        Some(match &*name.decode() {
            "output_text" | "text" | "output_audio" => PartKind::Text,
            "refusal" => PartKind::Refusal,
            "reasoning_text" => PartKind::Reasoning,
            "summary_text" => PartKind::Summary,
            _ => return None,
        })
    }

    /// Whether it is no audio.
    fn is_text(&self) -> bool {
        !self.transcript.is_filled()
    }

    /// The text of a part of this kind.
    fn content(&self, kind: PartKind) -> Content<'a> {
        if kind == PartKind::Refusal { self.refusal } else { self.text.or(self.transcript) }
    }
}

/// Reads a list of parts, or the text in its place.
fn read_parts<'a>(reader: &mut Reader<'a>) -> Result<Vec<Part<'a>>, JsonError> {
    match reader.peek()? {
        Kind::Array => Ok(reader.list_or_skip(Part::read)?.unwrap_or_default()),
        Kind::Null => reader.skip().map(|()| Vec::new()),
        _ => Part::read(reader).map(|part| vec![part]),
    }
}

/// Reads a list of log probabilities, as written; an empty one is none.
fn read_logprobs<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, JsonError> {
    reader.raw().map(|list| Some(list).filter(|list| is_truthy(list)))
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
