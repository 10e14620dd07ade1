//! Deltas in, the events of one chat completion or legacy completion out.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use tailrace_core::{
    ChunkEncoder as Chunks, ChunkFields, ChunkUsage, CompletionEncoder as Completions,
};

use super::relay::{Relayed, relayed};
use super::{pieces, written};
use crate::delta::DeltaDecoder;
use crate::input::{Whole, optional_text, text_of};
use crate::raise::in_use;

/// Makes the methods of a class that writes chunks, together with those of its own.
macro_rules! chunks {
    (impl $class:ident as $encoder:ident { $($methods:tt)* }) => {
        #[pymethods]
        impl $class {
            /// Prepare what all events of a stream share.
            ///
            /// `created` is in seconds since 1970; `include_usage` says that a usage chunk will
            /// follow.
            #[new]
            #[pyo3(signature = (*, id, created, model, system_fingerprint, include_usage = false))]
            fn new(
                py: Python<'_>,
                id: &Bound<'_, PyString>,
                created: Whole,
                model: &Bound<'_, PyString>,
                system_fingerprint: Option<&Bound<'_, PyString>>,
                include_usage: bool,
            ) -> PyResult<Self> {
                let (id, model) = (text_of(id)?, text_of(model)?);
                let fingerprint = optional_text(system_fingerprint)?;
                let created =
                    created.within(py, "created", "a number of seconds in 64 bits", |_| true)?;
                let mut fields = ChunkFields::new(&id, created, &model);
                fields.system_fingerprint = fingerprint.as_deref();
                fields.include_usage = include_usage;
                Ok(Self($encoder::new(&fields)))
            }

            $($methods)*

            /// Return one event for each text.
            fn deltas<'py>(
                slf: &Bound<'py, Self>,
                deltas: &Bound<'py, PyList>,
            ) -> PyResult<Bound<'py, PyBytes>> {
                let py = slf.py();
                let encoder = slf.try_borrow().map_err(|_| in_use(py, stringify!($class)))?;
                let Self(encoder) = &*encoder;
                let mut out = Vec::with_capacity(deltas.len() * (encoder.delta_bytes() + 16));
                for delta in deltas {
                    encoder.delta(&text_of(delta.cast::<PyString>()?)?, &mut out);
                }
                Ok(PyBytes::new(py, &out))
            }

            /// Return one event for each delta of any kind.
            ///
            /// Reasoning is `reasoning_content`, as most servers name it. Tool calls are numbered
            /// from 0 on, as they came; one that has no id gets one made of the stream's and its
            /// number. A delta's `logprobs` are those of the event's choice.
            fn events<'py>(
                slf: &Bound<'py, Self>,
                deltas: &Bound<'py, PyList>,
            ) -> PyResult<Bound<'py, PyBytes>> {
                let deltas = pieces(deltas)?;
                written(slf, |Self(encoder), out| {
                    out.reserve(deltas.len() * (encoder.delta_bytes() + 16));
                    for delta in &deltas {
                        let (py, delta) = (delta.py(), delta.get());
                        let logprobs = delta.logprobs(py)?;
                        delta.lend(py, |delta| match &logprobs {
                            None => encoder.event(delta, out),
                            Some(logprobs) => encoder.event_with_logprobs(delta, logprobs, out),
                        })?;
                    }
                    Ok(())
                })
            }

            /// Return the events of the deltas that `data` completes in `decoder`, and their numbers.
            ///
            /// As `events(decoder.feed_events(data))`, without an object for each delta; with it come how
            /// many deltas there were, and how many characters they have.
            fn relay<'py>(
                slf: &Bound<'py, Self>,
                decoder: &Bound<'py, DeltaDecoder>,
                data: &Bound<'py, PyAny>,
            ) -> PyResult<Relayed<'py>> {
                relayed(slf, decoder, data, |Self(encoder)| encoder)
            }

            /// Return a comment, which keeps the connection alive while there is nothing to tell.
            #[allow(clippy::unused_self)] // one object writes the whole stream
            fn keep_alive<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                PyBytes::new(py, $encoder::KEEP_ALIVE)
            }

            /// Return the event that says why the answer ends, in `OpenAI`'s word.
            ///
            /// `reason`: why the model stopped, in the word of whichever service. It is told as
            /// `finish_reason_of` says it of an answer that has the calls which were told. Before
            /// it, calls that have no arguments get `{}`, which is JSON, unless the answer was cut.
            #[pyo3(signature = (reason = None))]
            fn finish<'py>(
                slf: &Bound<'py, Self>,
                reason: Option<&Bound<'py, PyString>>,
            ) -> PyResult<Bound<'py, PyBytes>> {
                let reason = optional_text(reason)?;
                written(slf, |Self(encoder), out| {
                    encoder.finish(reason.as_deref(), out);
                    Ok(())
                })
            }

            /// Return the event with token counts and no choices.
            ///
            /// `total`: by the site's own count, their sum unless given; `cached` tokens of the
            /// prompt and `reasoning` tokens of the answer are told where they are given.
            /// `estimated` stands beside the counts as `usage_estimated`.
            #[pyo3(signature = (
                prompt, completion, *, total = None, cached = None, reasoning = None,
                estimated = true
            ))]
            #[allow(clippy::too_many_arguments)] // as many as there are counts
            fn usage<'py>(
                slf: &Bound<'py, Self>,
                prompt: Whole,
                completion: Whole,
                total: Option<Whole>,
                cached: Option<Whole>,
                reasoning: Option<Whole>,
                estimated: bool,
            ) -> PyResult<Bound<'py, PyBytes>> {
                let counts = [total, cached, reasoning];
                let usage = usage_of(slf.py(), prompt, completion, counts, estimated)?;
                written(slf, |Self(encoder), out| {
                    encoder.usage(&usage, out);
                    Ok(())
                })
            }

            /// Return the last event of a stream that ended well: the `[DONE]` sentinel.
            #[allow(clippy::unused_self)]
            fn done<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                PyBytes::new(py, $encoder::DONE)
            }

            /// Return the last event of a stream that failed: `OpenAI`'s error object.
            ///
            /// The object's `type` is `kind`.
            #[allow(clippy::unused_self)]
            #[pyo3(signature = (message, *, kind, param = None, code = None))]
            fn error<'py>(
                &self,
                message: &Bound<'py, PyString>,
                kind: &Bound<'py, PyString>,
                param: Option<&Bound<'py, PyString>>,
                code: Option<&Bound<'py, PyString>>,
            ) -> PyResult<Bound<'py, PyBytes>> {
                let (param, code) = (optional_text(param)?, optional_text(code)?);
                let (told, kind) = (text_of(message)?, text_of(kind)?);
                let mut out = Vec::new();
                $encoder::error(&told, &kind, param.as_deref(), code.as_deref(), &mut out);
                Ok(PyBytes::new(message.py(), &out))
            }
        }
    };
}

/// Deltas in, the events of one streamed chat completion out, as `OpenAI`'s clients read them.
///
/// Keeps which tool calls have begun, and nothing else.
///
/// Whatever a text holds, it stays within its JSON string and its line: control characters, U+2028
/// and U+2029 are escaped, so is `<`, and a lone surrogate is one U+FFFD.
#[pyclass(module = "tailrace")]
pub struct ChunkEncoder(Chunks);

chunks! {
impl ChunkEncoder as Chunks {
    /// Return the first event, which says who speaks.
    fn role<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        written(slf, |Self(encoder), out| {
            encoder.role(out);
            Ok(())
        })
    }
}
}

/// Deltas in, the events of one streamed legacy completion out, as `OpenAI`'s clients read them.
///
/// The wire knows text alone. A refusal is text; reasoning and tool calls stand beside an empty
/// text, under the names that they have in a chat completion's delta. Texts are escaped as
/// `ChunkEncoder` does.
#[pyclass(module = "tailrace")]
pub struct CompletionEncoder(Completions);

chunks! {
impl CompletionEncoder as Completions {}
}

/// The counts of a usage chunk; those that may be left out are the total, and the tokens that were
/// cached and that are reasoning.
fn usage_of(
    py: Python<'_>,
    prompt: Whole,
    completion: Whole,
    others: [Option<Whole>; 3],
    estimated: bool,
) -> PyResult<ChunkUsage> {
    let count = |name, tokens: Whole| {
        tokens.within::<u64>(py, name, "a number of tokens of 0 or more", |_| true)
    };
    let known = |name, tokens: Option<Whole>| tokens.map(|tokens| count(name, tokens)).transpose();
    let [total, cached, reasoning] = others;
    let mut usage = ChunkUsage::new(count("prompt", prompt)?, count("completion", completion)?);
    usage.total = known("total", total)?;
    usage.cached = known("cached", cached)?;
    usage.reasoning = known("reasoning", reasoning)?;
    usage.estimated = estimated;
    Ok(usage)
}
