//! Deltas in, the events of one answer out: a class for each wire.

mod completions;
mod message;
mod relay;
mod response;

pub use completions::{ChunkEncoder, CompletionEncoder};
pub use message::MessageEncoder;
pub use response::ResponseEncoder;

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::False;
use pyo3::types::{PyBytes, PyList, PyString};
use tailrace_core::{EncoderState, Ending, FinishReason, ReplyError};

use crate::delta::{Delta, Usage};
use crate::input::optional_text;
use crate::raise::{in_use, stream_error};

/// Return why an answer ended, in the word of `OpenAI`'s chat completions.
///
/// `reason` is the word of whichever service, however its letters are written; `calls` says whether
/// the answer has calls of tools. One that was cut is `length`, one that was filtered
/// `content_filter`; any other is `tool_calls` with calls, and `stop` without.
#[pyfunction]
#[pyo3(signature = (reason, *, calls = false))]
pub fn finish_reason_of(
    reason: Option<&Bound<'_, PyString>>,
    calls: bool,
) -> PyResult<&'static str> {
    let reason = optional_text(reason)?;
    Ok(FinishReason::of(reason.as_deref().unwrap_or_default()).with_calls(calls).as_str())
}

/// The bytes that `write` appends.
fn written<'py, T: PyClass<Frozen = False>>(
    slf: &Bound<'py, T>,
    write: impl FnOnce(&mut T, &mut Vec<u8>) -> PyResult<()>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = slf.py();
    let mut encoder = slf.try_borrow_mut().map_err(|_| in_use(py, T::NAME))?;
    let mut out = Vec::new();
    write(&mut encoder, &mut out)?;
    Ok(PyBytes::new(py, &out))
}

/// The texts of a list. All of them are looked at before the first is taken.
fn texts<'py>(deltas: &Bound<'py, PyList>) -> PyResult<Vec<Bound<'py, PyString>>> {
    deltas.iter().map(|delta| Ok(delta.cast_into()?)).collect()
}

/// The deltas of a list. All of them are looked at before the first is taken.
fn pieces<'py>(deltas: &Bound<'py, PyList>) -> PyResult<Vec<Bound<'py, Delta>>> {
    deltas.iter().map(|delta| Ok(delta.cast_into()?)).collect()
}

/// How an answer ended.
fn ending_of<'a>(
    finish_reason: Option<&'a str>,
    usage: Option<&Bound<'_, Usage>>,
    estimated: bool,
) -> Ending<'a> {
    let mut ending = Ending::default();
    ending.finish_reason = finish_reason;
    ending.usage = usage.map(|usage| usage.get().into());
    ending.estimated = estimated;
    ending
}

/// The name of an encoder's state.
fn state_of<T: PyClass<Frozen = False>>(
    slf: &Bound<'_, T>,
    state: impl FnOnce(&T) -> EncoderState,
) -> PyResult<&'static str> {
    let encoder = slf.try_borrow().map_err(|_| in_use(slf.py(), T::NAME))?;
    Ok(state(&encoder).as_str())
}

/// What an encoder failed of, as the exception that tells most.
fn failure_of<'py, T: PyClass<Frozen = False>>(
    slf: &Bound<'py, T>,
    failure: impl FnOnce(&T) -> Option<&ReplyError>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let encoder = slf.try_borrow().map_err(|_| in_use(slf.py(), T::NAME))?;
    failure(&encoder).map(|error| stream_error(slf.py(), error)).transpose()
}
