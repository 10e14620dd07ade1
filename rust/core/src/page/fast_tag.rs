//! The beginning of a page's tag in, its length and whether it can matter out: for tags that lie
//! whole in a chunk and are written as nearly all are. Any other is left to the tokenizer's states.
//!
//! A tag ends at its first `>` that is in no quotes, and quotes count only behind a `=` that
//! follows an attribute's name. So the reading goes from `=` to `=`, over values whole, and gives
//! up where it cannot tell for certain, such as at a `=` that is a part of a name. Nothing is
//! decoded: whether a tag can matter is answered too widely rather than too narrowly.

use memchr::memchr;

use super::attributes::is_space;
use super::loose_tokens::may_hold_json;

/// A start or end tag.
pub(super) struct FastTag {
    /// Bytes from its `<` up to its `>`, without that.
    pub(super) length: usize,
    /// Whether its name can matter.
    pub(super) is_named: bool,
    /// Whether an attribute can hold a token or tell a widget.
    pub(super) matters: bool,
    /// Whether it ends with a slash that is no part of a value.
    pub(super) is_self_closing: bool,
}

impl FastTag {
    /// Reads the tag that `data` begins with; `None` when none begins there, or when that is for
    /// the states to tell.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let is_end = data.get(1) == Some(&b'/');
        let name = if is_end { 2 } else { 1 };
        if !data.get(name)?.is_ascii_alphabetic() {
            return None;
        }
        let is_named = if is_end { may_end(&data[name..]) } else { may_name(&data[name..]) };
        let mut matters = false;
        let mut last_value_end = 0;
        let mut end = next_end(data, name)?;
        if data[end] == b'=' {
            // The first attribute's name is one only when the tag's own has ended.
            let mut start = name + data[name..end].iter().position(|&byte| ends_name(byte))? + 1;
            while data[end] == b'=' {
                let value = Value::read(data, &data[start..end], end + 1)?;
                matters |= value.matters;
                start = value.end;
                last_value_end = value.end;
                end = next_end(data, start)?;
            }
        }
        let is_self_closing = data[end - 1] == b'/' && last_value_end != end;
        Some(Self { length: end, is_named, matters, is_self_closing })
    }
}

/// An attribute's value.
struct Value {
    /// The offset behind its closing quote, or of the byte that ended it.
    end: usize,
    matters: bool,
}

impl Value {
    /// Reads a value from behind its `=`. `before` are the bytes from the end of the value before
    /// to that `=`: they end with the attribute's name.
    #[inline]
    fn read(data: &[u8], before: &[u8], equals_end: usize) -> Option<Self> {
        let name = before.trim_ascii_end();
        if name.last().is_none_or(|&byte| ends_name(byte)) {
            return None;
        }
        let spaces = data[equals_end..].iter().position(|&byte| !is_space(byte))?;
        let start = equals_end + spaces;
        if let quote @ (b'"' | b'\'') = data[start] {
            let inside = &data[start + 1..];
            let length = memchr(quote, inside)?;
            let matters = may_matter(name, &inside[..length]);
            return Some(Self { end: start + 1 + length + 1, matters });
        }
        let unquoted = &data[start..];
        let length = unquoted.iter().position(|&byte| is_space(byte) || byte == b'>')?;
        Some(Self { end: start + length, matters: may_matter(name, &unquoted[..length]) })
    }
}

fn next_end(data: &[u8], from: usize) -> Option<usize> {
    let length = data[from..].iter().position(|byte| matches!(byte, b'=' | b'>'))?;
    Some(from + length)
}

fn ends_name(byte: u8) -> bool {
    is_space(byte) || byte == b'/'
}

/// Whether a tag's name can be a raw element's, a template's, a form's, or an input's, by its
/// first two letters, or a link's or a meta's, by three. Few others begin so, and those are read in vain.
fn may_name(name: &[u8]) -> bool {
    name.first_chunk().is_none_or(|letters: &[u8; 4]| {
        matches!(
            &letters.map(|letter| letter.to_ascii_lowercase()),
            [b's', b'c' | b't', ..]
                | [b't', b'i' | b'e', ..]
                | [b'i', b'f' | b'n', ..]
                | [b'n' | b'f', b'o', ..]
                | [b'x', b'm', ..]
                | [b'p', b'l', ..]
                | [b's', b'v', b'g', _]
                | b"math"
                | b"link"
                | b"meta"
        )
    })
}

/// Whether an end tag's name can be a template's. A raw element's own end tag is for the states.
fn may_end(name: &[u8]) -> bool {
    name.first_chunk().is_none_or(|start: &[u8; 2]| start.eq_ignore_ascii_case(b"te"))
}

/// Whether an attribute can hold a token or tell a widget. `name` ends with its name: what stands
/// in front of that may be attributes without a value.
fn may_matter(name: &[u8], value: &[u8]) -> bool {
    may_hold_json(value)
        || ends_with(name, b"data-nonce")
        || ends_with(name, b"data-post-id")
        || (ends_with(name, b"class") || ends_with(name, b"id")) && may_name_widget(value)
}

/// Whether a class or an id can be a widget's, of 1.x or 2.x. References may hide that.
fn may_name_widget(value: &[u8]) -> bool {
    let is_widget = |word: &[u8]| word.starts_with(b"wpaicg-chat") || word.starts_with(b"aipkit_");
    value.contains(&b'&') || value.split(|&byte| is_space(byte)).any(is_widget)
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    name.len().checked_sub(end.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(end))
}
