//! The WordPress plugin AI Power from 2.3 on (`AIPKit`): deltas in unnamed events among named ones,
//! or one JSON body.
//!
//! Only unnamed events add text. Unlike the 1.x line's, its messages are plain text. Named events
//! that are not known here (sources, notices, whatever a later version adds) promise nothing and
//! are passed over.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::json::{JsonError, Reader, Text};
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::failure::{ReadSiteError, judge_json, read_site_error};
use super::super::fields::{is_done, read_truthy};
use super::super::reply::ReplyState;
use super::{DeltaSink, DialectReader, Output};

/// The key beside an error that says that the visitor's quota is used up; serves as the error's
/// code.
const QUOTA_NOTICE: &str = "quota_notice";

/// Reads the events of one reply; each stands for itself.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct AiPkit;

impl DialectReader for AiPkit {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Text<'a>> {
        let kind = event.kind();
        if kind == "error" {
            fail_event(event.data, output.reply);
            return None;
        }
        if !matches!(kind, "message" | "message_start" | "openai_response_id" | "status") {
            return None;
        }
        let Ok(data) = EventData::read(event.data) else {
            output.reply.bad_events += 1;
            return None;
        };
        match kind {
            "message" if data.has_error => fail(event.data, data.has_quota_notice, output.reply),
            "message" => {
                output.say(Spoken::Text, data.delta);
                return data.delta.text();
            }
            "message_start" => output.reply.note_id("message_id", data.message_id),
            "openai_response_id" => output.reply.note_id("openai_response_id", data.id),
            // A status tells of progress only.
            _ => {}
        }
        None
    }

    fn key_matters(&self, key: &str) -> bool {
        matches!(key, "delta" | "error" | QUOTA_NOTICE)
    }

    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError> {
        let Body { data, success, answer } = Body::read(body)?;
        output.reply.note_id("message_id", answer.message_id);
        output.reply.note_id("openai_response_id", answer.openai_response_id);
        match success {
            _ if data.has_error => fail(body, data.has_quota_notice, output.reply),
            Some(true) => {
                output.say(Spoken::Text, answer.reply);
                output.reply.end_whole(output.reply.delivered, body);
            }
            Some(false) => fail(body, false, output.reply),
            None => judge_json(body, output.reply),
        }
        Ok(())
    }

    /// The plugin's own end is an event named `done`, whatever its data.
    fn is_end(&self, event: &Event<'_>) -> bool {
        event.kind() == "done" || is_done(event)
    }

    fn end(&mut self, event: &Event<'_>, reply: &mut ReplyState) {
        // An error is one, also when its message is the sentinel.
        if event.kind() == "error" {
            fail_event(event.data, reply);
        } else {
            reply.mark_done();
        }
    }
}

impl ReadSiteError for AiPkit {}

/// The fields of an event that are read.
#[derive(Default)]
struct EventData<'a> {
    delta: Content<'a>,
    message_id: Option<Text<'a>>,
    id: Option<Text<'a>>,
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
                "error" => data.has_error = read_truthy(reader)?,
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
}

impl<'a> Body<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut success = None;
        let mut answer = Answer::default();
        let data = EventData::read_with(text, |key, reader| {
            match &*key.decode() {
                "success" => success = Some(read_truthy(reader)?),
                "data" => answer = Answer::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self { data, success, answer })
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

/// Takes an error event, which ends the stream whatever its data; data that is no JSON object is
/// the message.
fn fail_event(data: &str, reply: &mut ReplyState) {
    match EventData::read(data) {
        Ok(fields) => fail(data, fields.has_quota_notice, reply),
        Err(_) => reply.fail(ErrorKind::Upstream, data, None, data),
    }
}

fn fail(raw: &str, has_quota_notice: bool, reply: &mut ReplyState) {
    let error = read_site_error(raw).unwrap_or_default();
    let code = if has_quota_notice { Some(QUOTA_NOTICE.to_owned()) } else { error.code };
    reply.fail(ErrorKind::Upstream, error.message.unwrap_or_default(), code, raw);
}
