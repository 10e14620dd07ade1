//! What became of a stream, as facts: the errors are made of them in Python.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use tailrace_core::{Collected, ThinkingBlock};
use tailrace_fleet_engine::{Ended, Ending, Fault, HeaderMap};

/// The facts of a stream that has ended.
#[pyclass(frozen, module = "tailrace_fleet._native")]
pub struct Facts(Ended);

impl Facts {
    pub fn new(ended: Ended) -> Self {
        Self(ended)
    }
}

type Tokens = (u64, u64, u64, Option<u64>, Option<u64>);

type Told<'a> = (&'static str, &'a str, u16, Option<&'a str>, &'a str);

#[pymethods]
impl Facts {
    #[getter]
    fn tag(&self) -> i64 {
        self.0.tag
    }

    #[getter]
    fn url(&self) -> String {
        self.0.url.to_string()
    }

    /// `unopened`, `cancelled`, or how the decoder says that the reply ended.
    #[getter]
    fn end(&self) -> &'static str {
        match self.0.ending {
            Ending::Unopened => "unopened",
            Ending::Cancelled => "cancelled",
            Ending::Read(end) => end.as_str(),
        }
    }

    /// The decoder's error: kind, message, status, code, raw.
    #[getter]
    fn error(&self) -> Option<Told<'_>> {
        let error = self.0.error.as_ref()?;
        let code = error.code.as_deref();
        Some((error.kind.as_str(), &error.message, error.status, code, &error.raw))
    }

    /// The name of the fault.
    #[getter]
    fn fault(&self) -> Option<&str> {
        self.0.fault.as_ref().map(Fault::as_str)
    }

    /// What belongs to the fault: a clock's name, the reason, the coding.
    #[getter]
    fn fault_text(&self) -> Option<&str> {
        match self.0.fault.as_ref()? {
            Fault::Timeout(phase) => Some(phase.as_str()),
            Fault::Tls { reason, .. } => Some(reason),
            Fault::UnknownCoding(name) => Some(name),
            _ => None,
        }
    }

    /// The number that belongs to the fault: of the system's reason, the proxy's status.
    #[getter]
    fn fault_number(&self) -> Option<i32> {
        match self.0.fault.as_ref()? {
            Fault::Unreachable { errno, .. } => *errno,
            Fault::Refused(status) => Some((*status).into()),
            _ => None,
        }
    }

    /// Whether the fault lies with the proxy.
    #[getter]
    fn is_proxys(&self) -> bool {
        matches!(
            self.0.fault,
            Some(
                Fault::Name { proxy: true }
                    | Fault::Unreachable { proxy: true, .. }
                    | Fault::Tls { proxy: true, .. }
            )
        )
    }

    /// Whether nobody who is trusted has issued the certificate.
    #[getter]
    fn is_distrusted(&self) -> bool {
        matches!(self.0.fault, Some(Fault::Tls { is_distrusted: true, .. }))
    }

    #[getter]
    fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The reply's headers by their names in lower case, of repeated ones the first.
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict_of(py, &self.0.headers)
    }

    /// The request's headers, in the same way.
    fn sent_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict_of(py, self.0.sent_headers())
    }

    /// Tokens: of the prompt, of the answer, of both, from a cache, of reasoning.
    #[getter]
    fn usage(&self) -> Option<Tokens> {
        let usage = self.0.usage.as_ref()?;
        Some((
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.total_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
        ))
    }

    #[getter]
    fn finish_reason(&self) -> Option<&str> {
        self.0.finish_reason.as_deref()
    }

    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let ids = PyDict::new(py);
        for (name, value) in self.0.ids.iter() {
            ids.set_item(name, value)?;
        }
        Ok(ids)
    }

    /// Nanoseconds: begun, the head, the first text, the last bytes; the end.
    #[getter]
    fn times(&self) -> (Option<i64>, Option<i64>, Option<i64>, Option<i64>, i64) {
        let Ended { sent, first_byte, first_text, last, ended, .. } = self.0;
        (sent, first_byte, first_text, last, ended)
    }

    /// Bytes, deltas, events, bad events.
    #[getter]
    fn counts(&self) -> (u64, u64, u64, u64) {
        (self.0.bytes, self.0.deltas, self.0.events, self.0.bad_events)
    }

    fn passed_over<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let passed_over = PyDict::new(py);
        for (kind, count) in &self.0.passed_over {
            passed_over.set_item(kind, count)?;
        }
        Ok(passed_over)
    }

    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.0.text.as_deref().map(|text| PyString::new(py, text))
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.body.as_deref().map(|body| PyBytes::new(py, body))
    }

    /// Id, name, arguments, index and signature of each tool call.
    fn tool_calls<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let calls = self.0.collected.iter().flat_map(Collected::tool_calls);
        let fields = calls.map(|call| {
            let (id, signature) = (call.id.as_deref(), call.signature.as_deref());
            (id, call.name.as_str(), call.arguments.as_str(), call.index, signature)
                .into_pyobject(py)
        });
        PyList::new(py, fields.collect::<PyResult<Vec<Bound<'py, PyTuple>>>>()?)
    }

    /// Thinking, signature, data and id of each block of reasoning.
    fn thinking_blocks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let blocks = self.0.collected.iter().flat_map(Collected::thinking_blocks);
        let fields = blocks.map(|block| {
            let fields = match block {
                ThinkingBlock::Signed { thinking, signature } => {
                    (thinking, Some(signature), None, None)
                }
                ThinkingBlock::Redacted { data } => ("", None, Some(data), None),
                ThinkingBlock::Encrypted { id, thinking, data } => {
                    (thinking, None, Some(data), Some(id))
                }
                _ => ("", None, None, None),
            };
            fields.into_pyobject(py)
        });
        PyList::new(py, fields.collect::<PyResult<Vec<Bound<'py, PyTuple>>>>()?)
    }

    #[getter]
    fn reasoning(&self) -> &str {
        self.0.collected.as_ref().map_or("", |collected| collected.reasoning())
    }

    #[getter]
    fn refusal(&self) -> &str {
        self.0.collected.as_ref().map_or("", |collected| collected.refusal())
    }

    #[getter]
    fn text_signature(&self) -> Option<&str> {
        self.0.collected.as_ref()?.signature()
    }
}

fn dict_of<'py>(py: Python<'py>, headers: &HeaderMap) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for name in headers.keys() {
        let Some(value) = headers.get(name) else { continue };
        if let Ok(value) = std::str::from_utf8(value.as_bytes()) {
            dict.set_item(name.as_str(), value)?;
            continue;
        }
        let value = PyBytes::new(py, value.as_bytes());
        let value = value.call_method1("decode", ("utf-8", "surrogateescape"))?;
        dict.set_item(name.as_str(), value)?;
    }
    Ok(dict)
}
