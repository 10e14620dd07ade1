//! Unread bytes in, one event out, and how many bytes that took.

use alloc::sync::Arc;
use std::ops::ControlFlow;

use crate::event::{EventDecoder, OwnedEvent};
use crate::limits::LimitExceeded;
use crate::prelude::*;
use crate::utf8::decode;

use super::EventError;

/// An event decoder that is asked for one event at a time.
#[derive(Debug, Clone)]
pub(super) struct Events {
    pub(super) decoder: EventDecoder,
    keeper: Keeper,
    /// Whether there will be no more.
    pub(super) is_over: bool,
    /// The limit that was passed, until it is told.
    limit: Option<LimitExceeded>,
}

impl Events {
    pub(super) fn new(decoder: EventDecoder) -> Self {
        let is_over = decoder.has_ended();
        Self { decoder, keeper: Keeper::default(), is_over, limit: None }
    }

    /// Takes the next event off `unread`, or all of it where none ends in it. Most events are put
    /// together where they go to: to copy what has just been written takes longer than to read it.
    #[inline]
    pub(super) fn next(&mut self, unread: &mut &[u8]) -> Option<OwnedEvent> {
        if let Some(data) = self.decoder.next_plain(unread) {
            return Some(self.plain(kept(data)));
        }
        if let Some(data) = self.decoder.next_held(unread, kept) {
            return Some(self.plain(data));
        }
        if unread.is_empty() { None } else { self.next_of_any(unread) }
    }

    #[inline]
    fn plain(&mut self, data: Box<str>) -> OwnedEvent {
        let id_number = self.decoder.id_number();
        let id = self.keeper.id(id_number, || self.decoder.last_event_id());
        OwnedEvent { name: None, data: data.into(), id, id_number, retry: None }
    }

    fn next_of_any(&mut self, unread: &mut &[u8]) -> Option<OwnedEvent> {
        let Self { decoder, keeper, .. } = self;
        let mut found = None;
        let read = decoder.next(unread, |event| {
            let data = kept(event.data).into();
            let event = event.with_data("");
            let id = keeper.id(event.id_number, || event.id);
            found = Some(OwnedEvent::with_id(&event, data, id));
            ControlFlow::Continue(())
        });
        if let Err(limit) = read {
            self.end(Some(limit));
        }
        found
    }

    /// Ends the events as the bytes have ended. An unfinished one is dropped, as the specification
    /// says.
    pub(super) fn close(&mut self) {
        // A limit that was passed has been told.
        let _ = self.decoder.close();
        self.end(None);
    }

    fn end(&mut self, limit: Option<LimitExceeded>) {
        self.is_over = true;
        self.limit = limit;
    }

    /// The limit that ended the events, if one did: once.
    pub(super) fn take_limit<T, E>(&mut self) -> Option<Result<T, EventError<E>>> {
        self.limit.take().map(|limit| Err(EventError::Limit(limit)))
    }
}

/// The text of data, which outlives it.
fn kept(data: &[u8]) -> Box<str> {
    decode(data).into()
}

/// Keeps each id of one stream once.
#[derive(Debug, Clone, Default)]
struct Keeper {
    id: Option<Arc<str>>,
    id_number: u64,
}

impl Keeper {
    /// The id of this number.
    #[inline]
    fn id<'a>(&mut self, id_number: u64, id: impl FnOnce() -> &'a str) -> Option<Arc<str>> {
        if id_number != self.id_number {
            self.id_number = id_number;
            self.id = Some(id()).filter(|id| !id.is_empty()).map(Into::into);
        }
        self.id.clone()
    }
}
