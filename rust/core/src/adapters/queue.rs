//! Deltas in, the same out one by one.
//!
//! Short texts wait in one buffer, and get memory of their own when they are handed out: mostly
//! what the one before has just given back.

use alloc::collections::VecDeque;

use crate::delta::{Delta, DeltaKind, DeltaSink, Logprobs, OwnedDelta, Seal, ToolCall};
use crate::limits::KEPT_BYTES;
use crate::prelude::*;

/// Bytes of a text from which on it is not copied once more.
const LONG: usize = 256;

/// Deltas that there stays room for while none wait.
const KEPT_DELTAS: usize = 512;

/// Deltas that wait to be handed out.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    /// Of those the number that are handed out.
    taken: usize,
    /// The short texts, and the bytes of them that are handed out.
    texts: String,
    read: usize,
    others: VecDeque<OwnedDelta>,
}

/// A delta that waits: a text of so many bytes, or the next one that is kept whole.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    Text(usize),
    Reasoning(usize),
    Refusal(usize),
    Other,
}

impl Queue {
    /// Takes the delta that has waited longest.
    pub(super) fn pop(&mut self) -> Option<OwnedDelta> {
        let waiting = *self.waiting.get(self.taken)?;
        self.taken += 1;
        let delta = match waiting {
            Waiting::Text(length) => OwnedDelta::of(DeltaKind::Text(self.take(length))),
            Waiting::Reasoning(length) => OwnedDelta::of(DeltaKind::Reasoning(self.take(length))),
            Waiting::Refusal(length) => OwnedDelta::of(DeltaKind::Refusal(self.take(length))),
            Waiting::Other => self.others.pop_front()?,
        };
        if self.taken == self.waiting.len() {
            self.rest();
        }
        Some(delta)
    }

    fn take(&mut self, length: usize) -> String {
        let start = self.read;
        self.read += length;
        self.texts.get(start..self.read).unwrap_or_default().to_owned()
    }

    /// Begins anew, as nothing waits.
    fn rest(&mut self) {
        (self.taken, self.read) = (0, 0);
        self.waiting.clear();
        self.texts.clear();
        if self.waiting.capacity() > KEPT_DELTAS {
            (self.waiting, self.others) = (Vec::new(), VecDeque::new());
        }
        if self.texts.capacity() > KEPT_BYTES {
            self.texts = String::new();
        }
    }

    fn push_text(&mut self, delta: Delta<'_>, text: &str, waiting: fn(usize) -> Waiting) {
        if text.len() < LONG {
            self.texts.push_str(text);
            self.waiting.push(waiting(text.len()));
        } else {
            self.push(delta.into());
        }
    }

    fn push(&mut self, delta: OwnedDelta) {
        self.others.push_back(delta);
        self.waiting.push(Waiting::Other);
    }
}

impl DeltaSink for Queue {
    fn text(&mut self, delta: &str) {
        self.push_text(Delta::Text(delta), delta, Waiting::Text);
    }

    fn reasoning(&mut self, delta: &str) {
        self.push_text(Delta::Reasoning(delta), delta, Waiting::Reasoning);
    }

    fn refusal(&mut self, delta: &str) {
        self.push_text(Delta::Refusal(delta), delta, Waiting::Refusal);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.push(Delta::ToolCall(piece).into());
    }

    fn seal(&mut self, seal: Seal<'_>) {
        self.push(Delta::Seal(seal).into());
    }

    fn with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        self.push(OwnedDelta::with_logprobs(delta, logprobs));
    }
}
