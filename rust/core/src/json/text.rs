//! A string of a JSON text, decoded only where its text is needed.

use alloc::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use crate::prelude::*;
use crate::utf8::validate;

use super::unescape::{ESCAPE_LENGTH, decode_all, ends_in_half};

/// A string of a JSON text, as written: validated, its escapes not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    raw: &'a str,
    /// Bytes before the first escape. (A flag would do, were a struct that ends in one not slower
    /// to hand around.)
    plain: usize,
}

impl<'a> Text<'a> {
    /// A string whose first escape comes behind so many bytes; none when those are all.
    pub(super) fn new(raw: &'a str, plain: usize) -> Self {
        Self { raw, plain }
    }

    /// The text with its escapes decoded; borrowed when there are none. A surrogate pair is one
    /// character, each lone surrogate one U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        if !self.is_escaped() {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        Cow::Owned(self.decode_with(&mut text).to_owned())
    }

    /// Decodes as [`decode`](Self::decode) does; a text that has escapes lies in `scratch`.
    pub fn decode_with<'b>(self, scratch: &'b mut Vec<u8>) -> &'b str
    where
        'a: 'b,
    {
        if !self.is_escaped() {
            return self.raw;
        }
        scratch.clear();
        self.decode_into(scratch);
        validate(scratch).unwrap_or_default()
    }

    /// The text of a string that was decoded into `scratch` when it was read.
    pub(crate) fn decoded_in<'b>(self, scratch: &'b [u8]) -> &'b str
    where
        'a: 'b,
    {
        if self.is_escaped() { validate(scratch).unwrap_or_default() } else { self.raw }
    }

    /// Appends to `target` the UTF-8 of what [`decode`](Self::decode) returns.
    pub fn decode_into(self, target: &mut Vec<u8>) {
        decode_all(self.raw.as_bytes(), target);
    }

    /// The string that is written `raw`, which must be the inside of a valid one.
    pub(crate) fn of_raw(raw: &'a str) -> Self {
        Self { raw, plain: memchr(b'\\', raw.as_bytes()).unwrap_or(raw.len()) }
    }

    /// The inside of the string, as written.
    pub(crate) fn raw(self) -> &'a str {
        self.raw
    }

    /// Parts the string before half a character (a high surrogate) that it ends with.
    pub(crate) fn split_half(self) -> (Self, Option<&'a str>) {
        if !self.is_escaped() || !ends_in_half(self.raw.as_bytes()) {
            return (self, None);
        }
        let (raw, half) = self.raw.split_at(self.raw.len() - ESCAPE_LENGTH);
        (Self { raw, plain: self.plain }, Some(half))
    }

    /// True when the string is `""`.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The bytes of `whole` that the string is, when that is the text it was read from.
    pub(crate) fn range_in(self, whole: &str) -> Option<Range<usize>> {
        range_in(self.raw, whole)
    }

    pub(crate) fn is_escaped(self) -> bool {
        self.plain < self.raw.len()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.is_escaped() { self.decode() == other } else { self.raw == other }
    }
}

/// The bytes of `whole` that `part` is, when it was taken from there.
pub(crate) fn range_in(part: &str, whole: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    (range.end <= whole.len()).then_some(range)
}
