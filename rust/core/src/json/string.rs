//! The bytes of a JSON string in, its end out, and its text: eight bytes at a time, or more.

use memchr::memchr2;

use crate::prelude::*;
use crate::simd::BLOCK;
use crate::utf8::{SHORT, Short, validate, validate_short};

use super::unescape::{CONTROL_END, decode_from, ends_in_half, escape_length};

/// Reads a string without control characters from behind its opening quote. Returns the offset of
/// the closing one; the error is the offset of the byte that cannot stand there, or the length of
/// `bytes` when the string does not end in them. Bytes of characters beyond ASCII pass, valid or
/// not.
pub(crate) fn string_end(bytes: &[u8]) -> Result<usize, usize> {
    end_from::<false>(plain_run(bytes), bytes)
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
    /// A text with escapes, decoded.
    pub(crate) escaped: Vec<u8>,
}

/// Reads a string as [`string_end`] does. Returns its text, decoded into `scratch` where it has
/// escapes, and the offset of the closing quote; `None` when it is no valid string, not UTF-8, or
/// ends in half a character.
pub(crate) fn string_content<'a>(
    bytes: &'a [u8],
    scratch: &'a mut Scratch,
) -> Option<(&'a str, usize)> {
    let plain = plain_run(bytes);
    if bytes.get(plain) == Some(&b'"') {
        let text = match bytes.first_chunk() {
            Some(beginning) if plain < SHORT => {
                validate_short(beginning, plain, &mut scratch.short)
            }
            _ => validate(&bytes[..plain]),
        };
        return Some((text?, plain));
    }
    let length = decode_from(plain, bytes, &mut scratch.escaped);
    let is_whole = bytes.get(length) == Some(&b'"') && !ends_in_half(&bytes[..length]);
    is_whole.then_some((validate(&scratch.escaped)?, length))
}

/// How many bytes come before the first that ends or interrupts a string: a quote, a backslash or a
/// control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    // Most strings are short; of what is long the compiler makes vector instructions.
    let (head, rest) = bytes.split_at(bytes.len().min(BLOCK));
    let run = plain_words(head);
    if run < head.len() {
        return run;
    }
    // The search for these two takes wider vectors than the compiler may use; one comparison is
    // left to it.
    let rest = &rest[..memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    let (blocks, _) = rest.as_chunks::<LONG>();
    let least = |block: &[u8; LONG]| block.iter().fold(u8::MAX, |least, &byte| least.min(byte));
    let plain = blocks.iter().take_while(|block| least(block) >= CONTROL_END).count() * LONG;
    run + plain + plain_words(&rest[plain..])
}

/// Bytes looked at together in a long string.
const LONG: usize = 4 * BLOCK;

fn plain_words(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<WORD>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return index * WORD + special.trailing_zeros() as usize / 8;
        }
    }
    let run = tail.iter().take_while(|&&byte| !is_special(byte)).count();
    words.len() * WORD + run
}

/// Bytes looked at together in a short string.
const WORD: usize = 8;

fn is_special(byte: u8) -> bool {
    byte < CONTROL_END || byte == b'"' || byte == b'\\'
}

/// The high bit of the first byte of eight that is special, and perhaps of some behind it.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH_BITS: u64 = ONES * 0x80;
    let backslashes = word ^ (ONES * u64::from(b'\\'));
    // Of all bytes only control characters and the quote are less than 0x21 with this bit turned
    // over.
    let turned = word ^ (ONES * 2);
    // Subtracting borrows from the next byte only where a byte was found, so that the first one
    // found is right.
    let found = (backslashes.wrapping_sub(ONES) & !backslashes)
        | (turned.wrapping_sub(ONES * 0x21) & !turned);
    found & HIGH_BITS
}
