//! A JSON value in, what chat APIs mean by it out: the fields that several dialects read alike.
//!
//! Nothing here fails because a value is of another kind than the APIs promise: such a value is
//! skipped. An error means that the text is no JSON.

use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};

/// The data of the event that ends a stream in OpenAI's API, and in those that took after it.
pub(super) const DONE: &str = "[DONE]";

/// Whether an event is the `[DONE]` sentinel.
pub(super) fn is_done(event: &Event<'_>) -> bool {
    event.data.trim_ascii() == DONE
}

/// Reads a whole number that is not negative and fits into 64 bits, also when it is written with a
/// fraction that is zero, or as a string.
pub(super) fn read_count(reader: &mut Reader<'_>) -> Result<Option<u64>, JsonError> {
    match reader.peek()? {
        Kind::Number => reader.number().map(count_of),
        Kind::String => reader.string().map(|digits| count_of(digits.decode().trim_ascii())),
        _ => reader.skip().map(|()| None),
    }
}

fn count_of(number: &str) -> Option<u64> {
    number.parse().ok().or_else(|| whole_of(number.parse().ok()?))
}

/// The whole number that a float is; no float of 2^64 or more is a count.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp
)]
fn whole_of(number: f64) -> Option<u64> {
    let whole = number as u64;
    (whole < u64::MAX && whole as f64 == number).then_some(whole)
}

/// Reads a string that is not empty.
pub(super) fn read_filled<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, JsonError> {
    reader.string_or_skip().map(|text| text.filter(|text| !text.is_empty()))
}

/// Reads a value that says by its presence that something is so, e.g. `error`: see [`is_truthy`].
pub(super) fn read_truthy(reader: &mut Reader<'_>) -> Result<bool, JsonError> {
    reader.raw().map(is_truthy)
}

/// Whether a value, as it is written, means something: null, false, zero, `""`, `[]` and `{}` do
/// not.
pub(super) fn is_truthy(raw: &str) -> bool {
    match raw.as_bytes() {
        [b'n' | b'f', ..] | [b'"', b'"'] => false,
        [b't' | b'"', ..] => true,
        [b'{' | b'[', inner @ .., _] => !inner.iter().all(u8::is_ascii_whitespace),
        _ => !is_zero(raw),
    }
}

/// Reads the `index` of a choice: whether it is 0, however that is written, or null.
pub(super) fn read_is_first(reader: &mut Reader<'_>) -> Result<bool, JsonError> {
    match reader.peek()? {
        Kind::Number => reader.number().map(is_zero),
        Kind::String => reader.string().map(|number| is_zero(&number.decode())),
        kind => reader.skip().map(|()| kind == Kind::Null),
    }
}

/// Reads the `index` of a choice as a number; 0 where there is none.
pub(super) fn read_index(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    read_count(reader).map(Option::unwrap_or_default)
}

/// Reads a list of choices: the first one of which `read` says that its index is 0, beside the
/// index; of a value that is no list, `None`. Also tells how many others there are, as far as the
/// list shows.
pub(super) fn first_of_choices<'a, T>(
    reader: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<(Option<T>, u64), JsonError>,
) -> Result<(Option<T>, u64), JsonError> {
    let (mut first, mut behind, mut others) = (None, 0, 0);
    reader.array_or_skip(|reader| {
        if first.is_some() || reader.peek()? != Kind::Object {
            behind += u64::from(first.is_some());
            return reader.skip();
        }
        let (found, index) = read(reader)?;
        others = others.max(index);
        first = found;
        Ok(())
    })?;
    Ok((first, behind.max(others)))
}

/// How many elements a list has; none of any other value.
pub(super) fn read_length(reader: &mut Reader<'_>) -> Result<u64, JsonError> {
    let mut length = 0;
    reader.array_or_skip(|reader| {
        length += 1;
        reader.skip()
    })?;
    Ok(length)
}

/// Zero however it is written: `0`, `-0`, `0.0`, `0e3`.
fn is_zero(number: &str) -> bool {
    number.parse::<f64>() == Ok(0.0)
}
