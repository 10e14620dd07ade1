//! Character references in, characters out: WHATWG HTML 13.2.5.72 to 13.2.5.80, for text and for
//! attribute values.
//!
//! The two differ in one rule: in an attribute a named reference without its semicolon stays as it
//! is when a letter, a digit or `=` follows (`?a=1&copy=2` is a query, not a copyright sign). Text
//! without a reference is borrowed.

use std::borrow::Cow;

/// Decodes the character references of text, such as an error message that a site meant to be shown
/// as HTML.
///
/// Numeric references follow the standard's table: windows-1252 remaps, U+FFFD for NUL, surrogates
/// and numbers that are no character.
pub fn decode_text(text: &str) -> Cow<'_, str> {
    htmlize::unescape(text)
}

/// Decodes the character references of an attribute's value, by the attribute rule.
pub fn decode_attribute(value: &str) -> Cow<'_, str> {
    htmlize::unescape_attribute(value)
}
