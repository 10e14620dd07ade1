//! The exceptions of `tailrace.errors`, made by name.

use std::io;

use pyo3::prelude::*;

/// Makes the exception of that name with one message.
fn named(py: Python<'_>, name: &str, message: &str) -> PyErr {
    let errors = PyModule::import(py, "tailrace.errors");
    match errors.and_then(|errors| errors.call_method1(name, (message,))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// An `InvalidRequestError`: the caller's input cannot be used.
pub fn invalid(py: Python<'_>, message: &str) -> PyErr {
    named(py, "InvalidRequestError", message)
}

/// A `TailraceError`: the system has no thread or descriptor left.
pub fn unstarted(py: Python<'_>, error: &io::Error) -> PyErr {
    named(py, "TailraceError", &format!("the fleet cannot start: {error}"))
}

/// A `TailraceError`: the system has no descriptor left for who waits in an event loop.
pub fn unheard(py: Python<'_>, error: &io::Error) -> PyErr {
    named(py, "TailraceError", &format!("the fleet's batches cannot be waited for: {error}"))
}

/// An `InvalidRequestError`: the fleet's threads are another process's.
pub fn forked(py: Python<'_>) -> PyErr {
    invalid(py, "this fleet belongs to the process that made it: make one in this process")
}

/// An `InvalidRequestError`: the fleet was closed.
pub fn closed(py: Python<'_>) -> PyErr {
    invalid(py, "the fleet is closed")
}
