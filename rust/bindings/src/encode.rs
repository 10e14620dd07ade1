//! Text in, the events of one chat completion out.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use tailrace_core::{ChunkEncoder as Encoder, ChunkFields, ChunkUsage};

use crate::input::{Whole, optional_text, text_of};

/// Text in, the events of one streamed chat completion out, as OpenAI's clients read them.
///
/// Keeps no state.
///
/// Whatever a text holds, it stays within its JSON string and its line: control characters, U+2028
/// and U+2029 are escaped, so is `<`, and a lone surrogate is one U+FFFD.
#[pyclass(frozen, module = "tailrace")]
pub struct ChunkEncoder(Encoder);

#[pymethods]
impl ChunkEncoder {
    /// Prepare what all events of a stream share.
    #[new]
    #[pyo3(signature = (*, id, created, model, system_fingerprint, include_usage = false))]
    fn new(
        py: Python<'_>,
        id: &Bound<'_, PyString>,
        created: Whole,
        model: &Bound<'_, PyString>,
        system_fingerprint: Option<&Bound<'_, PyString>>,
        include_usage: bool,
    ) -> PyResult<Self> {
        let (id, model) = (text_of(id)?, text_of(model)?);
        let fingerprint = optional_text(system_fingerprint)?;
        let created = created.within(py, "created", "a number of seconds in 64 bits", |_| true)?;
        let mut fields = ChunkFields::new(&id, created, &model);
        fields.system_fingerprint = fingerprint.as_deref();
        fields.include_usage = include_usage;
        Ok(Self(Encoder::new(&fields)))
    }

    /// Return the first event, which says who speaks.
    fn role<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut out = Vec::new();
        self.0.role(&mut out);
        PyBytes::new(py, &out)
    }

    /// Return one event for each delta.
    fn deltas<'py>(&self, deltas: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::with_capacity(deltas.len() * (self.0.delta_bytes() + 16));
        for delta in deltas {
            self.0.delta(&text_of(delta.cast::<PyString>()?)?, &mut out);
        }
        Ok(PyBytes::new(deltas.py(), &out))
    }

    /// Return the event that says why the answer ends.
    fn finish<'py>(&self, reason: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        self.0.finish(&text_of(reason)?, &mut out);
        Ok(PyBytes::new(reason.py(), &out))
    }

    /// Return the event with token counts and no choices.
    ///
    /// `total`: by the site's own count, their sum unless given; `cached` tokens of the prompt and
    /// `reasoning` tokens of the answer are told where they are given. `estimated` stands beside
    /// the counts as `usage_estimated`.
    #[pyo3(signature = (
        prompt, completion, *, total = None, cached = None, reasoning = None, estimated = true
    ))]
    #[allow(clippy::too_many_arguments)] // as many as there are counts
    fn usage<'py>(
        &self,
        py: Python<'py>,
        prompt: Whole,
        completion: Whole,
        total: Option<Whole>,
        cached: Option<Whole>,
        reasoning: Option<Whole>,
        estimated: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let count = |name, tokens: Whole| {
            tokens.within::<u64>(py, name, "a number of tokens of 0 or more", |_| true)
        };
        let known =
            |name, tokens: Option<Whole>| tokens.map(|tokens| count(name, tokens)).transpose();
        let mut usage = ChunkUsage::new(count("prompt", prompt)?, count("completion", completion)?);
        usage.total = known("total", total)?;
        usage.cached = known("cached", cached)?;
        usage.reasoning = known("reasoning", reasoning)?;
        usage.estimated = estimated;
        let mut out = Vec::new();
        self.0.usage(&usage, &mut out);
        Ok(PyBytes::new(py, &out))
    }

    /// Return the last event of a stream that ended well: the `[DONE]` sentinel.
    #[allow(clippy::unused_self)] // one object writes the whole stream
    fn done<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, Encoder::DONE)
    }

    /// Return the last event of a stream that failed: `OpenAI`'s error object.
    ///
    /// The object's `type` is `kind`.
    #[allow(clippy::unused_self)]
    #[pyo3(signature = (message, *, kind, param = None, code = None))]
    fn error<'py>(
        &self,
        message: &Bound<'py, PyString>,
        kind: &Bound<'py, PyString>,
        param: Option<&Bound<'py, PyString>>,
        code: Option<&Bound<'py, PyString>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (param, code) = (optional_text(param)?, optional_text(code)?);
        let mut out = Vec::new();
        Encoder::error(
            &text_of(message)?,
            &text_of(kind)?,
            param.as_deref(),
            code.as_deref(),
            &mut out,
        );
        Ok(PyBytes::new(message.py(), &out))
    }
}
