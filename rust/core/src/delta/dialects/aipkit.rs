//! The WordPress plugin AI Power from 2.3 on (`AIPKit`): deltas in unnamed events among named ones,
//! or one JSON body.
//!
//! Unnamed events add text, and so do those named `warning`: the plugin reads its upstream piece by
//! piece, and a piece that holds text and the news that the answer was cut, filtered or refused
//! becomes a warning as a whole, which the site's page shows in the answer. Unlike the 1.x line's,
//! its messages are plain text. Named events that are not known here (sources, notices, whatever a
//! later version adds) promise nothing and are passed over, and so is progress; an error in one, in
//! whichever dress, is counted, and told where no answer comes.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, SiteError, fail_upstream, judge_json, tells_error};
use super::super::fields::{is_done, is_truthy, read_filled, read_truthy};
use super::super::reply::ReplyState;
use super::{Added, DeltaSink, DialectReader, Members, Output};

/// The key beside an error that says that the visitor's quota is used up; serves as the error's
/// code.
const QUOTA_NOTICE: &str = "quota_notice";

/// The plugin's own sentences at the end of a warning, untranslated, and what they mean as a finish
/// reason.
const NEWS: [(&str, &str); 4] = [
    ("(Incomplete: max_output_tokens)", "length"),
    ("Claude stopped because the maximum output token limit was reached.", "length"),
    ("(Incomplete: content_filter)", "content_filter"),
    ("(Warning: Content Filtered)", "content_filter"),
];

/// The finish reason of an answer with a warning that tells none.
const WARNING: &str = "warning";

/// Reads the events of one reply.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct AiPkit {
    /// Whether the model said itself why it stopped.
    stop_told: bool,
    /// Whether the site shows a form in place of an answer.
    shows_form: bool,
}

impl DialectReader for AiPkit {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        let kind = event.kind();
        match kind {
            "warning" => {
                self.read_warning(event.data, output);
                return None;
            }
            "display_form_event" => {
                self.shows_form = true;
                return None;
            }
            "message" | "message_start" | "openai_response_id" | "status" => {}
            _ => {
                output.reply.is_passed_over = true;
                return None;
            }
        }
        let Ok(data) = EventData::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        match kind {
            // A status tells of progress, and of what went wrong on the way to the answer.
            _ if data.has_error && kind != "status" => {
                fail_upstream(event.data, self, output.reply);
            }
            "message" => {
                output.reply.foreign = !data.delta.is_filled();
                output.say(Spoken::Text, data.delta);
                return Added::spoken(Spoken::Text, data.delta);
            }
            "message_start" => {
                output.reply.foreign = data.message_id.is_none();
                output.reply.note_id("message_id", data.message_id);
            }
            "openai_response_id" => output.reply.note_id("openai_response_id", data.id),
            // Beside that, a status tells of progress only, unless it tells an error.
            _ => {
                output.reply.is_passed_over = tells_error(event.data);
                self.stop_told |= data.stop_reason.is_some();
                output.reply.note_finish(data.stop_reason);
            }
        }
        None
    }

    fn owns(members: &Members<'_>) -> bool {
        match members.event.filter(|name| *name != "message") {
            Some("message_start") => members.has("message_id", Kind::String),
            Some("openai_response_id") => members.has("id", Kind::String),
            Some(WARNING) => members.has("error", Kind::String),
            Some("done") => members.has_flag("finished"),
            Some(_) => false,
            None if members.has_flag("success") => {
                let data = members.object("data");
                data.is_some_and(|data| {
                    data.has("reply", Kind::String) || data.has("cache_key", Kind::String)
                })
            }
            None => members.has("delta", Kind::String) && members.text("type").is_empty(),
        }
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "delta" | "error" | QUOTA_NOTICE)
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let Body { data, success, answer, is_bare } = Body::read(body)?;
        output.reply.note_id("message_id", answer.message_id);
        output.reply.note_id("openai_response_id", answer.openai_response_id);
        match success {
            _ if data.has_error => fail_upstream(body, self, output.reply),
            Some(true) if is_bare => output.reply.foreign = true,
            Some(true) => {
                output.say(Spoken::Text, answer.reply);
                output.reply.end_whole(output.reply.delivered, body);
            }
            Some(false) => fail_upstream(body, self, output.reply),
            None => judge_json(body, output.reply),
        }
        Ok(())
    }

    /// The plugin's own end is an event named `done`, whatever its data.
    fn is_end(&self, event: &Event<'_>) -> bool {
        event.kind() == "done" || is_done(event)
    }

    fn end(&mut self, _: &Event<'_>, reply: &mut ReplyState) {
        if !self.finish(reply) {
            reply.mark_done();
        }
    }

    /// A form without text is no answer.
    fn finish(&mut self, reply: &mut ReplyState) -> bool {
        let is_form = self.shows_form && !reply.has_come();
        if is_form {
            let message = "the site shows a form in place of an answer";
            reply.fail(ErrorKind::Upstream, message, None, "");
        }
        is_form
    }
}

impl ReadSiteError for AiPkit {
    fn error_code(&self, error: SiteError, raw: &str) -> Option<String> {
        let has_notice = EventData::read(raw).is_ok_and(|data| data.has_quota_notice);
        if has_notice { Some(QUOTA_NOTICE.to_owned()) } else { error.code }
    }
}

impl AiPkit {
    /// Delivers the text of a warning as it stands.
    fn read_warning<S: DeltaSink + ?Sized>(&self, data: &str, output: &mut Output<'_, S>) {
        let text = EventData::read(data).ok().and_then(|data| data.error);
        match text {
            Some(text) => output.text(text),
            None => output.reply.deliver(data, output.sink),
        }
        let text = text.map_or(data.into(), Text::decode);
        let news = NEWS.iter().find(|(sentence, _)| text.trim_end().ends_with(sentence));
        if let Some((_, reason)) = news.filter(|_| !self.stop_told) {
            output.reply.finish_reason = Some((*reason).into());
        } else if output.reply.finish_reason.is_none() {
            output.reply.finish_reason = Some(WARNING.into());
        }
    }
}

/// The fields of an event that are read.
#[derive(Default)]
struct EventData<'a> {
    delta: Content<'a>,
    message_id: Option<Text<'a>>,
    id: Option<Text<'a>>,
    stop_reason: Option<Text<'a>>,
    /// The error, when it is a text.
    error: Option<Text<'a>>,
    has_error: bool,
    has_quota_notice: bool,
}

impl<'a> EventData<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        Self::read_with(text, |_, reader| reader.skip())
    }

    /// Reads the fields, and leaves the keys it does not know to `other`.
    fn read_with(
        text: &'a str,
        mut other: impl FnMut(Text<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, JsonError> {
        let mut data = Self::default();
        Reader::new(text).whole_object(|key, reader| {
            match &*key.decode() {
                "delta" => data.delta = Content::read(reader)?,
                "message_id" => data.message_id = reader.string_or_skip()?,
                "id" => data.id = reader.string_or_skip()?,
                "stop_reason" => data.stop_reason = read_filled(reader)?,
                "error" => {
                    let raw = reader.raw()?;
                    data.has_error = is_truthy(raw);
                    data.error = Reader::new(raw).string().ok();
                }
                QUOTA_NOTICE => data.has_quota_notice = read_truthy(reader)?,
                _ => other(key, reader)?,
            }
            Ok(())
        })?;
        Ok(data)
    }
}

/// A body as WordPress sends one: whether the request went well, and its answer.
struct Body<'a> {
    data: EventData<'a>,
    success: Option<bool>,
    answer: Answer<'a>,
    /// Whether a reply stands beside `success`, as another plugin writes it.
    is_bare: bool,
}

impl<'a> Body<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let (mut success, mut has_data, mut has_reply) = (None, false, false);
        let mut answer = Answer::default();
        let data = EventData::read_with(text, |key, reader| {
            match &*key.decode() {
                "success" => success = Some(read_truthy(reader)?),
                "data" => {
                    has_data = true;
                    answer = Answer::read(reader)?;
                }
                "reply" => has_reply = read_truthy(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self { data, success, answer, is_bare: has_reply && !has_data })
    }
}

/// The `data` of a body.
#[derive(Default)]
struct Answer<'a> {
    reply: Content<'a>,
    message_id: Option<Text<'a>>,
    openai_response_id: Option<Text<'a>>,
}

impl<'a> Answer<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut answer = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "reply" => answer.reply = Content::read(reader)?,
                "message_id" => answer.message_id = reader.string_or_skip()?,
                "openai_response_id" => answer.openai_response_id = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(answer)
    }
}
