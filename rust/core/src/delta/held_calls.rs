//! Tool calls as they begin in, the same calls out once it is known whether their arguments come
//! again.

use crate::json::Text;
use crate::limits::MAX_EVENT_BYTES;
use crate::prelude::*;

use super::DeltaSink;
use super::fields::is_truthy;
use super::output::Output;
use super::tool_call::{Arguments, CallPiece, KNOWN_CALLS};

/// Bytes of arguments that are held at most, of all calls together.
const HELD_BYTES: usize = MAX_EVENT_BYTES;

/// Calls that began with arguments, while it is not known whether the pieces that follow say them
/// again.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldCalls {
    calls: Vec<HeldCall>,
    bytes: usize,
}

/// A call as it began; its texts are as they were written.
#[derive(Debug, Clone)]
struct HeldCall {
    index: Option<u64>,
    id: Option<Box<str>>,
    name: Option<Box<str>>,
    arguments: Box<str>,
    /// Whether the arguments are the inside of a string.
    is_text: bool,
}

impl HeldCalls {
    /// Holds the call that a piece begins; delivered is one that has no arguments.
    pub(super) fn hold<S: DeltaSink + ?Sized>(
        &mut self,
        piece: &CallPiece<'_>,
        output: &mut Output<'_, S>,
    ) {
        let (arguments, is_text) = match piece.arguments {
            Arguments::Text(text) if !text.is_empty() => (text.raw(), true),
            Arguments::Raw(raw) if is_truthy(raw) => (raw, false),
            _ => {
                let arguments = Arguments::None;
                return output.tool_call(&CallPiece { arguments, ..*piece });
            }
        };
        if self.calls.len() == KNOWN_CALLS || arguments.len() > HELD_BYTES - self.bytes {
            self.release(output);
        }
        self.bytes = (self.bytes + arguments.len()).min(HELD_BYTES);
        self.calls.push(HeldCall {
            index: piece.index,
            id: piece.id.map(|id| id.raw().into()),
            name: piece.name.map(|name| name.raw().into()),
            arguments: arguments.into(),
            is_text,
        });
    }

    /// Delivers the call of this index, if it is held: with its arguments when it `is_whole`, else
    /// without, as they come again.
    pub(super) fn deliver<S: DeltaSink + ?Sized>(
        &mut self,
        index: Option<u64>,
        is_whole: bool,
        output: &mut Output<'_, S>,
    ) {
        if let Some(at) = self.calls.iter().position(|call| call.index == index) {
            let call = self.calls.remove(at);
            self.bytes = self.bytes.saturating_sub(call.arguments.len());
            call.deliver(is_whole, output);
        }
    }

    /// Delivers all that are held, with their arguments.
    pub(super) fn release<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
        self.bytes = 0;
        for call in std::mem::take(&mut self.calls) {
            call.deliver(true, output);
        }
    }
}

impl HeldCall {
    fn deliver<S: DeltaSink + ?Sized>(&self, is_whole: bool, output: &mut Output<'_, S>) {
        let [id, name] = [&self.id, &self.name].map(|raw| raw.as_deref().map(Text::of_raw));
        let arguments = match (is_whole, self.is_text) {
            (false, _) => Arguments::None,
            (true, true) => Arguments::Text(Text::of_raw(&self.arguments)),
            (true, false) => Arguments::Raw(&self.arguments),
        };
        output.tool_call(&CallPiece {
            index: self.index,
            id,
            name,
            arguments,
            ..CallPiece::default()
        });
    }
}
