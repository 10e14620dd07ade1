//! The WordPress plugin AI Power up to 2.2: OpenAI's chunks, the plugin's own, Assistants events,
//! JSON bodies.
//!
//! An error that the plugin passes on comes word by word, in chunks that look like an answer's. The
//! sign is an explicit `event: message` field and a chunk without an id. Its messages are HTML.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::html::decode_text;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::limits::ERROR_WORDS_BYTES;
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, judge_json};
use super::super::fields::{DONE, is_done, read_truthy};
use super::super::halves::{Half, LONE};
use super::super::reply::{ReplyState, cut_bytes};
use super::openai::{Chunk, OpenAi, read_extras};
use super::openai_extras::Extras;
use super::{Added, DeltaSink, DialectReader, Members, Output};

/// Ends a reply that the plugin's own code broke off.
const LIMITED: &str = "[LIMITED]";

/// The name of the event that ends an Assistants reply.
const DONE_EVENT: &str = "done";

/// The name of the event that holds a message of an assistant once it is whole.
const WHOLE_MESSAGE_EVENT: &str = "thread.message.completed";

/// Keys that say why a message of the plugin's own is shown instead of an answer.
const FLAGS: [&str; 5] =
    ["tokenLimitReached", "messageFlagged", "ipBanned", "modflag", "pineconeError"];

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct AiPower {
    /// The error text that is coming word by word; once it has begun, nothing else counts.
    words: Option<String>,
    /// The half of a character that its words end with, so far.
    half: Half,
    /// Reads what the chunks tell.
    chunks: OpenAi,
    /// Whether deltas told text of the assistant's message.
    has_deltas: bool,
}

impl DialectReader for AiPower {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
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
            "thread.message.delta" | WHOLE_MESSAGE_EVENT => self.read_assistant(event, output),
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
        self.chunks.key_matters(key)
            || matches!(key, "status" | "msg" | "data")
            || FLAGS.contains(&key)
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        // The answer is most of such a body: to read it once and decode it later would take twice
        // as long.
        let chunk = PluginChunk::read_with(body, None, |reader| {
            if reader.peek()? != Kind::String {
                return Content::read(reader);
            }
            let text = reader.decode_string_or_skip(output.scratch)?;
            Ok(text.map_or(Content::None, Content::Text))
        })?;
        chunk.note(body, output.reply);
        if !output.reply.is_open() {
            return Ok(());
        }
        if chunk.chunk.has_choices {
            let extras = read_extras(Extras::of_body(), body);
            chunk.chunk.deliver_whole(&extras, body, output);
        } else if chunk.status.is_some_and(|status| status == *"success") {
            match chunk.data {
                Content::Text(data) => {
                    output.reply.deliver(data.decoded_in(output.scratch), output.sink);
                }
                data => output.say(Spoken::Text, data),
            }
            output.reply.end_whole(output.reply.delivered, body);
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
        let Some(mut words) = self.words.take() else { return false };
        if self.half.take() {
            push_words(&mut words, LONE);
        }
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
    ) -> Option<Added<'a>> {
        let mut extras = output.wants_everything().then(Extras::of_chunk);
        let Ok(chunk) = PluginChunk::read_with(data, extras.as_mut(), Content::read) else {
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
            return self.chunks.deliver(&chunk.chunk, extras.as_ref(), data, output);
        }
        None
    }

    /// Reads what a delta adds to the assistant's message, or a whole message: its text where no
    /// delta told it.
    fn read_assistant<S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'_>,
        output: &mut Output<'_, S>,
    ) {
        let is_whole = event.kind() == WHOLE_MESSAGE_EVENT;
        let mut text = AssistantText::default();
        let chunk = Chunk::read(event.data, None, |key, reader| match key {
            "delta" if !is_whole => visit(reader, "content", |reader| text.read_content(reader)),
            "content" if is_whole => text.read_content(reader),
            _ => reader.skip(),
        });
        let Ok(chunk) = chunk else {
            output.reply.bad_events += 1;
            return;
        };
        chunk.note(event.data, output.reply);
        decode_message(output.reply);
        if output.reply.is_open() && !(is_whole && self.has_deltas) {
            text.deliver(output);
        }
        self.has_deltas = !is_whole && (self.has_deltas || text.first.is_some());
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
                let content = match chunk.chunk.content() {
                    Content::Text(text) => text,
                    Content::Bare(raw) => Text::of_raw(raw),
                    _ => Text::of_raw(""),
                };
                let mut scratch = Vec::new();
                let words = self.half.join(content, &mut scratch);
                push_words(self.words.get_or_insert_default(), words);
            }
            Err(_) => match raw_content(data) {
                Some(content) => {
                    let lone = if self.half.take() { LONE } else { "" };
                    let words = self.words.get_or_insert_default();
                    push_words(words, lone);
                    push_words(words, content);
                }
                None => return false,
            },
        }
        true
    }
}

fn push_words(words: &mut String, more: &str) {
    words.push_str(cut_bytes(more, ERROR_WORDS_BYTES.saturating_sub(words.len())));
}

/// A chunk with the plugin's own keys.
#[derive(Default)]
struct PluginChunk<'a> {
    chunk: Chunk<'a>,
    status: Option<Text<'a>>,
    msg: Option<Text<'a>>,
    data: Content<'a>,
    flags: [bool; FLAGS.len()],
}

impl<'a> PluginChunk<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        Self::read_with(text, None, Content::read)
    }

    /// Reads the chunk, its extras where they are wanted, and `data` in this way.
    fn read_with(
        text: &'a str,
        extras: Option<&mut Extras<'a>>,
        mut read_data: impl FnMut(&mut Reader<'a>) -> Result<Content<'a>, JsonError>,
    ) -> Result<Self, JsonError> {
        let mut plugin = Self::default();
        let Self { chunk, status, msg, data, flags } = &mut plugin;
        chunk.fill(text, extras, |key, reader| {
            match key {
                "status" => *status = reader.string_or_skip()?,
                "msg" => *msg = reader.string_or_skip()?,
                "data" => *data = read_data(reader)?,
                name => match FLAGS.iter().position(|flag| *flag == name) {
                    Some(index) => flags[index] = read_truthy(reader)?,
                    None => reader.skip()?,
                },
            }
            Ok(())
        })?;
        Ok(plugin)
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

/// The text of an assistant's message: mostly one string.
#[derive(Default)]
struct AssistantText<'a> {
    first: Option<Text<'a>>,
    others: Vec<Text<'a>>,
}

impl<'a> AssistantText<'a> {
    /// Reads `content[*].text.value`, also where it is a number, or `text` itself the string.
    fn read_content(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        *self = Self::default();
        reader.array_or_skip(|reader| {
            let mut value = Content::None;
            visit(reader, "text", |reader| {
                if reader.peek()? != Kind::Object {
                    value = Content::read_texts(reader)?;
                    return Ok(());
                }
                value = Content::None;
                visit(reader, "value", |reader| {
                    value = Content::read_texts(reader)?;
                    Ok(())
                })
            })?;
            match value {
                Content::Text(text) => self.push(text),
                Content::Bare(raw) => self.push(Text::of_raw(raw)),
                _ => {}
            }
            Ok(())
        })?;
        Ok(())
    }

    fn push(&mut self, text: Text<'a>) {
        if self.first.is_none() {
            self.first = Some(text);
        } else {
            self.others.push(text);
        }
    }

    fn deliver<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) {
        match self.first {
            None => {}
            Some(text) if self.others.is_empty() => output.text(text),
            Some(text) => {
                let others = self.others.iter().map(|text| text.raw());
                output.text(Text::of_raw(
                    &core::iter::once(text.raw()).chain(others).collect::<String>(),
                ));
            }
        }
    }
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
