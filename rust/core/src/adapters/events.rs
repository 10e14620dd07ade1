//! Unread bytes in, one event out, and how many bytes that took.

use alloc::sync::Arc;
use std::ops::ControlFlow;

use crate::event::{Event, EventDecoder, OwnedEvent};
use crate::limits::LimitExceeded;
use crate::prelude::*;
use crate::utf8::decode;

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
        Self { decoder, keeper: Keeper::default(), is_over: false }
    }

    /// Reads `unread` up to the end of its next event, or to its own. Returns how many bytes were
    /// read, and the event if there is one.
    pub(super) fn next(
        &mut self,
        unread: &[u8],
    ) -> (usize, Result<Option<OwnedEvent>, LimitExceeded>) {
        let Self { decoder, keeper, .. } = self;
        let mut rest = unread;
        let mut found = None;
        let read = decoder.next(&mut rest, |event| {
            let data = decode(event.data).into_owned();
            found = Some(keeper.keep(&event.with_data(""), data));
            ControlFlow::Continue(())
        });
        self.is_over = read.is_err();
        (unread.len() - rest.len(), read.map(|()| found))
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
