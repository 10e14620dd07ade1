//! The columns of a batch as Python's buffers.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PyString};

/// The columns of a batch, and the texts that were kept.
#[pyclass(frozen, module = "tailrace_fleet._native")]
pub struct Rows {
    count: usize,
    #[pyo3(get)]
    tag: Py<PyMemoryView>,
    #[pyo3(get)]
    at_ns: Py<PyMemoryView>,
    #[pyo3(get)]
    kind: Py<PyMemoryView>,
    #[pyo3(get)]
    tokens: Py<PyMemoryView>,
    #[pyo3(get)]
    length: Py<PyMemoryView>,
    texts: tailrace_fleet_engine::Rows,
}

impl Rows {
    pub fn new(py: Python<'_>, mut rows: tailrace_fleet_engine::Rows) -> PyResult<Self> {
        let count = rows.len();
        let tag = column(py, bytemuck::cast_slice(&std::mem::take(&mut rows.tag)), "q")?;
        let at_ns = column(py, bytemuck::cast_slice(&std::mem::take(&mut rows.at)), "q")?;
        let kind = column(py, &std::mem::take(&mut rows.kind), "B")?;
        let tokens = column(py, bytemuck::cast_slice(&std::mem::take(&mut rows.tokens)), "i")?;
        let length = column(py, bytemuck::cast_slice(&std::mem::take(&mut rows.length)), "I")?;
        Ok(Self { count, tag, at_ns, kind, tokens, length, texts: rows })
    }
}

#[pymethods]
impl Rows {
    fn __len__(&self) -> usize {
        self.count
    }

    /// Return the text of a row that exists.
    fn text<'py>(&self, py: Python<'py>, row: usize) -> Bound<'py, PyString> {
        PyString::new(py, self.texts.text_of(row))
    }

    /// Return the texts of all rows.
    fn texts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, (0..self.count).map(|row| self.texts.text_of(row)))
    }
}

/// A column as a memoryview with this format, whose memory nobody can write.
fn column(py: Python<'_>, bytes: &[u8], format: &str) -> PyResult<Py<PyMemoryView>> {
    let view = PyMemoryView::from(&PyBytes::new(py, bytes))?;
    Ok(view.call_method1("cast", (format,))?.cast_into::<PyMemoryView>()?.unbind())
}
