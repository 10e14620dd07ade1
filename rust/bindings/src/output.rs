//! Text of ours in, Python strings out.

use std::ffi::{c_char, c_int};
use std::ops::RangeInclusive;
use std::ptr;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A Python string of this text.
#[inline]
pub fn string<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    if WIDENED.contains(&text.len()) { long_string(py, text) } else { Ok(PyString::new(py, text)) }
}

/// Bytes of a text that is long enough to be worth a look, and not so long that to widen it takes
/// much memory.
const WIDENED: RangeInclusive<usize> = 4 * 1024..=16 * 1024;

// Kept out of the way of short texts: with all this among them, deltas of one character took a
// twelfth longer.
#[cold]
#[inline(never)]
fn long_string<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    if is_widened(text.as_bytes()) {
        from_utf16(py, &widen(text))
    } else {
        Ok(PyString::new(py, text))
    }
}

/// Whether the way by UTF-16 is shorter: for a long text in ASCII but for some punctuation beyond
/// Latin-1.
///
/// One such character makes Python keep the text in units of two bytes, and read UTF-8 into them
/// byte by byte: 8 KB take 2.8 µs, but from UTF-16 1.2 µs, and 0.5 µs to widen them. Of other texts
/// either is slower that way: in ASCII, in Latin-1 or with an emoji Python reads UTF-16 worse, and
/// what is mostly beyond ASCII is not widened 16 bytes at a time.
fn is_widened(text: &[u8]) -> bool {
    // As it begins, so it goes on: to look at all of it would take what is gained.
    let beginning = &text[..256];
    if beginning.is_ascii() {
        return false;
    }
    let mut beyond = beginning.iter().filter(|byte| !byte.is_ascii());
    beyond.next().is_some_and(|first| (0xE0..0xF0).contains(first))
        && beyond.count() < beginning.len() / 16
}

fn from_utf16<'py>(py: Python<'py>, units: &[u16]) -> PyResult<Bound<'py, PyString>> {
    // Given, so that U+FEFF at the start is text.
    let mut order: c_int = if cfg!(target_endian = "little") { -1 } else { 1 };
    let size = size_of_val(units).cast_signed();
    // SAFETY: `units` are `size` bytes that outlive the call, which reads them and nothing else, at
    // any alignment; null for the errors means strict; what is returned is a str of our own, or
    // null with an exception set.
    let text = unsafe {
        let start = units.as_ptr().cast::<c_char>();
        let text = pyo3::ffi::PyUnicode_DecodeUTF16(start, size, ptr::null(), &raw mut order);
        Bound::from_owned_ptr_or_err(py, text)?
    };
    Ok(text.cast_into()?)
}

/// The text in UTF-16.
fn widen(text: &str) -> Vec<u16> {
    let bytes = text.as_bytes();
    // No text has more units than bytes.
    let mut units = vec![0; bytes.len() + STEP];
    let (mut read, mut written) = (0, 0);
    while read < bytes.len() {
        let ascii = widen_ascii(&bytes[read..], &mut units[written..]);
        read += ascii;
        written += ascii;
        if ascii < STEP
            && let Some(character) = text[read..].chars().next()
        {
            read += character.len_utf8();
            written += character.encode_utf16(&mut units[written..]).len();
        }
    }
    units.truncate(written);
    units
}

/// Bytes widened together.
const STEP: usize = 16;

/// Widens what comes before the first byte that is not ASCII, a step at most; of the last bytes,
/// fewer, none.
#[inline]
fn widen_ascii(bytes: &[u8], units: &mut [u16]) -> usize {
    let (Some(step), Some(target)) = (bytes.first_chunk::<STEP>(), units.first_chunk_mut::<STEP>())
    else {
        return 0;
    };
    // A byte that is not ASCII is written over.
    for (unit, byte) in target.iter_mut().zip(step) {
        *unit = u16::from(*byte);
    }
    let beyond = u128::from_le_bytes(*step) & (u128::MAX / 0xff * 0x80);
    if beyond == 0 { STEP } else { beyond.trailing_zeros() as usize / 8 }
}
