//! Unread bytes in, one event out, and how many bytes that took.

use alloc::sync::Arc;
use std::ops::ControlFlow;

use crate::event::{Event, EventDecoder, OwnedEvent};
use crate::prelude::*;
use crate::utf8::decode;

use super::EventError;

/// What a stream or an iterator gives.
type Item<E> = Result<OwnedEvent, EventError<E>>;

/// An event decoder that is asked for one event at a time.
#[derive(Debug, Clone)]
pub(super) struct Events {
    pub(super) decoder: EventDecoder,
    keeper: Keeper,
    /// Whether there will be no more.
    pub(super) is_over: bool,
}

impl Events {
    pub(super) fn new(decoder: EventDecoder) -> Self {
        let is_over = decoder.has_ended();
        Self { decoder, keeper: Keeper::default(), is_over }
    }

    /// Reads `unread` up to the end of its next event, or to its own. Returns how many bytes were
    /// read, and the event if there is one.
    #[inline]
    pub(super) fn next<E>(&mut self, unread: &[u8]) -> (usize, Option<Item<E>>) {
        let Self { decoder, keeper, .. } = self;
        let mut rest = unread;
        let mut found = None;
        let read = decoder.next(&mut rest, |event| {
            let data = decode(event.data).into_owned();
            found = Some(Ok(keeper.keep(&event.with_data(""), data)));
            ControlFlow::Continue(())
        });
        if let Err(limit) = read {
            self.is_over = true;
            found = Some(Err(EventError::Limit(limit)));
        }
        (unread.len() - rest.len(), found)
    }

    /// Ends the events as the bytes have ended. An unfinished one is dropped, as the specification
    /// says.
    pub(super) fn close(&mut self) {
        self.is_over = true;
        // A limit that was passed has been told.
        let _ = self.decoder.close();
    }
}

/// Keeps the events of one stream, and each id of theirs once.
#[derive(Debug, Clone, Default)]
struct Keeper {
    id: Option<Arc<str>>,
    id_number: u64,
}

impl Keeper {
    /// The event, with this text as its data.
    fn keep(&mut self, event: &Event<'_>, data: String) -> OwnedEvent {
        if event.id_number != self.id_number {
            self.id_number = event.id_number;
            self.id = (!event.id.is_empty()).then(|| event.id.into());
        }
        OwnedEvent::with_id(event, data, self.id.clone())
    }
}
