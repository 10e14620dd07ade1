//! Deltas in, the events of one response out, or the whole of it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use tailrace_core::{Delta, ResponseEncoder as Encoder, ResponseFields};

use super::relay::{Relayed, relayed};
use super::{ending_of, failure_of, pieces, state_of, texts, written};
use crate::delta::{DeltaDecoder, Usage};
use crate::input::{Whole, bytes_of, limit, optional_text, text_of};
use crate::raise::invalid;

/// Deltas in, the events of one streamed response out, as `OpenAI`'s clients read them.
///
/// Or the whole response. Reasoning is told as a summary of it, a refusal as a part of the message;
/// a tool call's item begins with its arguments, and is over when they are whole JSON and something
/// else comes; one without arguments is told at the end. Texts are escaped as `ChunkEncoder` does.
///
/// Because the last events tell all of the answer again, it is kept, up to `max_kept_bytes`: beyond
/// it the response is failed, by an event that says so, and `failure` tells it too. What comes
/// behind an end gives no bytes.
#[pyclass(module = "tailrace")]
pub struct ResponseEncoder(Encoder);

#[pymethods]
impl ResponseEncoder {
    /// Prepare what the response says of itself.
    ///
    /// `created_at` is in seconds since 1970. `request`: the request as JSON; what a response
    /// repeats of one (instructions, metadata, text, tools, `tool_choice`, temperature, ...) is
    /// taken from it, and has its default where it is not there. `InvalidRequestError` when it is
    /// no JSON object, or for a limit that is not above 0.
    #[new]
    #[pyo3(signature = (
        *, id, created_at, model, request = None, max_kept_bytes = Whole::from(8_388_608)
    ))]
    #[pyo3(text_signature = "(*, id, created_at, model, request=b'{}', max_kept_bytes=8388608)")]
    fn new(
        py: Python<'_>,
        id: &Bound<'_, PyString>,
        created_at: Whole,
        model: &Bound<'_, PyString>,
        request: Option<&Bound<'_, PyAny>>,
        max_kept_bytes: Whole,
    ) -> PyResult<Self> {
        let (id, model) = (text_of(id)?, text_of(model)?);
        let created_at =
            created_at.within(py, "created_at", "a number of seconds in 64 bits", |_| true)?;
        let request = request.map(bytes_of).transpose()?;
        let refused = |problem: String| invalid(py, &format!("request is refused: {problem}"));
        let mut fields = ResponseFields::new(&id, created_at, &model);
        if let Some(request) = &request {
            fields.request =
                std::str::from_utf8(request).map_err(|error| refused(error.to_string()))?;
        }
        fields.max_kept_bytes = limit(py, "max_kept_bytes", max_kept_bytes)?;
        Encoder::new(&fields).map(Self).map_err(|error| refused(error.to_string()))
    }

    /// Return the first events, which say that the response is there and under way.
    fn start<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        written(slf, |Self(encoder), out| {
            encoder.start(out);
            Ok(())
        })
    }

    /// Return the events of some texts.
    fn deltas<'py>(
        slf: &Bound<'py, Self>,
        deltas: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let deltas = texts(deltas)?;
        written(slf, |Self(encoder), out| {
            for delta in &deltas {
                encoder.event(Delta::Text(&text_of(delta)?), out);
            }
            Ok(())
        })
    }

    /// Return the events of some deltas of any kind.
    ///
    /// Pieces of a call that come while another is not over are held until it is. A call that has
    /// no id gets one made of the response's and its number. The wire tells the `logprobs` of a text
    /// alone: those of an empty one are told with the next.
    fn events<'py>(
        slf: &Bound<'py, Self>,
        deltas: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let deltas = pieces(deltas)?;
        written(slf, |Self(encoder), out| {
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
        PyBytes::new(py, Encoder::KEEP_ALIVE)
    }

    /// Return the events that end the answer; the last one is `response.completed` or .incomplete.
    ///
    /// `reason`: why the model stopped, in the word of whichever service: of one that means a cut
    /// or a filter the response is incomplete. `usage`: its token counts; what they leave out is 0.
    /// `estimated` stands beside them as `usage_estimated`.
    #[pyo3(signature = (reason = None, usage = None, *, estimated = false))]
    fn finish<'py>(
        slf: &Bound<'py, Self>,
        reason: Option<&Bound<'py, PyString>>,
        usage: Option<&Bound<'py, Usage>>,
        estimated: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let reason = optional_text(reason)?;
        let ending = ending_of(reason.as_deref(), usage, estimated);
        written(slf, |Self(encoder), out| {
            encoder.finish(&ending, out);
            Ok(())
        })
    }

    /// Return the last event of a response that failed, with the answer that came before.
    ///
    /// The error's code is `code`, else by `kind`, its type, `rate_limit_exceeded` or
    /// `server_error`.
    #[pyo3(signature = (message, *, kind, param = None, code = None))]
    fn error<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyString>,
        kind: &Bound<'py, PyString>,
        param: Option<&Bound<'py, PyString>>,
        code: Option<&Bound<'py, PyString>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (message, kind) = (text_of(message)?, text_of(kind)?);
        let (param, code) = (optional_text(param)?, optional_text(code)?);
        written(slf, |Self(encoder), out| {
            encoder.error(&message, &kind, param.as_deref(), code.as_deref(), out);
            Ok(())
        })
    }

    /// Return the whole response of an answer that has these deltas, as JSON.
    ///
    /// The other arguments are those of `finish`. Nothing of a stream is in it.
    #[pyo3(signature = (deltas, reason = None, usage = None, *, estimated = false))]
    fn whole<'py>(
        slf: &Bound<'py, Self>,
        deltas: &Bound<'py, PyList>,
        reason: Option<&Bound<'py, PyString>>,
        usage: Option<&Bound<'py, Usage>>,
        estimated: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let reason = optional_text(reason)?;
        let deltas = pieces(deltas)?;
        let ending = ending_of(reason.as_deref(), usage, estimated);
        written(slf, |Self(encoder), out| {
            let mut whole = encoder.whole();
            for delta in &deltas {
                let (py, delta) = (delta.py(), delta.get());
                let logprobs = delta.logprobs(py)?;
                delta.lend(py, |delta| match &logprobs {
                    None => whole.add(delta),
                    Some(logprobs) => whole.add_with_logprobs(delta, logprobs),
                })?;
            }
            whole.write(&ending, out);
            Ok(())
        })
    }

    /// How the stream stands: `done` when its end was told, `failed` when an error was.
    #[getter]
    fn state(slf: &Bound<'_, Self>) -> PyResult<&'static str> {
        state_of(slf, |Self(encoder)| encoder.state())
    }

    /// Why the encoder itself ended the stream as failed; `None` where it did not.
    ///
    /// Its kind is `limit` where more than `max_kept_bytes` would have to be kept, and `upstream`
    /// where a tool call goes on behind its whole arguments.
    #[getter]
    fn failure<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        failure_of(slf, |Self(encoder)| encoder.failure())
    }
}
