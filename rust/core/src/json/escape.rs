//! Text in, the inside of a JSON string on one line out.

use crate::prelude::*;

pub(crate) fn nullable(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => quoted(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

pub(crate) fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Appends the text as the inside of a JSON string.
#[inline]
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let (mut copied, mut at) = (0, 0);
    while let Some(plain) = bytes[at..].iter().position(|&byte| MAY_NEED_ESCAPE[usize::from(byte)])
    {
        at += plain;
        let (width, character) = match bytes[at..] {
            [0xc2, second @ 0x80..=0x9f, ..] => (2, u16::from(second)),
            [0xe2, 0x80, third @ (0xa8 | 0xa9), ..] => (3, 0x2000 | u16::from(third - 0x80)),
            [byte @ ..0x80, ..] => (1, u16::from(byte)),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        escape_character(character, out);
        at += width;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Appends a number in decimal.
pub(crate) fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789"[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            break out.extend_from_slice(&digits[start..]);
        }
    }
}

/// Whether a character may need an escape, by its first byte.
const MAY_NEED_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[0x7f] = true;
    table[0xc2] = true; // U+0080 to U+009F
    table[0xe2] = true; // U+2028, U+2029
    table
};

fn escape_character(character: u16, out: &mut Vec<u8>) {
    let letter = match character {
        0x22 => b'"',
        0x5c => b'\\',
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => return out.extend_from_slice(format!("\\u{character:04x}").as_bytes()),
    };
    out.extend_from_slice(&[b'\\', letter]);
}
