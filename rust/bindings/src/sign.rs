//! Message in, signature out.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::input::text_of;

/// The lower-case hex SHA-256 of `{timestamp_ms}:{message}:{secret}`, as GeminiProChat checks it.
#[pyfunction]
pub fn sign_request(
    timestamp_ms: i64,
    message: &Bound<'_, PyString>,
    secret: &Bound<'_, PyString>,
) -> PyResult<String> {
    Ok(tailrace_core::sign_request(timestamp_ms, &text_of(message)?, &text_of(secret)?))
}
