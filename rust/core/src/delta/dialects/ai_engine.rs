//! The WordPress plugin AI Engine: unnamed events, each of which says in its data what it is, or
//! one JSON body.
//!
//! An event adds text, tells of progress or of the model's thoughts, is the answer once more as its
//! end, or an error. Text may come in the end alone, and only `end` and `error` end a stream: PHP
//! that dies within an answer closes the connection in good order. The reason why the model stopped
//! is never told. Words are plain text; only WordPress's own come as HTML.

use alloc::borrow::Cow;

use crate::error::ErrorKind;
use crate::event::Event;
use crate::html::visible_text;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::failure::{
    ReadSiteError, SiteError, fail_upstream, judge_json, judge_without_answer, objects,
    read_site_error,
};
use super::super::fields::{read_filled, read_truthy};
use super::super::passed_over::{Teller, Unspoken};
use super::super::reply::Part;
use super::super::said::TrimmedSaid;
use super::super::tool_call::{Arguments, CallPiece};
use super::super::usage::{Counts, Usage};
use super::{Added, DeltaSink, DialectReader, Members, Output};

/// The plugin's own sentences, which it leaves in English, by their beginnings, and what they mean
/// as an error's code.
const SENTENCES: [(&str, &str); 9] = [
    ("Sorry, your query has been rejected.", "query_rejected"),
    ("Your query has been rejected.", "query_banned"),
    ("Unauthorized query.", "query_unauthorized"),
    ("Sorry, your message has been rejected by moderation.", "message_moderated"),
    ("You have reached the limit", "limit_reached"),
    ("Our chatbot went to sleep.", "limit_reached"),
    ("Headers already sent in ", "headers_sent"),
    ("The environment is required.", "not_set_up"),
    ("The model '", "not_set_up"),
];

/// Subtypes of events that tell how far the site has come, and nothing of the answer.
const PROGRESS: [&str; 8] =
    ["status", "heartbeat", "start", "end", "debug", "embeddings", "mcp_discovery", "tool_args"];

/// Subtypes of events that tell of tools that run at the site or at the model's service.
const TOOLS: [&str; 8] = [
    "tool_call",
    "tool_result",
    "mcp_tool_call",
    "mcp_tool_result",
    "web_search",
    "file_search",
    "code",
    "image_gen",
];

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct AiEngine;

impl DialectReader for AiEngine {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let Ok(frame) = Frame::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        match &*frame.kind.map(Text::decode).unwrap_or_default() {
            "error" => self.fail(&frame, event.data, output),
            _ if frame.has_error => fail_upstream(event.data, self, output.reply),
            "live" => return frame.deliver(output),
            "end" => self.read_end(frame.data, output),
            _ => output.reply.foreign = true,
        }
        None
    }

    fn owns(members: &Members<'_>) -> bool {
        match &*members.text("type") {
            "live" | "error" => members.has("data", Kind::String),
            "end" => members.has("data", Kind::String) || members.has("data", Kind::Object),
            _ => members.has_flag("success") && members.has("reply", Kind::String),
        }
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "type" | "data" | "subtype" | "error")
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let answer = Answer::read(body)?;
        if answer.is_failure() {
            fail_upstream(body, self, output.reply);
        } else if answer.is_one() {
            self.read_answer(&answer, body, output);
        } else {
            judge_json(body, output.reply);
        }
        Ok(())
    }

    /// Nothing but the plugin's own end is one.
    fn is_end(&self, _: &Event<'_>) -> bool {
        false
    }
}

impl ReadSiteError for AiEngine {
    fn error_code(&self, error: SiteError, raw: &str) -> Option<String> {
        let told = || objects(raw).filter_map(read_site_error).find_map(|error| error.message);
        error.code.or_else(|| code_of(&told()?))
    }

    /// What is the plugin's is plain text, and no markup; of WordPress's pages the text counts.
    fn error_message(&self, message: String) -> String {
        if message.trim_start().starts_with("<p>") { visible_text(&message) } else { message }
    }
}

impl AiEngine {
    fn fail<S: DeltaSink + ?Sized>(
        &self,
        frame: &Frame<'_>,
        raw: &str,
        output: &mut Output<'_, S>,
    ) {
        match frame.data.decode() {
            Some(words) => {
                output.reply.fail(ErrorKind::Upstream, &*words, code_of(&words), raw);
            }
            None => fail_upstream(raw, self, output.reply),
        }
    }

    /// Takes the end, whose data is the answer as JSON within a string.
    fn read_end<S: DeltaSink + ?Sized>(&self, data: Content<'_>, output: &mut Output<'_, S>) {
        let text = match data {
            Content::Text(text) => text.decode(),
            Content::Parts(raw) => Cow::Borrowed(raw),
            _ => Cow::Borrowed(""),
        };
        match Answer::read(&text) {
            Ok(answer) if answer.is_failure() => fail_upstream(&text, self, output.reply),
            Ok(answer) => {
                if !answer.is_one() && !output.has_answered() {
                    judge_json(&text, output.reply);
                }
                if output.reply.is_open() {
                    self.read_answer(&answer, &text, output);
                }
            }
            Err(_) => {
                output.reply.unread.push(&text);
                self.read_answer(&Answer::default(), &text, output);
                output.reply.bad_events += 1;
            }
        }
    }

    /// Takes the answer as a whole: delivers what of it did not come before, and ends the reply.
    fn read_answer<S: DeltaSink + ?Sized>(
        &self,
        answer: &Answer<'_>,
        raw: &str,
        output: &mut Output<'_, S>,
    ) {
        output.reply.note_usage(answer.usage());
        output.reply.note_id("id", answer.response_id);
        output.reply.unread.note_new_token(answer.new_token);
        let mut has_text = answer.deliver(output);
        if has_text {
            output.pass_over(Unspoken::Image, answer.untold_images(), Teller::Piece);
        } else {
            has_text = answer.deliver_images(output);
        }
        let page_parts = count_of(answer.shortcuts) + count_of(answer.blocks);
        output.pass_over(Unspoken::Other, page_parts, Teller::Piece);
        let calls = answer.deliver_calls(output);
        if !output.reply.is_open() {
            return; // more was to be collected than may be
        }
        if has_text || calls > 0 {
            output.reply.mark_done();
            return;
        }
        output.reply.done = true;
        output.reply.fail_without_answer(raw);
        judge_without_answer(self, output.reply);
    }
}

/// The fields of an event that are read.
#[derive(Default)]
struct Frame<'a> {
    kind: Option<Text<'a>>,
    data: Content<'a>,
    subtype: Option<Text<'a>>,
    has_error: bool,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "type" => frame.kind = reader.string_or_skip()?,
                "data" => frame.data = Content::read(reader)?,
                "subtype" => frame.subtype = read_filled(reader)?,
                "error" => frame.has_error = read_truthy(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(frame)
    }

    /// Delivers what the event adds, by its subtype. Of the site's own log what went wrong may be
    /// the reason where no answer comes; the rest of it is progress.
    fn deliver<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) -> Option<Added<'a>> {
        match self.subtype.map(Text::decode).as_deref() {
            None | Some("content") => {
                let told = || Box::new(Part::Trimmed(TrimmedSaid::default()));
                output.reply.part.get_or_insert_with(told);
                output.say(Spoken::Text, self.data);
                return Added::spoken(Spoken::Text, self.data);
            }
            Some("thinking") => {
                output.say(Spoken::Reasoning, self.data);
                return Added::spoken(Spoken::Reasoning, self.data);
            }
            Some("error" | "warning") => {
                output.reply.unread.push(&self.data.decode().unwrap_or_default());
            }
            Some(subtype) if PROGRESS.contains(&subtype) => {}
            Some(subtype) => {
                let is_tool = TOOLS.contains(&subtype);
                let kind = if is_tool { Unspoken::ServerTool } else { Unspoken::Other };
                output.pass_over(kind, 1, Teller::Piece);
            }
        }
        None
    }
}

/// The answer as a whole: what `end` holds, and a body.
#[derive(Default)]
struct Answer<'a> {
    success: Option<bool>,
    has_error: bool,
    /// Whether there is what other plugins hold their answers in.
    has_data: bool,
    reply: Content<'a>,
    /// URLs, as they were written.
    images: &'a str,
    /// What the page is to do, as it was written.
    actions: &'a str,
    /// Buttons that the page is to show, as they were written.
    shortcuts: &'a str,
    /// What else it is to show, as it was written.
    blocks: &'a str,
    counts: Counts,
    response_id: Option<Text<'a>>,
    /// A nonce for later requests.
    new_token: Option<Text<'a>>,
}

impl<'a> Answer<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut answer = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "success" => answer.success = reader.bool_or_skip()?,
                "error" => answer.has_error = read_truthy(reader)?,
                "data" => answer.has_data = read_truthy(reader)?,
                "reply" => answer.reply = Content::read(reader)?,
                "images" => answer.images = reader.raw()?,
                "actions" => answer.actions = reader.raw()?,
                "shortcuts" => answer.shortcuts = reader.raw()?,
                "blocks" => answer.blocks = reader.raw()?,
                "usage" => answer.counts = Counts::read(reader)?.unwrap_or_default(),
                "new_token" => answer.new_token = read_filled(reader)?,
                "responseId" => answer.response_id = read_filled(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(answer)
    }

    fn is_failure(&self) -> bool {
        self.success == Some(false) || self.has_error
    }

    /// Whether it says of itself that it is an answer of this plugin.
    fn is_one(&self) -> bool {
        self.reply.is_filled() || (self.success.is_some() && !self.has_data)
    }

    /// The tokens, where any were counted: an image has none.
    fn usage(&self) -> Option<Usage> {
        let Counts { prompt, completion, total, .. } = self.counts;
        prompt.or(completion).or(total).map(|_| self.counts.usage())
    }

    /// Delivers what the events did not tell of the text. A text that the site has rewritten since
    /// is counted: what was delivered stays. Returns whether there is any text but blanks.
    fn deliver<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) -> bool {
        let told = match output.reply.part.as_deref() {
            Some(Part::Trimmed(told)) => *told,
            _ => TrimmedSaid::default(),
        };
        match self.reply.decode() {
            Some(reply) => match told.rest(&reply) {
                Some("") => {}
                Some(rest) => {
                    output.say_decoded(Spoken::Text, rest);
                    return !told.is_blank() || !TrimmedSaid::of(rest).is_blank();
                }
                None => output.reply.bad_events += 1,
            },
            None if told.is_blank() => {
                output.say(Spoken::Text, self.reply);
                return self.reply.is_filled();
            }
            None => {}
        }
        !told.is_blank()
    }

    /// How many images there are of which the text says nothing.
    fn untold_images(&self) -> u64 {
        let reply = self.reply.decode().unwrap_or_default();
        let mut untold = 0;
        for_each(self.images, |reader| {
            let is_told = match Content::read(reader)? {
                Content::Text(url) => reply.contains(&*url.decode()),
                image => !image.is_filled(),
            };
            untold += u64::from(!is_told);
            Ok(())
        });
        untold
    }

    /// Delivers the images of an answer without text, as the plugin writes them into one.
    fn deliver_images<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) -> bool {
        let mut is_any = false;
        for_each(self.images, |reader| {
            let image = Content::read(reader)?;
            if let Some(url) = image.text() {
                let line = format!("![Image]({})\n", url.decode());
                output.say_decoded(Spoken::Text, &line);
                is_any = true;
            } else if image.is_filled() {
                output.pass_over(Unspoken::Image, 1, Teller::Piece);
            }
            Ok(())
        });
        is_any
    }

    /// Delivers the functions of the page that the model calls, and returns their number.
    fn deliver_calls<S: DeltaSink + ?Sized>(&self, output: &mut Output<'_, S>) -> u64 {
        let mut calls = 0;
        for_each(self.actions, |reader| {
            let action = Action::read(reader)?;
            if action.kind.is_some_and(|kind| kind == *"function") && action.call.has_name() {
                output.tool_call(&CallPiece { index: Some(calls), ..action.call });
                calls += 1;
            } else {
                output.pass_over(Unspoken::Other, 1, Teller::Piece);
            }
            Ok(())
        });
        calls
    }
}

/// Reads each element of a list; PHP writes one with gaps as an object.
fn for_each<'a>(list: &'a str, mut read: impl FnMut(&mut Reader<'a>) -> Result<(), JsonError>) {
    let mut reader = Reader::new(list);
    // The value is valid: it was read before.
    let _ = match reader.peek() {
        Ok(Kind::Object) => reader.object(|_, reader| read(reader)),
        _ => reader.array_or_skip(read).map(drop),
    };
}

/// How many elements a list has.
fn count_of(list: &str) -> u64 {
    let mut count = 0;
    for_each(list, |reader| {
        count += 1;
        reader.skip()
    });
    count
}

/// One thing that the page is to do.
#[derive(Default)]
struct Action<'a> {
    kind: Option<Text<'a>>,
    call: CallPiece<'a>,
}

impl<'a> Action<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut action = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "type" => action.kind = reader.string_or_skip()?,
                "data" => action.call = read_call(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(action)
    }
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<CallPiece<'a>, JsonError> {
    let mut call = CallPiece::default();
    reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "name" => call.name = reader.string_or_skip()?,
            "args" => call.arguments = Arguments::read(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    // PHP writes an object without members as a list.
    if let Arguments::Raw(raw) = call.arguments
        && raw.strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]")
    {
        call.arguments = Arguments::Raw("{}");
    }
    Ok(call)
}

/// What the words of an error mean as its code: the plugin has none of its own, and writes that of
/// the model's service into them.
fn code_of(words: &str) -> Option<String> {
    let words = words.trim();
    let own = words.strip_prefix("AI Engine: ").unwrap_or(words);
    let told = SENTENCES.iter().find(|(sentence, _)| own.starts_with(sentence));
    let code = told.map(|(_, code)| *code);
    code.or_else(|| code_at_end(words)).or_else(|| code_in_front(words)).map(str::to_owned)
}

/// The code in front of the type: `… (code) (type)`, behind which the owner's code may add more.
fn code_at_end(words: &str) -> Option<&str> {
    let (mut before, _) = split_bracket(words)?;
    let mut code = None;
    while let Some((further, word)) = split_bracket(before.trim_end()) {
        (before, code) = (further, Some(word));
    }
    code
}

/// The text before the word in brackets that ends a text, and the word.
fn split_bracket(words: &str) -> Option<(&str, &str)> {
    let (before, word) = words.strip_suffix(')')?.rsplit_once('(')?;
    is_code(word).then_some((before, word))
}

/// The code of versions before 2.1: `From OpenAI: Error code: …`.
fn code_in_front(words: &str) -> Option<&str> {
    let (_, behind) = words.strip_prefix("From ")?.split_once(": Error ")?;
    behind.split_once(':').map(|(code, _)| code).filter(|code| is_code(code))
}

fn is_code(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=64).contains(&word.len()) && word.bytes().all(is_part)
}
