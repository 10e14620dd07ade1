//! An event that outlives the read it came in.

use alloc::sync::Arc;

use super::Event;
use crate::prelude::*;

/// An [`Event`] that is kept: it owns its texts, so that it can cross threads and wait in queues.
///
/// ```
/// use std::ops::ControlFlow;
/// use tailrace_core::{EventDecoder, OwnedEvent};
///
/// let mut kept = Vec::new();
/// EventDecoder::default().feed(b"id: 7\nevent: tide\ndata: high\n\n", |event| {
///     kept.push(OwnedEvent::from(event));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((kept[0].kind(), kept[0].data.as_str(), kept[0].id()), ("tide", "high", "7"));
/// # Ok::<(), tailrace_core::LimitExceeded>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct OwnedEvent {
    /// The value of the block's last `event` field, also when empty; `None` when the block had no
    /// such field.
    pub name: Option<String>,
    /// The values of the `data` fields, joined by LF.
    pub data: String,
    /// The last event id in force when the event was dispatched; `None` where that is empty. The
    /// streams and iterators of [`adapters`](crate::adapters) share one text among all events of one
    /// id.
    pub id: Option<Arc<str>>,
    /// How many ids the stream had set by then: see [`Event::id_number`].
    pub id_number: u64,
    /// Reconnection time in milliseconds, when this block set one.
    pub retry: Option<u64>,
}

impl OwnedEvent {
    /// The event's type as the specification sees it: `message` unless a name was given.
    pub fn kind(&self) -> &str {
        self.as_event().kind()
    }

    /// The last event id in force when the event was dispatched; empty where there was none.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// The same event, borrowed.
    pub fn as_event(&self) -> Event<'_> {
        let Self { name, data, id_number, retry, .. } = self;
        let (id_number, retry) = (*id_number, *retry);
        Event { name: name.as_deref(), data, id: self.id(), id_number, retry }
    }

    /// The event with an id that is kept already.
    pub(crate) fn with_id(event: &Event<'_>, data: String, id: Option<Arc<str>>) -> Self {
        let Event { name, id_number, retry, .. } = *event;
        Self { name: name.map(ToOwned::to_owned), data, id, id_number, retry }
    }
}

impl From<Event<'_>> for OwnedEvent {
    fn from(event: Event<'_>) -> Self {
        let id = (!event.id.is_empty()).then(|| event.id.into());
        Self::with_id(&event, event.data.to_owned(), id)
    }
}
