//! The inside of a JSON string in, its text out: escapes decoded, a block of bytes at a time.

use std::hint::select_unpredictable;

use crate::limits::KEPT_BYTES;
use crate::prelude::*;
use crate::simd::BLOCK;
use crate::utf8::validate;

use super::special::{CONTROL_END, special_bytes_of_block};

/// Decodes the inside of a string, whose first `plain` bytes have no escape, into `scratch` alone.
/// Returns what [`decode_run`] would for the whole.
pub(super) fn decode_from(plain: usize, bytes: &[u8], scratch: &mut Vec<u8>) -> usize {
    scratch.clear();
    // A decoded string is no longer than it was written, so that mostly it is not moved while it
    // grows.
    scratch.reserve(plain + bytes.len().min(KEPT_BYTES) + WINDOW);
    scratch.extend_from_slice(&bytes[..plain]);
    plain + decode_run(&bytes[plain..], scratch)
}

/// Decodes the inside of a string as [`decode_from`] does, control characters too. Returns what
/// [`decode_all`] would for the whole.
pub(super) fn decode_all_from(plain: usize, bytes: &[u8], scratch: &mut Vec<u8>) -> usize {
    scratch.clear();
    scratch.extend_from_slice(&bytes[..plain]);
    plain + decode_all(&bytes[plain..], scratch)
}

/// Decodes the inside of a string as [`decode_run`] does, and does not stop at control characters.
pub(super) fn decode_all(bytes: &[u8], target: &mut Vec<u8>) -> usize {
    let mut read = decode_run(bytes, target);
    loop {
        let rest = &bytes[read..];
        let controls = rest.iter().take_while(|&&byte| byte < CONTROL_END).count();
        if controls == 0 {
            return read;
        }
        target.extend_from_slice(&rest[..controls]);
        read += controls + decode_run(&rest[controls..], target);
    }
}

/// The length of an escape behind its backslash; the error is the offset of the byte that cannot
/// stand there.
pub(super) fn escape_length(bytes: &[u8]) -> Result<usize, usize> {
    match bytes {
        [kind, ..] if UNESCAPED[usize::from(*kind)] > 0 => Ok(1),
        [b'u', digits @ ..] => {
            match digits.iter().take(4).take_while(|digit| digit.is_ascii_hexdigit()).count() {
                4 => Ok(5),
                count => Err(1 + count),
            }
        }
        _ => Err(0),
    }
}

/// Decodes the inside of a string and appends it to `target`, up to the first byte that does not
/// belong there: the closing quote, a control character, a wrong escape. Returns how many bytes
/// come before it.
pub(super) fn decode_run(bytes: &[u8], target: &mut Vec<u8>) -> usize {
    let mut decoding = Decoding::default();
    let mut window = FIRST_WINDOW;
    while !decoding.stopped {
        let length = target.len();
        target.resize(length + window, 0);
        decoding.written = 0;
        decoding.advance(bytes, &mut target[length..]);
        target.truncate(length + decoding.written);
        window = WINDOW;
    }
    decoding.read
}

/// Decodes the inside of a string that ends in a block with these special bytes into `decoded`
/// alone. Returns the offset of the closing quote. `None` also where there may be such a string:
/// half a character is not looked at, nor are bytes of which a character behind it is cut.
///
/// What was just written is not read again, to be validated: that would have to wait for it.
pub(super) fn decode_block(
    mut special: u64,
    block: &[u8; BLOCK],
    decoded: &mut String,
) -> Option<usize> {
    let text = validate(block)?;
    if decoded.capacity() == 0 {
        *decoded = String::with_capacity(BLOCK);
    }
    decoded.clear();
    let mut from = 0;
    loop {
        let at = special.trailing_zeros() as usize;
        let plain = text.get(from..at)?;
        if !plain.is_empty() {
            decoded.push_str(plain);
        }
        let escape = block.get(at..)?;
        if escape.first() == Some(&b'"') {
            return Some(at);
        }
        let (character, length) = unescape_whole(escape)?;
        decoded.push(character);
        from = at + length;
        // Only the bytes behind the escape are left, if there are any in the block.
        special &= u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
    }
}

/// The character that an escape stands for, and the length of the escape; `None` when it is no
/// escape, or one of half a character that no other half follows.
#[inline]
fn unescape_whole(escape: &[u8]) -> Option<(char, usize)> {
    let [b'\\', kind] = escape.first_chunk()? else { return None };
    let simple = UNESCAPED[usize::from(*kind)];
    if simple > 0 {
        return Some((char::from(simple), 2));
    }
    let unit = code_unit(escape)?;
    match char::from_u32(unit) {
        Some(character) => Some((character, ESCAPE_LENGTH)),
        None => Some(join_surrogates(unit, escape)).filter(|(_, length)| *length > ESCAPE_LENGTH),
    }
}

/// Bytes of room that a text which is being decoded gets at a time.
pub(super) const WINDOW: usize = 1024;

/// Bytes of room that its beginning gets, as most texts are short.
const FIRST_WINDOW: usize = 256;

/// Bytes of a block, and of what an escape or a copy may take of the next one.
const AHEAD: usize = 2 * BLOCK;

/// How far the inside of a string has been decoded.
#[derive(Default)]
struct Decoding {
    read: usize,
    written: usize,
    /// Whether a byte that does not belong to the string comes next.
    stopped: bool,
}

impl Decoding {
    /// Goes on while `room` has room for a block, and for what is copied too much.
    fn advance(&mut self, bytes: &[u8], room: &mut [u8]) {
        while !self.stopped
            && let Some(target) = room.get_mut(self.written..).and_then(<[u8]>::first_chunk_mut)
        {
            let rest = &bytes[self.read..];
            if let Some(ahead) = rest.first_chunk() {
                self.block(ahead, target);
            } else {
                // The zeros behind are control characters, at which it stops.
                let mut ahead = [0; AHEAD];
                ahead[..rest.len()].copy_from_slice(rest);
                self.block(&ahead, target);
            }
        }
    }

    /// Decodes a block into `target`. Its bytes are compared once, into a bit for each: from one
    /// escape to the next it takes neither a load nor a branch that cannot be predicted.
    #[inline]
    fn block(&mut self, ahead: &[u8; AHEAD], target: &mut [u8; AHEAD]) {
        let (mut from, mut to) = (0, 0);
        let mut special = ahead.first_chunk().map_or(0, special_bytes_of_block);
        while from < BLOCK {
            special &= u64::MAX << from;
            // More is copied than is wanted: the next bytes are written over it.
            copy_block(&ahead[from..], &mut target[to..]);
            let at = special.trailing_zeros() as usize;
            to += at - from;
            from = at;
            if at == BLOCK {
                break;
            }
            let Some((length, size)) = unescape(&ahead[at..], &mut target[to..]) else {
                self.stopped = true;
                break;
            };
            from += length;
            to += size;
        }
        self.read += from;
        self.written += to;
    }
}

#[inline]
fn copy_block(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<BLOCK>(), to.first_chunk_mut::<BLOCK>()) {
        *to = *from;
    }
}

/// Writes what an escape stands for to the beginning of `target`. Returns the length of the escape
/// and the size of what it stands for; `None` when it is no escape.
#[inline]
fn unescape(escape: &[u8], target: &mut [u8]) -> Option<(usize, usize)> {
    let [b'\\', kind] = escape.first_chunk()? else { return None };
    let target = target.first_chunk_mut::<4>()?;
    target[0] = UNESCAPED[usize::from(*kind)];
    if target[0] > 0 {
        return Some((2, 1));
    }
    let unit = code_unit(escape)?;
    if is_surrogate(unit) {
        let (character, length) = join_surrogates(unit, escape);
        return Some((length, character.encode_utf8(target).len()));
    }
    Some((ESCAPE_LENGTH, encode(unit, target)))
}

/// Writes the UTF-8 of a code unit that is no half of a character. Returns its size. All three
/// forms are computed: to foresee how long a character is fails too often.
#[inline]
fn encode(unit: u32, target: &mut [u8; 4]) -> usize {
    let last = 0x80 | unit & 0x3F;
    let two = 0xC0 | unit >> 6 | last << 8;
    let three = 0xE0 | unit >> 12 | (0x80 | unit >> 6 & 0x3F) << 8 | last << 16;
    let long = select_unpredictable(unit < 0x800, two, three);
    *target = select_unpredictable(unit < 0x80, unit, long).to_le_bytes();
    1 + usize::from(unit >= 0x80) + usize::from(unit >= 0x800)
}

/// The byte that an escape of two characters stands for, by its second one; 0 where there is no
/// such escape. A table, as no branch can be predicted here: which escape comes next is anybody's
/// guess.
const UNESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x08;
    table[b'f' as usize] = 0x0c;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

/// Whether a code unit is half a character.
fn is_surrogate(unit: u32) -> bool {
    unit & 0xF800 == 0xD800
}

/// The character that an escape of half a character, and perhaps of another half behind it, stands
/// for, and the length of what it is written as.
fn join_surrogates(unit: u32, escape: &[u8]) -> (char, usize) {
    const LONE: char = char::REPLACEMENT_CHARACTER;
    match escape.get(ESCAPE_LENGTH..).and_then(code_unit) {
        Some(low @ 0xDC00..0xE000) if unit < 0xDC00 => {
            let joined = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(joined).unwrap_or(LONE), 2 * ESCAPE_LENGTH)
        }
        _ => (LONE, ESCAPE_LENGTH),
    }
}

/// The length of `\uXXXX`.
pub(super) const ESCAPE_LENGTH: usize = 6;

/// Whether the inside of a string ends with the escape of half a character, whose other half
/// another string may begin with.
pub(super) fn ends_in_half(raw: &[u8]) -> bool {
    let Some((before, escape)) = raw.split_last_chunk::<ESCAPE_LENGTH>() else { return false };
    // Of an odd number of backslashes the last one begins an escape.
    matches!(escape, [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..])
        && before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0
}

/// The number in `\uXXXX`; `None` when that is not what is written.
#[inline]
fn code_unit(escape: &[u8]) -> Option<u32> {
    let &[b'\\', b'u', a, b, c, d] = escape.first_chunk()? else { return None };
    let [a, b, c, d] = [a, b, c, d].map(|digit| DIGITS[usize::from(digit)]);
    let unit = a << 12 | b << 8 | c << 4 | d;
    (unit < NO_DIGIT).then_some(unit)
}

/// The value of each hexadecimal digit.
const DIGITS: [u32; 256] = {
    let mut table = [NO_DIGIT; 256];
    let (mut value, digits) = (0_u32, *b"0123456789abcdef");
    while value < 16 {
        let digit = digits[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

/// A value more than any code unit, whichever digit has it.
const NO_DIGIT: u32 = 0x1_0000;
