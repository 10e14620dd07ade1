//! The fleet and its tickets.

use std::os::fd::IntoRawFd;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use tailrace_core::Dialect;
use tailrace_fleet_engine::{
    BadRequest, Due, Fleet, Keep, Proxy, Request, Settings, Stamps, Timeouts,
};

use crate::facts::Facts;
use crate::raise::{closed, forked, invalid, unheard, unstarted};
use crate::rows::Rows;

/// How long a thread of Python waits before it looks for signals.
const SLICE: Duration = Duration::from_millis(100);

/// The name that asks for the dialect which the reply itself tells.
const AUTO: &str = "auto";

/// A ticket of one request: by it the stream can be cancelled.
///
/// `Fleet.submit` gives it.
#[pyclass(frozen, module = "tailrace_fleet")]
pub struct Ticket(tailrace_fleet_engine::Ticket);

#[pymethods]
impl Ticket {
    /// The request's own number, as it was submitted.
    #[getter]
    fn tag(&self) -> i64 {
        self.0.tag()
    }

    /// Cancel the stream: its end comes as `cancelled`, and its connection is closed.
    ///
    /// Nothing happens where it has ended, or was cancelled before. Raises `InvalidRequestError` in
    /// a process that was forked from the fleet's.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        if !self.0.is_ours() {
            return Err(forked(py));
        }
        self.0.cancel();
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<Ticket {}>", self.0.tag())
    }
}

/// Whom to trust over TLS: authorities in DER, and whether TLS 1.2, and 1.3, may be spoken.
#[pyclass(frozen, module = "tailrace_fleet._native")]
pub struct Trust(tailrace_fleet_engine::Trust);

#[pymethods]
impl Trust {
    #[new]
    fn new(py: Python<'_>, roots: Vec<PyBackedBytes>, versions: (bool, bool)) -> PyResult<Self> {
        let roots = roots.into_iter().map(|root| root.to_vec());
        let trust = tailrace_fleet_engine::Trust::new(roots, versions);
        trust.map(Self).map_err(|_| invalid(py, "tls allows neither TLS 1.2 nor TLS 1.3"))
    }
}

/// URL, headers, body, tag, due time, dialect.
type Given =
    (PyBackedStr, Vec<(PyBackedStr, PyBackedStr)>, PyBackedBytes, i64, Option<i64>, PyBackedStr);

/// Seconds, `None` for no clock: connect, first byte, idle, total.
type Seconds = (Option<f64>, Option<f64>, Option<f64>, Option<f64>);

/// The threads of a fleet. All that it is given was checked.
#[pyclass(frozen, module = "tailrace_fleet._native")]
pub struct Engine(Fleet);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        *, threads, keep, max_rows, stamps, coalesce, timeouts, max_reply_bytes, proxy, trust,
    ))]
    #[allow(clippy::too_many_arguments)] // the settings
    fn new(
        py: Python<'_>,
        threads: usize,
        keep: &str,
        max_rows: usize,
        stamps: Option<&str>,
        coalesce: Option<f64>,
        timeouts: Seconds,
        max_reply_bytes: Option<u64>,
        proxy: Option<(PyBackedStr, Option<PyBackedBytes>)>,
        trust: &Trust,
    ) -> PyResult<Self> {
        let keep = Keep::NAMES.iter().find(|(name, _)| *name == keep);
        let keep = keep.ok_or_else(|| invalid(py, "keep is unknown"))?.1;
        let stamps = match stamps {
            Some("kernel") => Stamps::Kernel,
            Some(_) => Stamps::Read,
            None => Stamps::best(),
        };
        if !stamps.are_known() {
            return Err(invalid(py, "stamps='kernel' needs Linux: leave it out, or use 'read'"));
        }
        let trust = trust.0.clone();
        let proxy = proxy.map(|proxy| proxy_of(py, &proxy)).transpose()?;
        let timeouts = timeouts_of(timeouts);
        let coalesce = coalesce.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let settings = Settings {
            threads,
            keep,
            max_rows,
            stamps,
            coalesce,
            timeouts,
            max_reply_bytes,
            proxy,
            trust,
        };
        py.detach(|| Fleet::new(settings)).map(Self).map_err(|error| unstarted(py, &error))
    }

    /// Send requests: URL, headers, body, tag, due time, dialect.
    fn submit(&self, py: Python<'_>, requests: Vec<Given>) -> PyResult<Vec<Ticket>> {
        self.check(py)?;
        let requests = requests.into_iter().map(|given| request_of(py, &given));
        let requests = requests.collect::<PyResult<Vec<Request>>>()?;
        let tickets = self.0.submit(requests).ok_or_else(|| closed(py))?;
        Ok(tickets.into_iter().map(Ticket).collect())
    }

    /// Raise `InvalidRequestError` where it is closed, or another process's.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        if self.0.is_closed() { Err(closed(py)) } else { Ok(()) }
    }

    /// Put what was read into a deque: of each thread that has anything, its rows and its ended
    /// streams. What would be returned were lost where a signal's exception comes first.
    fn take(&self, py: Python<'_>, into: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check_process(py)?;
        for taken in self.0.take() {
            let rows = Rows::new(py, taken.rows)?;
            let ended: Vec<Facts> = taken.ended.into_iter().map(Facts::new).collect();
            into.call_method1("append", ((rows, ended),))?;
        }
        Ok(())
    }

    /// Return in how many seconds to take, unless the bell rings; `None` where nothing runs.
    fn due(&self, py: Python<'_>, max_wait: f64) -> PyResult<Option<f64>> {
        self.check_process(py)?;
        let max_wait = Duration::try_from_secs_f64(max_wait).unwrap_or(Duration::MAX);
        Ok(match self.0.due(max_wait) {
            Due::Now => Some(0.0),
            Due::Within(time) => Some(time.as_secs_f64()),
            Due::Later => Some(f64::INFINITY),
            Due::Over => None,
        })
    }

    /// Wait until the bell rings, at most so many seconds.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        self.check_process(py)?;
        let most = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let begin = Instant::now();
        loop {
            let left = most.saturating_sub(begin.elapsed());
            let has_rung = py.detach(|| self.0.wait(left.min(SLICE)));
            py.check_signals()?;
            if has_rung || left <= SLICE {
                return Ok(());
            }
        }
    }

    /// Return the descriptor of a socket into which a byte comes whenever the bell rings.
    fn bell(&self, py: Python<'_>) -> PyResult<i32> {
        self.check_process(py)?;
        let bell = self.0.bell().map_err(|error| unheard(py, &error))?;
        Ok(bell.into_raw_fd())
    }

    /// Where the times of the rows are taken.
    #[getter]
    fn stamps(&self) -> &'static str {
        match self.0.stamps() {
            Stamps::Kernel => "kernel",
            Stamps::Read => "read",
        }
    }

    /// The number of streams that have not ended.
    #[getter]
    fn under_way(&self) -> usize {
        self.0.under_way()
    }

    /// Whether it is closed; in a forked process it is.
    #[getter]
    fn is_closed(&self) -> bool {
        !self.0.is_ours() || self.0.is_closed()
    }

    /// Drop all streams and end the threads.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

impl Engine {
    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.is_ours() { Ok(()) } else { Err(forked(py)) }
    }
}

fn request_of(py: Python<'_>, given: &Given) -> PyResult<Request> {
    let (url, headers, body, tag, at, dialect) = given;
    let headers = headers.iter().map(|(name, value)| (&**name, &**value));
    let mut request =
        Request::new(url, headers, body.to_vec().into()).map_err(|bad| match bad {
            BadRequest::Url => invalid(py, "the URL is malformed"),
            BadRequest::Header => invalid(py, "a header cannot be sent as it is"),
        })?;
    (request.tag, request.at) = (*tag, *at);
    request.dialect = match &**dialect {
        AUTO => None,
        name => Some(name.parse::<Dialect>().map_err(|bad| invalid(py, &bad.to_string()))?),
    };
    Ok(request)
}

fn proxy_of(
    py: Python<'_>,
    (url, authorization): &(PyBackedStr, Option<PyBackedBytes>),
) -> PyResult<Proxy> {
    Proxy::new(url, authorization.as_deref())
        .ok_or_else(|| invalid(py, "the proxy's URL is malformed"))
}

fn timeouts_of((connect, first_byte, idle, total): Seconds) -> Timeouts {
    let [connect, first_byte, idle, total] = [connect, first_byte, idle, total]
        .map(|seconds| Duration::try_from_secs_f64(seconds?).ok());
    Timeouts { connect, first_byte, idle, total }
}
