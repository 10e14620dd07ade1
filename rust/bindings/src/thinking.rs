//! The blocks of a reply's reasoning that are to be sent back, as Python sees them.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use tailrace_core::Collected;

use crate::output::string;
use crate::record::record;

/// One block of reasoning, to be sent back unchanged where the dialogue goes on.
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
pub struct ThinkingBlock {
    /// The reasoning; empty where the service does not show it.
    thinking: Py<PyString>,
    /// The signature by which the service knows it again; `None` of a block that has `data`.
    signature: Option<Py<PyString>>,
    /// The reasoning in a form that only the service can read; `None` of one that is signed.
    data: Option<Py<PyString>>,
    /// The id of the item that the reasoning is; `None` where the service gives none.
    id: Option<Py<PyString>>,
}

impl ThinkingBlock {
    fn of(py: Python<'_>, block: tailrace_core::ThinkingBlock<'_>) -> PyResult<Self> {
        let (thinking, signature, data, id) = match block {
            tailrace_core::ThinkingBlock::Signed { thinking, signature } => {
                (thinking, Some(signature), None, None)
            }
            tailrace_core::ThinkingBlock::Redacted { data } => ("", None, Some(data), None),
            tailrace_core::ThinkingBlock::Encrypted { id, thinking, data } => {
                (thinking, None, Some(data), Some(id))
            }
            _ => ("", None, None, None),
        };
        let text = |text: &str| string(py, text).map(Bound::unbind);
        Ok(Self {
            thinking: text(thinking)?,
            signature: signature.map(text).transpose()?,
            data: data.map(text).transpose()?,
            id: id.map(text).transpose()?,
        })
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (&self.thinking, &self.signature, &self.data, &self.id).into_pyobject(py)
    }
}

/// The blocks that were collected, as a tuple of records.
pub fn thinking_blocks<'py>(
    py: Python<'py>,
    collected: &Collected,
) -> PyResult<Bound<'py, PyTuple>> {
    let blocks = collected.thinking_blocks().map(|block| ThinkingBlock::of(py, block));
    PyTuple::new(py, blocks.collect::<PyResult<Vec<_>>>()?)
}

record! {
impl ThinkingBlock {
    const FIELDS = ["thinking", "signature", "data", "id"];

    /// Make the record of a block, as a decoder that collects would.
    #[new]
    #[pyo3(signature = (thinking = None, signature = None, data = None, id = None))]
    #[pyo3(text_signature = "(thinking='', signature=None, data=None, id=None)")]
    fn new(
        py: Python<'_>,
        thinking: Option<&Bound<'_, PyString>>,
        signature: Option<&Bound<'_, PyString>>,
        data: Option<&Bound<'_, PyString>>,
        id: Option<&Bound<'_, PyString>>,
    ) -> Self {
        let owned = |text: &Bound<'_, PyString>| text.clone().unbind();
        Self {
            thinking: thinking.map_or_else(|| PyString::new(py, "").unbind(), owned),
            signature: signature.map(owned),
            data: data.map(owned),
            id: id.map(owned),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut fields = vec![format!("thinking={}", self.thinking.bind(py).repr()?)];
        let sealed = [("signature", &self.signature), ("data", &self.data), ("id", &self.id)];
        for (name, value) in sealed {
            if let Some(value) = value {
                fields.push(format!("{name}={}", value.bind(py).repr()?));
            }
        }
        Ok(format!("ThinkingBlock({})", fields.join(", ")))
    }
}
}
