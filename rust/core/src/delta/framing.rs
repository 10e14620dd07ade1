//! Bytes in, what kind of reply they begin out: server-sent events, a JSON object or an array, and
//! the debris before.
//!
//! The first line decides that starts, after byte order marks, spaces and tabs, with a field's name
//! and a colon, with a colon (a comment), with `{` or, where a reply can be an array, with `[`. It
//! decides as soon as its bytes suffice; chunk boundaries never change what.

use memchr::memchr2;

use crate::limits::{Limit, LimitExceeded, RAW_KEPT_BYTES};
use crate::line::BYTE_ORDER_MARK;
use crate::prelude::*;

/// What is known after a read.
pub(super) enum Sniffed<'a> {
    /// Not decided.
    Open,
    /// Events: `head`, which may have come with earlier reads, then `rest`.
    Sse { head: &'static [u8], rest: &'a [u8] },
    /// JSON objects, one or more: `{`, then `rest`.
    Json { rest: &'a [u8] },
    /// A JSON array: `[`, then `rest`.
    Array { rest: &'a [u8] },
}

/// Looks for the line that decides.
#[derive(Debug, Clone)]
pub(super) struct Sniffer {
    place: Place,
    debris: Debris,
    /// The reply can be an array.
    arrays: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Before a line's first character that is no space.
    LineStart,
    /// So many bytes of a byte order mark have been read there.
    Mark(usize),
    /// So many bytes of a deciding head have been read there.
    Head(&'static [u8], usize),
    /// In a line that decides nothing.
    Debris,
}

/// What came and is no part of an answer: counted, and its beginning kept for the error.
#[derive(Debug, Clone)]
pub(super) struct Debris {
    kept: Vec<u8>,
    size: usize,
    max_body_bytes: usize,
    blank: bool,
}

impl Debris {
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

    /// Nothing came but line ends, spaces, tabs and byte order marks.
    pub(super) fn is_blank(&self) -> bool {
        self.blank
    }
}

impl Sniffer {
    pub(super) fn new(max_body_bytes: usize, arrays: bool) -> Self {
        Self { place: Place::LineStart, debris: Debris::new(max_body_bytes), arrays }
    }

    /// Looks at the next bytes; not to be called again once it has decided.
    pub(super) fn feed<'a>(&mut self, mut input: &'a [u8]) -> Result<Sniffed<'a>, LimitExceeded> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.place {
                Place::LineStart => match (byte, deciding_head(byte)) {
                    (b'{', _) => return Ok(Sniffed::Json { rest }),
                    (b'[', _) if self.arrays => return Ok(Sniffed::Array { rest }),
                    (_, Some(head @ [_])) => return Ok(Sniffed::Sse { head, rest }),
                    (_, Some(head)) => self.place = Place::Head(head, 1),
                    (b' ' | b'\t' | b'\n' | b'\r', None) => self.debris.push(&input[..1])?,
                    (_, None) if byte == BYTE_ORDER_MARK[0] => self.place = Place::Mark(1),
                    (_, None) => {
                        self.enter_debris(b"")?;
                        continue;
                    }
                },
                Place::Mark(seen) if byte == BYTE_ORDER_MARK[seen] => self.mark(seen + 1)?,
                Place::Mark(seen) => {
                    self.enter_debris(&BYTE_ORDER_MARK[..seen])?;
                    continue;
                }
                Place::Head(head, seen) if byte == head[seen] => {
                    if seen + 1 == head.len() {
                        return Ok(Sniffed::Sse { head, rest });
                    }
                    self.place = Place::Head(head, seen + 1);
                }
                Place::Head(head, seen) => {
                    self.enter_debris(&head[..seen])?;
                    continue;
                }
                Place::Debris => {
                    input = self.rest_of_line(input)?;
                    continue;
                }
            }
            input = rest;
        }
        Ok(Sniffed::Open)
    }

    /// What came before the line that decided, or instead of one.
    pub(super) fn into_debris(mut self) -> Result<Debris, LimitExceeded> {
        match self.place {
            Place::Mark(seen) => self.enter_debris(&BYTE_ORDER_MARK[..seen])?,
            Place::Head(head, seen) => self.enter_debris(&head[..seen])?,
            Place::LineStart | Place::Debris => {}
        }
        Ok(self.debris)
    }

    /// The beginning of what came before the line that has just decided, at most 4 KiB.
    pub(super) fn take_debris(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.debris.kept).into()
    }

    fn mark(&mut self, seen: usize) -> Result<(), LimitExceeded> {
        self.place = Place::Mark(seen);
        if seen == BYTE_ORDER_MARK.len() {
            self.place = Place::LineStart;
            self.debris.push(BYTE_ORDER_MARK)?;
        }
        Ok(())
    }

    /// `seen` began like something else, and was not.
    fn enter_debris(&mut self, seen: &[u8]) -> Result<(), LimitExceeded> {
        self.place = Place::Debris;
        self.debris.blank = false;
        self.debris.push(seen)
    }

    fn rest_of_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], LimitExceeded> {
        let end = match memchr2(b'\n', b'\r', input) {
            Some(end) => {
                self.place = Place::LineStart;
                end + 1
            }
            None => input.len(),
        };
        let (line, rest) = input.split_at(end);
        self.debris.push(line)?;
        Ok(rest)
    }
}

/// The head of a line of server-sent events that starts with `byte`.
fn deciding_head(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'd' => Some(b"data:"),
        b'e' => Some(b"event:"),
        b'i' => Some(b"id:"),
        b'r' => Some(b"retry:"),
        b':' => Some(b":"),
        _ => None,
    }
}
