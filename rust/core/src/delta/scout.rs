//! Bytes of a reply in, the dialect that its first event, or its first JSON object, is of out.
//!
//! All bytes are held until then, as nothing of them can be read before.

use std::ops::ControlFlow;

use crate::event::{ERROR, EventDecoder, RawEvent, RawKind};
use crate::limits::LimitExceeded;
use crate::prelude::*;
use crate::utf8::decode;

use super::Framing;
use super::dialects::Dialect;
use super::events::{is_event, split_output};
use super::fields::DONE;
use super::framing::{Framings, Sniffed, Sniffer};
use super::members::Members;
use super::records::RecordSplitter;

/// Looks for the dialect of one reply.
#[derive(Debug, Clone)]
pub(super) struct Scout {
    held: Vec<u8>,
    max_bytes: usize,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    Sniffing(Sniffer),
    Events(EventDecoder),
    Texts(RecordSplitter),
}

/// What an event or an object tells: the dialect, `None` where it tells that no other will.
type Found = Option<Dialect>;

impl Scout {
    /// Nothing has come; at most `max_bytes` are held.
    pub(super) fn new(max_bytes: usize) -> Self {
        let sniffer = Sniffer::new(max_bytes, Framings::Any);
        Self { held: Vec::new(), max_bytes, stage: Stage::Sniffing(sniffer) }
    }

    /// What has come.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Looks at the next bytes. Returns what they tell, if they do; then it is not to be called
    /// again.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        let room = self.max_bytes.saturating_sub(self.held.len());
        self.held.extend_from_slice(bytes);
        // What passes a limit is for the reader of the reply to judge, and tells nothing here,
        // however much of it comes at once.
        let (within, beyond) = bytes.split_at(bytes.len().min(room));
        let found = self.look(within).unwrap_or(Some(None));
        found.or((!beyond.is_empty()).then_some(None))
    }

    fn look(&mut self, mut bytes: &[u8]) -> Result<Option<Found>, LimitExceeded> {
        match &mut self.stage {
            Stage::Sniffing(sniffer) => {
                let Sniffed::Decided { framing, head, rest } = sniffer.feed(bytes)? else {
                    return Ok(None);
                };
                self.stage = match framing {
                    Framing::Array => Stage::Texts(RecordSplitter::array(self.max_bytes)),
                    _ => Stage::Events(EventDecoder::forgiving(self.max_bytes, is_event)),
                };
                let found = self.look(&head)?;
                if found.is_some() { Ok(found) } else { self.look(rest) }
            }
            Stage::Events(events) => {
                let mut found = None;
                while !bytes.is_empty() {
                    events.next(&mut bytes, |event| {
                        found = found.or_else(|| told_by(&event));
                        if found.is_none() {
                            ControlFlow::Continue(())
                        } else {
                            ControlFlow::Break(())
                        }
                    })?;
                }
                Ok(found)
            }
            Stage::Texts(texts) => {
                let mut found = None;
                while !bytes.is_empty() && found.is_none() {
                    texts.next(&mut bytes, |text| found = told_by(&RawEvent::of_data(text)))?;
                    // What comes behind a text alone is none.
                    if texts.is_closed() {
                        break;
                    }
                }
                Ok(found)
            }
        }
    }
}

/// What an event tells: the dialect; or, at an end or an error, that nothing will.
fn told_by(event: &RawEvent<'_>) -> Option<Found> {
    if event.kind == RawKind::Line {
        return None;
    }
    let data = decode(event.data);
    let object = split_output(&data).map_or(&*data, |(object, _)| object);
    let members = Members::read(object, event.name);
    if let Some(found) = members.and_then(|members| Dialect::of(&members)) {
        return Some(Some(found));
    }
    let is_last = event.name == Some(ERROR) || data.trim_ascii() == DONE;
    is_last.then_some(None)
}
