//! Bytes in, JSON texts out: a text a line, or the elements of one array. Chunk boundaries never
//! change the texts.
//!
//! Where a text ends is told by line ends, or by its brackets and quotes; whether it is JSON is for
//! the dialect to say. Held is one text, at most as many bytes as the limit allows. No held byte is
//! looked at again.

use memchr::{memchr, memchr2};

use crate::limits::{KEPT_BYTES, Limit, LimitExceeded};
use crate::prelude::*;

/// Splits one reply.
#[derive(Debug, Clone)]
pub(super) struct RecordSplitter {
    form: Form,
    max_event_bytes: usize,
    held: Vec<u8>,
}

/// How the texts are put together.
#[derive(Debug, Clone)]
enum Form {
    Lines,
    Array(Position),
}

/// Where in an array the reading is.
#[derive(Debug, Clone)]
enum Position {
    /// Before an element, or the array's end.
    Between,
    Inside(Nesting),
    Closed,
}

/// Where in an element the reading is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nesting {
    /// Brackets that are open.
    depth: usize,
    in_string: bool,
    /// A backslash came just before.
    escaped: bool,
}

impl RecordSplitter {
    /// A splitter of lines, each of them one JSON text of at most `max_event_bytes`.
    pub(super) fn lines(max_event_bytes: usize) -> Self {
        Self { form: Form::Lines, max_event_bytes, held: Vec::new() }
    }

    /// A splitter of an array whose opening bracket is behind; its elements have at most
    /// `max_event_bytes` each.
    pub(super) fn array(max_event_bytes: usize) -> Self {
        Self { form: Form::Array(Position::Between), max_event_bytes, held: Vec::new() }
    }

    /// Reads `input` up to the end of its next text, which goes to `sink`, or to its own end.
    ///
    /// # Errors
    /// When the text is longer than the limit.
    pub(super) fn next(
        &mut self,
        input: &mut &[u8],
        sink: impl FnOnce(&[u8]),
    ) -> Result<(), LimitExceeded> {
        *input = &input[self.form.gap(!self.held.is_empty(), input)..];
        let end = self.form.end(input);
        let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
        if piece.len() > self.max_event_bytes - self.held.len() {
            self.held = Vec::new();
            return Err(LimitExceeded { limit: Limit::Event, bytes: self.max_event_bytes });
        }
        *input = rest;
        if end.is_none() {
            self.held.extend_from_slice(piece);
        } else if self.held.is_empty() {
            sink(piece);
        } else {
            self.held.extend_from_slice(piece);
            sink(&self.held);
            self.held.clear();
            self.held.shrink_to(KEPT_BYTES);
        }
        Ok(())
    }

    /// The beginning of a text that the reply's end cut off.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.held
    }

    /// Whether the array's closing bracket came: what follows is no part of it.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.form, Form::Array(Position::Closed))
    }
}

impl Form {
    /// How many bytes come before the next text, when none has begun.
    fn gap(&mut self, has_begun: bool, input: &[u8]) -> usize {
        let is_gap = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',');
        match self {
            Self::Lines if has_begun => 0,
            Self::Lines => input.iter().take_while(|byte| is_gap(byte) && **byte != b',').count(),
            Self::Array(Position::Inside(_)) => 0,
            Self::Array(Position::Closed) => input.len(),
            Self::Array(position @ Position::Between) => {
                let gap = input.iter().take_while(is_gap).count();
                match input.get(gap) {
                    None => gap,
                    Some(b']') => {
                        *position = Position::Closed;
                        input.len()
                    }
                    Some(_) => {
                        *position = Position::Inside(Nesting::default());
                        gap
                    }
                }
            }
        }
    }

    /// The offset at which the text that has begun ends.
    fn end(&mut self, input: &[u8]) -> Option<usize> {
        match self {
            Self::Lines => memchr(b'\n', input),
            Self::Array(position) => {
                let Position::Inside(nesting) = position else { return None };
                let end = nesting.end(input)?;
                *position = Position::Between;
                Some(end)
            }
        }
    }
}

impl Nesting {
    /// The offset at which the element ends. One that is no container ends before a comma, or
    /// before the array's closing bracket.
    pub(crate) fn end(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                at += memchr2(b'"', b'\\', &input[at..])?;
                self.escaped = input[at] == b'\\';
                self.in_string = self.escaped;
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b',' | b']' if self.depth == 0 => return Some(at),
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        None
    }
}
