//! A whole tag in, its name and attributes out: WHATWG HTML 13.2.5.32 to 13.2.5.40 over bytes that
//! lie together.
//!
//! Nothing is decoded before a value is needed, since most attributes of a page are never read.

use std::borrow::Cow;

use crate::entity::decode_attribute;

/// A complete tag: the bytes between `<` (or `</`) and `>`.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'page> {
    name: &'page [u8],
    rest: &'page [u8],
    is_foreign: bool,
    is_plain: bool,
}

impl<'page> Tag<'page> {
    /// Splits a tag's inside into its name and the rest.
    pub(super) fn new(inside: &'page [u8]) -> Self {
        let end =
            inside.iter().position(|&byte| is_space(byte) || byte == b'/').unwrap_or(inside.len());
        let (name, rest) = inside.split_at(end);
        Self { name, rest, is_foreign: false, is_plain: false }
    }

    /// The same tag in foreign content.
    pub(super) fn foreign(self) -> Self {
        Self { is_foreign: true, ..self }
    }

    /// The same tag, of which is known that no attribute can hold a token or tell a widget.
    pub(super) fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }

    /// Whether it is known that no attribute can hold a token or tell a widget.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// All attributes, as they stand in the page.
    pub(super) fn raw_attributes(&self) -> &'page [u8] {
        self.rest
    }

    /// Whether this is a tag of HTML, and not of foreign content, and has this name, given in lower
    /// case.
    pub fn is(&self, name: &str) -> bool {
        !self.is_foreign && self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether the tag belongs to foreign content, which is SVG or `MathML`.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Whether the tag ends with a slash that is no part of a value.
    pub(super) fn is_self_closing(&self) -> bool {
        self.rest.ends_with(b"/")
            && self.attributes().last().is_none_or(|last| {
                last.value.is_empty()
                    || last.value.as_ptr_range().end != self.rest.as_ptr_range().end
            })
    }

    /// The name as the standard's tokenizer gives it: lower-case ASCII letters, U+FFFD for NUL and
    /// invalid UTF-8.
    pub fn name(&self) -> String {
        normalized_name(self.name)
    }

    /// The attributes in order. Of several with one name the first counts; the others are given
    /// too.
    pub fn attributes(&self) -> Attributes<'page> {
        Attributes { rest: self.rest }
    }

    /// Whether there is an attribute of this name, given in lower case.
    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.is(name))
    }

    /// The decoded value of the first attribute of this name, given in lower case.
    pub fn attribute(&self, name: &str) -> Option<Cow<'page, str>> {
        self.attributes().find(|attribute| attribute.is(name)).map(|attribute| attribute.value())
    }
}

/// One attribute, not decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'page> {
    name: &'page [u8],
    value: &'page [u8],
}

impl<'page> Attribute<'page> {
    /// Whether the attribute has this name, given in lower case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The name as the standard's tokenizer gives it: lower-case ASCII letters, U+FFFD for NUL and
    /// invalid UTF-8.
    pub fn name(&self) -> String {
        normalized_name(self.name)
    }

    /// The value as it stands in the page, empty when there is none.
    pub fn raw_value(&self) -> &'page [u8] {
        self.value
    }

    /// The value as the standard's tokenizer gives it: UTF-8, line ends as LF, U+FFFD for NUL,
    /// references decoded.
    pub fn value(&self) -> Cow<'page, str> {
        match normalized_text(self.value) {
            Cow::Borrowed(text) => decode_attribute(text),
            Cow::Owned(text) => Cow::Owned(decode_attribute(&text).into_owned()),
        }
    }
}

/// The attributes of a [`Tag`], in order.
#[derive(Clone, Debug)]
pub struct Attributes<'page> {
    rest: &'page [u8],
}

impl<'page> Iterator for Attributes<'page> {
    type Item = Attribute<'page>;

    fn next(&mut self) -> Option<Attribute<'page>> {
        self.skip_while(|byte| is_space(byte) || byte == b'/');
        if self.rest.is_empty() {
            return None;
        }
        let name = self.take_name();
        self.skip_while(is_space);
        let value = match self.rest {
            [b'=', rest @ ..] => {
                self.rest = rest;
                self.take_value()
            }
            _ => &[],
        };
        Some(Attribute { name, value })
    }
}

impl<'page> Attributes<'page> {
    /// Takes a name, which ends at a space, `/` or `=`, but may begin with `=`.
    fn take_name(&mut self) -> &'page [u8] {
        let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'=');
        let tail = self.rest.get(1..).unwrap_or_default();
        self.take(1 + tail.iter().position(ends).unwrap_or(tail.len()))
    }

    fn take_value(&mut self) -> &'page [u8] {
        self.skip_while(is_space);
        match self.rest {
            [quote @ (b'"' | b'\''), rest @ ..] => {
                self.rest = rest;
                let value = self.take(memchr::memchr(*quote, rest).unwrap_or(rest.len()));
                self.rest = self.rest.get(1..).unwrap_or_default();
                value
            }
            rest => self.take(rest.iter().position(|&byte| is_space(byte)).unwrap_or(rest.len())),
        }
    }

    fn take(&mut self, length: usize) -> &'page [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn skip_while(&mut self, skipped: impl Fn(u8) -> bool) {
        let start = self.rest.iter().position(|&byte| !skipped(byte)).unwrap_or(self.rest.len());
        self.take(start);
    }
}

/// Whether a byte is HTML's white space. CR is, because line ends are LF before a page is
/// tokenized.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ')
}

/// The page's bytes as the standard's input stream has them, with NUL as U+FFFD, as everywhere
/// outside of data.
pub(super) fn normalized_text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if memchr::memchr2(b'\r', 0, bytes).is_none() {
        return text;
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{FFFD}"))
}

fn normalized_name(bytes: &[u8]) -> String {
    normalized_text(bytes).to_ascii_lowercase()
}
