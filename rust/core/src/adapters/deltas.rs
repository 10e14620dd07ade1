//! Unread bytes in, deltas out one by one, and at their end the reply's error.

use crate::delta::{DeltaDecoder, End, OwnedDelta};
use crate::prelude::*;

use super::DeltaError;

/// Bytes that a decoder is fed at most before its deltas are handed out: 16 KiB.
const FED_BYTES: usize = 16 * 1024;

/// Deltas that there stays room for while none wait.
const KEPT_DELTAS: usize = 512;

/// A delta decoder that is asked for one delta at a time.
#[derive(Debug, Clone)]
pub(super) struct Deltas<E> {
    pub(super) decoder: DeltaDecoder,
    /// What was decoded and not handed out yet, the next one last.
    ready: Vec<OwnedDelta>,
    state: State<E>,
}

#[derive(Debug, Clone)]
enum State<E> {
    Reading,
    /// The reply has ended; this is told behind its deltas.
    Ending(Option<DeltaError<E>>),
    Over,
}

/// What comes next.
pub(super) enum Next<E> {
    Item(Result<OwnedDelta, DeltaError<E>>),
    /// Nothing, before more bytes are read.
    Bytes,
    /// Nothing any more.
    End,
}

impl<E> Deltas<E> {
    pub(super) fn new(decoder: DeltaDecoder) -> Self {
        let mut deltas = Self { decoder, ready: Vec::new(), state: State::Reading };
        // The caller may have fed it all that there is: more bytes may never come.
        deltas.notice_end();
        deltas
    }

    pub(super) fn next(&mut self) -> Next<E> {
        if let Some(delta) = self.ready.pop() {
            return Next::Item(Ok(delta));
        }
        if self.ready.capacity() > KEPT_DELTAS {
            self.ready = Vec::new();
        }
        if let State::Reading = self.state {
            return Next::Bytes;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ending(Some(error)) => {
                self.state = State::Ending(None);
                Next::Item(Err(error))
            }
            _ => Next::End,
        }
    }

    /// Whether it was told that nothing comes any more.
    #[cfg(feature = "stream")]
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Takes a beginning off `unread`, whose deltas come next.
    pub(super) fn feed(&mut self, unread: &mut &[u8]) {
        let (bytes, rest) = unread.split_at(unread.len().min(FED_BYTES));
        *unread = rest;
        self.decoder.feed(bytes, &mut self.ready);
        self.ready.reverse();
        self.notice_end();
    }

    /// Ends the reply as the bytes have ended, or broke off with an error.
    pub(super) fn close(&mut self, error: Option<E>) {
        self.decoder.close(error.is_none(), &mut self.ready);
        self.ready.reverse();
        self.end();
        if let Some(error) = error {
            self.state = State::Ending(Some(DeltaError::Read(error)));
        }
    }

    fn notice_end(&mut self) {
        if self.decoder.end() != End::Open {
            self.end();
        }
    }

    fn end(&mut self) {
        let error = self.decoder.error().cloned();
        self.state = State::Ending(error.map(Box::new).map(DeltaError::Reply));
    }
}
