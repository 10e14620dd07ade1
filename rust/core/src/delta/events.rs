//! Framed bytes in, what their events add out: server-sent events, or JSON texts that stand for
//! them.
//!
//! An event that repeats the bytes of an earlier one around another content is not read in full.

use alloc::borrow::Cow;
use std::ops::ControlFlow;

use crate::event::{ERROR, Event, EventDecoder, RawEvent, RawKind};
use crate::html::tag_length;
use crate::json::{Kind, Reader, Scratch, Text};
use crate::limits::LimitExceeded;
use crate::prelude::*;
use crate::utf8::decode;

use super::DeltaSink;
use super::added::{Added, AddedKind};
use super::dialects::{AnyReader, Dialect, DialectReader};
use super::failure::{
    judge_bad, judge_error_event, judge_foreign, judge_passed_over, judge_without_answer, objects,
};
use super::fields::DONE;
use super::members::Members;
use super::output::Output;
use super::passed_over::{Teller, Unspoken, of_type};
use super::read_event::CountBefore;
use super::records::RecordSplitter;
use super::repeats::Repeats;
use super::reply::{Ids, ReplyState};

/// A reply of server-sent events.
#[derive(Debug, Clone)]
pub(super) struct Events {
    decoder: EventDecoder,
    reader: EventReader,
    /// Memory for the next read, unless the stream rests between two events.
    kept: String,
}

/// A reply of JSON texts, each of which is read like an event's data.
#[derive(Debug, Clone)]
pub(super) struct Records {
    splitter: RecordSplitter,
    reader: EventReader,
}

/// Reads events, in full or by what they repeat.
#[derive(Debug, Clone)]
pub(super) struct EventReader {
    dialect: AnyReader,
    /// The layout that events repeat; `None` to read each in full.
    repeats: Option<Repeats>,
    /// Whether that layout was learnt for a sink that wants everything.
    for_everything: bool,
}

impl Events {
    /// A reply of which nothing was read yet; an event has at most `max_event_bytes`.
    pub(super) fn new(reader: EventReader, max_event_bytes: usize) -> Self {
        let decoder = EventDecoder::forgiving(max_event_bytes, is_event);
        Self { decoder, reader, kept: String::new() }
    }

    /// Events that were not read in full.
    pub(super) fn repeated(&self) -> u64 {
        self.reader.repeated()
    }

    /// Reads the events that end in `bytes`.
    ///
    /// # Errors
    /// When an event is larger than the limit.
    pub(super) fn read<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &[u8],
        reply: &mut ReplyState,
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        self.reader.read_for(reply.wants_everything(sink), sink.events().is_some());
        let mut scratch = Scratch::default();
        scratch.take_from(&mut self.kept);
        let read = self.read_with(bytes, reply, &mut scratch, sink);
        if !self.decoder.is_resting() {
            scratch.give_to(&mut self.kept);
        }
        read
    }

    #[inline]
    fn read_with<S: DeltaSink + ?Sized>(
        &mut self,
        mut bytes: &[u8],
        reply: &mut ReplyState,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        loop {
            // An event that is neither held nor about to begin goes on.
            if self.decoder.is_holding() || self.decoder.is_between_events(&mut bytes) {
                self.read_repeated(&mut bytes, reply, scratch, sink);
            }
            let Self { decoder, reader, .. } = self;
            if bytes.is_empty() {
                decoder.rest();
                return Ok(());
            }
            decoder.next(&mut bytes, |event| {
                match event.kind {
                    RawKind::Event => {
                        reply.events += 1;
                        reader.read(&event, reply, scratch, sink);
                    }
                    RawKind::Name => reader.read_name(&event, reply),
                    RawKind::Line => reply.unread.push(&decode(event.data)),
                }
                if reply.is_open() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes the events that repeat the layout, from where they lie, off the beginning of `bytes`:
    /// neither are their line ends looked for, nor is their JSON read. An event that may be
    /// another, and that the read has cut, is held as it came.
    fn read_repeated<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &mut &[u8],
        reply: &mut ReplyState,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        if self.decoder.is_holding() {
            if !self.read_held(bytes, reply, scratch, sink) {
                return;
            }
        } else if !self.reader.can_repeat(None) {
            return;
        }
        let Self { decoder, reader, .. } = self;
        let Some(repeats) = &mut reader.repeats else { return };
        if reply.holds_half(repeats.kind()) {
            return;
        }
        let max_bytes = decoder.max_event_bytes();
        if repeats.kind().is_text() {
            while !bytes.is_empty()
                && let Some(content) = repeats.next_content(bytes, max_bytes, scratch)
            {
                reply.events += 1;
                reply.deliver_filled(content, sink);
            }
        } else {
            reader.take_others(bytes, max_bytes, reply, scratch, sink);
        }
        if !bytes.is_empty()
            && let Some(repeats) = &mut reader.repeats
            && repeats.may_repeat(bytes)
        {
            decoder.hold(bytes);
        }
    }

    /// Takes the event whose beginning is held, if it repeats the layout. Returns whether it did, so
    /// that the next byte is the first of an event.
    fn read_held<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &mut &[u8],
        reply: &mut ReplyState,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> bool {
        let Self { decoder, reader: EventReader { dialect, repeats: Some(repeats), .. }, .. } =
            self
        else {
            return false;
        };
        let max_bytes = decoder.max_event_bytes();
        let before = decoder.held().len();
        let rest = if repeats.goes_on(bytes) { None } else { repeats.rest(before, bytes) };
        let Some(rest) = rest else {
            decoder.hold(bytes);
            return false;
        };
        if let Some(content) = repeats.resumed_content(before, bytes, max_bytes, scratch) {
            reply.events += 1;
            add_again(repeats.kind(), content, dialect, reply, sink);
            decoder.let_go();
            return true;
        }
        let held = decoder.held();
        held.extend_from_slice(rest);
        let mut joined = &held[..];
        let Some(content) = repeats.next_content(&mut joined, max_bytes, scratch) else {
            held.truncate(before);
            return false;
        };
        let taken = held.len() - joined.len() - before;
        *bytes = &bytes[taken..];
        reply.events += 1;
        add_again(repeats.kind(), content, dialect, reply, sink);
        decoder.let_go();
        true
    }

    /// Reads the event that the reply's end cut off, if it is all there, and takes the reply's end.
    /// Returns the data of one that is not.
    pub(super) fn close<S: DeltaSink + ?Sized>(
        mut self,
        reply: &mut ReplyState,
        sink: &mut S,
    ) -> String {
        let mut cut = String::new();
        let Self { decoder, reader, .. } = &mut self;
        decoder.unfinished(|event| {
            if !reply.is_open() {
                return;
            }
            let data = decode(event.data);
            match event.kind {
                RawKind::Name => reader.read_name(&event, reply),
                RawKind::Line => reply.unread.push(&data),
                RawKind::Event => {
                    if !reader.read_if_whole(&event.with_data(&data), reply, sink) {
                        cut.push_str(&data);
                    }
                }
            }
        });
        reader.finish(reply, sink);
        cut
    }
}

impl Records {
    /// A reply of which nothing was read yet.
    pub(super) fn new(reader: EventReader, splitter: RecordSplitter) -> Self {
        Self { splitter, reader }
    }

    /// Texts that were not read in full.
    pub(super) fn repeated(&self) -> u64 {
        self.reader.repeated()
    }

    /// Reads the texts that end in `bytes`.
    ///
    /// # Errors
    /// When a text is larger than the limit.
    pub(super) fn read<S: DeltaSink + ?Sized>(
        &mut self,
        mut bytes: &[u8],
        reply: &mut ReplyState,
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        self.reader.read_for(reply.wants_everything(sink), sink.events().is_some());
        let mut scratch = Scratch::default();
        let Self { splitter, reader } = self;
        while !bytes.is_empty() && reply.is_open() {
            splitter.next(&mut bytes, |text| {
                reply.events += 1;
                reader.read(&RawEvent::of_data(text), reply, &mut scratch, sink);
            })?;
        }
        // The array's end is an end marker where the model had stopped before it.
        if splitter.is_closed() && reply.finish_reason.is_some() && reply.is_open() {
            reply.mark_done();
        }
        Ok(())
    }

    /// Reads the text that the reply's end cut off, if it is all there, and takes the reply's end.
    /// Returns one that is not.
    pub(super) fn close<S: DeltaSink + ?Sized>(
        mut self,
        reply: &mut ReplyState,
        sink: &mut S,
    ) -> String {
        let Self { splitter, reader } = &mut self;
        let text = decode(splitter.unfinished());
        let event = RawEvent::of_data(splitter.unfinished()).with_data(&text);
        let is_whole = reader.read_if_whole(&event, reply, sink);
        if splitter.is_closed() && reply.events == 0 {
            reply.fail_without_answer("[]");
        }
        reader.finish(reply, sink);
        if is_whole { String::new() } else { text.into_owned() }
    }
}

impl EventReader {
    /// A reader for one reply; unless it `repeats`, each event is read in full.
    pub(super) fn new(dialect: AnyReader, repeats: bool) -> Self {
        Self { dialect, repeats: repeats.then(Repeats::new), for_everything: false }
    }

    fn repeated(&self) -> u64 {
        self.repeats.as_ref().map_or(0, Repeats::count)
    }

    /// Forgets what events repeat when it was read for another kind of sink: an event that does
    /// nothing but add text may hold more for a sink that wants more. A sink that wants events gets
    /// each of them.
    fn read_for(&mut self, everything: bool, events: bool) {
        if events {
            self.repeats = None;
        }
        if self.for_everything != everything {
            self.for_everything = everything;
            self.repeats = self.repeats.as_ref().map(|_| Repeats::new());
        }
    }

    /// Reads one event, in full unless it repeats the layout.
    fn read<S: DeltaSink + ?Sized>(
        &mut self,
        event: &RawEvent<'_>,
        reply: &mut ReplyState,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        let can_repeat = self.can_repeat(event.name);
        let Self { dialect, repeats, .. } = self;
        if can_repeat
            && let Some(repeats) = repeats
            && !reply.holds_half(repeats.kind())
            && let Some(content) = repeats.content(event.data, scratch)
        {
            return add_again(repeats.kind(), content, dialect, reply, sink);
        }
        self.read_and_learn(event, can_repeat, reply, scratch, sink);
    }

    /// Reads one event in full, and learns its layout where that may be repeated.
    #[inline(never)]
    fn read_and_learn<S: DeltaSink + ?Sized>(
        &mut self,
        event: &RawEvent<'_>,
        can_repeat: bool,
        reply: &mut ReplyState,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        let Self { dialect, repeats, .. } = self;
        let data = decode(event.data);
        let mut output = Output { reply, sink, scratch: &mut scratch.escaped };
        let added = read_in_full(dialect, &event.with_data(&data), &mut output);
        let is_another_part = std::mem::take(&mut output.reply.is_another_part);
        let Some(repeats) = repeats else { return };
        if is_another_part {
            repeats.forget();
        }
        // Data that had to be mended is not what the next event will be compared with.
        if let (true, Some(added), Cow::Borrowed(data)) = (can_repeat, added, &data) {
            repeats.learn(data, &added, |key, kind| matters(dialect, key, kind, &output.reply.ids));
        }
    }

    /// Takes the events that repeat the layout and add what is no text of the answer off the
    /// beginning of `bytes`; all of it, where one ends the reply, as more is collected than may be.
    #[inline(never)]
    fn take_others<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &mut &[u8],
        max_bytes: usize,
        reply: &mut ReplyState,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        let Self { dialect, repeats: Some(repeats), .. } = self else { return };
        while !bytes.is_empty()
            && reply.is_open()
            && let Some(content) = repeats.next_content(bytes, max_bytes, scratch)
        {
            reply.events += 1;
            add_other_again(repeats.kind(), content, dialect, reply, sink);
        }
        if !reply.is_open() {
            *bytes = &[];
        }
    }

    /// Whether an event of this name can do what an earlier one did.
    fn can_repeat(&self, name: Option<&str>) -> bool {
        self.dialect.can_repeat(name) && name != Some(ERROR)
    }

    /// Reads a block that has a name and no data: it may be an error.
    fn read_name(&mut self, event: &RawEvent<'_>, reply: &mut ReplyState) {
        let event = event.with_data("");
        if event.kind() == ERROR {
            reply.events += 1;
            judge_error_event(&event, &self.dialect, reply);
        }
    }

    /// Reads an event that the reply's end cut off, as far as it is all there: an end marker, an
    /// error or complete JSON, in all or some of its lines. False when it is not.
    fn read_if_whole<S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'_>,
        reply: &mut ReplyState,
        sink: &mut S,
    ) -> bool {
        let is_whole = is_object(event.data)
            || self.dialect.is_end(event)
            || (event.kind() == ERROR && !event.data.trim_ascii_start().starts_with('{'));
        let mut output = Output { reply, sink, scratch: &mut Vec::new() };
        if is_whole {
            output.reply.events += 1;
            read_in_full(&mut self.dialect, event, &mut output);
            return true;
        }
        if output.reply.is_lines {
            return read_texts(&mut self.dialect, event, &mut output);
        }
        let lines = event.data.lines().filter(|line| holds_event(line));
        for (line, number) in lines.zip(0..) {
            let name = event.name.filter(|_| number == 0);
            output.reply.events += 1;
            read_in_full(&mut self.dialect, &Event { name, data: line, ..*event }, &mut output);
        }
        event.data.is_empty()
    }

    fn finish<S: DeltaSink + ?Sized>(&mut self, reply: &mut ReplyState, sink: &mut S) {
        if reply.is_open() {
            self.dialect.release(&mut Output { reply, sink, scratch: &mut Vec::new() });
            self.dialect.finish(reply);
        }
    }
}

/// Does what an event does that repeats the layout: it adds its content.
#[inline]
fn add_again<S: DeltaSink + ?Sized>(
    kind: &AddedKind,
    content: &str,
    dialect: &mut AnyReader,
    reply: &mut ReplyState,
    sink: &mut S,
) {
    if kind.is_text() {
        return reply.deliver_filled(content, sink);
    }
    add_other_again(kind, content, dialect, reply, sink);
}

/// The same of what is no text of the answer.
#[inline(never)]
fn add_other_again<S: DeltaSink + ?Sized>(
    kind: &AddedKind,
    content: &str,
    dialect: &mut AnyReader,
    reply: &mut ReplyState,
    sink: &mut S,
) {
    dialect.add_again(*kind, content, &mut Output { reply, sink, scratch: &mut Vec::new() });
}

/// Reads one event in full. Returns what it adds when that was all it did.
fn read_in_full<'a, S: DeltaSink + ?Sized>(
    dialect: &mut AnyReader,
    event: &Event<'a>,
    output: &mut Output<'_, S>,
) -> Option<Added<'a>> {
    if output.sink.events().is_none() || !output.reply.is_open() {
        return read_open(dialect, event, output);
    }
    let before = CountBefore::of(output.reply);
    let added = read_open(dialect, event, output);
    before.hand_over(event.data, output.reply, output.sink);
    added
}

/// Reads one event in full, if the reply has not ended.
fn read_open<'a, S: DeltaSink + ?Sized>(
    dialect: &mut AnyReader,
    event: &Event<'a>,
    output: &mut Output<'_, S>,
) -> Option<Added<'a>> {
    if !output.reply.is_open() || read_marker(dialect, event, output) {
        return None;
    }
    let bad_events = output.reply.bad_events;
    output.reply.foreign = false;
    output.reply.is_passed_over = false;
    let added = dialect.read_event(event, output);
    if output.reply.bad_events > bad_events && output.reply.is_open() {
        output.reply.bad_events = bad_events;
        read_bad(dialect, event, output);
    } else if output.reply.is_open() && (output.reply.foreign || output.reply.is_passed_over) {
        read_foreign(dialect, event, output);
    }
    added
}

/// Reads an event in which the dialect found nothing of its own.
fn read_foreign<S: DeltaSink + ?Sized>(
    dialect: &AnyReader,
    event: &Event<'_>,
    output: &mut Output<'_, S>,
) {
    let members = Members::read(event.data, event.name);
    let found = members.and_then(|members| Dialect::of(&members));
    if found == Some(dialect.dialect()) {
        return;
    }
    let reply = &mut *output.reply;
    reply.unread.note_likeness(found.map(Dialect::as_str));
    if reply.is_passed_over {
        judge_passed_over(event, reply);
    } else {
        judge_foreign(event, dialect, reply);
    }
    if reply.is_open() {
        let kind = if reply.is_passed_over { of_type(event.kind()) } else { Unspoken::Other };
        output.pass_over(kind, 1, Teller::Piece);
    }
}

/// Reads an event that is an end marker or an error. False when it is neither.
fn read_marker<S: DeltaSink + ?Sized>(
    dialect: &mut AnyReader,
    event: &Event<'_>,
    output: &mut Output<'_, S>,
) -> bool {
    if event.kind() == ERROR {
        judge_error_event(event, dialect, output.reply);
        return true;
    }
    if !dialect.is_end(event) {
        return false;
    }
    dialect.release(output);
    dialect.end(event, output.reply);
    judge_without_answer(dialect, output.reply);
    true
}

/// Reads an event whose data is no JSON object. Where some of its lines are, those are events, and
/// the others are bad.
fn read_bad<S: DeltaSink + ?Sized>(
    dialect: &mut AnyReader,
    event: &Event<'_>,
    output: &mut Output<'_, S>,
) {
    if output.reply.is_lines {
        output.reply.events -= 1;
        if !read_texts(dialect, event, output) {
            output.reply.events += 1;
            judge_bad(event, dialect, output.reply);
        }
        return;
    }
    if !event.data.contains('\n') || !event.data.lines().any(holds_event) {
        return read_in_front(dialect, event, output);
    }
    for (line, number) in event.data.lines().zip(0..) {
        if !output.reply.is_open() {
            return;
        }
        output.reply.events += u64::from(number > 0);
        let line = Event { name: event.name.filter(|_| number == 0), data: line, ..*event };
        if is_event_line(line.data) {
            read_in_full(dialect, &line, output);
        } else {
            read_in_front(dialect, &line, output);
        }
    }
}

/// Reads an event whose data is no JSON object alone. Where one is in front of a program's other
/// output, that is the event; else it is bad.
fn read_in_front<S: DeltaSink + ?Sized>(
    dialect: &mut AnyReader,
    event: &Event<'_>,
    output: &mut Output<'_, S>,
) {
    let Some((object, behind)) = split_output(event.data) else {
        return judge_bad(event, dialect, output.reply);
    };
    output.reply.unread.push(behind);
    read_in_full(dialect, &Event { data: object, ..*event }, output);
}

/// Reads the JSON texts on a line on which something else stands, too. False when there are none.
fn read_texts<S: DeltaSink + ?Sized>(
    dialect: &mut AnyReader,
    event: &Event<'_>,
    output: &mut Output<'_, S>,
) -> bool {
    let mut is_any = event.data.is_empty();
    for text in objects(event.data) {
        is_any = true;
        if output.reply.is_open() {
            output.reply.events += 1;
            read_in_full(dialect, &Event { data: text, ..*event }, output);
        }
    }
    is_any
}

/// Whether a line of data is an event of its own.
pub(super) fn is_event(line: &[u8]) -> bool {
    matches!(line.trim_ascii(), [b'{', .., b'}'] | b"[DONE]") && is_event_line(&decode(line))
}

fn is_event_line(line: &str) -> bool {
    line.trim_ascii() == DONE || is_object(line)
}

fn holds_event(line: &str) -> bool {
    is_event_line(line) || split_output(line).is_some()
}

/// The JSON object that begins a line, and what a program printed before the line's end: a whole
/// tag, or a message with its kind in front (`Warning: …`). `None` without either: what else stands
/// there is a part of broken JSON, or another event.
pub(super) fn split_output(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_ascii();
    let object = Reader::new(line).raw().ok().filter(|object| object.starts_with('{'))?;
    let behind = line[object.len()..].trim_ascii_start();
    let is_event = ["data:", "event:"].iter().any(|field| behind.starts_with(field));
    let has_tag = || behind.starts_with('<') && tag_length(behind).is_some_and(|bytes| bytes > 1);
    (!is_event && (has_tag() || is_message(behind))).then_some((object, behind))
}

/// Whether a text is a message of a program's: its kind in 4 letters or more, and a colon.
fn is_message(text: &str) -> bool {
    text.split_once(": ").is_some_and(|(kind, _)| {
        (4..=32).contains(&kind.len())
            && kind.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b' ')
    })
}

/// Whether the value of a key of an event that can repeat can change what the event does.
fn matters(dialect: &AnyReader, key: Text<'_>, kind: Kind, ids: &Ids) -> bool {
    let key = key.decode();
    (kind == Kind::Number && dialect.number_matters())
        || dialect.key_matters(&key)
        || Ids::index_of(&key).is_some_and(|index| !ids.is_known(index))
}

fn is_object(data: &str) -> bool {
    let mut reader = Reader::new(data);
    reader.peek() == Ok(Kind::Object) && reader.skip().is_ok() && reader.end().is_ok()
}
