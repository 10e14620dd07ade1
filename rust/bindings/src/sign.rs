//! Message in, signature out.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::input::{Whole, text_of};

/// Return the lower-case hex SHA-256 of `{timestamp_ms}:{message}:{secret}`.
///
/// GeminiProChat checks it: `timestamp_ms` is the request's `time`, in milliseconds, `message` the
/// last message, `secret` the deployment's key.
#[pyfunction]
pub fn sign_request(
    timestamp_ms: Whole,
    message: &Bound<'_, PyString>,
    secret: &Bound<'_, PyString>,
) -> PyResult<String> {
    let timestamp_ms = timestamp_ms.within(
        message.py(),
        "timestamp_ms",
        "a number of milliseconds in 64 bits",
        |_| true,
    )?;
    Ok(tailrace_core::sign_request(timestamp_ms, &text_of(message)?, &text_of(secret)?))
}
