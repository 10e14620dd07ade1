//! Bytes of an event stream in, events out.

use std::ops::ControlFlow;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use tailrace_core::{Event, EventDecoder};

use crate::input::{Whole, bytes_of, limit};
use crate::raise::{in_use, limit_exceeded};

/// One dispatched server-sent event (WHATWG HTML 9.2.6).
#[pyclass(frozen, eq, hash, module = "tailrace")]
#[derive(PartialEq, Eq, Hash)]
pub struct ServerSentEvent {
    /// Its type; `message` where the block named none.
    #[pyo3(get)]
    event: String,
    /// Its data lines, joined by newlines.
    #[pyo3(get)]
    data: String,
    /// Shared: an id stays in force, and as long as its event may be, so can it be.
    id: Arc<str>,
    /// The reconnection time its own block set, in milliseconds.
    #[pyo3(get)]
    retry: Option<u64>,
}

impl ServerSentEvent {
    fn new(event: &Event<'_>, id: Arc<str>) -> Self {
        Self { event: event.kind().to_owned(), data: event.data.to_owned(), id, retry: event.retry }
    }
}

#[pymethods]
impl ServerSentEvent {
    /// The last event id in force when it was dispatched.
    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let [event, data, id] = [&*self.event, &*self.data, &*self.id].map(|text| PyString::new(py, text).repr());
        let retry = self.retry.map_or_else(|| "None".to_owned(), |retry| retry.to_string());
        Ok(format!("ServerSentEvent(event={}, data={}, id={}, retry={retry})", event?, data?, id?))
    }
}

/// Bytes of an event stream in, events out. Chunk boundaries never change the events.
#[pyclass(module = "tailrace")]
pub struct SSEDecoder {
    events: EventDecoder,
    /// The last event's id, and its number.
    id: (u64, Arc<str>),
}

#[pymethods]
impl SSEDecoder {
    /// `max_event_bytes`: the most bytes one event's fields may take.
    #[new]
    #[pyo3(signature = (*, max_event_bytes = Whole::from(8_388_608)))]
    #[pyo3(text_signature = "(*, max_event_bytes=8388608)")]
    fn new(py: Python<'_>, max_event_bytes: Whole) -> PyResult<Self> {
        let events = EventDecoder::new(limit(py, "max_event_bytes", max_event_bytes)?);
        Ok(Self { events, id: (0, "".into()) })
    }

    /// The events that `data` completes. After a limit has been passed: `LimitExceeded` from the next call on.
    fn feed(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<Vec<ServerSentEvent>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "SSEDecoder"))?;
        let bytes = bytes_of(data)?;
        if let Some(overflow) = decoder.events.error() {
            return Err(limit_exceeded(py, &overflow.to_string()));
        }
        let mut found = Vec::new();
        let Self { events, id } = &mut *decoder;
        // An error is the next call's to raise, so that these events are not lost: the core stays failed.
        let _ = events.feed(&bytes, |event| {
            if event.id_number != id.0 {
                *id = (event.id_number, event.id.into());
            }
            found.push(ServerSentEvent::new(&event, Arc::clone(&id.1)));
            ControlFlow::Continue(())
        });
        Ok(found)
    }

    /// The end of the stream: an unfinished event is dropped, as the specification says.
    fn close(slf: &Bound<'_, Self>) -> PyResult<Vec<ServerSentEvent>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "SSEDecoder"))?;
        match decoder.events.close() {
            Ok(()) => Ok(Vec::new()),
            Err(overflow) => Err(limit_exceeded(py, &overflow.to_string())),
        }
    }

    /// The last event id in force.
    #[getter]
    fn last_event_id(slf: &Bound<'_, Self>) -> PyResult<String> {
        let decoder = slf.try_borrow().map_err(|_| in_use(slf.py(), "SSEDecoder"))?;
        Ok(decoder.events.last_event_id().to_owned())
    }

    /// The reconnection time in force, in milliseconds.
    #[getter]
    fn retry(slf: &Bound<'_, Self>) -> PyResult<Option<u64>> {
        let decoder = slf.try_borrow().map_err(|_| in_use(slf.py(), "SSEDecoder"))?;
        Ok(decoder.events.retry())
    }
}
