//! A JSON text in, the error that it tells out: in whichever of the places where services put one.

use crate::json::{JsonError, Kind, Reader};
use crate::prelude::*;

use super::fields::is_truthy;
use super::reply::cut_chars;

/// Characters of an error that has no message, which are shown instead.
const SHOWN_CHARS: usize = 200;

/// Errors within errors that are looked into.
const DEPTH: usize = 4;

/// An error as a site tells it in JSON.
#[derive(Debug, Default)]
pub(super) struct SiteError {
    pub(super) message: Option<String>,
    pub(super) code: Option<String>,
    /// The error object's `status`.
    pub(super) status: Option<String>,
    /// The error object's `type`.
    pub(super) kind: Option<String>,
    /// Whether the text says that it is an error, and not just what could be one's message.
    pub(super) is_told: bool,
    /// Whether there is a key for it, whatever its value.
    pub(super) has_error_key: bool,
    /// Whether that key has a value that means something.
    pub(super) is_reported: bool,
}

/// Reads the places where sites put an error's message and code; `None` when `text` is not one JSON
/// object.
pub(super) fn read_site_error(text: &str) -> Option<SiteError> {
    let mut places = Places::default();
    let mut reader = Reader::new(text);
    let read = reader.object(|key, reader| places.read(&key.decode(), reader));
    read.and_then(|()| reader.end()).ok()?;
    Some(places.error())
}

/// Reads an error that stands alone: the value of a key `error`.
pub(super) fn read_error_value(value: &str) -> SiteError {
    let part = read_part(&mut Reader::new(value), DEPTH).unwrap_or_default();
    Places { error: part, ..Places::default() }.error()
}

/// What an object says where errors may stand.
#[derive(Default)]
struct Places {
    error: Part,
    has_error_key: bool,
    /// A message under a name that only an error's has.
    named: Option<String>,
    data: Part,
    detail: Part,
    top: Part,
    msg: Option<String>,
    /// What an error with a status is called, where nothing tells more of it.
    title: Option<String>,
    /// `success` is false, `object` or `type` or `status` says so.
    failed: bool,
}

impl Places {
    fn read(&mut self, key: &str, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match key {
            "error" | "errors" => {
                self.has_error_key = true;
                let part = read_part(reader, DEPTH)?;
                if part.is_truthy || key == "error" {
                    self.error = part;
                }
            }
            "error_message" | "errorMessage" | "error_msg" | "errorMsg" | "err_msg" | "errmsg" => {
                self.named = read_word(reader)?.or(self.named.take());
            }
            "data" if reader.peek()? != Kind::Array => self.data = read_part(reader, DEPTH)?,
            "detail" => self.detail = read_part(reader, DEPTH)?,
            "msg" => self.msg = read_word(reader)?,
            "message" => self.top.message = read_word(reader)?,
            "code" => self.top.code = read_word(reader)?,
            "error_code" | "errorCode" | "errcode" | "err_code" | "status_code" | "statusCode" => {
                self.top.code = self.top.code.take().or(read_word(reader)?);
            }
            "success" => self.failed |= reader.bool_or_skip()? == Some(false),
            "object" | "type" | "status" => {
                let word = read_word(reader)?;
                self.failed |= word.is_some_and(|word| match &*word {
                    "error" | "Error" => true,
                    word if key == "status" => {
                        matches!(word, "fail" | "failed") || is_error_status(word)
                    }
                    _ => false,
                });
            }
            "title" => self.title = read_word(reader)?,
            "error_description" => self.top.text = read_word(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn error(self) -> SiteError {
        let Self { error, has_error_key, named, data, detail, top, msg, title, failed } = self;
        let has_code = top.code.as_deref().is_some_and(is_failure);
        let has_message = msg.is_some() || top.message.is_some();
        let is_told = error.is_truthy
            || named.is_some()
            || detail.is_truthy
            || failed
            || (has_code && has_message);
        // WordPress's REST API has the words beside the code, and in `data` the status and what PHP
        // said of the program, its paths among it.
        let is_rest = top.code.is_some() && top.message.is_some() && data.status.is_some();
        let rest_message = top.message.clone().filter(|_| is_rest);
        // WordPress puts a plugin's bare message into `data`; without `success: false` it can be
        // anything.
        let data_text = data.text.filter(|_| failed);
        let message = error
            .message
            .or(error.text)
            .or(named)
            .or(rest_message)
            .or(data.message)
            .or(data_text)
            .or(msg)
            .or(top.message)
            .or(detail.message)
            .or(detail.text)
            .or(top.text)
            .or(title.filter(|_| failed))
            .or(error.shown)
            .or(detail.shown);
        let code = error.code.or(data.code).or(detail.code).or(top.code);
        SiteError {
            message,
            code,
            status: error.status,
            kind: error.kind,
            is_told,
            has_error_key,
            is_reported: error.is_truthy,
        }
    }
}

/// The value of `error`, `data` or `detail`: an object, a list of them, or the message itself.
#[derive(Default)]
struct Part {
    message: Option<String>,
    code: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    text: Option<String>,
    /// What there is of a container in which no message is known.
    shown: Option<String>,
    is_truthy: bool,
}

fn read_part(reader: &mut Reader<'_>, depth: usize) -> Result<Part, JsonError> {
    let kind = reader.peek()?;
    let raw = reader.clone().raw()?;
    if depth == 0 || !is_truthy(raw) {
        reader.skip()?;
        return Ok(Part::default());
    }
    let mut part = match kind {
        Kind::Object => read_object(reader, depth)?,
        Kind::Array => read_list(reader, depth)?,
        _ => Part { text: read_text(reader)?, ..Part::default() },
    };
    part.is_truthy = true;
    Ok(part)
}

fn read_object(reader: &mut Reader<'_>, depth: usize) -> Result<Part, JsonError> {
    let raw = reader.clone().raw()?;
    let mut part = Part::default();
    let mut inner = Part::default();
    let mut has_message = false;
    reader.object(|key, reader| {
        match &*key.decode() {
            "message" | "msg" => {
                has_message = true;
                part.message = read_word(reader)?.or(part.message.take());
            }
            "code" => part.code = read_word(reader)?,
            "status" => part.status = read_word(reader)?,
            "type" => part.kind = read_word(reader)?,
            "error" | "detail" | "errors" | "description" | "error_message" => {
                inner = read_part(reader, depth - 1)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    part.message = part.message.or(inner.message).or(inner.text);
    part.code = part.code.or(inner.code);
    let is_shown = part.message.is_none() && !has_message;
    part.shown = is_shown.then(|| cut_chars(raw, SHOWN_CHARS));
    Ok(part)
}

/// Reads a list of errors: the messages of all, and what else the first one says.
fn read_list(reader: &mut Reader<'_>, depth: usize) -> Result<Part, JsonError> {
    let raw = reader.clone().raw()?;
    let mut first: Option<Part> = None;
    let mut messages = Vec::new();
    reader.array(|reader| {
        let mut part = read_part(reader, depth - 1)?;
        messages.extend(part.message.take().or(part.text.take()));
        first.get_or_insert(part);
        Ok(())
    })?;
    let mut part = first.unwrap_or_default();
    part.shown = Some(cut_chars(raw, SHOWN_CHARS));
    part.message = (!messages.is_empty()).then(|| messages.join("; "));
    Ok(part)
}

/// A string that is not empty, or a number as it is written.
fn read_word(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    if reader.peek()? == Kind::Number {
        return reader.number().map(|number| Some(number.to_owned()));
    }
    read_text(reader)
}

fn read_text(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    let text = reader.string_or_skip()?.filter(|text| !text.is_empty());
    Ok(text.map(|text| text.decode().into_owned()))
}

fn is_error_status(word: &str) -> bool {
    word.parse().is_ok_and(|status: u16| (400..600).contains(&status))
}

/// Whether a code is one of a failure: not 0, none of HTTP's that mean success, no word for it.
fn is_failure(code: &str) -> bool {
    match code.parse::<f64>() {
        Ok(number) => number != 0.0 && !(200.0..300.0).contains(&number),
        Err(_) => !matches!(&*code.to_ascii_lowercase(), "ok" | "success"),
    }
}
