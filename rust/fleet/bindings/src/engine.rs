//! The fleet and its tickets.

use std::io::ErrorKind;
use std::os::fd::IntoRawFd;
use std::sync::Arc;
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

/// The head of requests: where they are sent, with which headers, and the dialect of replies.
#[pyclass(frozen, module = "tailrace_fleet._native")]
pub struct Head(Arc<tailrace_fleet_engine::Head>);

#[pymethods]
impl Head {
    #[new]
    #[allow(clippy::needless_pass_by_value)] // as Python's list is handed over
    fn new(
        py: Python<'_>,
        url: &str,
        headers: Vec<(PyBackedStr, PyBackedStr)>,
        dialect: &str,
    ) -> PyResult<Self> {
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        let head = tailrace_fleet_engine::Head::new(url, headers);
        let mut head = head.map_err(|bad| match bad {
            BadRequest::Url => invalid(py, "the URL is malformed"),
            BadRequest::Header => invalid(py, "a header cannot be sent as it is"),
        })?;
        head.dialect = match dialect {
            AUTO => None,
            name => Some(name.parse::<Dialect>().map_err(|bad| invalid(py, &bad.to_string()))?),
        };
        Ok(Self(Arc::new(head)))
    }
}

/// Head, body, tag, due time.
type Given = (Py<Head>, PyBackedBytes, i64, Option<i64>);

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
        trust: Option<&Trust>,
    ) -> PyResult<Self> {
        let keep = Keep::NAMES.iter().find(|(name, _)| *name == keep);
        let keep = keep.ok_or_else(|| invalid(py, "keep is unknown"))?.1;
        let stamps =
            stamps.map(|name| if name == "kernel" { Stamps::Kernel } else { Stamps::Read });
        let trust = trust.map(|trust| trust.0.clone());
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
        apart(py, || Fleet::new(settings)).map(Self).map_err(|error| match error.kind() {
            ErrorKind::Unsupported => {
                invalid(py, "stamps='kernel' needs Linux: leave it out, or use 'read'")
            }
            _ => unstarted(py, &error),
        })
    }

    /// Whether it was told whom to trust.
    #[getter]
    fn has_trust(&self) -> bool {
        self.0.has_trust()
    }

    /// Trust these over TLS, unless it was told whom to.
    fn trust(&self, trust: &Trust) {
        self.0.trust(trust.0.clone());
    }

    /// Send requests: head, body, tag, due time.
    fn submit(&self, py: Python<'_>, requests: Vec<Given>) -> PyResult<Vec<Ticket>> {
        self.check(py)?;
        let requests = requests.into_iter().map(request_of).collect();
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
            let has_rung = apart(py, || self.0.wait(left.min(SLICE)));
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

    /// Whether this process made it, and not one that it was forked from.
    #[getter]
    fn is_ours(&self) -> bool {
        self.0.is_ours()
    }

    /// Whether it is closed; in a forked process it is.
    #[getter]
    fn is_closed(&self) -> bool {
        !self.0.is_ours() || self.0.is_closed()
    }

    /// Drop all streams and end the threads.
    fn close(&self, py: Python<'_>) {
        apart(py, || self.0.close());
    }
}

impl Engine {
    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.is_ours() { Ok(()) } else { Err(forked(py)) }
    }
}

/// Does something that takes a while, and meanwhile lets Python do something else. Not while the
/// interpreter ends: who gives its lock back then, and is not the thread that ends it, or is in a
/// subinterpreter, never gets it again.
fn apart<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    let sys = PyModule::import(py, "sys");
    let is_ending = sys.and_then(|sys| sys.call_method0("is_finalizing")?.extract());
    if is_ending.unwrap_or(true) { work() } else { py.detach(work) }
}

fn request_of((head, body, tag, at): Given) -> Request {
    let mut request = Request::new(Arc::clone(&head.get().0), body.to_vec().into());
    (request.tag, request.at) = (tag, at);
    request
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
