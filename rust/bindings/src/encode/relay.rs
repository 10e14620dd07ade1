//! A reply's bytes in, the events of a wire out: no delta becomes an object in between.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::False;
use pyo3::types::PyBytes;
use tailrace_core::{
    ChunkEncoder, CompletionEncoder, Delta, DeltaSink, Logprobs, MessageEncoder, ResponseEncoder,
    Seal, ToolCall,
};

use crate::delta::DeltaDecoder;
use crate::raise::in_use;

/// What `relay` returns: the events, how many deltas are in them, and their characters.
pub type Relayed<'py> = (Bound<'py, PyBytes>, usize, usize);

/// The events of the deltas that `data` completes.
pub fn relayed<'py, T: PyClass<Frozen = False>, W: Wire + 'static>(
    slf: &Bound<'py, T>,
    decoder: &Bound<'py, DeltaDecoder>,
    data: &Bound<'py, PyAny>,
    wire: impl FnOnce(&mut T) -> &mut W,
) -> PyResult<Relayed<'py>> {
    let py = slf.py();
    let mut encoder = slf.try_borrow_mut().map_err(|_| in_use(py, T::NAME))?;
    let mut relay = Relay { wire: wire(&mut encoder), out: Vec::new(), deltas: 0, characters: 0 };
    DeltaDecoder::feed_to(decoder, data, &mut relay)?;
    Ok((PyBytes::new(py, &relay.out), relay.deltas, relay.characters))
}

/// A core's encoder of one wire.
pub trait Wire {
    /// Appends the events of one delta.
    fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>);

    /// Appends the events of one delta with the log probabilities of its tokens.
    fn event_with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs, out: &mut Vec<u8>);
}

/// Makes wires of encoders that know log probabilities.
macro_rules! wires {
    ($($encoder:ty),*) => {$(
        impl Wire for $encoder {
            fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
                self.event(delta, out);
            }

            fn event_with_logprobs(
                &mut self,
                delta: Delta<'_>,
                logprobs: &Logprobs,
                out: &mut Vec<u8>,
            ) {
                self.event_with_logprobs(delta, logprobs, out);
            }
        }
    )*};
}

wires!(ChunkEncoder, CompletionEncoder, ResponseEncoder);

impl Wire for MessageEncoder {
    fn event(&mut self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.event(delta, out);
    }

    fn event_with_logprobs(&mut self, delta: Delta<'_>, _: &Logprobs, out: &mut Vec<u8>) {
        self.event(delta, out);
    }
}

/// Each delta of every kind becomes events of a wire.
struct Relay<'w> {
    wire: &'w mut dyn Wire,
    out: Vec<u8>,
    deltas: usize,
    characters: usize,
}

impl Relay<'_> {
    fn count(&mut self, delta: Delta<'_>) {
        self.deltas += 1;
        self.characters += match delta {
            Delta::Text(text) | Delta::Reasoning(text) | Delta::Refusal(text) => text,
            Delta::ToolCall(ToolCall { arguments, .. }) => arguments,
            _ => "",
        }
        .chars()
        .count();
    }

    fn add(&mut self, delta: Delta<'_>) {
        self.count(delta);
        self.wire.event(delta, &mut self.out);
    }
}

impl DeltaSink for Relay<'_> {
    fn text(&mut self, text: &str) {
        self.add(Delta::Text(text));
    }

    fn reasoning(&mut self, text: &str) {
        self.add(Delta::Reasoning(text));
    }

    fn refusal(&mut self, text: &str) {
        self.add(Delta::Refusal(text));
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.add(Delta::ToolCall(piece));
    }

    fn seal(&mut self, seal: Seal<'_>) {
        self.add(Delta::Seal(seal));
    }

    fn with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        self.count(delta);
        self.wire.event_with_logprobs(delta, logprobs, &mut self.out);
    }
}
