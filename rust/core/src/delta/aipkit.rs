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

use super::DeltaSink;
use super::no_answer::{judge_json, read_site_error};
use super::openai::{DONE, end_with_answer, is_truthy};
use super::reply::{Ids, Reply};

/// The key beside an error that says that the visitor's quota is used up; it serves as the error's
/// code.
const QUOTA_NOTICE: &str = "quota_notice";

/// Reads one event. Returns its content when it did nothing but add it.
pub(super) fn read_event<'a, S: DeltaSink + ?Sized>(
    event: &Event<'a>,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Option<Text<'a>> {
    let kind = event.kind();
    if kind == "error" {
        fail_event(event.data, reply);
        return None;
    }
    if is_end(event) {
        reply.mark_done();
        return None;
    }
    if !matches!(kind, "message" | "message_start" | "openai_response_id" | "status") {
        return None;
    }
    let Ok(frame) = Frame::read(event.data) else {
        reply.bad_events += 1;
        return None;
    };
    match kind {
        "message" if frame.has_error => fail(event.data, frame.has_quota_notice, reply),
        "message" => {
            let delta = frame.delta.filter(|delta| !delta.is_empty())?;
            reply.deliver(delta.decode_with(scratch), sink);
            return Some(delta);
        }
        "message_start" => note_id("message_id", frame.message_id, reply),
        "openai_response_id" => note_id("openai_response_id", frame.id, reply),
        // A status tells of progress only.
        _ => {}
    }
    None
}

/// Whether the value of an unnamed event's key can change what the event does.
pub(super) fn matters(key: Text<'_>) -> bool {
    matches!(&*key.decode(), "delta" | "error" | QUOTA_NOTICE)
}

/// Whether an event ends the stream, whatever its data: `done`, or the sentinel of the chunks that
/// others send.
pub(super) fn is_end(event: &Event<'_>) -> bool {
    event.kind() == "done" || event.data.trim_ascii() == DONE
}

/// Reads a body that is one JSON object.
pub(super) fn read_body<S: DeltaSink + ?Sized>(
    text: &str,
    reply: &mut Reply,
    scratch: &mut Vec<u8>,
    sink: &mut S,
) -> Result<(), JsonError> {
    let Body { frame, success, answer } = Body::read(text)?;
    note_id("message_id", answer.message_id, reply);
    note_id("openai_response_id", answer.openai_response_id, reply);
    match success {
        _ if frame.has_error => fail(text, frame.has_quota_notice, reply),
        Some(true) => {
            end_with_answer(
                answer.reply.map(|reply| reply.decode_with(scratch)),
                text,
                reply,
                sink,
            );
        }
        Some(false) => fail(text, false, reply),
        None => judge_json(text, reply),
    }
    Ok(())
}

/// What an event's data holds, as far as it is wanted.
#[derive(Default)]
struct Frame<'a> {
    delta: Option<Text<'a>>,
    message_id: Option<Text<'a>>,
    id: Option<Text<'a>>,
    has_error: bool,
    has_quota_notice: bool,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        Self::read_with(text, |_, reader| reader.skip())
    }

    /// Reads the frame, and leaves the keys it does not know to `other`.
    fn read_with(
        text: &'a str,
        mut other: impl FnMut(Text<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            match &*key.decode() {
                "delta" => frame.delta = reader.string_or_skip()?,
                "message_id" => frame.message_id = reader.string_or_skip()?,
                "id" => frame.id = reader.string_or_skip()?,
                "error" => frame.has_error = is_truthy(reader.raw()?),
                QUOTA_NOTICE => frame.has_quota_notice = is_truthy(reader.raw()?),
                _ => other(key, reader)?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(frame)
    }
}

/// A body as WordPress sends one: whether it went well, and what came of it.
struct Body<'a> {
    frame: Frame<'a>,
    success: Option<bool>,
    answer: Answer<'a>,
}

impl<'a> Body<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut success = None;
        let mut answer = Answer::default();
        let frame = Frame::read_with(text, |key, reader| {
            match &*key.decode() {
                "success" => success = Some(is_truthy(reader.raw()?)),
                "data" => answer = Answer::read(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self { frame, success, answer })
    }
}

/// The `data` of a body.
#[derive(Default)]
struct Answer<'a> {
    reply: Option<Text<'a>>,
    message_id: Option<Text<'a>>,
    openai_response_id: Option<Text<'a>>,
}

impl<'a> Answer<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut answer = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "reply" => answer.reply = reader.string_or_skip()?,
                "message_id" => answer.message_id = reader.string_or_skip()?,
                "openai_response_id" => answer.openai_response_id = reader.string_or_skip()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(answer)
    }
}

fn note_id(name: &str, id: Option<Text<'_>>, reply: &mut Reply) {
    if let (Some(place), Some(id)) = (Ids::place(name), id) {
        reply.ids.set(place, &id.decode());
    }
}

/// An error event ends the stream whatever its data; data that is no JSON object is the message.
fn fail_event(data: &str, reply: &mut Reply) {
    match Frame::read(data) {
        Ok(frame) => fail(data, frame.has_quota_notice, reply),
        Err(_) => reply.fail(ErrorKind::Upstream, data, None, data),
    }
}

fn fail(raw: &str, has_quota_notice: bool, reply: &mut Reply) {
    let error = read_site_error(raw).unwrap_or_default();
    let code = if has_quota_notice { Some(QUOTA_NOTICE.to_owned()) } else { error.code };
    reply.fail(ErrorKind::Upstream, error.message.unwrap_or_default(), code, raw);
}
