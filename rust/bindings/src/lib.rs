//! The whole border between Python and `tailrace-core`: names and conversions only.
//!
//! One file an area: [`sse`], [`delta`], [`tool_call`], [`thinking`], [`decode_many`], [`page`],
//! [`sign`], [`encode`], [`lazy`], [`batch`]; [`input`] takes Python's values, [`output`] makes
//! Python's text, [`record`] makes what Python expects of records, [`raise`] makes the exceptions
//! that `tailrace.errors` defines.

use pyo3::prelude::*;

mod batch;
mod decode_many;
mod delta;
mod encode;
mod input;
mod lazy;
mod output;
mod page;
mod raise;
mod record;
mod sign;
mod sse;
mod thinking;
mod tool_call;

/// The Rust core as Python sees it.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;
    use tailrace_core::Dialect;

    #[pymodule_export]
    use super::batch::row_numbers;
    #[pymodule_export]
    use super::decode_many::{DecodedReply, decode, decode_many};
    #[pymodule_export]
    use super::delta::{Delta, DeltaDecoder, Usage};
    #[pymodule_export]
    use super::encode::{
        ChunkEncoder, CompletionEncoder, MessageEncoder, ResponseEncoder, finish_reason_of,
    };
    #[pymodule_export]
    use super::lazy::{Field, Kept, ObjectReader, Shape, Variants, kept_by};
    #[pymodule_export]
    use super::page::{ChatWidget, Page, PageScanner, PageTokens, scan_page};
    #[pymodule_export]
    use super::sign::sign_request;
    #[pymodule_export]
    use super::sse::{SSEDecoder, ServerSentEvent};
    #[pymodule_export]
    use super::thinking::ThinkingBlock;
    #[pymodule_export]
    use super::tool_call::ToolCall;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add(
            "DIALECTS",
            PyTuple::new(module.py(), Dialect::ALL.iter().map(|dialect| dialect.as_str()))?,
        )
    }
}
