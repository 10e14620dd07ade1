//! What Python expects of a record, for classes of which each object is one.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyTuple};

/// Makes the methods of a class together with those that every record has: comparison and hash by
/// its fields, `__match_args__`, `_asdict()`, and what `pickle` and `copy` ask for.
///
/// The class says its fields' names, in the order of its constructor's arguments, and has a method
/// `fields` that gives their values in this order.
macro_rules! record {
    (impl $class:ident { const FIELDS = $fields:expr; $($methods:tt)* }) => {
        #[pymethods]
        impl $class {
            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, pyo3::types::PyTuple>> {
                pyo3::types::PyTuple::new(py, $fields)
            }

            /// Return the fields by name.
            fn _asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
                $crate::record::dict(&$fields, &self.fields(py)?)
            }

            fn __reduce__<'py>(
                slf: &Bound<'py, Self>,
            ) -> PyResult<(Bound<'py, pyo3::types::PyType>, Bound<'py, pyo3::types::PyTuple>)> {
                Ok((slf.get_type(), slf.get().fields(slf.py())?))
            }

            fn __eq__(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
                self.fields(py)?.eq(other.fields(py)?)
            }

            fn __ne__(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
                self.fields(py)?.ne(other.fields(py)?)
            }

            fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
                $crate::record::hash(&self.fields(py)?)
            }

            $($methods)*
        }
    };
}

pub(crate) use record;

/// Names and values.
pub fn dict<'py>(names: &[&str], values: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(values.py());
    for (name, value) in names.iter().zip(values) {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// The hash of these values, lists and dicts among them.
pub fn hash(values: &Bound<'_, PyTuple>) -> PyResult<isize> {
    let hashable = |value: Bound<'_, PyAny>| -> PyResult<isize> {
        if let Ok(list) = value.cast::<PyList>() {
            list.to_tuple().hash()
        } else if let Ok(dict) = value.cast::<PyDict>() {
            PyFrozenSet::new(dict.py(), dict.items())?.hash()
        } else {
            value.hash()
        }
    };
    let hashes: PyResult<Vec<isize>> = values.iter().map(hashable).collect();
    PyTuple::new(values.py(), hashes?)?.hash()
}
