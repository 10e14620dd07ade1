//! The JSON reader against `serde_json` and `jiter`, their own limits put aside by name:
//!
//! - depth: `serde_json` stops before 128 when it builds, `jiter` at 200, so that neither is asked
//!   beyond; ours must stop after 200, counted plainly;
//! - what Python reads and they refuse (control characters in strings, `NaN`, the infinities): they
//!   are asked with an escape, or null, in its place;
//! - lone surrogates: both refuse them, so that they are asked with U+FFFD in their place;
//! - numbers too large for a float: `serde_json` refuses to build them, its grammar check and
//!   `jiter` do not.

use std::fmt::Write as _;

use jiter::JsonValue;
use serde_json::{Map, Value};
use tailrace_core::MAX_JSON_DEPTH;
use tailrace_core::json::{JsonError, Kind, Reader};

/// Containers that `serde_json` builds inside one another.
const SERDE_DEPTH: usize = 120;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    accepts_what_the_others_accept(&text);
    builds_what_the_others_build(&text);
}

fn accepts_what_the_others_accept(text: &str) {
    let depth = depth(text);
    let skipped = skip(text);
    assert_eq!(build(text).map(drop), skipped, "skipping and visiting differ: {text:?}");
    // It checks the grammar alone: no depth, no surrogates, no range of numbers.
    let text = &strict(text);
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    assert_eq!(skipped.is_ok(), is_json && depth <= MAX_JSON_DEPTH, "{skipped:?}: {text:?}");
    if depth < MAX_JSON_DEPTH {
        let paired = without_lone_surrogates(text);
        assert_eq!(JsonValue::parse(paired.as_bytes(), false).is_ok(), is_json, "jiter: {text:?}");
    }
}

fn builds_what_the_others_build(text: &str) {
    if depth(text) > SERDE_DEPTH {
        return;
    }
    let Ok(ours) = build(text) else { return };
    let paired = without_lone_surrogates(&strict(text));
    if let Some(theirs) = by_serde(&paired) {
        assert_eq!(ours, theirs, "{text:?}");
    }
    assert!(by_jiter(&paired).is_some(), "{text:?}");
}

/// What `serde_json` builds; `None` where it does not, which for JSON can only be a number's range.
fn by_serde(json: &str) -> Option<Value> {
    match serde_json::from_str(json) {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(
                skip(json).is_err() || error.to_string().starts_with("number out of range"),
                "{error}: {json:?}"
            );
            None
        }
    }
}

/// What `jiter` builds.
fn by_jiter(json: &str) -> Option<Value> {
    JsonValue::parse(json.as_bytes(), false).ok().map(|value| from_jiter(&value))
}

fn from_jiter(value: &JsonValue<'_>) -> Value {
    match value {
        JsonValue::Null => Value::Null,
        JsonValue::Bool(value) => Value::Bool(*value),
        JsonValue::Int(number) => Value::from(*number),
        // Larger than any token count; only that it is no plain whole number matters.
        JsonValue::BigInt(number) => match u64::try_from(number) {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(f64::MAX),
        },
        JsonValue::Float(number) => Value::from(number.clamp(f64::MIN, f64::MAX)),
        JsonValue::Str(text) => Value::from(&**text),
        JsonValue::Array(elements) => elements.iter().map(from_jiter).collect(),
        JsonValue::Object(members) => Value::Object(
            members.iter().map(|(key, value)| (key.to_string(), from_jiter(value))).collect(),
        ),
    }
}

/// The whole text through `skip`.
pub fn skip(text: &str) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()
}

/// The whole text through the visitors.
pub fn build(text: &str) -> Result<Value, JsonError> {
    let mut reader = Reader::new(text);
    let value = value(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn value(reader: &mut Reader<'_>) -> Result<Value, JsonError> {
    Ok(match reader.peek()? {
        Kind::Object => {
            let mut members = Map::new();
            reader.object(|key, reader| {
                members.insert(key.decode().into_owned(), value(reader)?);
                Ok(())
            })?;
            Value::Object(members)
        }
        Kind::Array => {
            let mut elements = Vec::new();
            reader.array(|reader| {
                elements.push(value(reader)?);
                Ok(())
            })?;
            Value::Array(elements)
        }
        Kind::String => Value::String(reader.string()?.decode().into_owned()),
        Kind::Number => serde_json::from_str(reader.number()?).unwrap_or(Value::Null),
        Kind::True => reader.skip().map(|()| Value::Bool(true))?,
        Kind::False => reader.skip().map(|()| Value::Bool(false))?,
        Kind::Null => reader.skip().map(|()| Value::Null)?,
    })
}

/// The text with an escape for each control character in a string, and null for each number that
/// RFC 8259 does not have.
pub fn strict(text: &str) -> String {
    let mut strict = String::with_capacity(text.len());
    let (mut in_string, mut rest) = (false, text);
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        let number = ["NaN", "-Infinity", "Infinity"].into_iter().find(|&it| rest.starts_with(it));
        match (character, number) {
            ('"', _) => in_string = !in_string,
            ('\\', _) if in_string => {
                length += rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            ('\0'..' ', _) if in_string => {
                let _ = write!(strict, "\\u{:04x}", u32::from(character));
                rest = &rest[length..];
                continue;
            }
            (_, Some(number)) if !in_string => {
                strict.push_str("null");
                rest = &rest[number.len()..];
                continue;
            }
            _ => {}
        }
        strict.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    strict
}

/// The most containers open at once, in a text that is JSON.
pub fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut in_string) = (0_usize, 0, false);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => drop(bytes.next()),
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The text with the escape of each lone surrogate made that of U+FFFD.
fn without_lone_surrogates(text: &str) -> String {
    with_lone_surrogates(text, |_| "\\ufffd".to_owned())
}

/// The text with something else for the escape of each lone surrogate.
pub fn with_lone_surrogates(text: &str, instead: impl Fn(u32) -> String) -> String {
    let mut paired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        paired.push_str(&rest[..at]);
        rest = &rest[at..];
        let unit = escaped_unit(rest);
        let next = unit.and_then(|_| escaped_unit(&rest[6..]));
        let length = match (unit, next) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
            (Some(unit @ 0xD800..0xE000), _) => {
                paired.push_str(&instead(unit));
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        paired.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    paired + rest
}

/// The code unit of the `\u` escape that the text begins with.
fn escaped_unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).unwrap())
}
