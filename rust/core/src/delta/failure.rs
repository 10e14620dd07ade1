//! A reply that is no answer in, an error that says what it is out: error bodies, web pages, bare
//! status codes.

use crate::error::ErrorKind;
use crate::event::Event;
use crate::html::{decode_text, is_challenge};
use crate::json::{JsonError, Kind, Reader};
use crate::prelude::*;

use super::framing::{Debris, Framings};
use super::reply::{ReplyState, cut_chars};

/// Characters of an unexpected reply that a message shows.
const GIST_CHARS: usize = 200;

/// Characters of an error page's visible text that a message shows.
const ERROR_GIST_CHARS: usize = 300;

/// An error as a site tells it in JSON.
#[derive(Debug, Default)]
pub(super) struct SiteError {
    pub(super) message: Option<String>,
    pub(super) code: Option<String>,
    /// The error object's `status`.
    pub(super) status: Option<String>,
    /// The error object's `type`.
    pub(super) kind: Option<String>,
}

/// Tells what of an API's error says most, which differs from one API to the next.
pub(super) trait ReadSiteError {
    /// The code that tells most of an error that the API reports.
    fn error_code(&self, error: SiteError) -> Option<String> {
        error.code
    }

    /// The message of an error, as a person is to read it.
    fn error_message(&self, message: String) -> String {
        message
    }
}

/// Ends the reply with the error that an event or a body of one of the APIs reports.
pub(super) fn fail_upstream(raw: &str, dialect: &impl ReadSiteError, reply: &mut ReplyState) {
    let mut error = read_site_error(raw).unwrap_or_default();
    let message = error.message.take().unwrap_or_default();
    reply.fail(ErrorKind::Upstream, message, dialect.error_code(error), raw);
}

/// Judges an event whose data is not what its dialect promises: one whose name says that it is an
/// error is one.
pub(super) fn judge_bad_event(event: &Event<'_>, reply: &mut ReplyState) {
    if event.kind() == "error" {
        reply.fail(ErrorKind::Upstream, event.data, None, event.data);
    } else {
        reply.bad_events += 1;
    }
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
        return reply.fail_whole(ErrorKind::Challenge, describe(&text), None, &text);
    }
    let trimmed = trim(&text);
    // A text may well be a number.
    let bare_code = bare_code(trimmed).filter(|_| framings != Framings::Text);
    if let Some(code) = bare_code {
        return fail_bare(code, &text, reply);
    }
    let mut site_error = find_site_error(trimmed, framings);
    let message = match site_error.message.take() {
        Some(message) => dialect.error_message(message),
        None => cut_chars(&title_or_text(trimmed), ERROR_GIST_CHARS),
    };
    let message =
        if message.trim().is_empty() { format!("HTTP {}", reply.status) } else { message };
    let code = dialect.error_code(site_error);
    reply.fail_whole(ErrorKind::Upstream, message, code, &text);
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
/// places.
pub(super) fn judge_json(body: &str, reply: &mut ReplyState) {
    match read_site_error(body).unwrap_or_default() {
        SiteError { message: Some(message), code, .. } => {
            reply.fail(ErrorKind::Upstream, message, code, body);
        }
        SiteError { message: None, .. } => {
            reply.fail(ErrorKind::NotAStream, describe(body), None, body);
        }
    }
}

/// Whether a Content-Type, parameters included, is that of a page.
pub(super) fn is_html(content_type: &str) -> bool {
    let kind = content_type.split(';').next();
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}

/// Whether `debris` is the beginning of a page and not just output that got in front of an answer.
pub(super) fn is_page(debris: &[u8]) -> bool {
    let text = String::from_utf8_lossy(debris);
    let mut page = trim(&text);
    while let Some((_, rest)) =
        page.strip_prefix("<!--").and_then(|comment| comment.split_once("-->"))
    {
        page = trim(rest);
    }
    let start: String = page.chars().take(14).collect::<String>().to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html") || is_challenge(debris)
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

/// The first element of a JSON array; any other text as it is.
fn first_element(text: &str) -> &str {
    let mut first = None;
    let read = Reader::new(text).array(|reader| {
        let element = reader.raw()?;
        first.get_or_insert(element);
        Ok(())
    });
    first.filter(|_| read.is_ok()).unwrap_or(text)
}

/// Reads the error of a body. Where replies can be arrays, an error is the only element of one.
fn find_site_error(body: &str, framings: Framings) -> SiteError {
    let element = framings.has_arrays().then(|| first_element(body));
    element.and_then(read_site_error).unwrap_or_else(|| search_site_error(body))
}

/// Looks where an answer would begin: for one JSON object behind debris, or for an event's data.
fn search_site_error(body: &str) -> SiteError {
    let mut rest = body;
    for line in body.split_inclusive(['\n', '\r']) {
        let start = line.trim_start_matches([' ', '\t', '\u{feff}']);
        if start.starts_with('{') {
            return read_site_error(&rest[line.len() - start.len()..]).unwrap_or_default();
        }
        if let Some(data) = start.strip_prefix("data:") {
            return read_site_error(data).unwrap_or_default();
        }
        rest = &rest[line.len()..];
    }
    SiteError::default()
}

/// Reads the places where sites put an error's message and code; `None` when `text` is not one JSON
/// object.
pub(super) fn read_site_error(text: &str) -> Option<SiteError> {
    let mut error = Part::default();
    let mut data = Part::default();
    let mut top = Part::default();
    let mut msg = None;
    let mut failed = false;
    let mut reader = Reader::new(text);
    let read = reader.object(|key, reader| {
        match &*key.decode() {
            "error" => error = read_part(reader)?,
            "data" => data = read_part(reader)?,
            "msg" => msg = read_word(reader)?,
            "message" => top.message = read_word(reader)?,
            "code" => top.code = read_word(reader)?,
            "success" => failed = reader.bool_or_skip()? == Some(false),
            _ => reader.skip()?,
        }
        Ok(())
    });
    read.and_then(|()| reader.end()).ok()?;
    // WordPress puts a plugin's bare message into `data`; without `success: false` it can be
    // anything.
    let data_text = data.text.filter(|_| failed);
    let message =
        error.message.or(error.text).or(data.message).or(data_text).or(msg).or(top.message);
    let code = error.code.or(data.code).or(top.code);
    Some(SiteError { message, code, status: error.status, kind: error.kind })
}

/// The value of `error` or `data`: an object, or the message itself.
#[derive(Default)]
struct Part {
    message: Option<String>,
    code: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    text: Option<String>,
}

fn read_part(reader: &mut Reader<'_>) -> Result<Part, JsonError> {
    let mut part = Part::default();
    if reader.peek()? != Kind::Object {
        part.text = reader
            .string_or_skip()?
            .map(|text| text.decode().into_owned())
            .filter(|text| !text.is_empty());
        return Ok(part);
    }
    reader.object(|key, reader| {
        match &*key.decode() {
            "message" => part.message = read_word(reader)?,
            "code" => part.code = read_word(reader)?,
            "status" => part.status = read_word(reader)?,
            "type" => part.kind = read_word(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(part)
}

/// A string that is not empty, or a number as it is written.
fn read_word(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    if reader.peek()? == Kind::Number {
        return reader.number().map(|number| Some(number.to_owned()));
    }
    let text = reader.string_or_skip()?.filter(|text| !text.is_empty());
    Ok(text.map(|text| text.decode().into_owned()))
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
    reply.fail_whole(ErrorKind::Upstream, message, Some(code.to_owned()), raw);
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

fn title_or_text(text: &str) -> String {
    if text.starts_with('<') || text.contains("</") {
        title(text).unwrap_or_else(|| visible_text(text))
    } else {
        collapse(text)
    }
}

fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(collapse(&decode_text(&html[start..end]))).filter(|title| !title.is_empty())
}

/// The text between the tags, roughly: good enough for a message, no parser.
fn visible_text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        let tag = &rest[start..];
        let closer = hidden_until(tag);
        let end = tag.find(closer).map_or(tag.len(), |end| end + closer.len());
        text.push(' ');
        rest = &tag[end..];
    }
    text.push_str(rest);
    collapse(&decode_text(&text))
}

/// The end of the part of a page that is not shown and begins with `tag`.
fn hidden_until(tag: &str) -> &'static str {
    let name: String = tag.chars().skip(1).take(6).collect::<String>().to_ascii_lowercase();
    match name.as_str() {
        "script" => "</script>",
        name if name.starts_with("style") => "</style>",
        name if name.starts_with("!--") => "-->",
        _ => ">",
    }
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
