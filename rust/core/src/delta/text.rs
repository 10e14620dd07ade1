//! Bytes of a reply that is the answer itself in, text out. No character is split over two deltas.
//!
//! A site may mark failure by a literal at the very end. Only the longest tail that could still
//! become that literal is held back, and as it is a beginning of the literal, it needs no buffer.

use crate::error::ErrorKind;
use crate::prelude::*;
use crate::utf8::Utf8Decoder;

use super::DeltaSink;
use super::reply::{End, ReplyState};

/// Decodes one `text` reply: no framing is looked for.
#[derive(Debug, Clone)]
pub(super) struct TextDecoder {
    utf8: Utf8Decoder,
    tail: Option<FailureTail>,
}

impl TextDecoder {
    pub(super) fn new(failure_tail: Option<String>) -> Self {
        Self {
            utf8: Utf8Decoder::default(),
            tail: failure_tail.filter(|literal| !literal.is_empty()).map(FailureTail::new),
        }
    }

    /// Delivers what `bytes` add to the answer.
    pub(super) fn feed<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &[u8],
        reply: &mut ReplyState,
        sink: &mut S,
    ) {
        let Self { utf8, tail } = self;
        utf8.feed(bytes, |text| pass(tail.as_mut(), text, reply, sink));
    }

    /// Ends the answer. Unless it is `complete`, nothing is known of its end, and the literal is
    /// text.
    pub(super) fn close<S: DeltaSink + ?Sized>(
        mut self,
        complete: bool,
        reply: &mut ReplyState,
        sink: &mut S,
    ) {
        let Self { utf8, tail } = &mut self;
        utf8.close(|text| pass(tail.as_mut(), text, reply, sink));
        if let Some(tail) = tail {
            if complete && tail.is_whole() {
                let message = format!(
                    "the answer ends with \"{}\", the site's mark of a failure",
                    tail.literal
                );
                return reply.fail(ErrorKind::Upstream, message, None, &tail.literal);
            }
            deliver(tail.held(), reply, sink);
        }
        if !complete {
            reply.truncate(complete, "");
        } else if reply.delivered {
            reply.end = End::Done;
        } else {
            reply.fail(ErrorKind::Empty, "the body is empty", None, "");
        }
    }
}

fn pass<S: DeltaSink + ?Sized>(
    tail: Option<&mut FailureTail>,
    text: &str,
    reply: &mut ReplyState,
    sink: &mut S,
) {
    match tail {
        Some(tail) => tail.pass(text, |text| deliver(text, reply, sink)),
        None => deliver(text, reply, sink),
    }
}

fn deliver<S: DeltaSink + ?Sized>(text: &str, reply: &mut ReplyState, sink: &mut S) {
    if !text.is_empty() {
        reply.events += 1;
        reply.deliver(text, sink);
    }
}

/// A literal, and how much of it the text ends with (Knuth, Morris and Pratt's automaton).
#[derive(Debug, Clone)]
struct FailureTail {
    literal: String,
    /// For each length of a beginning of the literal: the length of the longest shorter beginning
    /// that it ends with.
    fallback: Vec<usize>,
    held: usize,
}

impl FailureTail {
    fn new(literal: String) -> Self {
        let mut tail = Self { fallback: vec![0; literal.len() + 1], held: 0, literal };
        for end in 1..tail.literal.len() {
            let longest = tail.advance(tail.fallback[end], tail.literal.as_bytes()[end]);
            tail.fallback[end + 1] = longest;
        }
        tail
    }

    fn held(&self) -> &str {
        &self.literal[..self.held]
    }

    fn is_whole(&self) -> bool {
        self.held == self.literal.len()
    }

    /// Hands on all of the text but the tail that could become the literal.
    fn pass(&mut self, text: &str, mut sink: impl FnMut(&str)) {
        let before = self.held;
        let bytes = text.as_bytes();
        // No tail is longer than the literal, so that of a long text only the end matters.
        let (mut held, seen) = match bytes.len().checked_sub(self.literal.len()) {
            Some(start) => (0, &bytes[start..]),
            None => (before, bytes),
        };
        for &byte in seen {
            held = self.advance(held, byte);
        }
        self.held = held;
        if let Some(end) = text.len().checked_sub(held) {
            sink(&self.literal[..before]);
            sink(&text[..end]);
        } else {
            sink(&self.literal[..before + text.len() - held]);
        }
    }

    fn advance(&self, mut held: usize, byte: u8) -> usize {
        while self.literal.as_bytes().get(held) != Some(&byte) {
            if held == 0 {
                return 0;
            }
            held = self.fallback[held];
        }
        held + 1
    }
}
