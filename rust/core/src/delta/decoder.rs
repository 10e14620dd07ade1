//! The decoder of one chat reply: finds out its framing, and hands its bytes on to the dialect.

use alloc::borrow::Cow;
use std::ops::ControlFlow;

use crate::error::{ErrorKind, ReplyError};
use crate::event::{Event, EventDecoder, RawEvent};
use crate::json::{JsonError, Kind, Reader, Scratch, Text};
use crate::limits::{ERROR_BODY_BYTES, Limit, LimitExceeded};
use crate::prelude::*;
use crate::utf8::decode;

use super::ai_power::{self, AiPower};
use super::aipkit;
use super::anthropic::{self, Anthropic};
use super::framing::{Debris, Sniffed, Sniffer};
use super::gemini::{self, Gemini};
use super::layout::Memory;
use super::no_answer::{describe, is_page, judge_debris, judge_error_body, judge_page};
use super::ollama::{self, Ollama};
use super::openai;
use super::records::RecordSplitter;
use super::reply::{End, Ids, Reply, Usage};
use super::responses;
use super::text::TextDecoder;
use super::{DeltaOptions, DeltaSink, Dialect, Framing};

/// Bytes of one chat reply in, text deltas out. Errors are a state: [`feed`](Self::feed) and
/// [`close`](Self::close) take whatever a peer sends, and [`end`](Self::end) and
/// [`error`](Self::error) tell what came of it.
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End};
///
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
/// let mut answer = String::new();
/// for read in ["data: {\"choices\":[{\"delta\":{\"content\":\"Hel", "lo\"}}]}\n\ndata: [DO", "NE]\n\n"] {
///     decoder.feed(read.as_bytes(), &mut answer);
/// }
/// decoder.close(true, &mut answer);
/// assert_eq!(answer, "Hello");
/// assert_eq!(decoder.end(), End::Done);
/// ```
#[derive(Debug, Clone)]
pub struct DeltaDecoder {
    dialect: Dialect,
    max_event_bytes: usize,
    max_body_bytes: usize,
    framing: Framing,
    stage: Stage,
    reply: Reply,
    remembers: bool,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Neither events nor a JSON body have begun.
    Sniffing(Box<Sniffer>),
    Events(Box<Events>),
    Records(Box<Records>),
    Json {
        body: Vec<u8>,
        debris: Box<[u8]>,
    },
    Text(Box<TextDecoder>),
    /// A page where an answer should be.
    Page(Box<Debris>),
    /// The body of a reply with an error status, as far as it is kept.
    ErrorBody(Vec<u8>),
    Over,
}

#[derive(Debug, Clone)]
struct Events {
    decoder: EventDecoder,
    reader: EventReader,
    /// The layout that events repeat; `None` to read each in full.
    memory: Option<Memory>,
    /// What is remembered was read for a sink that wants everything.
    everything: bool,
    /// The beginning of what came before the events.
    debris: Box<[u8]>,
}

/// JSON texts, each of which is read like an event's data.
#[derive(Debug, Clone)]
struct Records {
    splitter: RecordSplitter,
    reader: EventReader,
    memory: Option<Memory>,
    everything: bool,
    debris: Box<[u8]>,
}

/// What reads the events of one dialect.
#[derive(Debug, Clone)]
enum EventReader {
    OpenAi,
    AiPower(AiPower),
    AiPkit,
    /// Apart: it would make all of them larger.
    Anthropic(Box<Anthropic>),
    Gemini(Gemini),
    Ollama(Ollama),
    Responses,
}

impl DeltaDecoder {
    /// A decoder for one reply.
    pub fn new(dialect: Dialect, options: DeltaOptions) -> Self {
        let DeltaOptions { content_type, status, failure_tail, max_event_bytes, max_body_bytes } =
            options;
        let (framing, stage) = if status >= 400 {
            (Framing::Text, Stage::ErrorBody(Vec::new()))
        } else if dialect != Dialect::Text {
            (
                Framing::Open,
                Stage::Sniffing(Box::new(Sniffer::new(max_body_bytes, dialect == Dialect::Gemini))),
            )
        } else if content_type.as_deref().is_some_and(is_html) {
            (Framing::Text, Stage::Page(Box::new(Debris::new(max_body_bytes))))
        } else {
            (Framing::Text, Stage::Text(Box::new(TextDecoder::new(failure_tail))))
        };
        let reply = Reply::new(status);
        Self { dialect, max_event_bytes, max_body_bytes, framing, stage, reply, remembers: true }
    }

    /// The reference: like [`new`](Self::new), and each event is read in full, whatever came before
    /// it. It differs in nothing but speed.
    #[doc(hidden)]
    pub fn without_memory(dialect: Dialect, options: DeltaOptions) -> Self {
        Self { remembers: false, ..Self::new(dialect, options) }
    }

    /// Delivers the text that `bytes` add. After the end, bytes are ignored.
    pub fn feed<S: DeltaSink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        if self.reply.is_open()
            && let Err(limit) = self.read(bytes, sink)
        {
            self.reply.fail_limit(limit);
        }
        if !self.reply.is_open() {
            self.stage = Stage::Over;
        }
    }

    /// Ends the reply: delivers what was held, and settles how it ended. `complete` is false when
    /// the transport broke.
    pub fn close<S: DeltaSink + ?Sized>(&mut self, complete: bool, sink: &mut S) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if !self.reply.is_open() {
            return;
        }
        match stage {
            Stage::Sniffing(sniffer) => {
                self.close_debris(sniffer.into_debris(), complete, judge_debris);
            }
            Stage::Page(debris) => self.close_debris(Ok(*debris), complete, judge_debris_of_text),
            Stage::Events(events) => self.close_events(*events, complete, sink),
            Stage::Records(records) => self.close_records(*records, complete, sink),
            Stage::Json { body, debris } => self.close_json(&body, &debris, complete, sink),
            Stage::Text(text) => text.close(complete, &mut self.reply, sink),
            Stage::ErrorBody(body) => judge_error_body(&body, self.dialect, &mut self.reply),
            Stage::Over => {}
        }
    }

    /// Whether the dialect's end marker was seen: the `[DONE]` sentinel, or a named end event.
    pub fn done(&self) -> bool {
        self.reply.done
    }

    /// How the reply ended.
    pub fn end(&self) -> End {
        self.reply.end
    }

    /// The last finish reason given.
    pub fn finish_reason(&self) -> Option<&str> {
        self.reply.finish_reason.as_deref()
    }

    /// The last usage given.
    pub fn usage(&self) -> Option<&Usage> {
        self.reply.usage.as_ref()
    }

    /// What the reply calls itself.
    pub fn ids(&self) -> &Ids {
        &self.reply.ids
    }

    /// What is wrong with the reply: always there when it is truncated or failed, and only then.
    pub fn error(&self) -> Option<&ReplyError> {
        self.reply.error.as_deref()
    }

    /// Events seen, end markers and bad ones included. A JSON body is one; of a `text` reply each
    /// delta is one, so that their number depends on the reads.
    pub fn events(&self) -> u64 {
        self.reply.events
    }

    /// Events skipped because their data was not what the dialect promises.
    pub fn bad_events(&self) -> u64 {
        self.reply.bad_events
    }

    /// Events that needed no full reading, because they repeated an earlier one's bytes around
    /// another content. While events are being read; their number depends on the reads.
    #[doc(hidden)]
    pub fn repeated_events(&self) -> u64 {
        match &self.stage {
            Stage::Events(events) => events.memory.as_ref().map_or(0, Memory::repeated),
            Stage::Records(records) => records.memory.as_ref().map_or(0, Memory::repeated),
            _ => 0,
        }
    }

    /// How the reply's bytes are put together.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    fn read<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        match &mut self.stage {
            Stage::Sniffing(sniffer) => match sniffer.feed(bytes)? {
                Sniffed::Open => Ok(()),
                Sniffed::Sse { head, rest } => {
                    let debris = sniffer.take_debris();
                    self.begin_events(debris);
                    // A line that lies whole in the read is read from there.
                    let (came, _) = bytes.split_at(bytes.len() - rest.len());
                    if came.ends_with(head) {
                        return self.read(&bytes[came.len() - head.len()..], sink);
                    }
                    self.read(head, sink)?;
                    self.read(rest, sink)
                }
                Sniffed::Json { rest } => {
                    let debris = sniffer.take_debris();
                    if self.dialect == Dialect::Ollama {
                        self.begin_records(
                            Framing::Lines,
                            RecordSplitter::lines(self.max_event_bytes),
                            debris,
                        );
                    } else {
                        self.framing = Framing::Json;
                        // Mostly it comes in one read.
                        let body = Vec::with_capacity((1 + rest.len()).min(self.max_body_bytes));
                        self.stage = Stage::Json { body, debris };
                    }
                    // The bracket before the rest is part of it.
                    self.read(&bytes[bytes.len() - rest.len() - 1..], sink)
                }
                Sniffed::Array { rest } => {
                    let debris = sniffer.take_debris();
                    self.begin_records(
                        Framing::Array,
                        RecordSplitter::array(self.max_event_bytes),
                        debris,
                    );
                    self.read(rest, sink)
                }
            },
            Stage::Events(events) => events.read(bytes, &mut self.reply, sink),
            Stage::Records(records) => records.read(bytes, &mut self.reply, sink),
            Stage::Json { body, .. } => {
                if bytes.len() > self.max_body_bytes - body.len() {
                    return Err(LimitExceeded { limit: Limit::Body, bytes: self.max_body_bytes });
                }
                body.extend_from_slice(bytes);
                Ok(())
            }
            Stage::Text(text) => {
                text.feed(bytes, &mut self.reply, sink);
                Ok(())
            }
            Stage::Page(debris) => debris.push(bytes),
            Stage::ErrorBody(body) => {
                let room = ERROR_BODY_BYTES - body.len();
                body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                Ok(())
            }
            Stage::Over => Ok(()),
        }
    }

    fn begin_events(&mut self, debris: Box<[u8]>) {
        self.framing = Framing::Sse;
        let decoder = EventDecoder::new(self.max_event_bytes);
        let (reader, memory) = (EventReader::new(self.dialect), self.remembers.then(Memory::new));
        self.stage =
            Stage::Events(Box::new(Events { decoder, reader, memory, everything: false, debris }));
    }

    fn begin_records(&mut self, framing: Framing, splitter: RecordSplitter, debris: Box<[u8]>) {
        self.framing = framing;
        let (reader, memory) = (EventReader::new(self.dialect), self.remembers.then(Memory::new));
        self.stage = Stage::Records(Box::new(Records {
            splitter,
            reader,
            memory,
            everything: false,
            debris,
        }));
    }

    fn close_debris(
        &mut self,
        debris: Result<Debris, LimitExceeded>,
        complete: bool,
        judge: impl FnOnce(&Debris, &mut Reply),
    ) {
        match debris {
            Err(limit) => self.reply.fail_limit(limit),
            Ok(debris) if complete => judge(&debris, &mut self.reply),
            Ok(debris) => self.reply.truncate(complete, &String::from_utf8_lossy(debris.kept())),
        }
    }

    fn close_events<S: DeltaSink + ?Sized>(
        &mut self,
        mut events: Events,
        complete: bool,
        sink: &mut S,
    ) {
        let reply = &mut self.reply;
        let mut cut = String::new();
        let Events { decoder, reader, debris, .. } = &mut events;
        decoder.unfinished(|event| {
            if reader.is_whole(&event) {
                reply.events += 1;
                reader.read(&event, reply, &mut Vec::new(), sink);
            } else {
                event.data.clone_into(&mut cut);
            }
        });
        if reply.is_open() && !reader.end_words(reply) {
            self.settle_end(debris, complete, &cut);
        }
    }

    fn close_records<S: DeltaSink + ?Sized>(
        &mut self,
        mut records: Records,
        complete: bool,
        sink: &mut S,
    ) {
        let reply = &mut self.reply;
        let Records { splitter, reader, debris, .. } = &mut records;
        let mut cut = decode(splitter.unfinished());
        let event = RawEvent::of_data(splitter.unfinished()).with_data(&cut);
        if reader.is_whole(&event) {
            reply.events += 1;
            reader.read(&event, reply, &mut Vec::new(), sink);
            cut = "".into();
        }
        if splitter.is_closed() && reply.events == 0 {
            reply.fail_without_answer("[]");
        } else if reply.is_open() {
            self.settle_end(debris, complete, &cut);
        }
    }

    /// Names the end of events that ended without an end marker; `cut` is the beginning of the next
    /// one.
    fn settle_end(&mut self, debris: &[u8], complete: bool, cut: &str) {
        let reply = &mut self.reply;
        let only_bad = reply.events == reply.bad_events;
        if complete && only_bad && is_page(debris) {
            judge_page(debris, reply);
        } else if complete && only_bad && reply.events > 0 {
            reply.fail(
                ErrorKind::NotAStream,
                "none of its events is one of this dialect",
                None,
                cut,
            );
        } else if complete && reply.finish_reason.is_some() {
            reply.end = End::Stopped;
        } else {
            reply.truncate(complete, cut);
        }
    }

    /// A JSON object shows its own end: one that is whole is read, also when the transport broke
    /// after it.
    fn close_json<S: DeltaSink + ?Sized>(
        &mut self,
        body: &[u8],
        debris: &[u8],
        complete: bool,
        sink: &mut S,
    ) {
        let text = decode(body);
        let scratch = &mut Vec::new();
        let read = match self.dialect {
            Dialect::AiPower => ai_power::read_body(&text, &mut self.reply, scratch, sink),
            Dialect::AiPkit => aipkit::read_body(&text, &mut self.reply, scratch, sink),
            Dialect::Anthropic => anthropic::read_body(&text, &mut self.reply, scratch, sink),
            Dialect::Gemini => gemini::read_body(&text, &mut self.reply, scratch, sink),
            Dialect::OpenAiResponses => responses::read_body(&text, &mut self.reply, scratch, sink),
            Dialect::OpenAi | Dialect::Ollama | Dialect::Text => {
                openai::read_body(&text, &mut self.reply, scratch, sink)
            }
        };
        // One that breaks off is no event, as in a stream.
        self.reply.events += u64::from(read != Err(JsonError::UnexpectedEnd));
        let Err(error) = read else { return };
        self.reply.bad_events = self.reply.events;
        if !complete {
            self.reply.truncate(complete, &text);
        } else if is_page(debris) {
            judge_page(debris, &mut self.reply);
        } else if error == JsonError::UnexpectedEnd {
            self.reply.truncate(complete, &text);
        } else {
            self.reply.fail(ErrorKind::NotAStream, describe(&text), None, &text);
        }
    }
}

impl Events {
    fn read<S: DeltaSink + ?Sized>(
        &mut self,
        mut bytes: &[u8],
        reply: &mut Reply,
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        remember_for(sink.wants_everything(), &mut self.everything, &mut self.memory);
        let mut scratch = Scratch::default();
        loop {
            self.read_repeated(&mut bytes, reply, &mut scratch, sink);
            let Self { decoder, reader, memory, .. } = self;
            if bytes.is_empty() {
                decoder.rest();
                return Ok(());
            }
            decoder.next(&mut bytes, |event| {
                reply.events += 1;
                reader.read_raw(&event, memory.as_mut(), reply, &mut scratch, sink);
                if reply.is_open() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes events that repeat the remembered layout off `bytes`, from where they lie: neither are
    /// their line ends looked for, nor is their JSON read. What may be the beginning of another is
    /// held as it is.
    fn read_repeated<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &mut &[u8],
        reply: &mut Reply,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        if !self.reader.can_repeat(None) || !self.read_held(bytes, reply, scratch, sink) {
            return;
        }
        let Self { decoder, memory: Some(memory), .. } = self else { return };
        while let Some(content) = memory.next_content(bytes, decoder.max_event_bytes(), scratch) {
            reply.events += 1;
            reply.deliver(content, sink);
        }
        if memory.may_repeat(bytes) {
            decoder.hold(bytes);
        }
    }

    /// The same for one event whose beginning is held. Says whether the first of an event comes
    /// next.
    fn read_held<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &mut &[u8],
        reply: &mut Reply,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> bool {
        let Self { decoder, memory: Some(memory), .. } = self else { return false };
        let max_bytes = decoder.max_event_bytes();
        let Some(held) = decoder.held() else { return decoder.is_between_events(bytes) };
        let before = held.len();
        let Some(rest) = memory.rest(before, bytes) else {
            decoder.hold(bytes);
            return false;
        };
        held.extend_from_slice(rest);
        let mut joined = &held[..];
        let Some(content) = memory.next_content(&mut joined, max_bytes, scratch) else {
            held.truncate(before);
            return false;
        };
        let taken = held.len() - joined.len() - before;
        *bytes = &bytes[taken..];
        reply.events += 1;
        reply.deliver(content, sink);
        decoder.let_go();
        true
    }
}

impl Records {
    fn read<S: DeltaSink + ?Sized>(
        &mut self,
        mut bytes: &[u8],
        reply: &mut Reply,
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        remember_for(sink.wants_everything(), &mut self.everything, &mut self.memory);
        let mut scratch = Scratch::default();
        let Self { splitter, reader, memory, .. } = self;
        while !bytes.is_empty() && reply.is_open() {
            splitter.next(&mut bytes, |text| {
                reply.events += 1;
                reader.read_raw(
                    &RawEvent::of_data(text),
                    memory.as_mut(),
                    reply,
                    &mut scratch,
                    sink,
                );
            })?;
        }
        // The array's end is an end marker where the model had stopped before it.
        if splitter.is_closed() && reply.finish_reason.is_some() && reply.is_open() {
            reply.mark_done();
        }
        Ok(())
    }
}

impl EventReader {
    fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::AiPower => Self::AiPower(AiPower::default()),
            Dialect::AiPkit => Self::AiPkit,
            Dialect::Anthropic => Self::Anthropic(Box::default()),
            Dialect::Gemini => Self::Gemini(Gemini::default()),
            Dialect::Ollama => Self::Ollama(Ollama::default()),
            Dialect::OpenAiResponses => Self::Responses,
            Dialect::OpenAi | Dialect::Text => Self::OpenAi,
        }
    }

    /// Reads one event, in full unless it repeats the remembered layout.
    fn read_raw<S: DeltaSink + ?Sized>(
        &mut self,
        event: &RawEvent<'_>,
        memory: Option<&mut Memory>,
        reply: &mut Reply,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        let mut memory = memory.filter(|_| self.can_repeat(event.name));
        if let Some(content) =
            memory.as_mut().and_then(|memory| memory.content(event.data, scratch))
        {
            return reply.deliver(content, sink);
        }
        let data = decode(event.data);
        let content = self.read(&event.with_data(&data), reply, &mut scratch.escaped, sink);
        // What had to be mended is not what the next event will be compared with.
        if let (Some(memory), Some(content), Cow::Borrowed(data)) = (memory, content, &data) {
            memory.learn(data, content, |key, kind| self.matters(key, kind, &reply.ids));
        }
    }

    /// Reads one event in full. Returns its content when it did nothing but add it.
    fn read<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> Option<Text<'a>> {
        match self {
            Self::OpenAi => openai::read_event(event, reply, scratch, sink),
            Self::AiPower(ai_power) => ai_power.read_event(event, reply, scratch, sink),
            Self::AiPkit => aipkit::read_event(event, reply, scratch, sink),
            Self::Anthropic(anthropic) => anthropic.read_event(event, reply, scratch, sink),
            Self::Gemini(gemini) => gemini.read_event(event, reply, scratch, sink),
            Self::Ollama(ollama) => ollama.read_event(event, reply, scratch, sink),
            Self::Responses => responses::read_event(event, reply, scratch, sink),
        }
    }

    /// Whether an event of this name can do what an earlier one did: names say what an event means,
    /// unless its data does.
    fn can_repeat(&self, name: Option<&str>) -> bool {
        match self {
            Self::OpenAi | Self::AiPkit => name.is_none(),
            Self::AiPower(ai_power) => name.is_none() && !ai_power.has_words(),
            // Of these, what does nothing but add text says itself what it is.
            Self::Anthropic(_) | Self::Gemini(_) | Self::Ollama(_) | Self::Responses => true,
        }
    }

    /// Whether the value of a key of an event that can repeat can change what the event does.
    fn matters(&self, key: Text<'_>, kind: Kind, ids: &Ids) -> bool {
        // Responses number their events; of no other dialect a number is known that differs and
        // nobody reads.
        if kind == Kind::Number && !matches!(self, Self::Responses) {
            return true;
        }
        let matters = match self {
            Self::OpenAi => openai::matters(key),
            Self::AiPower(_) => ai_power::matters(key),
            Self::AiPkit => aipkit::matters(key),
            Self::Anthropic(_) => anthropic::matters(key),
            Self::Gemini(_) => gemini::matters(key),
            Self::Ollama(_) => ollama::matters(key),
            Self::Responses => responses::matters(key),
        };
        matters || Ids::place(&key.decode()).is_some_and(|place| !ids.is_known(place))
    }

    /// Whether an event that the reply's end cut off is all there: an end marker, or complete JSON.
    fn is_whole(&self, event: &Event<'_>) -> bool {
        let is_marker = match self {
            Self::AiPower(_) => {
                matches!(event.data.trim_ascii(), openai::DONE | ai_power::LIMITED)
                    || event.kind() == ai_power::DONE_EVENT
            }
            Self::AiPkit => aipkit::is_end(event),
            _ => event.data.trim_ascii() == openai::DONE,
        };
        is_marker || is_object(event.data)
    }

    fn end_words(&mut self, reply: &mut Reply) -> bool {
        match self {
            Self::AiPower(ai_power) => ai_power.end_words(reply),
            _ => false,
        }
    }
}

/// An event that does nothing but add text may hold more for a sink that wants more: what was
/// remembered for another kind of sink is dropped.
fn remember_for(wanted: bool, everything: &mut bool, memory: &mut Option<Memory>) {
    if *everything != wanted {
        *everything = wanted;
        *memory = memory.as_ref().map(|_| Memory::new());
    }
}

/// A page where text was due: empty is empty, all else is no answer.
fn judge_debris_of_text(debris: &Debris, reply: &mut Reply) {
    if debris.kept().trim_ascii().is_empty() && debris.whole().is_some() {
        reply.fail(ErrorKind::Empty, "the body is empty", None, "");
    } else {
        judge_page(debris.kept(), reply);
    }
}

fn is_html(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}

fn is_object(data: &str) -> bool {
    let mut reader = Reader::new(data);
    reader.peek() == Ok(Kind::Object) && reader.skip().is_ok() && reader.end().is_ok()
}
