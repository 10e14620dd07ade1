//! Pieces of what is no text in, the whole of it out: the reasoning, the refusal and the tool calls
//! of a reply. Text is never kept.

use std::ops::Range;

use crate::limits::{Limit, LimitExceeded};
use crate::prelude::*;

use super::tool_call::KNOWN_CALLS;
use super::{DeltaSink, Seal, ToolCall};

/// What a reply holds besides text, as far as it has come: see
/// [`DeltaDecoder::collect`](super::DeltaDecoder::collect).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    reasoning: String,
    refusal: String,
    tool_calls: Vec<CollectedCall>,
    thinking: Vec<Thinking>,
    signature: Option<String>,
    /// Bytes of all that, of which there is a limit.
    bytes: usize,
}

/// A block of reasoning as services that sign it want it back, unchanged, where a dialogue goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThinkingBlock<'a> {
    /// Reasoning that is shown, or is not and so empty, and its signature.
    Signed {
        /// The reasoning.
        thinking: &'a str,
        /// The signature by which the service knows it again.
        signature: &'a str,
    },
    /// Reasoning that is told in a form which only the service can read.
    Redacted {
        /// The reasoning, encrypted.
        data: &'a str,
    },
    /// Reasoning that is shown, or is not and so empty, and the form of it that only the service can
    /// read.
    Encrypted {
        /// The id of the item that it is; empty where the service gives none.
        id: &'a str,
        /// The reasoning, or a summary of it.
        thinking: &'a str,
        /// The reasoning, encrypted.
        data: &'a str,
    },
}

/// A block of reasoning: the bytes of the reasoning that it is, and what came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thinking {
    shown: Range<usize>,
    id: String,
    sealed: String,
    kind: Sealed,
}

/// What a service gives for what it said to be known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    /// The signature of the reasoning.
    Signature,
    /// Reasoning, encrypted.
    Redacted,
    /// The reasoning that was told, encrypted.
    Encrypted,
    /// The signature of the text.
    Text,
}

/// A tool call, put together from its pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CollectedCall {
    /// The number of the call, as the API numbers the reply's calls: not always from 0 on. `None`
    /// where the API has one call only.
    pub index: Option<u64>,
    /// The id by which the call is to be answered, where the server gives one.
    pub id: Option<String>,
    /// The tool's name; empty where the server gives none.
    pub name: String,
    /// The arguments as the model wrote them: JSON, for nearly all tools.
    pub arguments: String,
    /// What the service wants to have back with the call where the dialogue goes on.
    pub signature: Option<String>,
}

impl Collected {
    /// The model's reasoning, or a summary of that.
    pub fn reasoning(&self) -> &str {
        &self.reasoning
    }

    /// The text by which the model refuses to answer, where the API keeps that apart.
    pub fn refusal(&self) -> &str {
        &self.refusal
    }

    /// The tool calls, in the order in which they began.
    pub fn tool_calls(&self) -> &[CollectedCall] {
        &self.tool_calls
    }

    /// The blocks of the reasoning that are signed or encrypted, in the order in which they came.
    pub fn thinking_blocks(&self) -> impl Iterator<Item = ThinkingBlock<'_>> {
        self.thinking.iter().map(|Thinking { shown, id, sealed, kind }| {
            let thinking = self.reasoning.get(shown.clone()).unwrap_or_default();
            match kind {
                Sealed::Encrypted => ThinkingBlock::Encrypted { id, thinking, data: sealed },
                Sealed::Redacted => ThinkingBlock::Redacted { data: sealed },
                _ => ThinkingBlock::Signed { thinking, signature: sealed },
            }
        })
    }

    /// The signature of the text, which the service wants back with it; the last one where there are
    /// several.
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Ends a block of the reasoning, or of the text.
    fn seal(&mut self, seal: Seal<'_>) {
        let (kind, id, sealed) = match seal {
            Seal::Text(signature) => return self.signature = Some(signature.to_owned()),
            Seal::Signature(signature) => (Sealed::Signature, "", signature),
            Seal::Redacted(data) => (Sealed::Redacted, "", data),
            Seal::Encrypted { id, data } => (Sealed::Encrypted, id, data),
        };
        let start = self.thinking.last().map_or(0, |block| block.shown.end);
        let end = if kind == Sealed::Redacted { start } else { self.reasoning.len() };
        let [id, sealed] = [id, sealed].map(ToOwned::to_owned);
        self.thinking.push(Thinking { shown: start..end, id, sealed, kind });
    }

    /// The call of that number, unless none is open: a piece belongs to one of as many calls as the
    /// decoder remembers, among which each has its number alone.
    fn position(&self, index: Option<u64>) -> Option<usize> {
        let open = self.tool_calls.len().saturating_sub(KNOWN_CALLS);
        let known = self.tool_calls[open..].iter().rposition(|call| call.index == index)?;
        Some(open + known)
    }

    /// Adds a piece to the call at that position, or else to a new one.
    fn add(&mut self, position: Option<usize>, piece: ToolCall<'_>) {
        let at = position.unwrap_or_else(|| {
            self.tool_calls.push(CollectedCall { index: piece.index, ..CollectedCall::default() });
            self.tool_calls.len() - 1
        });
        let call = &mut self.tool_calls[at];
        if call.id.is_none() {
            call.id = piece.id.map(ToOwned::to_owned);
        }
        if call.name.is_empty() {
            call.name.push_str(piece.name.unwrap_or_default());
        }
        call.arguments.push_str(piece.arguments);
        if call.signature.is_none() {
            call.signature = piece.signature.map(ToOwned::to_owned);
        }
    }
}

/// What is collected of a reply, and how much that may be.
#[derive(Debug, Clone)]
pub(super) struct Collecting {
    /// `None` until something came: nothing is allocated for a reply that is all text.
    collected: Option<Box<Collected>>,
    max_bytes: usize,
    is_full: bool,
}

impl Collecting {
    /// Collects at most `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { collected: None, max_bytes, is_full: false }
    }

    pub(super) fn collected(&self) -> &Collected {
        static NOTHING: Collected = Collected {
            reasoning: String::new(),
            refusal: String::new(),
            tool_calls: Vec::new(),
            thinking: Vec::new(),
            signature: None,
            bytes: 0,
        };
        self.collected.as_deref().unwrap_or(&NOTHING)
    }

    /// Tells whether the limit has been passed.
    pub(super) fn check(&self) -> Result<(), LimitExceeded> {
        if self.is_full {
            return Err(LimitExceeded { limit: Limit::Collected, bytes: self.max_bytes });
        }
        Ok(())
    }

    /// Ends a block of the reasoning, or of the text, with what came for it to be known again.
    fn seal(&mut self, seal: Seal<'_>) {
        let bytes = match seal {
            Seal::Signature(text) | Seal::Redacted(text) | Seal::Text(text) => text.len(),
            Seal::Encrypted { id, data } => id.len() + data.len(),
        };
        if let Some(collected) = self.room_for(size_of::<Thinking>() + bytes) {
            collected.seal(seal);
        }
    }

    fn add(&mut self, piece: ToolCall<'_>) {
        let position = self.collected().position(piece.index);
        // Calls are counted, too, for their texts may be empty.
        let own = if position.is_none() { size_of::<CollectedCall>() } else { 0 };
        let texts = [piece.id, piece.name, piece.signature, Some(piece.arguments)];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        if let Some(collected) = self.room_for(own + texts) {
            collected.add(position, piece);
        }
    }

    /// Where so many more bytes go; `None` where there is no room for them, nor for any later ones.
    fn room_for(&mut self, bytes: usize) -> Option<&mut Collected> {
        let collected = self.collected.get_or_insert_default();
        self.is_full |= bytes > self.max_bytes - collected.bytes;
        if self.is_full {
            return None;
        }
        collected.bytes += bytes;
        Some(collected)
    }
}

/// A sink whose deltas are collected, too, where that is asked for.
pub(super) struct Keeping<'s, S: ?Sized> {
    pub(super) collecting: Option<&'s mut Collecting>,
    pub(super) sink: &'s mut S,
}

impl<S: DeltaSink + ?Sized> DeltaSink for Keeping<'_, S> {
    fn text(&mut self, delta: &str) {
        self.sink.text(delta);
    }

    fn wants_everything(&self) -> bool {
        self.collecting.is_some() || self.sink.wants_everything()
    }

    fn reasoning(&mut self, delta: &str) {
        if let Some(collected) = room(&mut self.collecting, delta.len()) {
            collected.reasoning.push_str(delta);
        }
        self.sink.reasoning(delta);
    }

    fn refusal(&mut self, delta: &str) {
        if let Some(collected) = room(&mut self.collecting, delta.len()) {
            collected.refusal.push_str(delta);
        }
        self.sink.refusal(delta);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        if let Some(collecting) = &mut self.collecting {
            collecting.add(piece);
        }
        self.sink.tool_call(piece);
    }

    fn seal(&mut self, seal: Seal<'_>) {
        if let Some(collecting) = &mut self.collecting {
            collecting.seal(seal);
        }
        self.sink.seal(seal);
    }
}

fn room<'c>(
    collecting: &'c mut Option<&mut Collecting>,
    bytes: usize,
) -> Option<&'c mut Collected> {
    collecting.as_mut()?.room_for(bytes)
}
