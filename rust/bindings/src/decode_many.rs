//! Whole replies in, records of them out: one, or many by several threads, without the interpreter.
//!
//! Replies are taken a slice at a time. Threads live for one slice and are not kept in a pool: a
//! process forked after the call (as multiprocessing does it) would have the pool without its
//! threads, and wait for them forever. A slice is large enough for what it costs to start them not
//! to count.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyIterator, PyList, PyString, PyTuple};
use tailrace_core::{Collected, DeltaDecoder, DeltaOptions, Dialect, End};

use crate::delta::{AUTO, BYTES_A_CHARACTER, Usage, decoder_of, settings};
use crate::input::{Whole, bytes_of, one_of, optional_text};
use crate::output::string;
use crate::raise::{invalid, stream_error};
use crate::record::record;
use crate::tool_call::{ToolCall, tool_calls};

/// Bytes that a slice has for each thread: a few hundredths of a second of work, after which
/// signals are heard.
const SLICE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of neighbouring replies that a thread takes at once, so that asking for work costs nothing
/// beside it. A slice of fewer bytes is one thread's.
const RUN_BYTES: usize = 256 * 1024;

/// Bytes that a reply counts for beside its own, so that slices of empty ones end, too.
const REPLY_BYTES: usize = 256;

/// One whole reply, decoded: its text, and how it ended. The record is frozen.
#[pyclass(frozen, weakref, module = "tailrace")]
pub struct DecodedReply {
    text: Py<PyString>,
    end: End,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    /// Names and values.
    ids: Vec<(String, String)>,
    error: Option<Py<PyAny>>,
    events: u64,
    bad_events: u64,
    dialect: &'static str,
    tool_calls: Py<PyTuple>,
    reasoning: Py<PyString>,
    refusal: Py<PyString>,
    /// Names of kinds, and counts.
    passed_over: Vec<(String, u64)>,
}

const ENDS: [End; 4] = [End::Done, End::Stopped, End::Truncated, End::Failed];

impl DecodedReply {
    fn decoded(py: Python<'_>, Decoded { text, decoder }: &Decoded) -> PyResult<Self> {
        let error = decoder.error().map(|error| stream_error(py, error)).transpose()?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let nothing = Collected::default();
        let collected = decoder.collected().unwrap_or(&nothing);
        Ok(Self {
            text: string(py, text)?.unbind(),
            end: decoder.end(),
            finish_reason: decoder.finish_reason().map(str::to_owned),
            usage: decoder.usage().map(Usage::from),
            ids: decoder.ids().iter().map(owned).collect(),
            error: error.map(Bound::unbind),
            events: decoder.events(),
            bad_events: decoder.bad_events(),
            dialect: decoder.dialect().map_or("openai", Dialect::as_str),
            tool_calls: tool_calls(py, collected)?.unbind(),
            reasoning: string(py, collected.reasoning())?.unbind(),
            refusal: string(py, collected.refusal())?.unbind(),
            passed_over: decoder
                .passed_over()
                .map(|(kind, count)| (kind.to_owned(), count))
                .collect(),
        })
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let fields = (
            &self.text,
            self.end(),
            &self.finish_reason,
            self.usage.clone(),
            self.ids(py)?,
            &self.error,
            self.events,
            self.bad_events,
            self.dialect,
            &self.tool_calls,
            &self.reasoning,
            &self.refusal,
        );
        // A tuple of more fields is none that the bindings can convert.
        let fields = fields.into_pyobject(py)?;
        fields.add((self.passed_over(py)?,))?.cast_into().map_err(Into::into)
    }
}

record! {
impl DecodedReply {
    const FIELDS = [
        "text", "end", "finish_reason", "usage", "ids", "error", "events", "bad_events", "dialect",
        "tool_calls", "reasoning", "refusal", "passed_over",
    ];

    /// Make the record of a reply, as `decode_many` would.
    #[new]
    #[pyo3(signature = (
        text = None, end = None, finish_reason = None, usage = None, ids = None, error = None,
        events = Whole::from(0), bad_events = Whole::from(0), dialect = None, tool_calls = None,
        reasoning = None, refusal = None, passed_over = None,
    ))]
    #[pyo3(text_signature = "(text='', end='done', finish_reason=None, usage=None, ids={}, \
                             error=None, events=0, bad_events=0, dialect='openai', \
                             tool_calls=(), reasoning='', refusal='', passed_over={})")]
    #[allow(clippy::too_many_arguments)] // each is a field
    fn new(
        py: Python<'_>,
        text: Option<&Bound<'_, PyString>>,
        end: Option<&Bound<'_, PyString>>,
        finish_reason: Option<&Bound<'_, PyString>>,
        usage: Option<PyRef<'_, Usage>>,
        ids: Option<&Bound<'_, PyDict>>,
        error: Option<Bound<'_, PyAny>>,
        events: Whole,
        bad_events: Whole,
        dialect: Option<&Bound<'_, PyString>>,
        tool_calls: Option<Vec<Bound<'_, ToolCall>>>,
        reasoning: Option<&Bound<'_, PyString>>,
        refusal: Option<&Bound<'_, PyString>>,
        passed_over: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let or_empty = |text: Option<&Bound<'_, PyString>>| {
            text.map_or_else(|| PyString::new(py, "").unbind(), |text| text.clone().unbind())
        };
        let end = end.map(|end| one_of(py, "end", end, &ENDS, End::as_str)).transpose()?;
        let of_name = |name| one_of(py, "dialect", name, Dialect::ALL, Dialect::as_str);
        let dialect = dialect.map(of_name).transpose()?;
        let count = |name, events: Whole| {
            events.within::<u64>(py, name, "a number of 0 or more", |_| true)
        };
        Ok(Self {
            text: or_empty(text),
            end: end.unwrap_or(End::Done),
            finish_reason: optional_text(finish_reason)?,
            usage: usage.map(|usage| Usage::clone(&usage)),
            ids: ids.map_or(Ok(Vec::new()), |ids| ids.items().extract())?,
            error: error.map(Bound::unbind),
            events: count("events", events)?,
            bad_events: count("bad_events", bad_events)?,
            dialect: dialect.unwrap_or(Dialect::OpenAi).as_str(),
            tool_calls: PyTuple::new(py, tool_calls.unwrap_or_default())?.unbind(),
            reasoning: or_empty(reasoning),
            refusal: or_empty(refusal),
            passed_over: passed_over.map_or(Ok(Vec::new()), |each| each.items().extract())?,
        })
    }

    /// The reply's text; of one that failed or broke off, the text before that.
    #[getter]
    fn text(&self, py: Python<'_>) -> Py<PyString> {
        self.text.clone_ref(py)
    }

    /// The dialect that the reply was read as.
    #[getter]
    fn dialect(&self) -> &'static str {
        self.dialect
    }

    /// How the reply ended.
    #[getter]
    fn end(&self) -> &'static str {
        self.end.as_str()
    }

    /// Why the model stopped, in the service's own word; `None` where that was not told.
    #[getter]
    fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// The token counts that the reply reported, later ones for earlier ones.
    ///
    /// `None` where it reported none.
    #[getter]
    fn usage(&self) -> Option<Usage> {
        self.usage.clone()
    }

    /// The ids that the reply gave of itself, as `DeltaDecoder.ids`.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.ids.iter().map(|(name, value)| (name, value)).into_py_dict(py)
    }

    /// What the reply holds that no delta is made of, as `DeltaDecoder.passed_over`.
    #[getter]
    fn passed_over<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.passed_over.iter().map(|(kind, count)| (kind, count)).into_py_dict(py)
    }

    /// The error that the reply ended with, as `DeltaDecoder.error`.
    ///
    /// There is one when `end` is `truncated` or `failed`, and only then.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.error.as_ref().map(|error| error.clone_ref(py))
    }

    /// How many events were seen, end markers and bad ones included.
    #[getter]
    fn events(&self) -> u64 {
        self.events
    }

    /// How many events were skipped because their data was not what the dialect promises.
    #[getter]
    fn bad_events(&self) -> u64 {
        self.bad_events
    }

    /// The tool calls that the model asks for, in the order they began.
    #[getter]
    fn tool_calls(&self, py: Python<'_>) -> Py<PyTuple> {
        self.tool_calls.clone_ref(py)
    }

    /// The model's reasoning, or a summary of that; empty where the reply shows none.
    #[getter]
    fn reasoning(&self, py: Python<'_>) -> Py<PyString> {
        self.reasoning.clone_ref(py)
    }

    /// The text by which the model refuses to answer, where the API keeps that apart.
    #[getter]
    fn refusal(&self, py: Python<'_>) -> Py<PyString> {
        self.refusal.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("<DecodedReply {}>", self.end())
    }

    // A raised error leads, by its traceback, to frames that hold this record: the collector must
    // see that circle.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)
    }
}
}

/// Decode whole replies in several threads; return their records in order.
///
/// A record is what a `DeltaDecoder` with these options makes of the whole reply, fed at once. The
/// interpreter is free meanwhile. `threads` is how many threads decode at once, this one included:
/// as many as the process has cores unless given. An iterator is asked for about 64 MiB a thread at
/// a time, and those are let go before the next; signals are heard in between.
///
/// `InvalidRequestError` for options as `DeltaDecoder`, for a number of threads that is not above
/// 0, and for a reply that is not bytes, with its index.
#[pyfunction]
#[pyo3(signature = (
    replies, dialect = None, *, content_type = None, status = Whole::from(200), failure_tail = None,
    max_event_bytes = Whole::from(8_388_608), max_body_bytes = Whole::from(8_388_608),
    threads = None,
))]
#[pyo3(
    text_signature = "(replies, dialect='openai', *, content_type=None, status=200, failure_tail=None, \
                         max_event_bytes=8388608, max_body_bytes=8388608, threads=None)"
)]
#[allow(clippy::too_many_arguments)] // each is an option in Python
pub fn decode_many<'py>(
    py: Python<'py>,
    replies: &Bound<'py, PyAny>,
    dialect: Option<&Bound<'py, PyString>>,
    content_type: Option<&Bound<'py, PyString>>,
    status: Whole,
    failure_tail: Option<&Bound<'py, PyString>>,
    max_event_bytes: Whole,
    max_body_bytes: Whole,
    threads: Option<Whole>,
) -> PyResult<Bound<'py, PyList>> {
    let (dialect, options) =
        settings(py, dialect, content_type, status, failure_tail, max_event_bytes, max_body_bytes)?;
    let threads = match threads {
        Some(threads) => {
            threads.within(py, "threads", "a number of threads above 0", |threads| *threads > 0)?
        }
        None => thread::available_parallelism().map_or(1, NonZero::get),
    };
    let records = PyList::empty(py);
    let mut replies = replies.try_iter()?;
    loop {
        let slice = take(&mut replies, records.len(), SLICE_BYTES.saturating_mul(threads))?;
        if slice.is_empty() {
            return Ok(records);
        }
        let bytes: Vec<&[u8]> = slice.iter().map(|reply| reply.bytes(py)).collect();
        let decoded = py
            .detach(|| in_threads(&bytes, threads, |reply| decode_whole(reply, dialect, &options)));
        for reply in decoded {
            records.append(DecodedReply::decoded(py, &reply)?)?;
        }
        py.check_signals()?;
    }
}

/// Decode one whole reply; return its record.
///
/// `data`: the reply's bytes. `dialect`: the form of the reply, one of `DIALECTS`, or `auto`: the
/// reply's first event or object tells it. The other options are those of `DeltaDecoder`. What a
/// peer sent never raises: the record's `end` and `error` say what was wrong.
///
/// `InvalidRequestError` for options as `DeltaDecoder`, and for data that is not bytes.
#[pyfunction]
#[pyo3(signature = (
    data, dialect = None, *, content_type = None, status = Whole::from(200), failure_tail = None,
    max_event_bytes = Whole::from(8_388_608), max_body_bytes = Whole::from(8_388_608),
))]
#[pyo3(
    text_signature = "(data, dialect='auto', *, content_type=None, status=200, failure_tail=None, \
                         max_event_bytes=8388608, max_body_bytes=8388608)"
)]
#[allow(clippy::too_many_arguments)] // each is an option in Python
pub fn decode(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    dialect: Option<&Bound<'_, PyString>>,
    content_type: Option<&Bound<'_, PyString>>,
    status: Whole,
    failure_tail: Option<&Bound<'_, PyString>>,
    max_event_bytes: Whole,
    max_body_bytes: Whole,
) -> PyResult<DecodedReply> {
    let auto = PyString::intern(py, AUTO);
    let dialect = Some(dialect.unwrap_or(&auto));
    let (dialect, options) =
        settings(py, dialect, content_type, status, failure_tail, max_event_bytes, max_body_bytes)?;
    let reply = ReplyBytes::new(data).map_err(|error| refused(py, "", error))?;
    let bytes = reply.bytes(py);
    let decoded = py.detach(|| decode_whole(bytes, dialect, &options));
    DecodedReply::decoded(py, &decoded)
}

/// A reply whose bytes stay as they are while they are decoded.
enum ReplyBytes {
    Borrowed(Py<PyBytes>),
    Copied(Vec<u8>),
}

impl ReplyBytes {
    fn new(reply: &Bound<'_, PyAny>) -> PyResult<Self> {
        match reply.cast::<PyBytes>() {
            Ok(bytes) => Ok(Self::Borrowed(bytes.clone().unbind())),
            Err(_) => Ok(Self::Copied(bytes_of(reply)?.into_owned())),
        }
    }

    fn bytes(&self, py: Python<'_>) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes.as_bytes(py),
            Self::Copied(bytes) => bytes,
        }
    }
}

/// The next replies, until they have `most` bytes; `before` came before them. What can change is
/// copied here and now: an iterator may give the same buffer again, filled anew.
fn take(
    replies: &mut Bound<'_, PyIterator>,
    before: usize,
    most: usize,
) -> PyResult<Vec<ReplyBytes>> {
    let py = replies.py();
    let (mut slice, mut size) = (Vec::new(), 0);
    while size < most
        && let Some(reply) = replies.next()
    {
        let which = || format!("reply {}: ", before + slice.len());
        let reply = ReplyBytes::new(&reply?).map_err(|error| refused(py, &which(), error))?;
        size += reply.bytes(py).len() + REPLY_BYTES;
        slice.push(reply);
    }
    Ok(slice)
}

/// What is no reply, or a view whose buffer is gone, is the caller's mistake; memory that ran out
/// is not.
fn refused(py: Python<'_>, which: &str, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py) {
        invalid(py, &format!("{which}{}", error.value(py)))
    } else {
        error
    }
}

struct Decoded {
    text: String,
    decoder: DeltaDecoder,
}

fn decode_whole(reply: &[u8], dialect: Option<Dialect>, options: &DeltaOptions) -> Decoded {
    let mut decoder = decoder_of(dialect, options.clone());
    decoder.collect();
    let mut text = String::with_capacity(reply.len() / BYTES_A_CHARACTER);
    decoder.feed(reply, &mut text);
    decoder.close(true, &mut text);
    Decoded { text, decoder }
}

/// Does `work` with each of `items`, and returns the results in the items' order. This thread works,
/// too; where the system gives no more threads, those that there are do all of it.
fn in_threads<T: Send>(
    items: &[&[u8]],
    threads: usize,
    work: impl Fn(&[u8]) -> T + Sync,
) -> impl Iterator<Item = T> {
    let runs = runs(items);
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let mut done: Vec<(usize, Vec<T>)> = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(run) = runs.get(number) else { return done };
            done.push((number, run.iter().map(|item| work(item)).collect()));
        }
    };
    let mut done = thread::scope(|scope| {
        let start =
            |_| Builder::new().name("tailrace".to_owned()).spawn_scoped(scope, take_turns).ok();
        let others: Vec<_> = (1..threads.min(runs.len())).map_while(start).collect();
        let mut done = take_turns();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().flat_map(|(_, results)| results)
}

/// Neighbours that have [`RUN_BYTES`] together, or are one.
fn runs<'a, 'b>(mut items: &'a [&'b [u8]]) -> Vec<&'a [&'b [u8]]> {
    let mut runs = Vec::new();
    while !items.is_empty() {
        let mut size = 0;
        let full = items.iter().position(|item| {
            size += item.len() + REPLY_BYTES;
            size >= RUN_BYTES
        });
        let (run, rest) = items.split_at(full.map_or(items.len(), |last| last + 1));
        runs.push(run);
        items = rest;
    }
    runs
}
