//! Deltas in any order in, blocks one after the other out: of those that a wire tells one is open
//! at a time, and none is opened again.
//!
//! Servers mix the pieces of calls that run side by side, and some name a call late. So a call is
//! over when its arguments are whole JSON and something else comes; what comes before that is held.
//! A call begins when its name and some of its arguments are known, so that one without arguments
//! holds nothing back. At the end all of it is told.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;

use crate::delta::{Delta, Nesting, Seal, ToolCall};
use crate::error::{ErrorKind, ReplyError};
use crate::limits::{Limit, LimitExceeded};
use crate::prelude::*;

use super::calls::Calls;

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Reasoning,
    Refusal,
    /// The call of this number.
    Call(usize),
    /// A block that is what the service wants back, and nothing else.
    Redacted,
    /// The end of a block of reasoning: what the service wants back with it.
    Signature,
    /// As that, of reasoning that is told encrypted.
    Encrypted,
}

impl Kind {
    fn is_seal(self) -> bool {
        matches!(self, Self::Redacted | Self::Signature | Self::Encrypted)
    }
}

/// A block that begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    pub(super) kind: Kind,
    /// Of a call, the id by which it is to be answered.
    pub(super) id: &'a str,
    /// Of a call, the tool's name.
    pub(super) name: &'a str,
}

/// Who writes the blocks of one wire.
pub(super) trait Blocks {
    /// Begins a block; none is open.
    fn open(&mut self, opening: Opening<'_>, out: &mut Vec<u8>);

    /// Adds a text, never an empty one, to the block that is open, with the log probabilities of its
    /// tokens: JSON objects joined by commas, none for most texts.
    fn add(&mut self, text: &str, logprobs: &str, out: &mut Vec<u8>);

    /// Whether the wire has a place for what a service wants back of this kind.
    fn takes(&self, seal: Kind) -> bool;

    /// Adds what the service wants back to the block that is open, which ends then.
    fn seal(&mut self, seal: &str, out: &mut Vec<u8>);

    /// Ends the block that is open.
    fn close(&mut self, out: &mut Vec<u8>);
}

/// Why an encoder cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// More would have to be kept than may be.
    Kept(LimitExceeded),
    /// A call went on behind its whole arguments, when another block had begun.
    CallGoesOn,
}

impl Trouble {
    /// The error as the caller is shown it.
    pub(super) fn error(self) -> ReplyError {
        let (kind, message) = match self {
            Self::Kept(limit) => (ErrorKind::Limit, limit.to_string()),
            Self::CallGoesOn => {
                (ErrorKind::Upstream, "a tool call goes on behind its whole arguments".to_owned())
            }
        };
        ReplyError { kind, message, status: 200, code: None, raw: String::new() }
    }
}

/// The order of one answer's blocks.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    calls: Calls,
    open: Option<Kind>,
    /// How far the arguments of the call that is open are.
    nesting: Nesting,
    is_whole: bool,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Log probabilities of tokens whose text is still to come.
    early: String,
    max_held_bytes: usize,
    /// Whether the answer has a call.
    pub(super) has_calls: bool,
    /// Whether it has a refusal.
    pub(super) has_refusal: bool,
}

/// A block that is not open yet.
#[derive(Clone, Debug)]
struct Held {
    kind: Kind,
    id: Option<String>,
    name: Option<String>,
    text: String,
    logprobs: String,
}

/// Bytes that a held block counts for beside its texts: so that there are never so many of them
/// that it takes long to look for one.
const HELD_BLOCK_BYTES: usize = 1024;

/// A piece, with its block.
#[derive(Clone, Copy)]
struct Piece<'a> {
    kind: Kind,
    id: Option<&'a str>,
    name: Option<&'a str>,
    text: &'a str,
    logprobs: &'a str,
}

impl Sequence {
    pub(super) fn new(calls: Calls, max_held_bytes: usize) -> Self {
        Self {
            calls,
            open: None,
            nesting: Nesting::default(),
            is_whole: true,
            held: VecDeque::new(),
            held_bytes: 0,
            early: String::new(),
            max_held_bytes,
            has_calls: false,
            has_refusal: false,
        }
    }

    /// Writes what a delta adds, or holds it. `logprobs`: of a text, as [`Blocks::add`] takes them.
    pub(super) fn push(
        &mut self,
        delta: Delta<'_>,
        logprobs: &str,
        blocks: &mut impl Blocks,
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        // Most deltas go on with the text that is open.
        if let (Delta::Text(text), Some(Kind::Text)) = (delta, self.open)
            && !text.is_empty()
            && logprobs.is_empty()
            && self.early.is_empty()
        {
            blocks.add(text, "", out);
            return Ok(());
        }
        let logprobs = self.logprobs_of(delta, logprobs);
        let Some(piece) = self.piece_of(delta, &logprobs) else { return self.check() };
        if piece.kind.is_seal() && !blocks.takes(piece.kind) {
            return Ok(());
        }
        if self.open == Some(piece.kind) {
            self.add(&piece, blocks, out);
        } else if self.is_over(piece.kind) {
            let is_blank = piece.text.trim_ascii().is_empty();
            return if is_blank { Ok(()) } else { Err(Trouble::CallGoesOn) };
        } else if self.held.is_empty() && piece.can_open() && self.is_whole {
            self.tell(&piece, blocks, out);
        } else {
            self.hold(piece);
            self.check()?;
        }
        while self.is_whole
            && let Some(at) = self.held.iter().position(|held| held.piece().can_open())
        {
            self.tell_held(at, blocks, out);
        }
        Ok(())
    }

    /// Takes what a delta adds, and writes nothing before the end.
    pub(super) fn gather(&mut self, delta: Delta<'_>, logprobs: &str) {
        let logprobs = self.logprobs_of(delta, logprobs);
        if let Some(piece) = self.piece_of(delta, &logprobs) {
            self.hold(piece);
        }
    }

    /// Tells what is held, and ends the last block.
    pub(super) fn finish(&mut self, blocks: &mut impl Blocks, out: &mut Vec<u8>) {
        while !self.held.is_empty() {
            self.tell_held(0, blocks, out);
        }
        if self.open.take().is_some() {
            blocks.close(out);
        }
    }

    /// The log probabilities that go with a delta: a text's, and before them those that came before
    /// their text did.
    fn logprobs_of<'l>(&mut self, delta: Delta<'_>, logprobs: &'l str) -> Cow<'l, str> {
        match delta {
            Delta::Text("") => push_elements(logprobs, &mut self.early),
            Delta::Text(_) if self.early.is_empty() => return logprobs.into(),
            Delta::Text(_) => {
                let mut all = std::mem::take(&mut self.early);
                push_elements(logprobs, &mut all);
                return all.into();
            }
            _ => {}
        }
        "".into()
    }

    /// The piece that a delta is; none where it adds nothing.
    fn piece_of<'d>(&mut self, delta: Delta<'d>, logprobs: &'d str) -> Option<Piece<'d>> {
        let (kind, text) = match delta {
            Delta::Text(text) => (Kind::Text, text),
            Delta::Reasoning(text) => (Kind::Reasoning, text),
            Delta::Refusal(text) => (Kind::Refusal, text),
            Delta::Seal(Seal::Signature(text)) => (Kind::Signature, text),
            Delta::Seal(Seal::Redacted(text)) => (Kind::Redacted, text),
            Delta::Seal(Seal::Encrypted { data, .. }) => (Kind::Encrypted, data),
            // No wire has a place for the signature of a text.
            Delta::Seal(Seal::Text(_)) => return None,
            Delta::ToolCall(ToolCall { index, id, name, arguments: text, .. }) => {
                self.has_calls = true;
                let kind = Kind::Call(self.calls.call_of(index).number);
                return Some(Piece { kind, id, name, text, logprobs });
            }
        };
        self.has_refusal |= kind == Kind::Refusal && !text.is_empty();
        (!text.is_empty()).then_some(Piece { kind, id: None, name: None, text, logprobs })
    }

    /// Whether a block was ended that cannot begin again.
    fn is_over(&mut self, kind: Kind) -> bool {
        let Kind::Call(number) = kind else { return false };
        self.calls.numbered(number).is_some_and(|call| call.is_over)
    }

    fn check(&self) -> Result<(), Trouble> {
        if self.held_bytes + self.early.len() <= self.max_held_bytes {
            return Ok(());
        }
        let (limit, bytes) = (Limit::Kept, self.max_held_bytes);
        Err(Trouble::Kept(LimitExceeded { limit, bytes }))
    }

    fn hold(&mut self, piece: Piece<'_>) {
        let at = match piece.kind {
            Kind::Call(_) => self.held.iter().rposition(|held| held.kind == piece.kind),
            kind if kind.is_seal() => None,
            kind => self.held.len().checked_sub(1).filter(|&last| self.held[last].kind == kind),
        };
        let block = if at.is_none() { HELD_BLOCK_BYTES } else { 0 };
        self.held_bytes += block + piece.bytes();
        match at {
            Some(at) => self.held[at].take(piece),
            None => self.held.push_back(Held::of(piece)),
        }
    }

    /// Tells the block that is held at this position.
    fn tell_held(&mut self, at: usize, blocks: &mut impl Blocks, out: &mut Vec<u8>) {
        if let Some(held) = self.held.remove(at) {
            let piece = held.piece();
            self.held_bytes = self.held_bytes.saturating_sub(HELD_BLOCK_BYTES + piece.bytes());
            self.tell(&piece, blocks, out);
        }
    }

    /// Tells a piece of another block than the one that is open, or what ends that one.
    fn tell(&mut self, piece: &Piece<'_>, blocks: &mut impl Blocks, out: &mut Vec<u8>) {
        if !piece.kind.is_seal() {
            self.switch(piece, blocks, out);
            return self.add(piece, blocks, out);
        }
        if !blocks.takes(piece.kind) {
            return;
        }
        if piece.kind == Kind::Redacted || self.open != Some(Kind::Reasoning) {
            self.switch(piece, blocks, out); // reasoning of which nothing is shown
        }
        blocks.seal(piece.text, out);
        blocks.close(out);
        self.open = None;
    }

    /// Ends the block that is open, and begins that of a piece.
    fn switch(&mut self, piece: &Piece<'_>, blocks: &mut impl Blocks, out: &mut Vec<u8>) {
        if let Some(before) = self.open.replace(piece.kind) {
            blocks.close(out);
            if let Kind::Call(number) = before
                && let Some(call) = self.calls.numbered(number)
            {
                call.is_over = true;
            }
        }
        self.nesting = Nesting::default();
        self.is_whole = !matches!(piece.kind, Kind::Call(_));
        let id = match piece.kind {
            Kind::Call(number) => self.calls.id(number, piece.id),
            _ => Cow::default(),
        };
        let name = piece.name.unwrap_or_default();
        blocks.open(Opening { kind: piece.kind, id: &id, name }, out);
    }

    fn add(&mut self, piece: &Piece<'_>, blocks: &mut impl Blocks, out: &mut Vec<u8>) {
        if piece.text.is_empty() {
            return;
        }
        if matches!(self.open, Some(Kind::Call(_))) {
            self.is_whole |= self.nesting.end(piece.text.as_bytes()).is_some();
        }
        blocks.add(piece.text, piece.logprobs, out);
    }
}

impl Held {
    fn of(piece: Piece<'_>) -> Self {
        let [id, name] = [piece.id, piece.name].map(|text| text.map(ToOwned::to_owned));
        let [text, logprobs] = [piece.text, piece.logprobs].map(ToOwned::to_owned);
        Self { kind: piece.kind, id, name, text, logprobs }
    }

    fn take(&mut self, piece: Piece<'_>) {
        self.text.push_str(piece.text);
        push_elements(piece.logprobs, &mut self.logprobs);
        for (known, said) in [(&mut self.id, piece.id), (&mut self.name, piece.name)] {
            if known.is_none() {
                *known = said.map(ToOwned::to_owned);
            }
        }
    }

    fn piece(&self) -> Piece<'_> {
        let Self { kind, id, name, text, logprobs } = self;
        Piece { kind: *kind, id: id.as_deref(), name: name.as_deref(), text, logprobs }
    }
}

impl Piece<'_> {
    /// Whether enough is known of its block: of a call its name and some of its arguments.
    fn can_open(&self) -> bool {
        let is_known = self.name.is_some() && !self.text.trim_ascii().is_empty();
        is_known || !matches!(self.kind, Kind::Call(_))
    }

    /// Bytes of its texts.
    fn bytes(&self) -> usize {
        let size = |text: Option<&str>| text.map_or(0, str::len);
        self.text.len() + self.logprobs.len() + size(self.id) + size(self.name)
    }
}

/// Appends elements joined by commas to others.
pub(super) fn push_elements(elements: &str, list: &mut String) {
    if !elements.is_empty() {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(elements);
    }
}
