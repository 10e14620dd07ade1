//! A tool call, put together from its pieces, as Python sees it.

use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use tailrace_core::json::{JsonError, Reader};
use tailrace_core::{Collected, CollectedCall};

use crate::input::{Whole, text_of};
use crate::output::string;
use crate::raise::tool_arguments;
use crate::record::record;

/// One call of a tool that the model asks for, whole or as far as it has come.
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
pub struct ToolCall {
    /// The id by which the call is to be answered; `None` where the service gives none.
    id: Option<Py<PyString>>,
    /// The tool's name; empty where the service gives none.
    name: Py<PyString>,
    /// The arguments as the model wrote them: JSON, for nearly all tools.
    arguments: Py<PyString>,
    /// The number of the call, as the API counts its calls: that of its deltas.
    index: Option<u64>,
    /// What the service wants to have back with the call where the dialogue goes on.
    ///
    /// That is the signature of Gemini's thoughts; `None` for most calls.
    signature: Option<Py<PyString>>,
}

impl ToolCall {
    fn collected(py: Python<'_>, call: &CollectedCall) -> PyResult<Self> {
        let text = |text: &str| string(py, text).map(Bound::unbind);
        Ok(Self {
            id: call.id.as_deref().map(text).transpose()?,
            name: text(&call.name)?,
            arguments: text(&call.arguments)?,
            index: call.index,
            signature: call.signature.as_deref().map(text).transpose()?,
        })
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (&self.id, &self.name, &self.arguments, self.index, &self.signature).into_pyobject(py)
    }

    fn refused(&self, py: Python<'_>, error: &PyErr) -> PyResult<PyErr> {
        let value = error.value(py);
        let problem = value.getattr("msg").or_else(|_| value.str().map(Bound::into_any))?;
        let position = value.getattr("pos").ok();
        let (name, arguments) = (self.name.bind(py), self.arguments.bind(py));
        let breaks_off = breaks_off(&text_of(arguments)?);
        Ok(tool_arguments(py, (name, problem, arguments, position, breaks_off)))
    }
}

/// The calls that were collected, as a tuple of records.
pub fn tool_calls<'py>(py: Python<'py>, collected: &Collected) -> PyResult<Bound<'py, PyTuple>> {
    let calls = collected.tool_calls().iter().map(|call| ToolCall::collected(py, call));
    PyTuple::new(py, calls.collect::<PyResult<Vec<_>>>()?)
}

/// Whether more could make JSON of a text that is none.
fn breaks_off(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip().and_then(|()| reader.end()) == Err(JsonError::UnexpectedEnd)
}

record! {
impl ToolCall {
    const FIELDS = ["id", "name", "arguments", "index", "signature"];

    /// Make the record of a call, as a decoder that collects would.
    #[new]
    #[pyo3(signature = (id = None, name = None, arguments = None, index = None, signature = None))]
    #[pyo3(text_signature = "(id=None, name='', arguments='', index=None, signature=None)")]
    fn new(
        py: Python<'_>,
        id: Option<&Bound<'_, PyString>>,
        name: Option<&Bound<'_, PyString>>,
        arguments: Option<&Bound<'_, PyString>>,
        index: Option<Whole>,
        signature: Option<&Bound<'_, PyString>>,
    ) -> PyResult<Self> {
        let index = index.map(|index| index.within(py, "index", "a number of 0 or more", |_| true));
        let owned = |text: &Bound<'_, PyString>| text.clone().unbind();
        let or_empty = |text: Option<&Bound<'_, PyString>>| {
            text.map_or_else(|| PyString::new(py, "").unbind(), owned)
        };
        Ok(Self {
            id: id.map(owned),
            name: or_empty(name),
            arguments: or_empty(arguments),
            index: index.transpose()?,
            signature: signature.map(owned),
        })
    }

    /// Return the arguments as a Python object; `{}` for a call without arguments.
    ///
    /// Raises `ToolArgumentsError`, a `ValueError`, for arguments that are not JSON; it says
    /// whether they break off, as they do where the reply was cut.
    fn parsed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let arguments = self.arguments.bind(py);
        if text_of(arguments)?.trim().is_empty() {
            return Ok(PyDict::new(py).into_any());
        }
        let options = PyDict::new(py);
        // What models write into strings, line ends among it, is as good as its escape.
        options.set_item("strict", false)?;
        let loaded = py.import("json")?.call_method("loads", (arguments,), Some(&options));
        match loaded {
            Err(error)
                if error.is_instance_of::<PyValueError>(py)
                    || error.is_instance_of::<PyRecursionError>(py) =>
            {
                Err(self.refused(py, &error)?)
            }
            loaded => loaded,
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut fields = Vec::new();
        if let Some(id) = &self.id {
            fields.push(format!("id={}", id.bind(py).repr()?));
        }
        fields.push(format!("name={}", self.name.bind(py).repr()?));
        fields.push(format!("arguments={}", self.arguments.bind(py).repr()?));
        fields.extend(self.index.map(|index| format!("index={index}")));
        if let Some(signature) = &self.signature {
            fields.push(format!("signature={}", signature.bind(py).repr()?));
        }
        Ok(format!("ToolCall({})", fields.join(", ")))
    }
}
}
