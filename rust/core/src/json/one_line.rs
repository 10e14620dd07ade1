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
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()?;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let outside = memchr(b'"', rest.as_bytes()).unwrap_or(rest.len());
        if let Some(offset) = rest.as_bytes()[..outside].iter().position(|b| b"NI".contains(b)) {
            return Err(JsonError::Syntax { offset: at + offset });
        }
        out.extend(rest.bytes().take(outside).filter(|byte| !byte.is_ascii_whitespace()));
        at += outside;
        if at < text.len() {
            let string = Reader::new(&text[at..]).raw()?;
            quoted(&Text::of_raw(&string[1..string.len() - 1]).decode(), out);
            at += string.len();
        }
    }
    Ok(())
}
