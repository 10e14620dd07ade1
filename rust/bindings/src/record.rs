//! What Python expects of a record, for classes of which each object is one.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyTuple};

/// Makes the methods of a class together with those that every record has: comparison and hash by
/// its fields ([`equal`], [`hash`]), `__match_args__`, `_asdict()`, and what `pickle` and `copy` ask for.
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
                $crate::record::equal(&self.fields(py)?, &other.fields(py)?)
            }

            fn __ne__(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
                Ok(!$crate::record::equal(&self.fields(py)?, &other.fields(py)?)?)
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

/// Whether these values are equal to those, each to its own. Exceptions, which Python compares by
/// identity, are equal where their classes and all that they hold are.
pub fn equal(values: &Bound<'_, PyTuple>, others: &Bound<'_, PyTuple>) -> PyResult<bool> {
    for (value, other) in values.iter().zip(others) {
        let is_error =
            value.is_instance_of::<PyBaseException>() && value.get_type().is(other.get_type());
        let is_equal = if is_error {
            value.getattr("args")?.eq(other.getattr("args")?)?
                && value.getattr("__dict__")?.eq(other.getattr("__dict__")?)?
        } else {
            value.eq(other)?
        };
        if !is_equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The hash of these values, lists, dicts and exceptions among them.
pub fn hash(values: &Bound<'_, PyTuple>) -> PyResult<isize> {
    let hashable = |value: Bound<'_, PyAny>| -> PyResult<isize> {
        if value.is_instance_of::<PyBaseException>() {
            (value.get_type(), value.str()?).into_pyobject(value.py())?.hash()
        } else if let Ok(list) = value.cast::<PyList>() {
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
