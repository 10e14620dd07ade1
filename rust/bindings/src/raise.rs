//! The exceptions of `tailrace.errors`, made by name.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tailrace_core::{PageProblem, ReplyError};

/// `tailrace.errors`, imported once: it imports nothing of ours, so no import can run in a circle.
fn errors(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = ERRORS
        .get_or_try_init(py, || PyModule::import(py, "tailrace.errors").map(Bound::unbind))?;
    Ok(module.bind(py))
}

/// Makes the exception of that name with one message.
fn named(py: Python<'_>, name: &str, message: &str) -> PyErr {
    match errors(py).and_then(|module| module.call_method1(name, (message,))) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// An `InvalidRequestError`: the caller's input cannot be used.
pub fn invalid(py: Python<'_>, message: &str) -> PyErr {
    named(py, "InvalidRequestError", message)
}

/// An `InvalidRequestError`: two threads, or a thread and a finalizer it runs, are in one object.
pub fn in_use(py: Python<'_>, what: &str) -> PyErr {
    invalid(
        py,
        &format!("this {what} is in use by another thread: one object, one reader at a time"),
    )
}

/// A `LimitExceeded`.
pub fn limit_exceeded(py: Python<'_>, message: &str) -> PyErr {
    named(py, "LimitExceeded", message)
}

/// A `WidgetNotFoundError`: the page does not show the wanted bot.
pub fn widget_not_found(py: Python<'_>, message: &str) -> PyErr {
    named(py, "WidgetNotFoundError", message)
}

/// The exception for a page that gives no tokens.
pub fn no_tokens(py: Python<'_>, problem: PageProblem) -> PyErr {
    match problem {
        PageProblem::Challenge => {
            match errors(py).and_then(|module| module.call_method0("ChallengeError")) {
                Ok(error) => PyErr::from_value(error),
                Err(error) => error,
            }
        }
        PageProblem::Limit(_) | PageProblem::TooManyWidgets => {
            limit_exceeded(py, &problem.to_string())
        }
        _ => named(py, "TokenNotFoundError", problem.as_str()),
    }
}

/// A `ToolArgumentsError`: the tool's name, the problem, the arguments, the position of the problem
/// in them, and whether they break off.
pub fn tool_arguments<'py>(py: Python<'py>, arguments: impl PyCallArgs<'py>) -> PyErr {
    match errors(py).and_then(|module| module.call_method1("ToolArgumentsError", arguments)) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// The error of a reply, as the `StreamError` that tells most.
pub fn stream_error<'py>(py: Python<'py>, error: &ReplyError) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("kind", error.kind.as_str())?;
    fields.set_item("message", &error.message)?;
    fields.set_item("status", error.status)?;
    fields.set_item("code", error.code.as_deref())?;
    fields.set_item("raw", &error.raw)?;
    errors(py)?.call_method("reply_error", (), Some(&fields))
}
