//! The beginning of a tag in, its length and whether it can matter out: for tags that lie whole in
//! a chunk and are written as nearly all are. Any other is left to the tokenizer's states.
//!
//! A tag ends at its first `>` that is in no quotes, and quotes count only behind a `=` that
//! follows an attribute's name. So the reading hops from `=` to `=`, over values whole. What it
//! cannot tell for certain it gives up, such as a `=` that is a part of a name. What can matter is
//! taken too widely rather than too narrowly: nothing is decoded here.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::attributes::is_space;
use super::near::{Blocks, Shape, may_hold_pair};

/// A tag that ends in its chunk.
pub(super) struct Outline {
    /// Where its `>` stands.
    pub(super) end: usize,
    /// Whether its name can matter: a raw element's, a template's, a form's or an input's.
    pub(super) named: bool,
    /// Whether an attribute can hold a token or tell a widget.
    pub(super) telling: bool,
}

impl Outline {
    /// Reads the tag whose name begins at a place; `None`: not to be told here.
    #[inline]
    pub(super) fn read(blocks: &mut Blocks<'_>, name: usize) -> Option<Self> {
        let data = blocks.data;
        let named = is_telling_name(&data[name..]);
        let end = blocks.next(Shape::End, name)?;
        let (end, telling) = match data[end] {
            b'>' => (end, false),
            b'=' => attributes(blocks, name, end)?,
            _ => return None,
        };
        Some(Self { end, named, telling })
    }
}

/// The rest of a tag from its first `=` on: where it ends, and whether an attribute is telling.
fn attributes(blocks: &mut Blocks<'_>, tag: usize, mut equals: usize) -> Option<(usize, bool)> {
    let data = blocks.data;
    // The first attribute's name is one only when the tag's own has ended.
    let mut start = tag + data[tag..equals].iter().position(|&byte| ends_a_name(byte))? + 1;
    let mut telling = false;
    loop {
        let name = data[start..equals].trim_ascii_end();
        if name.last().is_none_or(|&byte| ends_a_name(byte)) {
            return None;
        }
        let value = Value::read(blocks, start + name.len(), equals + 1)?;
        telling |= value.telling;
        start = value.end;
        let end = blocks.next(Shape::End, start)?;
        match data[end] {
            b'>' => return Some((end, telling)),
            b'=' => equals = end,
            _ => return None,
        }
    }
}

/// A value, from behind its `=`.
struct Value {
    /// Behind its closing quote, or at what ended it.
    end: usize,
    telling: bool,
}

impl Value {
    #[inline]
    fn read(blocks: &mut Blocks<'_>, name_end: usize, mut start: usize) -> Option<Self> {
        let data = blocks.data;
        let name = data[..name_end].last_chunk();
        while is_space(*data.get(start)?) {
            start += 1;
        }
        let quote = data[start];
        if quote != b'"' && quote != b'\'' {
            return Self::read_unquoted(data, name, start);
        }
        start += 1;
        let mut telling = is_token(name) || begins_telling(data.get(start..)?);
        let mut end = blocks.next(Shape::Quote, start)?;
        while data[end] != quote {
            telling |= data[end] == b'&' && tells_widget(name);
            end = blocks.next(Shape::Quote, end + 1)?;
        }
        telling |= tells_widget(name) && names_widget(data, start..end);
        Some(Self { end: end + 1, telling })
    }

    fn read_unquoted(data: &[u8], name: Option<&[u8; 8]>, start: usize) -> Option<Self> {
        let rest = &data[start..];
        let end = start + rest.iter().position(|&byte| is_space(byte) || byte == b'>')?;
        let telling = is_token(name)
            || begins_telling(rest)
            || tells_widget(name)
                && (data[start..end].contains(&b'&') || names_widget(data, start..end));
        Some(Self { end, telling })
    }
}

fn ends_a_name(byte: u8) -> bool {
    is_space(byte) || byte == b'/'
}

/// By four letters: what else begins with them is rare. A table tells, since a branch for each
/// would mostly be guessed wrong.
#[inline]
fn is_telling_name(tag: &[u8]) -> bool {
    let Some(letters) = tag.first_chunk() else { return true };
    let letters = u32::from_le_bytes(*letters) | 0x2020_2020;
    NAMES[slot(letters)] == letters || letters << 8 == u32::from_le_bytes(*b"\0xmp")
}

/// Each name at its [`slot`].
const NAMES: [u32; 16] = {
    let names = [
        *b"scri", *b"styl", *b"titl", *b"text", *b"nosc", *b"ifra", *b"noem", *b"nofr", *b"temp",
        *b"form", *b"inpu", *b"plai",
    ];
    let (mut table, mut at) = ([0; 16], 0);
    while at < names.len() {
        let letters = u32::from_le_bytes(names[at]);
        assert!(table[slot(letters)] == 0, "two names in one slot");
        table[slot(letters)] = letters;
        at += 1;
    }
    table
};

/// The factor was found by trying: it gives each name a slot of its own.
const fn slot(letters: u32) -> usize {
    (letters.wrapping_mul(0x9478_10D9) >> 28) as usize
}

/// `data-nonce` and `data-post-id`, by their last eight letters.
fn is_token(name: Option<&[u8; 8]>) -> bool {
    name.is_some_and(|name| [*b"ta-nonce", *b"-post-id"].contains(&lower(*name)))
}

const ID: u64 = u64::from_be_bytes(*b"id\0\0\0\0\0\0");
const CLASS: u64 = u64::from_be_bytes(*b"class\0\0\0");

/// `class` and `id`, by their last letters; a name shorter than that is taken for one of them.
fn tells_widget(name: Option<&[u8; 8]>) -> bool {
    name.is_none_or(|name| {
        let letters = u64::from_be_bytes(lower(*name));
        letters << 48 == ID || letters << 24 == CLASS
    })
}

fn lower(letters: [u8; 8]) -> [u8; 8] {
    (u64::from_le_bytes(letters) | 0x2020_2020_2020_2020).to_le_bytes()
}

/// JSON begins so, or may: with a bracket or with a reference to one.
#[inline]
fn begins_telling(value: &[u8]) -> bool {
    let telling = |byte| matches!(byte, b'{' | b'[' | b'&');
    match value.first() {
        Some(&byte) if is_space(byte) => {
            value.iter().find(|&&byte| !is_space(byte)).is_none_or(|&byte| telling(byte))
        }
        first => first.is_some_and(|&byte| telling(byte)),
    }
}

/// Whether a class or an id, written as it is, can be a widget's of 1.x or 2.x.
fn names_widget(data: &[u8], value: Range<usize>) -> bool {
    static BEGINNINGS: LazyLock<[Finder<'static>; 2]> =
        LazyLock::new(|| ["wpaicg-chat", "aipkit_"].map(Finder::new));
    may_hold_pair(data, value.clone())
        && BEGINNINGS.iter().any(|class| class.find(&data[value.clone()]).is_some())
}
