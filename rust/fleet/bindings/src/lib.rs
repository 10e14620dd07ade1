//! The border between Python and `tailrace-fleet-engine`: names and conversions only. No thread but
//! Python's own comes here.
//!
//! [`engine`] has the fleet and its tickets, [`rows`] the columns, [`facts`] the records of streams
//! that have ended, [`raise`] the exceptions.

use pyo3::prelude::*;

mod engine;
mod facts;
mod raise;
mod rows;

/// The engine as Python sees it.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;
    use tailrace_core::Dialect;
    use tailrace_fleet_engine::Kind;

    #[pymodule_export]
    use super::engine::{Engine, Head, Ticket, Trust};
    #[pymodule_export]
    use super::facts::Facts;
    #[pymodule_export]
    use super::rows::Rows;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("KINDS", PyTuple::new(py, Kind::NAMES)?)?;
        module.add("DIALECTS", PyTuple::new(py, Dialect::ALL.iter().map(|one| one.as_str()))?)
    }
}
