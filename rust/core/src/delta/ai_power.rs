//! The WordPress plugin AI Power up to 2.2: OpenAI's chunks, the plugin's own frames, Assistants
//! events, JSON bodies.
//!
//! An error that the plugin passes on comes word by word, in frames that look like an answer's. The
//! sign is an explicit `event: message` field and a chunk without an id. Its messages are HTML.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::html::decode_text;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::limits::ERROR_WORDS_BYTES;
use crate::prelude::*;
use crate::utf8::decode;

use super::DeltaSink;
use super::no_answer::judge_json;
use super::openai::{self, Chunk, DONE, end_with_answer, is_truthy};
use super::reply::{Ids, Reply, cut_bytes};

/// Ends a reply that the plugin's own code broke off.
pub(super) const LIMITED: &str = "[LIMITED]";

/// The name of the event that ends an Assistants reply.
pub(super) const DONE_EVENT: &str = "done";

/// Keys that say why a message of the plugin's own is shown instead of an answer.
const FLAGS: [&str; 5] =
    ["tokenLimitReached", "messageFlagged", "ipBanned", "modflag", "pineconeError"];

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(super) struct AiPower {
    /// The error text that is coming word by word; once it has begun, nothing else counts.
    words: Option<String>,
}

impl AiPower {
    /// Reads one event. Returns its content when it did nothing but add it.
    pub(super) fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> Option<Text<'a>> {
        match event.data.trim_ascii() {
            DONE => {
                self.end_words(reply);
                reply.mark_done();
                return None;
            }
            LIMITED => {
                if !self.end_words(reply) {
                    reply.fail(
                        ErrorKind::Upstream,
                        "the chat plugin broke the answer off",
                        None,
                        event.data,
                    );
                }
                return None;
            }
            _ => {}
        }
        let explicit = event.name == Some("message");
        if self.words.is_some() {
            if explicit {
                self.read_words(event.data, reply);
            }
            return None;
        }
        match event.kind() {
            "thread_id" => {
                if let Some(place) = Ids::place("thread_id") {
                    reply.ids.set(place, event.data.trim_ascii());
                }
            }
            DONE_EVENT => reply.mark_done(),
            "assistant_error" => fail_assistant(event.data, reply),
            "thread.message.delta" => read_assistant_delta(event.data, reply, scratch, sink),
            _ => return self.read_frame(event.data, explicit, reply, scratch, sink),
        }
        None
    }

    /// Whether an error text is coming, so that events add no text any more.
    pub(super) fn has_words(&self) -> bool {
        self.words.is_some()
    }

    /// The reply has ended: an error text that was coming is complete. False when none was.
    pub(super) fn end_words(&mut self, reply: &mut Reply) -> bool {
        let Some(words) = self.words.take() else { return false };
        reply.fail(ErrorKind::Upstream, decode_text(halve(&words)), None, &words);
        true
    }

    fn read_frame<'a, S: DeltaSink + ?Sized>(
        &mut self,
        data: &'a str,
        explicit: bool,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> Option<Text<'a>> {
        let Ok(frame) = Frame::read(data) else {
            if !(explicit && self.read_words(data, reply)) {
                reply.bad_events += 1;
            }
            return None;
        };
        frame.note(data, reply);
        if !reply.is_open() {
            return None;
        }
        if let (false, Some(msg)) = (frame.chunk.has_choices, frame.msg) {
            frame.fail(msg, data, reply);
        } else if explicit && frame.chunk.has_choices && !frame.chunk.has_id() {
            self.read_words(data, reply);
        } else {
            frame.chunk.deliver(reply, scratch, sink);
            return frame.chunk.only_content();
        }
        None
    }

    /// Adds the words of one frame. False when it is no such frame.
    fn read_words(&mut self, data: &str, reply: &mut Reply) -> bool {
        match Frame::read(data) {
            Ok(frame) if frame.chunk.has_error() => {
                // An error object says it better than the words before it.
                frame.note(data, reply);
            }
            Ok(frame) if frame.chunk.has_id() => {}
            Ok(frame) => {
                let content = frame.chunk.content().map(Text::decode);
                self.push_words(content.as_deref().unwrap_or(""));
            }
            Err(_) => match raw_content(data) {
                Some(content) => self.push_words(content),
                None => return false,
            },
        }
        true
    }

    fn push_words(&mut self, content: &str) {
        let words = self.words.get_or_insert_default();
        words.push_str(cut_bytes(content, ERROR_WORDS_BYTES - words.len()));
    }
}

/// Whether the value of a frame's key can change what the frame does; ids, once known, cannot.
pub(super) fn matters(key: Text<'_>) -> bool {
    openai::matters(key)
        || matches!(&*key.decode(), "status" | "msg" | "data")
        || FLAGS.iter().any(|flag| key == **flag)
}

/// Reads a body that is one JSON object.
pub(super) fn read_body<S: DeltaSink + ?Sized>(
    body: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Result<(), JsonError> {
    // The answer is most of such a body: to read it once and decode it later would take twice as
    // long.
    let frame = Frame::read_with(body, |reader| reader.decode_string_or_skip(scratch))?;
    frame.note(body, reply);
    if !reply.is_open() {
        return Ok(());
    }
    if frame.chunk.has_choices {
        frame.chunk.deliver_whole(body, reply, scratch, sink);
    } else if frame.status.is_some_and(|status| status == *"success") {
        end_with_answer(frame.data.map(|data| data.decoded_in(scratch)), body, reply, sink);
    } else if let Some(msg) = frame.msg {
        frame.fail(msg, body, reply);
    } else {
        judge_json(body, reply);
        decode_message(reply);
    }
    Ok(())
}

/// A chunk with the plugin's own keys.
#[derive(Default)]
struct Frame<'a> {
    chunk: Chunk<'a>,
    status: Option<Text<'a>>,
    msg: Option<Text<'a>>,
    data: Option<Text<'a>>,
    flags: [bool; FLAGS.len()],
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        Self::read_with(text, Reader::string_or_skip)
    }

    /// Reads the frame, with a way to read `data`.
    fn read_with(
        text: &'a str,
        mut read_data: impl FnMut(&mut Reader<'a>) -> Result<Option<Text<'a>>, JsonError>,
    ) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        frame.chunk = Chunk::read(text, |key, reader| {
            match &*key.decode() {
                "status" => frame.status = reader.string_or_skip()?,
                "msg" => frame.msg = reader.string_or_skip()?,
                "data" => frame.data = read_data(reader)?,
                name => match FLAGS.iter().position(|flag| *flag == name) {
                    Some(place) => frame.flags[place] = is_truthy(reader.raw()?),
                    None => reader.skip()?,
                },
            }
            Ok(())
        })?;
        Ok(frame)
    }

    fn note(&self, raw: &str, reply: &mut Reply) {
        self.chunk.note(raw, reply);
        decode_message(reply);
    }

    /// The plugin shows a message of its own.
    fn fail(&self, msg: Text<'_>, raw: &str, reply: &mut Reply) {
        let code =
            FLAGS.iter().zip(self.flags).find_map(|(flag, set)| set.then(|| (*flag).to_owned()));
        reply.fail(ErrorKind::Upstream, decode_text(&msg.decode()), code, raw);
    }
}

fn fail_assistant(data: &str, reply: &mut Reply) {
    match Frame::read(data) {
        Ok(frame) => {
            frame.note(data, reply);
            if reply.is_open() {
                match frame.msg {
                    Some(msg) => frame.fail(msg, data, reply),
                    None => reply.fail(ErrorKind::Upstream, "", None, data),
                }
            }
        }
        Err(_) => reply.fail(ErrorKind::Upstream, decode_text(data), None, data),
    }
}

fn read_assistant_delta<S: DeltaSink + ?Sized>(
    data: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) {
    scratch.clear();
    let chunk = Chunk::read(data, |key, reader| {
        if key == *"delta" { read_assistant_content(reader, scratch) } else { reader.skip() }
    });
    let Ok(chunk) = chunk else {
        reply.bad_events += 1;
        return;
    };
    chunk.note(data, reply);
    decode_message(reply);
    if reply.is_open() {
        reply.deliver(&decode(scratch), sink);
    }
}

/// Joins `content[*].text.value` in `text`.
fn read_assistant_content(reader: &mut Reader<'_>, text: &mut Vec<u8>) -> Result<(), JsonError> {
    text.clear();
    visit(reader, "content", |reader| {
        text.clear();
        if reader.peek()? != Kind::Array {
            return reader.skip();
        }
        reader.array(|reader| {
            let mut value = None;
            visit(reader, "text", |reader| {
                value = None;
                visit(reader, "value", |reader| reader.string_or_skip().map(|found| value = found))
            })?;
            if let Some(value) = value {
                value.decode_into(text);
            }
            Ok(())
        })
    })
}

/// Hands the values of one key of an object to `found`; anything else than an object is skipped.
fn visit<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    mut found: impl FnMut(&mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    reader
        .object_or_skip(|key, reader| if key == *name { found(reader) } else { reader.skip() })
        .map(drop)
}

/// The plugin's messages are shown as HTML, an error object's too.
fn decode_message(reply: &mut Reply) {
    if let Some(error) = &mut reply.error {
        error.message = decode_text(&error.message).into_owned();
    }
}

/// The words of a frame whose JSON they broke: the plugin does not escape them. They end at the
/// last quote before the closing brackets; without one, a newline among them has cut the line.
fn raw_content(data: &str) -> Option<&str> {
    let after_key = data.split_once(r#""content""#)?.1.trim_ascii_start();
    let content = after_key.strip_prefix(':')?.trim_ascii_start().strip_prefix('"')?;
    let closed =
        content.trim_end_matches(|c: char| matches!(c, '}' | ']') || c.is_ascii_whitespace());
    Some(closed.strip_suffix('"').unwrap_or(content))
}

/// The plugin prints an error text twice.
fn halve(words: &str) -> &str {
    match words.split_at_checked(words.len() / 2) {
        Some((first, second)) if first == second => first,
        _ => words,
    }
}
