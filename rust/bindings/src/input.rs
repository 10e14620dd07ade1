//! Python's values in, the core's out.

use std::borrow::Cow;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::raise::invalid;

/// The bytes of a read: `bytes` borrowed, `bytearray` and `memoryview` copied first, since they can
/// change meanwhile.
pub fn bytes_of<'a>(data: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    if let Ok(array) = data.cast::<PyByteArray>() {
        return Ok(Cow::Owned(array.to_vec()));
    }
    if data.is_instance_of::<PyMemoryView>() {
        let copy = data.call_method0("tobytes")?;
        return Ok(Cow::Owned(copy.cast::<PyBytes>()?.as_bytes().to_vec()));
    }
    let kind = data.get_type().name()?;
    Err(PyTypeError::new_err(format!("data must be bytes, bytearray or memoryview, not {kind}")))
}

/// A `str` as a browser would send it: surrogate pairs join, each lone surrogate is one U+FFFD.
pub fn text_of<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    if let Ok(whole) = text.to_str() {
        return Ok(Cow::Borrowed(whole));
    }
    let encoded = text.call_method1("encode", ("utf-16-le", "surrogatepass"))?;
    let units = encoded.cast::<PyBytes>()?.as_bytes().chunks_exact(2);
    let units: Vec<u16> = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    Ok(Cow::Owned(String::from_utf16_lossy(&units)))
}

/// An optional `str`.
pub fn optional_text(text: Option<&Bound<'_, PyString>>) -> PyResult<Option<String>> {
    text.map(|text| Ok(text_of(text)?.into_owned())).transpose()
}

/// A whole number from outside. One beyond 64 bits is out of every range, and so refused like any
/// other.
pub struct Whole(Result<i64, String>);

impl FromPyObject<'_, '_> for Whole {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        match value.extract::<i64>() {
            Ok(number) => Ok(Self(Ok(number))),
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                Ok(Self(Err(value.str()?.to_string())))
            }
            Err(error) => Err(error),
        }
    }
}

impl From<i64> for Whole {
    fn from(number: i64) -> Self {
        Self(Ok(number))
    }
}

impl Whole {
    /// The number, if `range` takes it; else `InvalidRequestError` with `name` and what it
    /// `must_be`.
    pub fn within<T: TryFrom<i64>>(
        self,
        py: Python<'_>,
        name: &str,
        must_be: &str,
        range: impl FnOnce(&T) -> bool,
    ) -> PyResult<T> {
        let given = match self.0 {
            Ok(number) => match T::try_from(number) {
                Ok(taken) if range(&taken) => return Ok(taken),
                _ => number.to_string(),
            },
            Err(digits) => digits,
        };
        Err(invalid(py, &format!("{name} must be {must_be}, not {given}")))
    }
}

/// A limit in bytes: a whole number above 0.
pub fn limit(py: Python<'_>, name: &str, value: Whole) -> PyResult<usize> {
    value.within(py, name, "a number of bytes above 0", |bytes| *bytes > 0)
}

/// The one of `all` that has this name.
pub fn one_of<T: Copy>(
    py: Python<'_>,
    argument: &str,
    given: &Bound<'_, PyString>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> PyResult<T> {
    let given = text_of(given)?;
    all.iter().copied().find(|one| name(*one) == given).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
        invalid(py, &format!("{argument} must be one of {}, not {given:?}", names.join(", ")))
    })
}
