//! An event that was read, for sinks that take the events themselves.

use crate::json::{JsonError, Reader};

use super::DeltaSink;
use super::reply::ReplyState;
use super::usage::Usage;

/// An event of a reply that has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadEvent<'a> {
    /// Its data as it came: one JSON object.
    pub json: &'a str,
    /// The tokens of the answer as far as the event told them: by a count of the usage that had not
    /// been told before, or by the ids of the tokens that it adds (`token_ids` in its first
    /// choice). `None` where it told neither.
    pub tokens: Option<u64>,
}

/// The token count that was known before an event was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountBefore(Option<u64>);

impl CountBefore {
    /// What is known of a reply before its next event is read.
    pub(super) fn of(reply: &ReplyState) -> Self {
        Self(completion_tokens(reply.usage.as_deref()))
    }

    /// Hands an event to the sink, if its data is an object.
    pub(super) fn hand_over<S: DeltaSink + ?Sized>(
        self,
        json: &str,
        reply: &mut ReplyState,
        sink: &mut S,
    ) {
        let mut token_ids = None;
        if read_token_ids(json, &mut token_ids).is_ok() {
            let counted = completion_tokens(reply.usage.as_deref());
            let added = u32::try_from(token_ids.unwrap_or_default()).unwrap_or(u32::MAX);
            reply.token_ids = reply.token_ids.saturating_add(added);
            let by_ids = token_ids.map(|_| u64::from(reply.token_ids));
            let tokens = counted.filter(|_| counted != self.0).or(by_ids);
            if let Some(events) = sink.events() {
                events.event(ReadEvent { json, tokens });
            }
        }
    }
}

fn completion_tokens(usage: Option<&Usage>) -> Option<u64> {
    usage.map(|usage| usage.completion_tokens)
}

/// Counts the token ids of the first choice in an event; an error where its data is no object.
fn read_token_ids(json: &str, count: &mut Option<u64>) -> Result<(), JsonError> {
    Reader::new(json).whole_object(|key, reader| {
        if &*key.decode() != "choices" {
            return reader.skip();
        }
        let mut is_first = true;
        reader.array_or_skip(|choice| {
            let is_wanted = std::mem::take(&mut is_first);
            choice.object_or_skip(|key, value| {
                if is_wanted && &*key.decode() == "token_ids" {
                    *count = value.list_or_skip(Reader::skip)?.map(|ids| ids.len() as u64);
                    return Ok(());
                }
                value.skip()
            })?;
            Ok(())
        })?;
        Ok(())
    })
}
