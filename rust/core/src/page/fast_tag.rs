//! The beginning of a page's tag in, its length and whether it can matter out: for tags that lie
//! whole in a chunk and are written as nearly all are. Any other is left to the tokenizer's states,
//! which ask once more for a tag that a chunk's end had cut.
//!
//! A tag ends at its first `>` that is in no quotes, and quotes count only behind a `=` that
//! follows an attribute's name. So the reading goes from `=` to `=`, over values whole, and gives
//! up where it cannot tell for certain, such as at a `=` that is a part of a name. Nothing is
//! decoded: whether a tag can matter is answered too widely rather than too narrowly.

use memchr::memchr;

use super::attributes::is_space;
use super::loose_tokens::may_hold_json;
use super::names::{MATTERING, Name};

/// A start or end tag.
pub(super) struct FastTag {
    /// Bytes from its `<` up to its `>`, without that.
    pub(super) length: usize,
    /// Its name; an end tag's has the mark.
    pub(super) name: Name,
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
        let name_start = if is_end { 2 } else { 1 };
        let behind = data.get(name_start..)?;
        if !behind.first()?.is_ascii_alphabetic() {
            return None;
        }
        let (name, name_length) = Name::scan(behind);
        // Of the end tags, a template's; a raw element's own is for the states.
        let is_named = if is_end { name.is("template") } else { name.is_in_table(&MATTERING) };
        let mut start = name_start + name_length;
        let mut end = next_end(data, start)?;
        let mut matters = false;
        let mut last_value_end = 0;
        while data[end] == b'=' {
            let value = Value::read(data, &data[start..end], end + 1)?;
            matters |= value.matters;
            start = value.end;
            last_value_end = value.end;
            end = next_end(data, start)?;
        }
        let is_self_closing = data[end - 1] == b'/' && last_value_end != end;
        let name = if is_end { name.marked() } else { name };
        Some(Self { length: end, name, is_named, matters, is_self_closing })
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

/// The offset of the next `=` or `>`.
#[inline]
fn next_end(data: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(eight) = data.get(at..)?.first_chunk() {
        let found = end_in(u64::from_le_bytes(*eight));
        at += found;
        if found < 8 && data[at] != b'?' {
            return Some(at);
        }
        at += usize::from(found < 8);
    }
    let rest = data[at..].iter().position(|byte| matches!(byte, b'=' | b'>'))?;
    Some(at + rest)
}

/// Which of a word's bytes, the lowest first, is `=`, `>` or `?`, or 8: these three are nothing but
/// 0x3F and its two lowest bits.
fn end_in(word: u64) -> usize {
    let bits = word ^ (ONES * 0x3F);
    let below_three = bits.wrapping_sub(ONES * 3) & !bits & (ONES << 7);
    (below_three.trailing_zeros() / 8) as usize
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Whether one of a word's bytes is 0.
fn has_zero(word: u64) -> bool {
    word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
}

fn ends_name(byte: u8) -> bool {
    is_space(byte) || byte == b'/'
}

/// Whether an attribute can hold a token or tell a widget. `name` ends with its name: what stands
/// in front of that may be attributes without a value.
fn may_matter(name: &[u8], value: &[u8]) -> bool {
    let is_its = match name.last().map(u8::to_ascii_lowercase) {
        Some(b'e') => ends_with(name, b"data-nonce"),
        Some(b'd') => {
            ends_with(name, b"data-post-id") || ends_with(name, b"id") && may_name_widget(value)
        }
        Some(b's') => ends_with(name, b"class") && may_name_widget(value),
        _ => false,
    };
    is_its || may_hold_json(value)
}

/// Whether a value holds a `&`, or the two letters that all names have; true when it is short.
#[inline]
fn holds_a_sign(value: &[u8]) -> bool {
    let has_sign = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        has_zero(word ^ (ONES * u64::from(b'&')))
            || has_zero(
                (word ^ (ONES * u64::from(b'a'))) | ((word >> 8) ^ (ONES * u64::from(b'i'))),
            )
    };
    let mut rest = value;
    while let Some(bytes) = rest.first_chunk() {
        if has_sign(bytes) {
            return true;
        }
        // The last letter may be the first of the two.
        rest = &rest[7..];
    }
    value.last_chunk().is_none_or(has_sign)
}

/// Whether a class or an id can be a widget's. References may hide that.
fn may_name_widget(value: &[u8]) -> bool {
    holds_a_sign(value)
        && value.iter().enumerate().any(|(at, byte)| match byte {
            b'&' => true,
            b'w' => value[at..].starts_with(b"wpaicg-chat"),
            b'a' => value[at..].starts_with(b"aipkit_"),
            b'm' => value[at..].starts_with(b"mwai-chatbot"),
            _ => false,
        })
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    name.len().checked_sub(end.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(end))
}
