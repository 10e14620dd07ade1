//! Bytes of an event stream in, events out.

use std::ops::ControlFlow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use tailrace_core::{Event, EventDecoder};

use crate::delta::time;
use crate::input::{Whole, bytes_of, limit};
use crate::raise::{in_use, limit_exceeded};
use crate::record::record;

/// One dispatched server-sent event (WHATWG HTML 9.2.6).
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
pub struct ServerSentEvent {
    /// The event's type; `message` where the block named none.
    event: Py<PyString>,
    /// The event's data lines, joined by newlines.
    data: Py<PyString>,
    /// The last event id in force when the event was dispatched; empty where none was.
    // Shared: an id stays in force, and as long as its event may be, so can it be.
    id: Py<PyString>,
    /// The reconnection time that the event's block set, in milliseconds, if it set one.
    retry: Option<u64>,
    /// When the bytes were read that completed the event, for who asked for times.
    ///
    /// Nanoseconds of a clock that runs evenly; `None` where no time was taken.
    at: Option<u64>,
}

impl ServerSentEvent {
    fn dispatched<'py>(
        py: Python<'py>,
        event: &Event<'_>,
        id: &Py<PyString>,
        at: Option<u64>,
    ) -> PyResult<Bound<'py, Self>> {
        let kind = match event.kind() {
            "message" => intern!(py, "message").clone(),
            kind => PyString::new(py, kind),
        };
        let data = PyString::new(py, event.data).unbind();
        Bound::new(
            py,
            Self { event: kind.unbind(), data, id: id.clone_ref(py), retry: event.retry, at },
        )
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (&self.event, &self.data, &self.id, self.retry, self.at).into_pyobject(py)
    }
}

record! {
impl ServerSentEvent {
    const FIELDS = ["event", "data", "id", "retry", "at"];

    /// Make the record of an event, as `SSEDecoder.feed` would.
    #[new]
    #[pyo3(signature = (event = None, data = None, id = None, retry = None, at = None))]
    #[pyo3(text_signature = "(event='message', data='', id='', retry=None, at=None)")]
    fn new(
        py: Python<'_>,
        event: Option<&Bound<'_, PyString>>,
        data: Option<&Bound<'_, PyString>>,
        id: Option<&Bound<'_, PyString>>,
        retry: Option<Whole>,
        at: Option<Whole>,
    ) -> PyResult<Self> {
        let retry = retry.map(|retry| retry.within(py, "retry", "a number of milliseconds", |_| true));
        let text = |given: Option<&Bound<'_, PyString>>, usual| {
            given.map_or_else(|| PyString::new(py, usual).unbind(), |text| text.clone().unbind())
        };
        Ok(Self {
            event: text(event, "message"),
            data: text(data, ""),
            id: text(id, ""),
            retry: retry.transpose()?,
            at: time(py, at)?,
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let [event, data, id] =
            [&self.event, &self.data, &self.id].map(|text| text.bind(py).repr());
        let retry = self.retry.map_or_else(|| "None".to_owned(), |retry| retry.to_string());
        let at = self.at.map_or_else(String::new, |at| format!(", at={at}"));
        let (event, data, id) = (event?, data?, id?);
        Ok(format!("ServerSentEvent(event={event}, data={data}, id={id}, retry={retry}{at})"))
    }
}
}

/// Bytes of an event stream in, events out. Chunk boundaries never change the events.
#[pyclass(module = "tailrace")]
pub struct SSEDecoder {
    events: EventDecoder,
    /// The last event's id, and its number.
    id: (u64, Py<PyString>),
}

#[pymethods]
impl SSEDecoder {
    /// Make a decoder for one stream, of whose events the fields have at most so many bytes.
    #[new]
    #[pyo3(signature = (*, max_event_bytes = Whole::from(8_388_608)))]
    #[pyo3(text_signature = "(*, max_event_bytes=8388608)")]
    fn new(py: Python<'_>, max_event_bytes: Whole) -> PyResult<Self> {
        let events = EventDecoder::new(limit(py, "max_event_bytes", max_event_bytes)?);
        Ok(Self { events, id: (0, intern!(py, "").clone().unbind()) })
    }

    /// Return the events that `data` completes.
    ///
    /// An event above the limit raises `LimitExceeded`, from the next call on. `at`: when the data
    /// was read, in nanoseconds of a clock that runs evenly; the events have it then.
    #[pyo3(signature = (data, at = None))]
    fn feed<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        at: Option<Whole>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "SSEDecoder"))?;
        let bytes = bytes_of(data)?;
        let at = time(py, at)?;
        if let Some(overflow) = decoder.events.error() {
            return Err(limit_exceeded(py, &overflow.to_string()));
        }
        let found = PyList::empty(py);
        let mut failed = Ok(());
        let Self { events, id } = &mut *decoder;
        // An error is the next call's to raise, so that these events are not lost: the core stays
        // failed.
        let _ = events.feed(&bytes, |event| {
            if event.id_number != id.0 {
                *id = (event.id_number, PyString::new(py, event.id).unbind());
            }
            failed = ServerSentEvent::dispatched(py, &event, &id.1, at)
                .and_then(|event| found.append(event));
            if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failed.map(|()| found)
    }

    /// End the stream and return an empty list.
    ///
    /// An unfinished event is dropped, as the specification says.
    fn close<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "SSEDecoder"))?;
        match decoder.events.close() {
            Ok(()) => Ok(PyList::empty(py)),
            Err(overflow) => Err(limit_exceeded(py, &overflow.to_string())),
        }
    }

    /// The last event id in force; empty where none was set.
    #[getter]
    fn last_event_id(slf: &Bound<'_, Self>) -> PyResult<String> {
        let decoder = slf.try_borrow().map_err(|_| in_use(slf.py(), "SSEDecoder"))?;
        Ok(decoder.events.last_event_id().to_owned())
    }

    /// The reconnection time in force, in milliseconds; `None` where none was set.
    #[getter]
    fn retry(slf: &Bound<'_, Self>) -> PyResult<Option<u64>> {
        let decoder = slf.try_borrow().map_err(|_| in_use(slf.py(), "SSEDecoder"))?;
        Ok(decoder.events.retry())
    }
}
