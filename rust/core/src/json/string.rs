//! The bytes of a JSON string in, its end out, and its text: 16 bytes at a time, or more.

use memchr::memchr2;

use crate::prelude::*;
use crate::simd::{BLOCK, LANES};
use crate::utf8::{Short, validate, validate_short};

use super::special::{CONTROL_END, is_special, special_bytes, special_bytes_of_block};
use super::unescape::{decode_block, decode_from, ends_in_half, escape_length};

/// Reads a string without control characters from behind its opening quote. Returns the offset of
/// the closing one; the error is the offset of the byte that cannot stand there, or the length of
/// `bytes` when the string does not end in them. Bytes of characters beyond ASCII pass, valid or
/// not.
#[inline]
pub(crate) fn string_end(bytes: &[u8]) -> Result<usize, usize> {
    let mut at = 0;
    // Mostly the string ends without an escape, and not far behind.
    while at < BLOCK
        && let Some(vector) = bytes.get(at..).and_then(<[u8]>::first_chunk)
    {
        let special = special_bytes(vector);
        if special != 0 {
            at += special.trailing_zeros() as usize;
            return if bytes.get(at) == Some(&b'"') {
                Ok(at)
            } else {
                end_from::<false>(at, bytes)
            };
        }
        at += LANES;
    }
    end_from::<false>(at + plain_run(bytes.get(at..).unwrap_or_default()), bytes)
}

/// Reads a string as [`string_end`] does, with control characters or not, behind a [`plain_run`] of
/// so many bytes.
pub(super) fn string_end_from(plain: usize, bytes: &[u8]) -> Result<usize, usize> {
    end_from::<true>(plain, bytes)
}

fn end_from<const CONTROLS: bool>(plain: usize, bytes: &[u8]) -> Result<usize, usize> {
    let mut at = plain;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => {
                at += 1 + escape_length(&bytes[at + 1..]).map_err(|offset| at + 1 + offset)?;
            }
            Some(_) if CONTROLS => at += 1,
            _ => return Err(at),
        }
        at += plain_run(&bytes[at..]);
    }
}

/// Memory for texts that are not handed on from where they lie.
#[derive(Default)]
pub(crate) struct Scratch {
    short: Short,
    /// A text with a few escapes, decoded.
    decoded: String,
    /// A text with escapes, decoded.
    pub(crate) escaped: Vec<u8>,
}

impl Scratch {
    /// Takes memory for short texts, if there is any, to use it again.
    #[inline]
    pub(crate) fn take_from(&mut self, kept: &mut String) {
        if kept.capacity() > 0 {
            self.decoded = std::mem::take(kept);
        }
    }

    /// Gives the memory for short texts to be used again, if there is any.
    #[inline]
    pub(crate) fn give_to(self, kept: &mut String) {
        if self.decoded.capacity() > 0 {
            *kept = self.decoded;
        }
    }
}

/// Reads a string as [`string_end`] does. Returns its text, decoded into `scratch` where it has
/// escapes, and the offset of the closing quote; `None` when it is no valid string, not UTF-8, or
/// ends in half a character.
#[expect(clippy::inline_always, reason = "called once an event, it costs as much as it does")]
#[inline(always)]
pub(crate) fn string_content<'a>(
    bytes: &'a [u8],
    scratch: &'a mut Scratch,
) -> Option<(&'a str, usize)> {
    if let Some(beginning) = bytes.first_chunk() {
        let plain = special_bytes(beginning).trailing_zeros() as usize;
        if beginning.get(plain) == Some(&b'"') {
            // To validate what stands behind, too, takes the same steps however short it is.
            let text = match bytes.first_chunk::<BLOCK>().and_then(|block| validate(block)) {
                Some(block) => block.get(..plain),
                None => validate_short(beginning, plain, &mut scratch.short),
            };
            return Some((text?, plain));
        }
    }
    longer_content(bytes, scratch)
}

/// The content of a string of 16 bytes or more, or of one with escapes.
#[inline(never)]
fn longer_content<'a>(
    bytes: &'a [u8],
    Scratch { decoded, escaped, .. }: &'a mut Scratch,
) -> Option<(&'a str, usize)> {
    let Some(block) = bytes.first_chunk::<BLOCK>() else {
        let mut block = [0; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        let length = decode_block(special_bytes_of_block(&block), &block, decoded)?;
        return Some((decoded, length));
    };
    let special = special_bytes_of_block(block);
    let plain = special.trailing_zeros() as usize;
    if block.get(plain) == Some(&b'"')
        && let Some(block) = validate(block)
    {
        return Some((block.get(..plain)?, plain));
    }
    // Most strings with escapes are short, too.
    if special > 0
        && let Some(length) = decode_block(special, block, decoded)
    {
        return Some((decoded, length));
    }
    let plain = plain_run(bytes);
    if bytes.get(plain) == Some(&b'"') {
        return Some((validate(&bytes[..plain])?, plain));
    }
    let length = decode_from(plain, bytes, escaped);
    let is_whole = bytes.get(length) == Some(&b'"') && !ends_in_half(&bytes[..length]);
    is_whole.then_some((validate(escaped)?, length))
}

/// How many bytes come before the first that ends or interrupts a string: a quote, a backslash or a
/// control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    // Most strings are short; of what is long the compiler makes vector instructions.
    let (head, rest) = bytes.split_at(bytes.len().min(BLOCK));
    let run = plain_vectors(head);
    if run < head.len() {
        return run;
    }
    // The search for these two takes wider vectors than the compiler may use; one comparison is
    // left to it.
    let rest = &rest[..memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    let (blocks, _) = rest.as_chunks::<LONG>();
    let least = |block: &[u8; LONG]| block.iter().fold(u8::MAX, |least, &byte| least.min(byte));
    let plain = blocks.iter().take_while(|block| least(block) >= CONTROL_END).count() * LONG;
    run + plain + plain_vectors(&rest[plain..])
}

/// Bytes looked at together in a long string.
const LONG: usize = 4 * BLOCK;

fn plain_vectors(bytes: &[u8]) -> usize {
    let (vectors, tail) = bytes.as_chunks::<LANES>();
    for (index, vector) in vectors.iter().enumerate() {
        let special = special_bytes(vector);
        if special != 0 {
            return index * LANES + special.trailing_zeros() as usize;
        }
    }
    let run = tail.iter().take_while(|&&byte| !is_special(byte)).count();
    vectors.len() * LANES + run
}
