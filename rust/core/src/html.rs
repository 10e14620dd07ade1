//! HTML that stands in a reply in, what the decoders ask of it out: is it a page or a challenge, and
//! what does its text say? Nothing here parses a page: it is good enough for a message.
//!
//! With the feature `sites` the standard's rules answer what is a challenge and what a character
//! reference stands for. Without it a challenge is a page like any other, and text stays as it is
//! written.

use crate::prelude::*;

#[cfg(feature = "sites")]
pub(crate) use crate::{entity::decode_text, page::challenge::is_challenge};

#[cfg(not(feature = "sites"))]
pub(crate) use unknown::{decode_text, is_challenge};

#[cfg(not(feature = "sites"))]
mod unknown {
    use alloc::borrow::Cow;

    pub(crate) fn decode_text(text: &str) -> Cow<'_, str> {
        Cow::Borrowed(text)
    }

    pub(crate) fn is_challenge(_: &[u8]) -> bool {
        false
    }
}

/// Whether a Content-Type, parameters included, is that of a page.
pub(crate) fn is_html(content_type: &str) -> bool {
    let kind = content_type.split(';').next();
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}

/// Whether `debris` is the beginning of a page and not just output that got in front of an answer.
pub(crate) fn is_page(debris: &[u8]) -> bool {
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

/// The title of a page, or else what it shows; of any other text the words.
pub(crate) fn title_or_text(text: &str) -> String {
    if text.starts_with('<') || text.contains("</") {
        title(text).unwrap_or_else(|| visible_text(text))
    } else {
        collapse(text)
    }
}

/// The title of a page, if it has one that is not empty.
pub(crate) fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(collapse(&decode_text(&html[start..end]))).filter(|title| !title.is_empty())
}

/// The text between the tags, roughly: good enough for a message, no parser.
pub(crate) fn visible_text(html: &str) -> String {
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

/// The bytes of an HTML tag, a comment or a whole script that `text` begins with; 1 when it is none
/// of these, `None` when it has no end.
pub(crate) fn tag_length(text: &str) -> Option<usize> {
    if !text[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
        return Some(1);
    }
    let closer = hidden_until(text);
    text.find(closer).map(|end| end + closer.len())
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

/// The text without the blanks and byte order marks around it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
