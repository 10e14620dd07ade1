//! Bytes in, text out. Chunk boundaries never change the text, and no piece of it ends inside a
//! character.
//!
//! Invalid bytes become U+FFFD, one for each maximal subpart (WHATWG Encoding, "UTF-8 decode
//! without BOM").

use alloc::borrow::Cow;

use crate::prelude::*;
use crate::simd::LANES;

/// The text of `bytes`, when they are valid.
pub(crate) fn validate(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// The text of `bytes`, borrowed when they are valid.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    // The lossy decoder alone would look at each byte on its own.
    validate(bytes).map_or_else(|| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Memory for a short text.
#[derive(Default)]
#[repr(align(16))]
pub(crate) struct Short([u8; LANES]);

/// The text of the first `length` bytes, less than all of them, when they are valid. It takes the
/// same steps however short it is: a loop over a few bytes ends where it cannot be foreseen, and to
/// be wrong about that takes longer than all else here.
pub(crate) fn validate_short<'a>(
    bytes: &[u8; LANES],
    length: usize,
    room: &'a mut Short,
) -> Option<&'a str> {
    let kept = (1 << (8 * length)) - 1;
    room.0 = (u128::from_le_bytes(*bytes) & kept).to_le_bytes();
    str::from_utf8(&room.0).ok()?.get(..length)
}

/// Decodes UTF-8 that arrives in chunks; holds at most the three bytes of an unfinished character.
#[derive(Debug, Clone, Default)]
pub(crate) struct Utf8Decoder {
    held: [u8; 4],
    length: usize,
}

impl Utf8Decoder {
    /// Hands the text of `bytes` to `sink`, all but a character that `bytes` leaves unfinished.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&str)) {
        while self.length > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.held[self.length] = byte;
            match str::from_utf8(&self.held[..=self.length]) {
                Ok(character) => {
                    sink(character);
                    self.length = 0;
                    bytes = rest;
                }
                Err(error) if error.error_len().is_none() => {
                    self.length += 1;
                    bytes = rest;
                }
                // This byte does not continue the character: it is read again, as the start of
                // another.
                Err(_) => {
                    sink(REPLACEMENT);
                    self.length = 0;
                }
            }
        }
        self.feed_from_start(bytes, sink);
    }

    /// Ends the text: an unfinished character becomes one U+FFFD.
    pub(crate) fn close(&mut self, mut sink: impl FnMut(&str)) {
        if std::mem::take(&mut self.length) > 0 {
            sink(REPLACEMENT);
        }
    }

    fn feed_from_start(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&str)) {
        loop {
            let error = match str::from_utf8(bytes) {
                Ok(text) => {
                    if !text.is_empty() {
                        sink(text);
                    }
                    return;
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            if let Ok(text) = str::from_utf8(valid)
                && !text.is_empty()
            {
                sink(text);
            }
            let Some(invalid) = error.error_len() else {
                self.held[..rest.len()].copy_from_slice(rest);
                self.length = rest.len();
                return;
            };
            sink(REPLACEMENT);
            bytes = &rest[invalid..];
        }
    }
}

const REPLACEMENT: &str = "\u{fffd}";
