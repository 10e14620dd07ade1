//! Deltas in, the events of one message of Anthropic's API out, or the whole of it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use tailrace_core::{Delta, MessageEncoder as Encoder, MessageFields};

use super::relay::{Relayed, relayed};
use super::{ending_of, failure_of, pieces, state_of, texts, written};
use crate::delta::{DeltaDecoder, Usage};
use crate::input::{Whole, limit, optional_text, text_of};

/// Deltas in, the events of one streamed message out, as Anthropic's clients read them.
///
/// Or the whole message. A refusal is text, and the stop reason `refusal`; thinking has the
/// signature that its service gave, else an empty one. Of the blocks one is open at a time: a tool call's begins with its arguments, and is
/// over when they are whole JSON and something else comes; one without arguments is told at the
/// end. Texts are escaped as `ChunkEncoder` does.
///
/// What comes while a tool call is not over is held until then, up to `max_kept_bytes`: beyond it
/// the message is failed, by an event that says so, and `failure` tells it too. What comes behind
/// an end gives no bytes.
#[pyclass(module = "tailrace")]
pub struct MessageEncoder(Encoder);

#[pymethods]
impl MessageEncoder {
    /// Prepare what the message says of itself.
    ///
    /// `InvalidRequestError` for a limit that is not above 0.
    #[new]
    #[pyo3(signature = (*, id, model, max_kept_bytes = Whole::from(8_388_608)))]
    #[pyo3(text_signature = "(*, id, model, max_kept_bytes=8388608)")]
    fn new(
        py: Python<'_>,
        id: &Bound<'_, PyString>,
        model: &Bound<'_, PyString>,
        max_kept_bytes: Whole,
    ) -> PyResult<Self> {
        let (id, model) = (text_of(id)?, text_of(model)?);
        let mut fields = MessageFields::new(&id, &model);
        fields.max_kept_bytes = limit(py, "max_kept_bytes", max_kept_bytes)?;
        Ok(Self(Encoder::new(&fields)))
    }

    /// Return the first event, which tells how many tokens the request has.
    #[pyo3(signature = (input_tokens = Whole::from(0)))]
    #[pyo3(text_signature = "($self, input_tokens=0)")]
    fn start<'py>(slf: &Bound<'py, Self>, input_tokens: Whole) -> PyResult<Bound<'py, PyBytes>> {
        let tokens = input_tokens.within(
            slf.py(),
            "input_tokens",
            "a number of tokens of 0 or more",
            |_| true,
        )?;
        written(slf, |Self(encoder), out| {
            encoder.start(tokens, out);
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
    /// A call that has no id gets one made of the message's and its number. The wire knows no
    /// `logprobs`.
    fn events<'py>(
        slf: &Bound<'py, Self>,
        deltas: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let deltas = pieces(deltas)?;
        written(slf, |Self(encoder), out| {
            for delta in &deltas {
                delta.get().lend(delta.py(), |delta| encoder.event(delta, out))?;
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

    /// Return a `ping`, which keeps the connection alive while there is nothing to tell.
    #[allow(clippy::unused_self)] // one object writes the whole stream
    fn keep_alive<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, Encoder::KEEP_ALIVE)
    }

    /// Return the events that end the answer: its stop reason and usage, and `message_stop`.
    ///
    /// `reason`: why the model stopped, in the word of whichever service; one that the API itself
    /// has is told as it is. Where it means a plain end, a refusal or a tool call in the answer is
    /// the reason. `stop_sequence`: the one that the answer ran into, which is the reason then.
    /// `usage`: its token counts; `estimated` stands beside them as `usage_estimated`.
    #[pyo3(signature = (
        reason = None, usage = None, *, stop_sequence = None, estimated = false
    ))]
    fn finish<'py>(
        slf: &Bound<'py, Self>,
        reason: Option<&Bound<'py, PyString>>,
        usage: Option<&Bound<'py, Usage>>,
        stop_sequence: Option<&Bound<'py, PyString>>,
        estimated: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (reason, stop) = (optional_text(reason)?, optional_text(stop_sequence)?);
        let mut ending = ending_of(reason.as_deref(), usage, estimated);
        ending.stop_sequence = stop.as_deref();
        written(slf, |Self(encoder), out| {
            encoder.finish(&ending, out);
            Ok(())
        })
    }

    /// Return the last event of a message that failed.
    ///
    /// The error's type is `kind` where the API has it, else `api_error`. `param` and `code`, which
    /// it does not have, stand beside the message where they are given.
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

    /// Return the whole message of an answer that has these deltas, as JSON.
    ///
    /// Arguments of a call that are no JSON object are told as text, in a member `INVALID_JSON`.
    /// The other arguments are those of `finish`. Nothing of a stream is in it.
    #[pyo3(signature = (
        deltas, reason = None, usage = None, *, stop_sequence = None, estimated = false
    ))]
    fn whole<'py>(
        slf: &Bound<'py, Self>,
        deltas: &Bound<'py, PyList>,
        reason: Option<&Bound<'py, PyString>>,
        usage: Option<&Bound<'py, Usage>>,
        stop_sequence: Option<&Bound<'py, PyString>>,
        estimated: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (reason, stop) = (optional_text(reason)?, optional_text(stop_sequence)?);
        let deltas = pieces(deltas)?;
        let mut ending = ending_of(reason.as_deref(), usage, estimated);
        ending.stop_sequence = stop.as_deref();
        written(slf, |Self(encoder), out| {
            let mut whole = encoder.whole();
            for delta in &deltas {
                delta.get().lend(delta.py(), |delta| whole.add(delta))?;
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
