//! A JSON text in, the same on one line out, so that it can stand in an event.

use memchr::memchr;

use crate::prelude::*;

use super::escape::quoted;
use super::{JsonError, Reader, Text};

/// Appends a JSON text without blanks around its values, its strings escaped as [`quoted`] does.
///
/// # Errors
/// When the text is no JSON. `NaN` and the infinities are none here.
pub(crate) fn on_one_line(text: &str, out: &mut Vec<u8>) -> Result<(), JsonError> {
    write(text, out, |outside, at, _| {
        let offset = outside.bytes().position(|byte| b"NI".contains(&byte)).unwrap_or_default();
        Err(JsonError::Syntax { offset: at + offset })
    })
}

/// Appends a JSON text as [`on_one_line`] does. Of the numbers that JSON does not have, `-Infinity`
/// is -9999.0, by which OpenAI tells the log probability of what is most unlikely, and the others
/// are null.
///
/// # Errors
/// When the text is no JSON.
pub(crate) fn finite_on_one_line(text: &str, out: &mut Vec<u8>) -> Result<(), JsonError> {
    write(text, out, |outside, _, out| {
        let finite = outside.replace("-Infinity", "-9999.0");
        write_outside(&finite.replace("Infinity", "null").replace("NaN", "null"), out);
        Ok(())
    })
}

/// Appends a JSON text; what stands between two strings, at some offset, goes to `odd` where it has
/// a number that JSON does not have.
fn write(
    text: &str,
    out: &mut Vec<u8>,
    odd: impl Fn(&str, usize, &mut Vec<u8>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()?;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let outside = &rest[..memchr(b'"', rest.as_bytes()).unwrap_or(rest.len())];
        if outside.bytes().any(|byte| b"NI".contains(&byte)) {
            odd(outside, at, out)?;
        } else {
            write_outside(outside, out);
        }
        at += outside.len();
        if at < text.len() {
            let string = Reader::new(&text[at..]).raw()?;
            quoted(&Text::of_raw(&string[1..string.len() - 1]).decode(), out);
            at += string.len();
        }
    }
    Ok(())
}

fn write_outside(outside: &str, out: &mut Vec<u8>) {
    out.extend(outside.bytes().filter(|byte| !byte.is_ascii_whitespace()));
}
