//! The WordPress plugin AI Power up to 2.2: OpenAI's chunks, the plugin's own, Assistants events,
//! JSON bodies.
//!
//! An error that the plugin passes on comes word by word, in chunks that look like an answer's. The
//! sign is an explicit `event: message` field and a chunk without an id. Its messages are HTML.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::html::decode_text;
use crate::json::{JsonError, Reader, Text};
use crate::limits::ERROR_WORDS_BYTES;
use crate::prelude::*;
use crate::utf8::decode;

use super::super::failure::{ReadSiteError, judge_json};
use super::super::fields::{DONE, is_done, read_truthy};
use super::super::reply::{ReplyState, cut_bytes};
use super::openai::{Chunk, OpenAi};
use super::{DeltaSink, DialectReader, Members, Output};

/// Ends a reply that the plugin's own code broke off.
const LIMITED: &str = "[LIMITED]";

/// The name of the event that ends an Assistants reply.
const DONE_EVENT: &str = "done";

/// Keys that say why a message of the plugin's own is shown instead of an answer.
const FLAGS: [&str; 5] =
    ["tokenLimitReached", "messageFlagged", "ipBanned", "modflag", "pineconeError"];

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct AiPower {
    /// The error text that is coming word by word; once it has begun, nothing else counts.
    words: Option<String>,
}

impl DialectReader for AiPower {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let explicit = event.name == Some("message");
        if self.words.is_some() {
            if explicit {
                self.read_words(event.data, output.reply);
            }
            return None;
        }
        match event.kind() {
            "thread_id" => output.reply.set_id("thread_id", event.data.trim_ascii()),
            "assistant_error" => fail_assistant(event.data, output.reply),
            "thread.message.delta" => read_assistant_delta(event.data, output),
            _ => return self.read_chunk(event.data, explicit, output),
        }
        None
    }

    fn owns(members: &Members<'_>) -> bool {
        let is_body = !members.text("status").is_empty() && !members.text("msg").is_empty();
        is_body
            || FLAGS.iter().any(|flag| members.has_flag(flag))
            || matches!(members.event, Some("thread.message.delta" | "assistant_error"))
    }

    fn key_matters(&self, key: &str) -> bool {
        OpenAi.key_matters(key) || matches!(key, "status" | "msg" | "data") || FLAGS.contains(&key)
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        // The answer is most of such a body: to read it once and decode it later would take twice
        // as long.
        let chunk =
            PluginChunk::read_with(body, |reader| reader.decode_string_or_skip(output.scratch))?;
        chunk.note(body, output.reply);
        if !output.reply.is_open() {
            return Ok(());
        }
        if chunk.chunk.has_choices {
            chunk.chunk.deliver_whole(body, output);
        } else if chunk.status.is_some_and(|status| status == *"success") {
            let answer = chunk.data.map(|data| data.decoded_in(output.scratch));
            output.reply.end_with_answer(answer, body, output.sink);
        } else if let Some(msg) = chunk.msg {
            chunk.fail(msg, body, output.reply);
        } else {
            judge_json(body, output.reply);
            decode_message(output.reply);
        }
        Ok(())
    }

    fn is_end(&self, event: &Event<'_>) -> bool {
        matches!(event.data.trim_ascii(), DONE | LIMITED) || event.kind() == DONE_EVENT
    }

    fn end(&mut self, event: &Event<'_>, reply: &mut ReplyState) {
        if is_done(event) {
            self.finish(reply);
            reply.mark_done();
        } else if event.data.trim_ascii() == LIMITED {
            if !self.finish(reply) {
                let message = "the chat plugin broke the answer off";
                reply.fail(ErrorKind::Upstream, message, None, event.data);
            }
        } else if self.words.is_none() {
            reply.mark_done();
        }
    }

    /// An error text that was coming is complete.
    fn finish(&mut self, reply: &mut ReplyState) -> bool {
        let Some(words) = self.words.take() else { return false };
        reply.fail(ErrorKind::Upstream, decode_text(halve(&words)), None, &words);
        true
    }

    /// While an error text is coming, events add no text.
    fn can_repeat(&self, name: Option<&str>) -> bool {
        name.is_none() && self.words.is_none()
    }
}

impl ReadSiteError for AiPower {
    fn error_message(&self, message: String) -> String {
        decode_text(&message).into_owned()
    }
}

impl AiPower {
    fn read_chunk<'a, S: DeltaSink + ?Sized>(
        &mut self,
        data: &'a str,
        explicit: bool,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let Ok(chunk) = PluginChunk::read(data) else {
            if !(explicit && self.read_words(data, output.reply)) {
                output.reply.bad_events += 1;
            }
            return None;
        };
        chunk.note(data, output.reply);
        if !output.reply.is_open() {
            return None;
        }
        let has_choices = chunk.chunk.has_choices;
        if let (false, Some(msg)) = (has_choices, chunk.msg) {
            chunk.fail(msg, data, output.reply);
        } else if explicit && has_choices && !chunk.chunk.has_id() {
            self.read_words(data, output.reply);
        } else {
            output.reply.foreign = chunk.chunk.is_foreign();
            chunk.chunk.deliver(output);
            return chunk.chunk.only_content();
        }
        None
    }

    /// Adds the words of one chunk. False when it is no chunk of an error text.
    fn read_words(&mut self, data: &str, reply: &mut ReplyState) -> bool {
        match PluginChunk::read(data) {
            Ok(chunk) if chunk.chunk.has_error() => {
                // An error object says it better than the words before it.
                chunk.note(data, reply);
            }
            Ok(chunk) if chunk.chunk.has_id() => {}
            Ok(chunk) => {
                let content = chunk.chunk.content().map(Text::decode);
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

/// A chunk with the plugin's own keys.
#[derive(Default)]
struct PluginChunk<'a> {
    chunk: Chunk<'a>,
    status: Option<Text<'a>>,
    msg: Option<Text<'a>>,
    data: Option<Text<'a>>,
    flags: [bool; FLAGS.len()],
}

impl<'a> PluginChunk<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        Self::read_with(text, Reader::string_or_skip)
    }

    /// Reads the chunk, with a way to read `data`.
    fn read_with(
        text: &'a str,
        mut read_data: impl FnMut(&mut Reader<'a>) -> Result<Option<Text<'a>>, JsonError>,
    ) -> Result<Self, JsonError> {
        let mut chunk = Self::default();
        chunk.chunk = Chunk::read(text, |key, reader| {
            match &*key.decode() {
                "status" => chunk.status = reader.string_or_skip()?,
                "msg" => chunk.msg = reader.string_or_skip()?,
                "data" => chunk.data = read_data(reader)?,
                name => match FLAGS.iter().position(|flag| *flag == name) {
                    Some(index) => chunk.flags[index] = read_truthy(reader)?,
                    None => reader.skip()?,
                },
            }
            Ok(())
        })?;
        Ok(chunk)
    }

    fn note(&self, raw: &str, reply: &mut ReplyState) {
        self.chunk.note(raw, reply);
        decode_message(reply);
    }

    /// Fails with a message of the plugin's own, which it shows instead of an answer.
    fn fail(&self, msg: Text<'_>, raw: &str, reply: &mut ReplyState) {
        let mut flags = FLAGS.iter().zip(self.flags);
        let code = flags.find_map(|(flag, set)| set.then(|| (*flag).to_owned()));
        reply.fail(ErrorKind::Upstream, decode_text(&msg.decode()), code, raw);
    }
}

fn fail_assistant(data: &str, reply: &mut ReplyState) {
    let Ok(chunk) = PluginChunk::read(data) else {
        return reply.fail(ErrorKind::Upstream, decode_text(data), None, data);
    };
    chunk.note(data, reply);
    if reply.is_open() {
        match chunk.msg {
            Some(msg) => chunk.fail(msg, data, reply),
            None => reply.fail(ErrorKind::Upstream, "", None, data),
        }
    }
}

fn read_assistant_delta<S: DeltaSink + ?Sized>(data: &str, output: &mut Output<'_, S>) {
    output.scratch.clear();
    let chunk = Chunk::read(data, |key, reader| match &*key.decode() {
        "delta" => read_assistant_content(reader, output.scratch),
        _ => reader.skip(),
    });
    let Ok(chunk) = chunk else {
        output.reply.bad_events += 1;
        return;
    };
    chunk.note(data, output.reply);
    decode_message(output.reply);
    if output.reply.is_open() {
        output.reply.deliver(&decode(output.scratch), output.sink);
    }
}

/// Joins `content[*].text.value` in `text`.
fn read_assistant_content(reader: &mut Reader<'_>, text: &mut Vec<u8>) -> Result<(), JsonError> {
    text.clear();
    visit(reader, "content", |reader| {
        text.clear();
        reader.array_or_skip(|reader| {
            let mut value = None;
            visit(reader, "text", |reader| {
                value = None;
                visit(reader, "value", |reader| reader.string_or_skip().map(|found| value = found))
            })?;
            if let Some(value) = value {
                value.decode_into(text);
            }
            Ok(())
        })?;
        Ok(())
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
fn decode_message(reply: &mut ReplyState) {
    if let Some(error) = &mut reply.error {
        error.message = decode_text(&error.message).into_owned();
    }
}

/// The words of a chunk whose JSON they broke, as the plugin does not escape them. They end at the
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
