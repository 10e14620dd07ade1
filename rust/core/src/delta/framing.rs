//! Bytes in, the framing of the reply that they begin out: server-sent events, a JSON object or an
//! array, and the debris before.
//!
//! Deciding is the first line that starts, after byte order marks, spaces and tabs, with a field's
//! name and a colon, with a colon (a comment), with `{` or, where a reply can be an array, with
//! `[`. It decides as soon as its bytes suffice; chunk boundaries never change the decision.

use memchr::memchr2;

use crate::limits::{Limit, LimitExceeded, RAW_KEPT_BYTES};
use crate::line::BYTE_ORDER_MARK;
use crate::prelude::*;

use super::Framing;

/// The framings that a reply of one dialect can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framings {
    /// Server-sent events, or one JSON body.
    EventsOrBody,
    /// Server-sent events, an array of JSON texts, or one JSON body.
    EventsOrArrayOrBody,
    /// Server-sent events, or one JSON text a line.
    EventsOrLines,
    /// The body as it stands, whatever it begins with.
    Text,
}

impl Framings {
    /// Whether a reply can be an array.
    pub(super) fn has_arrays(self) -> bool {
        self == Self::EventsOrArrayOrBody
    }

    /// The framing of a reply that begins with `{`.
    fn of_object(self) -> Framing {
        if self == Self::EventsOrLines { Framing::Lines } else { Framing::Json }
    }
}

/// The framing, as far as it is known after a read.
pub(super) enum Sniffed<'a> {
    /// Nothing yet.
    Open,
    /// The framing. To be read are `head`, which may have come with earlier reads, then `rest`.
    Decided { framing: Framing, head: &'static [u8], rest: &'a [u8] },
}

/// Looks for the line that decides.
#[derive(Debug, Clone)]
pub(super) struct Sniffer {
    state: State,
    debris: Debris,
    framings: Framings,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a line's first character that is no space.
    LineStart,
    /// In a byte order mark there, of which so many bytes have been read.
    Mark(usize),
    /// In a deciding head there, of which so many bytes have been read.
    Head(&'static [u8], usize),
    /// In a line that decides nothing.
    Debris,
}

/// Bytes that are no part of an answer: counted, and their beginning kept for the error.
#[derive(Debug, Clone)]
pub(super) struct Debris {
    kept: Vec<u8>,
    size: usize,
    max_body_bytes: usize,
    blank: bool,
}

impl Debris {
    /// No bytes yet; more than `max_body_bytes` are an error.
    pub(super) fn new(max_body_bytes: usize) -> Self {
        Self { kept: Vec::new(), size: 0, max_body_bytes, blank: true }
    }

    /// Counts `bytes`, and keeps them while there is room.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), LimitExceeded> {
        self.size = self.size.saturating_add(bytes.len());
        if self.size > self.max_body_bytes {
            return Err(LimitExceeded { limit: Limit::Body, bytes: self.max_body_bytes });
        }
        let room = RAW_KEPT_BYTES - self.kept.len();
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Ok(())
    }

    /// The beginning of what came, at most 4 KiB.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// All that came, when it is short enough to have been kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (self.size == self.kept.len()).then_some(&self.kept)
    }

    /// Whether nothing came but line ends, spaces, tabs and byte order marks.
    pub(super) fn is_blank(&self) -> bool {
        self.blank
    }
}

impl Sniffer {
    /// A sniffer at the beginning of a reply; more than `max_body_bytes` of debris are an error.
    pub(super) fn new(max_body_bytes: usize, framings: Framings) -> Self {
        Self { state: State::LineStart, debris: Debris::new(max_body_bytes), framings }
    }

    /// Looks at the next bytes; not to be called again once the framing is decided.
    pub(super) fn feed<'a>(&mut self, mut input: &'a [u8]) -> Result<Sniffed<'a>, LimitExceeded> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::LineStart => {
                    if let Some((framing, head)) = self.decide_by_first(byte) {
                        return Ok(Sniffed::Decided { framing, head, rest });
                    }
                    match deciding_head(byte) {
                        Some(head) => self.state = State::Head(head, 1),
                        None if byte == BYTE_ORDER_MARK[0] => self.state = State::Mark(1),
                        None if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {
                            self.debris.push(&input[..1])?;
                        }
                        None => {
                            self.enter_debris(b"")?;
                            continue;
                        }
                    }
                }
                State::Mark(seen) if byte == BYTE_ORDER_MARK[seen] => self.mark(seen + 1)?,
                State::Mark(seen) => {
                    self.enter_debris(&BYTE_ORDER_MARK[..seen])?;
                    continue;
                }
                State::Head(head, seen) if byte == head[seen] => {
                    if seen + 1 == head.len() {
                        return Ok(Sniffed::Decided { framing: Framing::Sse, head, rest });
                    }
                    self.state = State::Head(head, seen + 1);
                }
                State::Head(head, seen) => {
                    self.enter_debris(&head[..seen])?;
                    continue;
                }
                State::Debris => {
                    input = self.rest_of_line(input)?;
                    continue;
                }
            }
            input = rest;
        }
        Ok(Sniffed::Open)
    }

    /// The framing of a reply whose deciding line begins with `byte`, if that alone decides, and
    /// the head to be read. (An array's bracket is not.)
    fn decide_by_first(&self, byte: u8) -> Option<(Framing, &'static [u8])> {
        match byte {
            b'{' => Some((self.framings.of_object(), b"{")),
            b'[' if self.framings.has_arrays() => Some((Framing::Array, b"")),
            b':' => Some((Framing::Sse, b":")),
            _ => None,
        }
    }

    /// The debris before the line that decided, or instead of one.
    pub(super) fn into_debris(mut self) -> Result<Debris, LimitExceeded> {
        match self.state {
            State::Mark(seen) => self.enter_debris(&BYTE_ORDER_MARK[..seen])?,
            State::Head(head, seen) => self.enter_debris(&head[..seen])?,
            State::LineStart | State::Debris => {}
        }
        Ok(self.debris)
    }

    /// The beginning of the debris before the line that has just decided, at most 4 KiB.
    pub(super) fn take_debris(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.debris.kept).into()
    }

    fn mark(&mut self, seen: usize) -> Result<(), LimitExceeded> {
        self.state = State::Mark(seen);
        if seen == BYTE_ORDER_MARK.len() {
            self.state = State::LineStart;
            self.debris.push(BYTE_ORDER_MARK)?;
        }
        Ok(())
    }

    /// Takes `seen`, which began like a head or a mark and is none, for debris.
    fn enter_debris(&mut self, seen: &[u8]) -> Result<(), LimitExceeded> {
        self.state = State::Debris;
        self.debris.blank = false;
        self.debris.push(seen)
    }

    fn rest_of_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], LimitExceeded> {
        let end = match memchr2(b'\n', b'\r', input) {
            Some(end) => {
                self.state = State::LineStart;
                end + 1
            }
            None => input.len(),
        };
        let (line, rest) = input.split_at(end);
        self.debris.push(line)?;
        Ok(rest)
    }
}

/// The head of a line of server-sent events, but for a comment's, that starts with `byte`.
fn deciding_head(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'd' => Some(b"data:"),
        b'e' => Some(b"event:"),
        b'i' => Some(b"id:"),
        b'r' => Some(b"retry:"),
        _ => None,
    }
}
