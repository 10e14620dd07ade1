//! The record of a stream while it runs, handed over when it has ended, whatever ended it.

use std::sync::Arc;

use tailrace_core::{DeltaDecoder, End};

use crate::ended::{Ended, Ending};
use crate::fault::Fault;
use crate::request::Request;
use crate::shared::Shared;

/// A stream's record. One that is dropped without an end was dropped by a panic, or with its
/// thread's runtime.
pub(crate) struct Record {
    shared: Arc<Shared>,
    ended: Option<Box<Ended>>,
}

impl Record {
    pub(crate) fn new(shared: Arc<Shared>, request: &Request) -> Self {
        let ended = Ended::new(request.tag, Arc::clone(&request.head));
        Self { shared, ended: Some(Box::new(ended)) }
    }

    /// Changes the record.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut Ended)) {
        if let Some(ended) = &mut self.ended {
            change(ended);
        }
    }

    /// Takes over what a decoder knows of its reply.
    pub(crate) fn note_reply(&mut self, decoder: &DeltaDecoder) {
        self.note(|ended| {
            ended.ending = Ending::Read(decoder.end());
            ended.error = decoder.error().cloned();
            ended.usage = decoder.usage().copied();
            ended.finish_reason = decoder.finish_reason().map(str::to_owned);
            ended.ids = decoder.ids().clone();
            ended.events = decoder.events();
            ended.bad_events = decoder.bad_events();
            ended.passed_over = decoder.passed_over().collect();
            ended.collected = decoder.collected().cloned();
        });
    }

    /// Hands the record over: the stream has ended.
    pub(crate) fn hand_over(mut self, fault: Option<Fault>) {
        self.note(|ended| ended.fault = fault);
        self.deliver();
    }

    /// Hands the record of a stream over that was cancelled.
    pub(crate) fn cancelled(mut self) {
        self.note(|ended| {
            ended.ending = Ending::Cancelled;
            ended.error = None;
        });
        self.deliver();
    }

    fn deliver(&mut self) {
        if let Some(mut ended) = self.ended.take() {
            ended.ended = self.shared.clock.now();
            self.shared.outbox.lock().ended.push(*ended);
            self.shared.waiting.end();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.note(|ended| {
            if ended.ending != Ending::Unopened {
                ended.ending = Ending::Read(End::Failed);
            }
            ended.fault = Some(Fault::Panicked);
        });
        self.deliver();
    }
}
