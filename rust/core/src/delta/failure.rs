//! A reply that is no answer in, an error that says what it is out: error bodies, web pages, bare
//! status codes, and what stands among events that none of them is.

use alloc::borrow::Cow;

use crate::error::ErrorKind;
use crate::event::Event;
use crate::html::{is_challenge, is_page, tag_length, title, title_or_text, trim, visible_text};
use crate::json::{JsonError, Reader};
use crate::prelude::*;

use super::fields::{DONE, is_truthy};
use super::framing::{Debris, Framings};
use super::reply::{ReplyState, cut_chars};
pub(super) use super::site_error::{SiteError, read_error_value, read_site_error};

/// Characters of an unexpected reply that a message shows.
const GIST_CHARS: usize = 200;

/// Characters of an error page's visible text that a message shows.
const ERROR_GIST_CHARS: usize = 300;

/// Tells what of an API's error says most, which differs from one API to the next.
pub(super) trait ReadSiteError {
    /// The code that tells most of an error that the API reports; `raw` is the error as it came.
    fn error_code(&self, error: SiteError, raw: &str) -> Option<String> {
        let _ = raw;
        error.code
    }

    /// The message of an error, as a person is to read it.
    fn error_message(&self, message: String) -> String {
        message
    }
}

/// Ends the reply with the error that an event or a body of one of the APIs reports.
pub(super) fn fail_upstream(raw: &str, dialect: &impl ReadSiteError, reply: &mut ReplyState) {
    fail_with(read_site_error(raw).unwrap_or_default(), raw, dialect, reply);
}

/// Ends the reply with an error as its site tells it.
fn fail_with(
    mut error: SiteError,
    raw: &str,
    dialect: &impl ReadSiteError,
    reply: &mut ReplyState,
) {
    let message = dialect.error_message(error.message.take().unwrap_or_default());
    reply.fail(ErrorKind::Upstream, message, dialect.error_code(error, raw), raw);
}

/// Judges an event whose name says that it is an error: whatever its data, it ends the reply.
pub(super) fn judge_error_event(
    event: &Event<'_>,
    dialect: &impl ReadSiteError,
    reply: &mut ReplyState,
) {
    let data = event.data;
    let mut lines = data.lines().rev();
    // Behind an event that broke off, the error's own data is the last line.
    let told = read_site_error(data)
        .or_else(|| lines.find_map(read_site_error))
        .or_else(|| first_told(data));
    match told {
        Some(error) if error.message.is_some() => fail_with(error, data, dialect, reply),
        Some(error) => {
            let shown = data.trim();
            let says_nothing = error.has_error_key || !is_truthy(shown);
            let message = cut_chars(if says_nothing { "" } else { shown }, ERROR_GIST_CHARS);
            fail_with(SiteError { message: Some(message), ..error }, data, dialect, reply);
        }
        None => {
            let lines: Vec<&str> = data.lines().filter(|line| line.trim() != DONE).collect();
            let text = lines.join("\n");
            let text = if text.trim().is_empty() { data } else { &text };
            let message = dialect.error_message(plain_error(text).into_owned());
            reply.fail(ErrorKind::Upstream, message, None, data);
        }
    }
}

/// The text of an error that is no object: of a JSON string its own, and what stands behind the
/// word that says that it is one.
fn plain_error(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    let string = Reader::new(trimmed).string().ok().filter(|_| trimmed.ends_with('"'));
    match string {
        Some(string) => string.decode(),
        None => Cow::Borrowed(behind_error_word(trimmed).unwrap_or(text)),
    }
}

/// What stands behind `error:` or `[error]`, in any case, at the beginning of a text.
fn behind_error_word(text: &str) -> Option<&str> {
    ["error:", "[error]"].into_iter().find_map(|word| {
        let (start, rest) = text.split_at_checked(word.len())?;
        start.eq_ignore_ascii_case(word).then(|| rest.trim_start_matches([':', ' ', '\t']))
    })
}

/// The error of the first object in a text that says of itself that it is one.
fn first_told(text: &str) -> Option<SiteError> {
    objects(text).filter_map(read_site_error).find(|error| error.is_told)
}

/// Judges an event whose data is no JSON object: it may be an error, or a keep-alive.
pub(super) fn judge_bad(event: &Event<'_>, dialect: &impl ReadSiteError, reply: &mut ReplyState) {
    let data = event.data.trim();
    if let Some(text) = behind_error_word(data) {
        match read_site_error(text) {
            Some(error) => fail_with(error, data, dialect, reply),
            None => {
                reply.fail(ErrorKind::Upstream, dialect.error_message(text.to_owned()), None, data);
            }
        }
        return;
    }
    if let Some(error) = first_told(data) {
        return fail_with(error, data, dialect, reply);
    }
    if (data.is_empty() || is_json(event.data)) && reply.is_stream {
        reply.keep_alives = reply.keep_alives.saturating_add(1);
        return;
    }
    reply.bad_events += 1;
    reply.unread.push(data);
}

fn is_json(data: &str) -> bool {
    let mut reader = Reader::new(data);
    reader.skip().is_ok() && reader.end().is_ok()
}

/// Judges an event that holds nothing of its dialect: it may be an error, or another dialect's.
pub(super) fn judge_foreign(
    event: &Event<'_>,
    dialect: &impl ReadSiteError,
    reply: &mut ReplyState,
) {
    match read_site_error(event.data) {
        Some(error) if error.is_told => fail_with(error, event.data, dialect, reply),
        _ => {
            reply.unread.push(event.data);
        }
    }
}

/// Judges an event that promises nothing: one that tells an error is counted, and is the reason
/// where no answer comes.
pub(super) fn judge_passed_over(event: &Event<'_>, reply: &mut ReplyState) {
    if tells_error(event.data) {
        reply.bad_events += 1;
        reply.unread.push(event.data);
    }
}

/// Whether data that promises nothing tells an error: in any dress, or by that word in front. An
/// empty key `error` says that there is none.
pub(super) fn tells_error(data: &str) -> bool {
    match read_site_error(data) {
        Some(error) if error.has_error_key => error.is_reported,
        Some(error) => error.is_told,
        None => behind_error_word(data.trim()).is_some(),
    }
}

/// Judges a stream that has its end marker and nothing else: what was not understood may say why.
pub(super) fn judge_without_answer(dialect: &impl ReadSiteError, reply: &mut ReplyState) {
    let told = reply.error.clone();
    if !reply.reopen_empty() || judge_unread(dialect, reply) {
        return;
    }
    let unread = reply.unread.shown();
    if let Some(likeness) = reply.likeness() {
        reply.fail(ErrorKind::NotAStream, likeness, None, &unread.text);
    } else if let Some(told) = told {
        let message = format!("{}{}", told.message, unread.clause);
        let raw = if unread.text.is_empty() { &told.raw } else { &unread.text };
        reply.fail(ErrorKind::Empty, message, None, raw);
    }
}

/// Judges what a stream without an end holds that was not understood: it may be an error. False
/// when it is none.
pub(super) fn judge_unread(dialect: &impl ReadSiteError, reply: &mut ReplyState) -> bool {
    let text = reply.unread.text();
    let trimmed = trim(&text);
    if trimmed.is_empty() {
        return false;
    }
    if is_challenge(trimmed.as_bytes()) {
        reply.fail(ErrorKind::Challenge, describe(trimmed), None, &text);
    } else if let Some(error) = first_told(trimmed) {
        fail_with(error, &text, dialect, reply);
    } else if is_page(trimmed.as_bytes()) && reply.has_come() {
        let message = cut_chars(&title_or_text(trimmed), ERROR_GIST_CHARS);
        reply.fail(ErrorKind::Upstream, message, None, &text);
    } else if is_page(trimmed.as_bytes()) {
        reply.fail(ErrorKind::NotAStream, describe(trimmed), None, &text);
    } else if let Some(words) = words_of_error(trimmed) {
        let message = cut_chars(&title_or_text(&words), ERROR_GIST_CHARS);
        reply.fail(ErrorKind::Upstream, message, None, &text);
    }
    !reply.is_open()
}

/// The lines among events that are no JSON, when they are the output of a program that failed: PHP
/// says so in every version, and so do others.
fn words_of_error(text: &str) -> Option<String> {
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with('{')).collect();
    let words = lines.join("\n");
    let lower = words.to_ascii_lowercase();
    let is_error = ["error", "exception"].iter().any(|word| lower.contains(word));
    is_error.then_some(words)
}

/// Judges the body, as far as it was kept, of a reply with an error status.
pub(super) fn judge_error_body(
    body: &[u8],
    dialect: &impl ReadSiteError,
    framings: Framings,
    reply: &mut ReplyState,
) {
    let text = String::from_utf8_lossy(body);
    if is_challenge(body) {
        return reply.fail(ErrorKind::Challenge, describe(&text), None, &text);
    }
    let trimmed = trim(&text);
    // A text may well be a number.
    let bare_code = bare_code(trimmed).filter(|_| framings != Framings::Text);
    if let Some(code) = bare_code {
        return fail_bare(code, &text, reply);
    }
    let mut site_error = find_site_error(body, trimmed);
    let message = match site_error.message.take() {
        Some(message) => dialect.error_message(message),
        None => cut_chars(&title_or_text(field_value(trimmed)), ERROR_GIST_CHARS),
    };
    let message =
        if message.trim().is_empty() { format!("HTTP {}", reply.status) } else { message };
    let code = dialect.error_code(site_error, &text);
    reply.fail(ErrorKind::Upstream, message, code, &text);
}

/// The value of the last field of server-sent events in which an error's text can stand, where
/// there is one; of a JSON string its text.
fn field_value(text: &str) -> &str {
    let value = |line: &'_ str| -> Option<usize> {
        ["data:", "error:"].iter().find_map(|field| line.starts_with(field).then_some(field.len()))
    };
    let is_events = text.lines().all(|line| {
        line.is_empty()
            || line.starts_with(':')
            || ["data:", "event:", "id:", "retry:", "error:"]
                .iter()
                .any(|field| line.starts_with(field))
    });
    let last = text.lines().rev().find(|line| value(line).is_some() && !line.contains(DONE));
    match last {
        Some(line) if is_events => line[value(line).unwrap_or(0)..].trim(),
        _ => text,
    }
}

/// Reads the error of a body: of the first JSON object in it that tells one.
fn find_site_error(body: &[u8], text: &str) -> SiteError {
    if let Some(error) = read_site_error(text) {
        return error;
    }
    if is_page(body) {
        return SiteError::default();
    }
    let mut objects = objects(text).filter_map(read_site_error);
    objects.find(|error| error.message.is_some()).unwrap_or_default()
}

/// Judges a reply in which neither events nor a JSON body began.
pub(super) fn judge_debris(debris: &Debris, reply: &mut ReplyState) {
    let text = String::from_utf8_lossy(debris.kept());
    if debris.is_blank() {
        return reply.fail(ErrorKind::Empty, "the body is empty", None, &text);
    }
    if let Some(code) = debris.whole().and_then(|_| bare_code(trim(&text))) {
        return fail_bare(code, &text, reply);
    }
    if let Some(message) = behind_error_word(trim(&text)) {
        let message = cut_chars(message, ERROR_GIST_CHARS);
        return reply.fail(ErrorKind::Upstream, message, None, &text);
    }
    judge_page(debris.kept(), reply);
}

/// Judges a page where a text was due: an empty one is empty, any other is no answer.
pub(super) fn judge_page_for_text(page: &Debris, reply: &mut ReplyState) {
    if page.kept().trim_ascii().is_empty() && page.whole().is_some() {
        reply.fail(ErrorKind::Empty, "the body is empty", None, "");
    } else {
        judge_page(page.kept(), reply);
    }
}

/// Judges what is shown instead of an answer, by its beginning: a challenge, or any other page or
/// text.
pub(super) fn judge_page(page: &[u8], reply: &mut ReplyState) {
    let text = String::from_utf8_lossy(page);
    let kind = if is_challenge(page) { ErrorKind::Challenge } else { ErrorKind::NotAStream };
    reply.fail(kind, describe(&text), None, &text);
}

/// Judges a JSON object that holds no answer: it may hold an error's message in one of the usual
/// places. Where it does not, the reply stays open, and the object is of no dialect that was asked
/// for.
pub(super) fn judge_json(body: &str, reply: &mut ReplyState) {
    let error = read_site_error(body).unwrap_or_default();
    match error.message {
        Some(message) => reply.fail(ErrorKind::Upstream, message, error.code, body),
        None if error.is_told => reply.fail(ErrorKind::Upstream, "", error.code, body),
        None => reply.foreign = true,
    }
}

/// A phrase for a message that says what kind of thing a text is.
pub(super) fn describe(text: &str) -> String {
    let text = trim(text);
    if !text.starts_with('<') {
        return format!("it is a text that starts with \"{}\"", cut_chars(text, GIST_CHARS));
    }
    if let Some(title) = title(text) {
        return format!("it is an HTML page with the title \"{}\"", cut_chars(&title, GIST_CHARS));
    }
    match visible_text(text) {
        gist if gist.is_empty() => "it is an HTML page without text".to_owned(),
        gist => format!("it is an HTML page that starts with \"{}\"", cut_chars(&gist, GIST_CHARS)),
    }
}

/// The whole JSON objects in a text, in their order, but for those in its HTML tags and scripts.
pub(super) fn objects(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    // A tag without an end is none, nor is one behind it: to look for the end again would be in
    // vain.
    let mut has_tags = true;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(if has_tags { &['{', '<'][..] } else { &['{'] })?;
            rest = &rest[start..];
            if rest.starts_with('<') {
                let length = tag_length(rest);
                has_tags = length.is_some();
                rest = &rest[length.unwrap_or(1)..];
                continue;
            }
            match Reader::new(rest).raw() {
                Ok(object) => {
                    rest = &rest[object.len()..];
                    return Some(object);
                }
                Err(JsonError::UnexpectedEnd) => return None,
                Err(JsonError::Syntax { offset } | JsonError::TooDeep { offset }) => {
                    rest = from_boundary(rest, offset.max(1));
                }
            }
        }
    })
}

fn from_boundary(text: &str, mut offset: usize) -> &str {
    while !text.is_char_boundary(offset) {
        offset += 1;
    }
    &text[offset..]
}

/// WordPress answers a request that no plugin handles with `0`, and one whose nonce it refuses
/// itself with `-1`.
fn bare_code(text: &str) -> Option<&str> {
    matches!(text, "0" | "-1").then_some(text)
}

fn fail_bare(code: &str, raw: &str, reply: &mut ReplyState) {
    let message = format!(
        "it answered only \"{code}\": it does not know this chat action; the chat plugin is switched \
         off, or is of another version"
    );
    reply.fail(ErrorKind::Upstream, message, Some(code.to_owned()), raw);
}
