//! The lines of a batch's output in, the numbers of their rows out.

use memchr::memchr2;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Digits of a number, at most.
const DIGITS: usize = 18;

/// Return the numbers of the rows whose lines stand in `data` from `start`, and their end.
///
/// A line is `head`, the number, a quotation mark and the rest, which ends in `}` and a line feed
/// and holds no NUL. The first one that is otherwise ends the search.
#[pyfunction(name = "_row_numbers")]
pub fn row_numbers(
    data: &Bound<'_, PyBytes>,
    head: &Bound<'_, PyBytes>,
    start: usize,
) -> (Vec<u64>, usize) {
    let mut rest = data.as_bytes().get(start..).unwrap_or_default();
    let (mut numbers, mut end) = (Vec::new(), start);
    while let Some(length) = memchr2(b'\n', 0, rest) {
        let (line, after) = rest.split_at(length);
        let Some(number) = number_in(line, head.as_bytes()).filter(|_| after[0] == b'\n') else {
            break;
        };
        numbers.push(number);
        end += length + 1;
        rest = &after[1..];
    }
    (numbers, end)
}

fn number_in(line: &[u8], head: &[u8]) -> Option<u64> {
    let tail = line.strip_prefix(head)?.strip_suffix(b"}")?;
    let digits = tail.iter().take(DIGITS + 1).position(|byte| !byte.is_ascii_digit())?;
    if digits == 0 || tail[digits] != b'"' {
        return None;
    }
    Some(tail[..digits].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
