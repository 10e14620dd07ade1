//! Bytes of one chat reply in, text deltas out, or deltas of every kind.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use tailrace_core::{
    Collected, DeltaOptions, DeltaSink, Dialect, EventSink, Ids, Logprobs, ReadEvent, Seal,
    ToolCall, UnknownDialect,
};

use crate::input::{Whole, bytes_of, limit, one_of, optional_text, text_of};
use crate::output::string;
use crate::raise::{in_use, invalid, stream_error};
use crate::record::record;
use crate::thinking::thinking_blocks;
use crate::tool_call::tool_calls;

/// The token counts a stream reported; 0 where it left one out.
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
#[derive(Clone)]
#[allow(clippy::struct_field_names)] // the wire's own names
pub struct Usage {
    /// Tokens of the prompt.
    prompt_tokens: u64,
    /// Tokens of the answer.
    completion_tokens: u64,
    /// Tokens of both.
    total_tokens: u64,
    /// Tokens of the prompt that came from a cache; `None` where that was not told.
    cached_tokens: Option<u64>,
    /// Tokens of the answer that are reasoning; `None` where that was not told.
    reasoning_tokens: Option<u64>,
}

impl From<&tailrace_core::Usage> for Usage {
    fn from(usage: &tailrace_core::Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens,
            cached_tokens: usage.cached_tokens,
            reasoning_tokens: usage.reasoning_tokens,
        }
    }
}

impl From<&Usage> for tailrace_core::Usage {
    fn from(usage: &Usage) -> Self {
        let mut counts = Self::default();
        counts.prompt_tokens = usage.prompt_tokens;
        counts.completion_tokens = usage.completion_tokens;
        counts.total_tokens = usage.total_tokens;
        counts.cached_tokens = usage.cached_tokens;
        counts.reasoning_tokens = usage.reasoning_tokens;
        counts
    }
}

impl Usage {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (
            self.prompt_tokens,
            self.completion_tokens,
            self.total_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
        )
            .into_pyobject(py)
    }
}

record! {
impl Usage {
    const FIELDS = [
        "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens",
    ];

    /// Make the record of some counts; the total is the sum unless given.
    #[new]
    #[pyo3(signature = (
        prompt_tokens = Whole::from(0), completion_tokens = Whole::from(0), total_tokens = None,
        cached_tokens = None, reasoning_tokens = None,
    ))]
    #[pyo3(text_signature = "(prompt_tokens=0, completion_tokens=0, total_tokens=None, \
                             cached_tokens=None, reasoning_tokens=None)")]
    fn new(
        py: Python<'_>,
        prompt_tokens: Whole,
        completion_tokens: Whole,
        total_tokens: Option<Whole>,
        cached_tokens: Option<Whole>,
        reasoning_tokens: Option<Whole>,
    ) -> PyResult<Self> {
        let count = |name, tokens: Whole| {
            tokens.within::<u64>(py, name, "a number of tokens of 0 or more", |_| true)
        };
        let [total_tokens, cached_tokens, reasoning_tokens] = [
            ("total_tokens", total_tokens),
            ("cached_tokens", cached_tokens),
            ("reasoning_tokens", reasoning_tokens),
        ]
        .map(|(name, tokens)| tokens.map(|tokens| count(name, tokens)).transpose());
        let prompt_tokens = count("prompt_tokens", prompt_tokens)?;
        let completion_tokens = count("completion_tokens", completion_tokens)?;
        let sum = prompt_tokens.saturating_add(completion_tokens);
        Ok(Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: total_tokens?.unwrap_or(sum),
            cached_tokens: cached_tokens?,
            reasoning_tokens: reasoning_tokens?,
        })
    }

    fn __repr__(&self) -> String {
        let mut fields = format!(
            "prompt_tokens={}, completion_tokens={}, total_tokens={}",
            self.prompt_tokens, self.completion_tokens, self.total_tokens
        );
        for (name, count) in
            [("cached_tokens", self.cached_tokens), ("reasoning_tokens", self.reasoning_tokens)]
        {
            fields.extend(count.map(|count| format!(", {name}={count}")));
        }
        format!("Usage({fields})")
    }
}
}

/// One piece that a reply adds: of its text, its reasoning, its refusal or a tool call.
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
pub struct Delta {
    /// The kind of the piece: `text`, `reasoning`, `refusal` or `tool_call`.
    kind: &'static str,
    /// The text that is added; of a tool call, what is added to its arguments.
    ///
    /// Empty only where a call begins, or where an event tells `logprobs` and nothing else, a
    /// `signature` or `data`, or where its JSON is kept and it adds nothing.
    text: Py<PyString>,
    /// The number of the tool call that the piece belongs to, as the API counts its calls.
    ///
    /// Not every API counts from 0 on. Where a server's numbers cannot be right, calls are numbered
    /// as they came. `None` for other kinds.
    index: Option<u64>,
    /// The id by which the tool call is to be answered.
    ///
    /// Most APIs give it with a call's first piece only.
    id: Option<Py<PyString>>,
    /// The tool's name, with a call's first piece.
    name: Option<Py<PyString>>,
    /// The log probabilities that the event told, as JSON; `None` where it told none.
    ///
    /// Whichever the service, it is the object that a chat completion of OpenAI's has as a choice's
    /// `logprobs`: its lists `content` and `refusal` hold tokens with `token`, `logprob`, `bytes`
    /// and `top_logprobs`. Of several deltas of one event the first has it.
    logprobs: Option<Py<PyString>>,
    /// The event that told the delta, as its JSON; `None` where it is not kept.
    ///
    /// Kept where that was asked for, by `keep_raw`. Deltas of one event share one object. Of a
    /// reply that is one JSON body it is the body; what was told by no JSON has none.
    raw: Option<Py<PyString>>,
    /// The tokens of the answer as far as the event told them, for who asked for times.
    ///
    /// Told by a count of the usage that had not been told before, or by the ids of the tokens that
    /// the event adds; `None` where it told neither.
    tokens: Option<u64>,
    /// When the bytes were read that completed the event, for who asked for times.
    ///
    /// Nanoseconds of a clock that runs evenly; `None` where no time was taken.
    at: Option<u64>,
    /// What the service wants to have back where the dialogue goes on; `None` for most deltas.
    ///
    /// Of a tool call, and of a text, it is the signature of Gemini's thoughts; of reasoning it
    /// signs what came since the last one, as Anthropic's API does. Beside it a text or reasoning
    /// adds nothing.
    signature: Option<Py<PyString>>,
    /// Reasoning in a form that only the service can read, and wants to have back.
    ///
    /// With an `id` it is the reasoning that came since the last one, as OpenAI's Responses tell
    /// it; without, it stands apart from what is shown. `None` for all others.
    data: Option<Py<PyString>>,
}

const KINDS: [&str; 4] = ["text", "reasoning", "refusal", "tool_call"];

impl Delta {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Self { kind, text, index, id, name, logprobs, raw, tokens, at, signature, data } = self;
        (*kind, text, *index, id, name, logprobs, raw, *tokens, *at, signature, data)
            .into_pyobject(py)
    }

    /// The log probabilities as the core's encoders take them.
    pub fn logprobs(&self, py: Python<'_>) -> PyResult<Option<Logprobs>> {
        let Some(logprobs) = &self.logprobs else { return Ok(None) };
        Ok(Logprobs::read(&text_of(logprobs.bind(py))?))
    }

    /// Lends the piece as the core's encoders take it.
    #[inline]
    pub fn lend<T>(
        &self,
        py: Python<'_>,
        take: impl FnOnce(tailrace_core::Delta<'_>) -> T,
    ) -> PyResult<T> {
        let text = text_of(self.text.bind(py))?;
        if self.kind != "tool_call" && (self.signature.is_some() || self.data.is_some()) {
            let [id, signature, data] = [&self.id, &self.signature, &self.data]
                .map(|text| optional_text(text.as_ref().map(|text| text.bind(py))));
            let (id, signature, data) = (id?, signature?, data?);
            let sealed = signature.as_deref().or(data.as_deref()).unwrap_or_default();
            return Ok(take(tailrace_core::Delta::Seal(match (self.kind, data.is_some(), &id) {
                ("text", ..) => Seal::Text(sealed),
                (_, false, _) => Seal::Signature(sealed),
                (_, true, None) => Seal::Redacted(sealed),
                (_, true, Some(id)) => Seal::Encrypted { id, data: sealed },
            })));
        }
        Ok(match self.kind {
            "text" => take(tailrace_core::Delta::Text(&text)),
            "reasoning" => take(tailrace_core::Delta::Reasoning(&text)),
            "refusal" => take(tailrace_core::Delta::Refusal(&text)),
            _ => {
                let [id, name, signature] = [&self.id, &self.name, &self.signature]
                    .map(|text| optional_text(text.as_ref().map(|text| text.bind(py))));
                let (id, name, signature) = (id?, name?, signature?);
                let piece = ToolCall {
                    index: self.index,
                    id: id.as_deref(),
                    name: name.as_deref(),
                    arguments: &text,
                    signature: signature.as_deref(),
                };
                take(tailrace_core::Delta::ToolCall(piece))
            }
        })
    }
}

record! {
impl Delta {
    const FIELDS =
        ["kind", "text", "index", "id", "name", "logprobs", "raw", "tokens", "at", "signature", "data"];

    /// Make the record of a piece, as `DeltaDecoder.feed_events` would.
    ///
    /// `logprobs` may have any service's form. `InvalidRequestError` for another kind, an index
    /// below 0, `logprobs` that are no JSON or tell of no token, and a `signature` or `data` that
    /// does not stand alone.
    #[new]
    #[pyo3(signature = (
        kind, text = None, index = None, id = None, name = None, logprobs = None, raw = None,
        tokens = None, at = None, signature = None, data = None,
    ))]
    #[pyo3(text_signature = "(kind, text='', index=None, id=None, name=None, logprobs=None, \
                             raw=None, tokens=None, at=None, signature=None, data=None)")]
    #[allow(clippy::too_many_arguments)] // a record's fields
    fn new(
        py: Python<'_>,
        kind: &Bound<'_, PyString>,
        text: Option<&Bound<'_, PyString>>,
        index: Option<Whole>,
        id: Option<&Bound<'_, PyString>>,
        name: Option<&Bound<'_, PyString>>,
        logprobs: Option<&Bound<'_, PyString>>,
        raw: Option<&Bound<'_, PyString>>,
        tokens: Option<Whole>,
        at: Option<Whole>,
        signature: Option<&Bound<'_, PyString>>,
        data: Option<&Bound<'_, PyString>>,
    ) -> PyResult<Self> {
        let [index, tokens, at] = [("index", index), ("tokens", tokens), ("at", at)].map(
            |(name, number)| {
                let number = number
                    .map(|number| number.within(py, name, "a number of 0 or more", |_| true));
                number.transpose()
            },
        );
        let owned = |text: &Bound<'_, PyString>| text.clone().unbind();
        let logprobs = logprobs.map(|json| told_logprobs(py, json));
        let kind = one_of(py, "kind", kind, &KINDS, |kind| kind)?;
        let is_call = kind == "tool_call";
        let has_text = text.is_some_and(|text| !text.is_empty().unwrap_or(false));
        if (data.is_some() && (kind != "reasoning" || signature.is_some()))
            || (!is_call && has_text && (data.is_some() || signature.is_some()))
        {
            return Err(invalid(py, "a signature or data stands alone, and data is reasoning's"));
        }
        Ok(Self {
            kind,
            text: text.map_or_else(|| PyString::new(py, "").unbind(), owned),
            index: index?,
            id: id.map(owned),
            name: name.map(owned),
            signature: signature.map(owned),
            data: data.map(owned),
            logprobs: logprobs.transpose()?,
            raw: raw.map(owned),
            tokens: tokens?,
            at: at?,
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut fields = vec![format!("kind='{}', text={}", self.kind, self.text.bind(py).repr()?)];
        fields.extend(self.index.map(|index| format!("index={index}")));
        let texts =
            [&self.id, &self.name, &self.logprobs, &self.raw, &self.signature, &self.data];
        let names = ["id", "name", "logprobs", "raw", "signature", "data"];
        for (name, value) in names.into_iter().zip(texts) {
            if let Some(value) = value {
                fields.push(format!("{name}={}", value.bind(py).repr()?));
            }
        }
        fields.extend(self.tokens.map(|tokens| format!("tokens={tokens}")));
        fields.extend(self.at.map(|at| format!("at={at}")));
        Ok(format!("Delta({})", fields.join(", ")))
    }
}
}

/// Log probabilities of any service's form, in that of a chat completion.
fn told_logprobs(py: Python<'_>, json: &Bound<'_, PyString>) -> PyResult<Py<PyString>> {
    let Some(logprobs) = Logprobs::read(&text_of(json)?) else {
        return Err(invalid(py, "logprobs must be the JSON of a choice's logprobs, with a token"));
    };
    Ok(string(py, &logprobs.to_string())?.unbind())
}

/// Each delta of every kind becomes a `Delta` in the list that is returned.
struct Everything<'py> {
    list: Bound<'py, PyList>,
    /// Memory ran out.
    failed: Option<PyErr>,
}

impl<'py> Everything<'py> {
    fn new(py: Python<'py>) -> Self {
        Self { list: PyList::empty(py), failed: None }
    }

    fn into_list(self) -> PyResult<Bound<'py, PyList>> {
        self.failed.map_or(Ok(self.list), Err)
    }

    fn add(&mut self, kind: &'static str, piece: ToolCall<'_>) {
        if let Err(error) = self.append(kind, piece, None) {
            self.failed = Some(error);
        }
    }

    fn append(
        &self,
        kind: &'static str,
        piece: ToolCall<'_>,
        logprobs: Option<&Logprobs>,
    ) -> PyResult<()> {
        let delta = delta_of(self.list.py(), kind, piece, logprobs)?;
        self.list.append(Bound::new(self.list.py(), delta)?)
    }
}

/// The record of a delta, without what is known of its event.
fn delta_of(
    py: Python<'_>,
    kind: &'static str,
    piece: ToolCall<'_>,
    logprobs: Option<&Logprobs>,
) -> PyResult<Delta> {
    let [id, name, signature] = [piece.id, piece.name, piece.signature]
        .map(|text| text.map(|text| string(py, text).map(Bound::unbind)));
    let logprobs = logprobs.map(|logprobs| string(py, &logprobs.to_string()));
    Ok(Delta {
        kind,
        text: string(py, piece.arguments)?.unbind(),
        index: piece.index,
        id: id.transpose()?,
        name: name.transpose()?,
        logprobs: logprobs.transpose()?.map(Bound::unbind),
        raw: None,
        tokens: None,
        at: None,
        signature: signature.transpose()?,
        data: None,
    })
}

/// The record of what a service wants back.
fn seal_of(py: Python<'_>, seal: Seal<'_>) -> PyResult<Delta> {
    let (kind, id, signature, data) = match seal {
        Seal::Text(signature) => ("text", None, Some(signature), None),
        Seal::Signature(signature) => ("reasoning", None, Some(signature), None),
        Seal::Redacted(data) => ("reasoning", None, None, Some(data)),
        Seal::Encrypted { id, data } => ("reasoning", Some(id), None, Some(data)),
        _ => ("reasoning", None, None, None),
    };
    let data = data.map(|data| string(py, data).map(Bound::unbind)).transpose()?;
    let piece = ToolCall { id, signature, ..ToolCall::default() };
    Ok(Delta { data, ..delta_of(py, kind, piece, None)? })
}

impl DeltaSink for Everything<'_> {
    fn text(&mut self, text: &str) {
        self.add("text", ToolCall { arguments: text, ..ToolCall::default() });
    }

    fn reasoning(&mut self, text: &str) {
        self.add("reasoning", ToolCall { arguments: text, ..ToolCall::default() });
    }

    fn refusal(&mut self, text: &str) {
        self.add("refusal", ToolCall { arguments: text, ..ToolCall::default() });
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.add("tool_call", piece);
    }

    fn seal(&mut self, seal: Seal<'_>) {
        let py = self.list.py();
        let appended = seal_of(py, seal).and_then(|seal| self.list.append(Bound::new(py, seal)?));
        if let Err(error) = appended {
            self.failed = Some(error);
        }
    }

    fn with_logprobs(&mut self, delta: tailrace_core::Delta<'_>, logprobs: &Logprobs) {
        let (kind, piece) = kind_and_piece(delta);
        if let Err(error) = self.append(kind, piece, Some(logprobs)) {
            self.failed = Some(error);
        }
    }
}

/// As `Everything`, each delta with what is known of its event: its JSON, its time, its tokens.
struct Told<'py> {
    list: Bound<'py, PyList>,
    /// Deltas whose event has not been read to its end.
    deltas: Vec<Delta>,
    keeps_raw: bool,
    at: Option<u64>,
    failed: Option<PyErr>,
}

impl<'py> Told<'py> {
    fn new(py: Python<'py>, keeps_raw: bool, at: Option<u64>) -> Self {
        Self { list: PyList::empty(py), deltas: Vec::new(), keeps_raw, at, failed: None }
    }

    fn into_list(mut self) -> PyResult<Bound<'py, PyList>> {
        self.hand_over(None, None)?;
        self.failed.map_or(Ok(self.list), Err)
    }

    fn add(&mut self, kind: &'static str, piece: ToolCall<'_>, logprobs: Option<&Logprobs>) {
        match delta_of(self.list.py(), kind, piece, logprobs) {
            Ok(delta) => self.deltas.push(delta),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Puts the deltas of an event into the list.
    fn hand_over(&mut self, raw: Option<&Py<PyString>>, tokens: Option<u64>) -> PyResult<()> {
        let py = self.list.py();
        for delta in self.deltas.drain(..) {
            let raw = raw.map(|raw| raw.clone_ref(py));
            let delta = Delta { raw, tokens, at: self.at, ..delta };
            self.list.append(Bound::new(py, delta)?)?;
        }
        Ok(())
    }

    fn take_event(&mut self, event: &ReadEvent<'_>) -> PyResult<()> {
        let py = self.list.py();
        if !self.keeps_raw {
            return self.hand_over(None, event.tokens);
        }
        if self.deltas.is_empty() {
            // What an event without a delta says is not lost.
            self.deltas.push(delta_of(py, "text", ToolCall::default(), None)?);
        }
        let raw = string(py, event.json)?.unbind();
        self.hand_over(Some(&raw), event.tokens)
    }
}

impl DeltaSink for Told<'_> {
    fn text(&mut self, text: &str) {
        self.add("text", ToolCall { arguments: text, ..ToolCall::default() }, None);
    }

    fn reasoning(&mut self, text: &str) {
        self.add("reasoning", ToolCall { arguments: text, ..ToolCall::default() }, None);
    }

    fn refusal(&mut self, text: &str) {
        self.add("refusal", ToolCall { arguments: text, ..ToolCall::default() }, None);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.add("tool_call", piece, None);
    }

    fn seal(&mut self, seal: Seal<'_>) {
        match seal_of(self.list.py(), seal) {
            Ok(delta) => self.deltas.push(delta),
            Err(error) => self.failed = Some(error),
        }
    }

    fn with_logprobs(&mut self, delta: tailrace_core::Delta<'_>, logprobs: &Logprobs) {
        let (kind, piece) = kind_and_piece(delta);
        self.add(kind, piece, Some(logprobs));
    }

    fn events(&mut self) -> Option<&mut dyn EventSink> {
        Some(self)
    }
}

impl EventSink for Told<'_> {
    fn event(&mut self, event: ReadEvent<'_>) {
        if let Err(error) = self.take_event(&event) {
            self.failed = Some(error);
        }
    }
}

/// A delta's kind, and what it adds as if it were a piece of a call.
fn kind_and_piece(delta: tailrace_core::Delta<'_>) -> (&'static str, ToolCall<'_>) {
    let text = |arguments| ToolCall { arguments, ..ToolCall::default() };
    match delta {
        tailrace_core::Delta::Reasoning(delta) => ("reasoning", text(delta)),
        tailrace_core::Delta::Refusal(delta) => ("refusal", text(delta)),
        tailrace_core::Delta::ToolCall(piece) => ("tool_call", piece),
        tailrace_core::Delta::Text(delta) => ("text", text(delta)),
        _ => ("text", text("")),
    }
}

/// Each delta becomes a Python string straight from the core's slice, in the list that is returned.
struct Strings<'py> {
    list: Bound<'py, PyList>,
    /// Memory ran out.
    failed: Option<PyErr>,
}

impl<'py> Strings<'py> {
    fn new(py: Python<'py>) -> Self {
        Self { list: PyList::empty(py), failed: None }
    }

    fn into_list(self) -> PyResult<Bound<'py, PyList>> {
        self.failed.map_or(Ok(self.list), Err)
    }
}

impl DeltaSink for Strings<'_> {
    fn text(&mut self, text: &str) {
        let appended = string(self.list.py(), text).and_then(|text| self.list.append(text));
        if let Err(error) = appended {
            self.failed = Some(error);
        }
    }

    fn wants_everything(&self) -> bool {
        false
    }
}

/// All deltas become one Python string. What is collected is handed over piece by piece, so that a
/// large read does not need its text twice.
struct Joined<'py> {
    py: Python<'py>,
    collected: String,
    text: PyResult<Option<Bound<'py, PyString>>>,
}

/// Bytes collected at most.
const COLLECTED_BYTES: usize = 16 * 1024;

/// A first delta of more bytes is not collected: mostly it is the only one of its read.
const ALONE_BYTES: usize = 256;

/// Bytes of a stream for one of its text, as chat services write it: what a text may need at first.
pub const BYTES_A_CHARACTER: usize = 16;

impl<'py> Joined<'py> {
    fn new(py: Python<'py>, expected: usize) -> Self {
        Self { py, collected: String::with_capacity(expected.min(COLLECTED_BYTES)), text: Ok(None) }
    }

    fn is_empty(&self) -> bool {
        self.collected.is_empty() && matches!(self.text, Ok(None))
    }

    fn hand_over(&mut self) {
        if !self.collected.is_empty() {
            let piece = string(self.py, &self.collected);
            self.join(piece);
            self.collected.clear();
        }
    }

    fn join(&mut self, piece: PyResult<Bound<'py, PyString>>) {
        self.text = match std::mem::replace(&mut self.text, Ok(None)) {
            Ok(None) => piece.map(Some),
            Ok(Some(text)) => piece.and_then(|piece| append(text, &piece)).map(Some),
            Err(error) => Err(error),
        };
    }

    fn into_text(mut self) -> PyResult<Bound<'py, PyString>> {
        if let Ok(None) = self.text {
            return string(self.py, &self.collected);
        }
        self.hand_over();
        Ok(self.text?.unwrap_or_else(|| PyString::new(self.py, "")))
    }
}

impl DeltaSink for Joined<'_> {
    fn text(&mut self, text: &str) {
        let is_long = text.len() > ALONE_BYTES && (text.len() > COLLECTED_BYTES || self.is_empty());
        if is_long || self.collected.len() + text.len() > COLLECTED_BYTES {
            self.hand_over();
        }
        if is_long {
            self.join(string(self.py, text));
        } else {
            self.collected.push_str(text);
        }
    }

    fn wants_everything(&self) -> bool {
        false
    }
}

/// `text` and `piece`, without a copy of `text` where nobody else has it. (Concatenation as Python
/// writes it copies: a read with 6 MiB of text would copy it 400 times, and hold it twice.)
fn append<'py>(
    text: Bound<'py, PyString>,
    piece: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyString>> {
    let py = text.py();
    let mut text = text.into_ptr();
    // SAFETY: `text` is a reference of our own to a str, which the call takes and replaces by one
    // to the longer str, or by null with an exception set; `piece` is a str and outlives the call.
    let text = unsafe {
        pyo3::ffi::PyUnicode_Append(&raw mut text, piece.as_ptr());
        Bound::from_owned_ptr_or_err(py, text)?
    };
    Ok(text.cast_into()?)
}

/// Bytes of one chat reply in, text deltas out.
///
/// Feed it the reply's bytes as they come, then close it; what each call returns is text that is
/// certain by then. Chunk boundaries never change the joined text or the end.
///
/// `dialect`: the form of the reply, one of `DIALECTS`. `content_type` and `status`: the reply's
/// own, which tell an error page from an answer. `failure_tail` (dialect `text`): a literal that,
/// at the very end, means that the answer failed. `max_event_bytes`: of one event;
/// `max_body_bytes`: of a reply that is no stream, and of what `collect` keeps; beyond them the
/// reply is `failed`. Raises `InvalidRequestError` for an unknown dialect, a status outside 100 to
/// 999, or a limit that is not above 0.
///
/// Bytes of a peer never raise: `end` and `error` say what was wrong, once the text before it has
/// been returned.
#[pyclass(module = "tailrace")]
pub struct DeltaDecoder {
    deltas: tailrace_core::DeltaDecoder,
    /// `error` as Python was shown it: the same object every time.
    shown: Option<Py<PyAny>>,
    keeps_raw: bool,
}

#[pymethods]
impl DeltaDecoder {
    /// Make a decoder for one HTTP reply.
    #[new]
    #[pyo3(signature = (
        dialect = None, *, content_type = None, status = Whole::from(200), failure_tail = None,
        max_event_bytes = Whole::from(8_388_608), max_body_bytes = Whole::from(8_388_608),
    ))]
    #[pyo3(
        text_signature = "(dialect='openai', *, content_type=None, status=200, failure_tail=None, \
                             max_event_bytes=8388608, max_body_bytes=8388608)"
    )]
    fn new(
        py: Python<'_>,
        dialect: Option<&Bound<'_, PyString>>,
        content_type: Option<&Bound<'_, PyString>>,
        status: Whole,
        failure_tail: Option<&Bound<'_, PyString>>,
        max_event_bytes: Whole,
        max_body_bytes: Whole,
    ) -> PyResult<Self> {
        let (dialect, options) = settings(
            py,
            dialect,
            content_type,
            status,
            failure_tail,
            max_event_bytes,
            max_body_bytes,
        )?;
        Ok(Self { deltas: decoder_of(dialect, options), shown: None, keeps_raw: false })
    }

    /// Keep, from now on, what is no text: see `tool_calls`, `reasoning` and `refusal`.
    ///
    /// Called before the first bytes, it makes sure that nothing of a reply is lost to who reads
    /// its text alone. A reply with more than `max_body_bytes` of it is `failed`, kind `limit`.
    fn collect(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(slf.py(), "DeltaDecoder"))?;
        decoder.deltas.collect();
        Ok(())
    }

    /// Keep, from now on, the JSON of each event with the deltas that `feed_events` returns.
    ///
    /// It is their `raw`. An event that adds nothing, such as one with a finish reason or the usage,
    /// is a delta with an empty text then. Called before the first bytes; reading costs more.
    fn keep_raw(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(slf.py(), "DeltaDecoder"))?;
        decoder.keeps_raw = true;
        Ok(())
    }

    /// Return the text deltas that `data` completes, none of them empty.
    fn feed<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "DeltaDecoder"))?;
        let bytes = bytes_of(data)?;
        let mut sink = Strings::new(py);
        decoder.deltas.feed(&bytes, &mut sink);
        sink.into_list()
    }

    /// Return the text that `data` completes: the deltas of `feed`, joined.
    fn feed_text<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyString>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "DeltaDecoder"))?;
        let bytes = bytes_of(data)?;
        let mut sink = Joined::new(py, bytes.len() / BYTES_A_CHARACTER);
        decoder.deltas.feed(&bytes, &mut sink);
        sink.into_text()
    }

    /// Return the deltas of every kind that `data` completes, in order.
    ///
    /// The kinds are text, reasoning, refusals and pieces of tool calls.
    ///
    /// Calls of `feed`, `feed_text` and `feed_events` can be mixed; the first two do not return
    /// what is no text, which `collect` keeps. `at`: when the data was read, in nanoseconds of a
    /// clock that runs evenly; the deltas have it then, and the tokens that their event told.
    #[pyo3(signature = (data, at = None))]
    fn feed_events<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        at: Option<Whole>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "DeltaDecoder"))?;
        let bytes = bytes_of(data)?;
        if decoder.keeps_raw || at.is_some() {
            let mut sink = Told::new(py, decoder.keeps_raw, time(py, at)?);
            decoder.deltas.feed(&bytes, &mut sink);
            return sink.into_list();
        }
        let mut sink = Everything::new(py);
        decoder.deltas.feed(&bytes, &mut sink);
        sink.into_list()
    }

    /// End the reply and return the text deltas that were held back.
    ///
    /// `complete` is `False` when the transport broke.
    #[pyo3(signature = (*, complete = true))]
    fn close<'py>(slf: &Bound<'py, Self>, complete: bool) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "DeltaDecoder"))?;
        let mut sink = Strings::new(py);
        decoder.deltas.close(complete, &mut sink);
        sink.into_list()
    }

    /// End the reply as `close` does; return the deltas of every kind that were held back.
    ///
    /// `at` is that of `feed_events`.
    #[pyo3(signature = (*, complete = true, at = None))]
    fn close_events<'py>(
        slf: &Bound<'py, Self>,
        complete: bool,
        at: Option<Whole>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "DeltaDecoder"))?;
        if decoder.keeps_raw || at.is_some() {
            let mut sink = Told::new(py, decoder.keeps_raw, time(py, at)?);
            decoder.deltas.close(complete, &mut sink);
            return sink.into_list();
        }
        let mut sink = Everything::new(py);
        decoder.deltas.close(complete, &mut sink);
        sink.into_list()
    }

    // A raised error leads, by its traceback, to frames that hold this decoder: the collector must
    // see that circle.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.shown)
    }

    fn __clear__(&mut self) {
        self.shown = None;
    }

    /// Whether the dialect's end marker was seen: the `[DONE]` sentinel, or a named end event.
    #[getter]
    fn done(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(reading(slf)?.deltas.done())
    }

    /// The reply's dialect; of `auto`, `None` until an event or an object has told it.
    #[getter]
    fn dialect(slf: &Bound<'_, Self>) -> PyResult<Option<&'static str>> {
        Ok(reading(slf)?.deltas.dialect().map(Dialect::as_str))
    }

    /// How the reply ended; `open` until it has.
    ///
    /// `done`: with its end marker, or a whole body. `stopped`: with a finish reason and no marker.
    /// `truncated`: with neither. `failed`: with an error, or without an answer.
    #[getter]
    fn end(slf: &Bound<'_, Self>) -> PyResult<&'static str> {
        Ok(reading(slf)?.deltas.end().as_str())
    }

    /// How the reply's bytes are put together; `open` until the first of them have decided.
    ///
    /// `sse`: server-sent events; `ndjson`: a JSON object a line; `array`: a JSON array of objects;
    /// `json`: one JSON body; `text`: plain text.
    #[getter]
    fn framing(slf: &Bound<'_, Self>) -> PyResult<&'static str> {
        Ok(reading(slf)?.deltas.framing().as_str())
    }

    /// Why the model stopped, in the service's own word; `None` where that was not told.
    #[getter]
    fn finish_reason(slf: &Bound<'_, Self>) -> PyResult<Option<String>> {
        Ok(reading(slf)?.deltas.finish_reason().map(str::to_owned))
    }

    /// The token counts that the stream reported, later ones for earlier ones.
    ///
    /// `None` where it reported none.
    #[getter]
    fn usage(slf: &Bound<'_, Self>) -> PyResult<Option<Usage>> {
        Ok(reading(slf)?.deltas.usage().map(Usage::from))
    }

    /// The ids that the stream gave of itself, by name.
    ///
    /// The names are `thread_id`, `message_id`, `openai_response_id`, id and model.
    #[getter]
    fn ids<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        dict_of_ids(slf.py(), reading(slf)?.deltas.ids())
    }

    /// The nonce that the reply gives for later requests, of `ai-engine`; `None` without one.
    #[getter]
    fn new_token(slf: &Bound<'_, Self>) -> PyResult<Option<String>> {
        Ok(reading(slf)?.deltas.new_token().map(str::to_owned))
    }

    /// The tool calls that were collected, as far as they have come, in the order they began.
    ///
    /// Raises `InvalidRequestError` unless `collect` was called.
    #[getter]
    fn tool_calls<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let decoder = reading(slf)?;
        tool_calls(slf.py(), collected(slf.py(), &decoder)?)
    }

    /// The model's reasoning, or a summary of it, as collected; empty where there is none.
    ///
    /// Raises `InvalidRequestError` unless `collect` was called.
    #[getter]
    fn reasoning<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        let decoder = reading(slf)?;
        string(slf.py(), collected(slf.py(), &decoder)?.reasoning())
    }

    /// The blocks of the reasoning that the service signed or encrypted, as collected.
    ///
    /// They are to be sent back unchanged where a dialogue with tools goes on. Raises
    /// `InvalidRequestError` unless `collect` was called.
    #[getter]
    fn thinking_blocks<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let decoder = reading(slf)?;
        thinking_blocks(slf.py(), collected(slf.py(), &decoder)?)
    }

    /// The text by which the model refuses to answer, where the API keeps that apart.
    ///
    /// Raises `InvalidRequestError` unless `collect` was called.
    #[getter]
    fn refusal<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyString>> {
        let decoder = reading(slf)?;
        string(slf.py(), collected(slf.py(), &decoder)?.refusal())
    }

    /// The error that the reply ended with; `None` where there is none.
    ///
    /// Its `kind` says what was wrong, its `message` how; `raw` is what was received and not
    /// delivered. The object is the same every time.
    #[getter]
    fn error(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(py, "DeltaDecoder"))?;
        if decoder.shown.is_none() {
            decoder.shown = match decoder.deltas.error() {
                Some(error) => Some(stream_error(py, error)?.unbind()),
                None => None,
            };
        }
        Ok(decoder.shown.as_ref().map(|error| error.clone_ref(py)))
    }

    /// How many events were seen, end markers and bad ones included.
    #[getter]
    fn events(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(reading(slf)?.deltas.events())
    }

    /// What the reply holds that no delta is made of, and how much of it, by kind.
    ///
    /// The kinds are `citation`, `image`, `audio`, `file`, `server_tool` (calls of tools that run at
    /// the service, and their results), `choice` (answers beside the first) and `other` (types that
    /// are not known). Counted by `feed_events`, and by a decoder that was told to `collect`.
    #[getter]
    fn passed_over<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        passed_over(slf.py(), &reading(slf)?.deltas)
    }

    /// What the service wants to have back with the text, as collected; `None` where nothing.
    ///
    /// That is the signature of Gemini's thoughts. Raises `InvalidRequestError` unless `collect`
    /// was called.
    #[getter]
    fn text_signature(slf: &Bound<'_, Self>) -> PyResult<Option<String>> {
        let decoder = reading(slf)?;
        Ok(collected(slf.py(), &decoder)?.signature().map(str::to_owned))
    }

    /// How many events were skipped because their data was not what the dialect promises.
    #[getter]
    fn bad_events(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Ok(reading(slf)?.deltas.bad_events())
    }
}

impl DeltaDecoder {
    /// Gives what `data` completes to a sink that is no list of Python's.
    pub fn feed_to(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        sink: &mut impl DeltaSink,
    ) -> PyResult<()> {
        let mut decoder = slf.try_borrow_mut().map_err(|_| in_use(slf.py(), "DeltaDecoder"))?;
        decoder.deltas.feed(&bytes_of(data)?, sink);
        Ok(())
    }
}

/// A time in nanoseconds, as Python gives it.
pub fn time(py: Python<'_>, at: Option<Whole>) -> PyResult<Option<u64>> {
    at.map(|at| at.within(py, "at", "a number of nanoseconds of 0 or more", |_| true)).transpose()
}

/// The decoder to look at, unless it is being fed.
fn reading<'py>(slf: &Bound<'py, DeltaDecoder>) -> PyResult<PyRef<'py, DeltaDecoder>> {
    slf.try_borrow().map_err(|_| in_use(slf.py(), "DeltaDecoder"))
}

/// What a decoder collected.
fn collected<'d>(py: Python<'_>, decoder: &'d DeltaDecoder) -> PyResult<&'d Collected> {
    let nothing = "this decoder keeps text alone: call collect() before its first bytes";
    decoder.deltas.collected().ok_or_else(|| invalid(py, nothing))
}

/// The name that asks for the dialect which the reply itself tells.
pub const AUTO: &str = "auto";

/// A decoder of the dialect, or of the one that the reply tells.
pub fn decoder_of(dialect: Option<Dialect>, options: DeltaOptions) -> tailrace_core::DeltaDecoder {
    match dialect {
        Some(dialect) => tailrace_core::DeltaDecoder::new(dialect, options),
        None => tailrace_core::DeltaDecoder::detecting(options),
    }
}

/// The dialect, `None` for the one that the reply tells, and the options of a decoder, from what
/// Python says.
pub fn settings(
    py: Python<'_>,
    dialect: Option<&Bound<'_, PyString>>,
    content_type: Option<&Bound<'_, PyString>>,
    status: Whole,
    failure_tail: Option<&Bound<'_, PyString>>,
    max_event_bytes: Whole,
    max_body_bytes: Whole,
) -> PyResult<(Option<Dialect>, DeltaOptions)> {
    let name = dialect.map_or(Ok("openai".into()), text_of)?;
    let unknown =
        |unknown: UnknownDialect| invalid(py, &format!("{unknown}; {AUTO} finds out which it is"));
    let dialect = match &*name {
        AUTO => None,
        name => Some(name.parse().map_err(unknown)?),
    };
    let options = DeltaOptions {
        content_type: optional_text(content_type)?,
        status: status
            .within(py, "status", "an HTTP status", |status| (100..=999).contains(status))?,
        failure_tail: optional_text(failure_tail)?,
        max_event_bytes: limit(py, "max_event_bytes", max_event_bytes)?,
        max_body_bytes: limit(py, "max_body_bytes", max_body_bytes)?,
    };
    Ok((dialect, options))
}

/// What a reply holds that no delta is made of.
pub fn passed_over<'py>(
    py: Python<'py>,
    decoder: &tailrace_core::DeltaDecoder,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (kind, count) in decoder.passed_over() {
        dict.set_item(kind, count)?;
    }
    Ok(dict)
}

/// Names and values.
fn dict_of_ids<'py>(py: Python<'py>, ids: &Ids) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in ids.iter() {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}
