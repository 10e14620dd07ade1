//! The fields of an event in, deltas for the caller's sink and the reply's state out.

use crate::json::Text;
use crate::prelude::*;

use super::DeltaSink;
use super::reply::ReplyState;
use super::tool_call::CallPiece;

/// Where a dialect puts what an event or a body holds.
///
/// Deltas that a sink does not want are not even decoded: see [`DeltaSink::wants_everything`].
pub(super) struct Output<'o, S: ?Sized> {
    /// The state that the reply is in.
    pub(super) reply: &'o mut ReplyState,
    /// Where deltas go.
    pub(super) sink: &'o mut S,
    /// Where texts with escapes are decoded.
    pub(super) scratch: &'o mut Vec<u8>,
}

impl<S: DeltaSink + ?Sized> Output<'_, S> {
    /// Delivers text of the answer; an empty one is none.
    #[inline]
    pub(super) fn text(&mut self, text: Text<'_>) {
        self.reply.deliver(text.decode_with(self.scratch), self.sink);
    }

    /// Delivers reasoning, where it is wanted. `text` must not be empty.
    pub(super) fn reasoning(&mut self, text: Text<'_>) {
        if self.sink.wants_everything() {
            self.sink.reasoning(text.decode_with(self.scratch));
        }
    }

    /// Delivers a refusal, where it is wanted. `text` must not be empty.
    pub(super) fn refusal(&mut self, text: Text<'_>) {
        if self.sink.wants_everything() {
            self.sink.refusal(text.decode_with(self.scratch));
        }
    }

    /// Delivers a piece of a tool call, where it is wanted.
    pub(super) fn tool_call(&mut self, piece: &CallPiece<'_>) {
        if self.sink.wants_everything() {
            piece.deliver(self.sink);
        }
    }
}
