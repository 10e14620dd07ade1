//! Bytes of one chat reply in, deltas out: the stages that a reply goes through, from its first
//! bytes to a name for its end.

use crate::error::{ErrorKind, ReplyError};
use crate::json::JsonError;
use crate::limits::{ERROR_BODY_BYTES, Limit, LimitExceeded};
use crate::prelude::*;
use crate::utf8::decode;

use super::dialects::{AnyReader, DialectReader};
use super::events::{EventReader, Events, Records};
use super::failure::{
    describe, is_html, is_page, judge_debris, judge_error_body, judge_page, judge_page_for_text,
};
use super::framing::{Debris, Framings, Sniffed, Sniffer};
use super::output::Output;
use super::records::RecordSplitter;
use super::reply::{End, Ids, ReplyState};
use super::text::TextDecoder;
use super::{DeltaOptions, DeltaSink, Dialect, Framing, Usage};

/// Bytes of one chat reply in, text deltas out.
///
/// Errors are a state: [`feed`](Self::feed) and [`close`](Self::close) take whatever a peer sends,
/// and [`end`](Self::end) and [`error`](Self::error) tell what became of the reply.
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End};
///
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
/// let mut answer = String::new();
/// decoder.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hel", &mut answer);
/// decoder.feed(b"lo\"}}]}\n\ndata: [DONE]\n\n", &mut answer);
/// decoder.close(true, &mut answer);
/// assert_eq!(answer, "Hello");
/// assert_eq!(decoder.end(), End::Done);
/// ```
#[derive(Debug, Clone)]
pub struct DeltaDecoder {
    dialect: Dialect,
    max_event_bytes: usize,
    max_body_bytes: usize,
    framing: Framing,
    stage: Stage,
    reply: ReplyState,
    /// The beginning of what came in front of the answer.
    debris: Box<[u8]>,
    /// Whether events that repeat an earlier one need not be read in full.
    repeats: bool,
}

/// The stage of a reply. The first bytes decide which comes next, the end brings the last one.
#[derive(Debug, Clone)]
enum Stage {
    /// The first bytes: neither events nor a JSON body have begun.
    Sniffing(Box<Sniffer>),
    Events(Box<Events>),
    Records(Box<Records>),
    /// A JSON body, as far as it has come.
    Json(Vec<u8>),
    Text(Box<TextDecoder>),
    /// A page where an answer should be.
    Page(Box<Debris>),
    /// The body of a reply with an error status, as far as it is kept.
    ErrorBody(Vec<u8>),
    Over,
}

impl DeltaDecoder {
    /// A decoder for one reply of `dialect`.
    pub fn new(dialect: Dialect, options: DeltaOptions) -> Self {
        let DeltaOptions { content_type, status, failure_tail, max_event_bytes, max_body_bytes } =
            options;
        let framings = dialect.framings();
        let stage = if status >= 400 {
            Stage::ErrorBody(Vec::new())
        } else if framings != Framings::Text {
            Stage::Sniffing(Box::new(Sniffer::new(max_body_bytes, framings)))
        } else if content_type.as_deref().is_some_and(is_html) {
            Stage::Page(Box::new(Debris::new(max_body_bytes)))
        } else {
            Stage::Text(Box::new(TextDecoder::new(failure_tail)))
        };
        let is_undecided = matches!(stage, Stage::Sniffing(_));
        Self {
            dialect,
            max_event_bytes,
            max_body_bytes,
            framing: if is_undecided { Framing::Open } else { Framing::Text },
            stage,
            reply: ReplyState::new(status),
            debris: Box::default(),
            repeats: true,
        }
    }

    /// A decoder that reads each event in full, whatever came before it: the reference for
    /// [`new`](Self::new), from which it differs in nothing but speed.
    #[doc(hidden)]
    pub fn without_repeats(dialect: Dialect, options: DeltaOptions) -> Self {
        Self { repeats: false, ..Self::new(dialect, options) }
    }

    /// Delivers to `sink` the text that `bytes` add. After the end, bytes are ignored.
    pub fn feed<S: DeltaSink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        if self.reply.is_open()
            && let Err(limit) = self.read(bytes, sink)
        {
            self.reply.fail_limit(limit);
        }
        if !self.reply.is_open() {
            self.take_stage();
            self.reply.release_halves(sink);
        }
    }

    /// Ends the reply: delivers to `sink` what was held, and settles how the reply ended.
    /// `complete` is false when the transport broke.
    pub fn close<S: DeltaSink + ?Sized>(&mut self, complete: bool, sink: &mut S) {
        let (stage, debris) = self.take_stage();
        let reply = &mut self.reply;
        if !reply.is_open() {
            return;
        }
        match stage {
            Stage::Sniffing(sniffer) => {
                close_debris(sniffer.into_debris(), complete, reply, judge_debris);
            }
            Stage::Page(page) => close_debris(Ok(*page), complete, reply, judge_page_for_text),
            Stage::Events(events) => {
                let cut = events.close(reply, sink);
                settle_end(reply, complete, &debris, &cut);
            }
            Stage::Records(records) => {
                let cut = records.close(reply, sink);
                settle_end(reply, complete, &debris, &cut);
            }
            Stage::Json(body) => self.close_json(&body, complete, &debris, sink),
            Stage::Text(text) => text.close(complete, reply, sink),
            Stage::ErrorBody(body) => {
                let dialect = AnyReader::new(self.dialect);
                judge_error_body(&body, &dialect, self.dialect.framings(), reply);
            }
            Stage::Over => {}
        }
        self.reply.release_halves(sink);
    }

    /// Whether the dialect's end marker was seen: the `[DONE]` sentinel, or a named end event.
    pub fn done(&self) -> bool {
        self.reply.done
    }

    /// How the reply ended.
    pub fn end(&self) -> End {
        self.reply.end
    }

    /// The last finish reason given.
    pub fn finish_reason(&self) -> Option<&str> {
        self.reply.finish_reason.as_deref()
    }

    /// The last usage given.
    pub fn usage(&self) -> Option<&Usage> {
        self.reply.usage.as_ref()
    }

    /// The ids that the reply gave of itself.
    pub fn ids(&self) -> &Ids {
        &self.reply.ids
    }

    /// The reply's error: always there when the reply is truncated or failed, and only then.
    pub fn error(&self) -> Option<&ReplyError> {
        self.reply.error.as_deref()
    }

    /// Events seen, end markers and bad ones included. A JSON body is one; of a `text` reply each
    /// delta is one, so that their number depends on the reads.
    pub fn events(&self) -> u64 {
        self.reply.events
    }

    /// Events skipped because their data was not what the dialect promises.
    pub fn bad_events(&self) -> u64 {
        self.reply.bad_events
    }

    /// Events that were not read in full, as they repeated an earlier one's bytes around another
    /// content. Known while events are being read; depends on the reads.
    #[doc(hidden)]
    pub fn repeated_events(&self) -> u64 {
        match &self.stage {
            Stage::Events(events) => events.repeated(),
            Stage::Records(records) => records.repeated(),
            _ => 0,
        }
    }

    /// How the reply's bytes are put together.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    fn read<S: DeltaSink + ?Sized>(
        &mut self,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        match &mut self.stage {
            Stage::Sniffing(sniffer) => {
                let found = sniffer.feed(bytes)?;
                return self.read_sniffed(&found, bytes, sink);
            }
            Stage::Events(events) => return events.read(bytes, &mut self.reply, sink),
            Stage::Records(records) => return records.read(bytes, &mut self.reply, sink),
            Stage::Json(body) => {
                if bytes.len() > self.max_body_bytes - body.len() {
                    return Err(LimitExceeded { limit: Limit::Body, bytes: self.max_body_bytes });
                }
                body.extend_from_slice(bytes);
            }
            Stage::Text(text) => text.feed(bytes, &mut self.reply, sink),
            Stage::Page(page) => page.push(bytes)?,
            Stage::ErrorBody(body) => {
                let room = ERROR_BODY_BYTES - body.len();
                body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
            Stage::Over => {}
        }
        Ok(())
    }

    /// Reads on in the stage that the first bytes have decided for, if they have.
    fn read_sniffed<S: DeltaSink + ?Sized>(
        &mut self,
        found: &Sniffed<'_>,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<(), LimitExceeded> {
        let Sniffed::Decided { framing, head, rest } = *found else { return Ok(()) };
        self.enter(framing);
        // A line that lies whole in the read is read from there.
        let (before, _) = bytes.split_at(bytes.len() - rest.len());
        if before.ends_with(head) {
            return self.read(&bytes[before.len() - head.len()..], sink);
        }
        self.read(head, sink)?;
        self.read(rest, sink)
    }

    fn enter(&mut self, framing: Framing) {
        let reader = || EventReader::new(AnyReader::new(self.dialect), self.repeats);
        let records = |splitter| Stage::Records(Box::new(Records::new(reader(), splitter)));
        let stage = match framing {
            Framing::Lines => records(RecordSplitter::lines(self.max_event_bytes)),
            Framing::Array => records(RecordSplitter::array(self.max_event_bytes)),
            Framing::Json => Stage::Json(Vec::new()),
            _ => Stage::Events(Box::new(Events::new(reader(), self.max_event_bytes))),
        };
        self.framing = framing;
        if let Stage::Sniffing(mut sniffer) = std::mem::replace(&mut self.stage, stage) {
            self.debris = sniffer.take_debris();
        }
    }

    /// Leaves the stage and the debris to the caller, after which nothing is read any more.
    fn take_stage(&mut self) -> (Stage, Box<[u8]>) {
        (std::mem::replace(&mut self.stage, Stage::Over), std::mem::take(&mut self.debris))
    }

    /// Reads a JSON body. It shows its own end: one that is whole is read, also when the transport
    /// broke after it.
    fn close_json<S: DeltaSink + ?Sized>(
        &mut self,
        body: &[u8],
        complete: bool,
        debris: &[u8],
        sink: &mut S,
    ) {
        let text = decode(body);
        let reply = &mut self.reply;
        let mut output = Output { reply, sink, scratch: &mut Vec::new() };
        let read = AnyReader::new(self.dialect).read_body(&text, &mut output);
        // One that breaks off is no event, as in a stream.
        reply.events += u64::from(read != Err(JsonError::UnexpectedEnd));
        let Err(error) = read else { return };
        reply.bad_events = reply.events;
        if !complete {
            reply.truncate(complete, &text);
        } else if is_page(debris) {
            judge_page(debris, reply);
        } else if error == JsonError::UnexpectedEnd {
            reply.truncate(complete, &text);
        } else {
            reply.fail(ErrorKind::NotAStream, describe(&text), None, &text);
        }
    }
}

/// Names the end of a reply of which nothing but debris came: `judge` does, if it is complete.
fn close_debris(
    debris: Result<Debris, LimitExceeded>,
    complete: bool,
    reply: &mut ReplyState,
    judge: impl FnOnce(&Debris, &mut ReplyState),
) {
    match debris {
        Err(limit) => reply.fail_limit(limit),
        Ok(debris) if complete => judge(&debris, reply),
        Ok(debris) => reply.truncate(complete, &String::from_utf8_lossy(debris.kept())),
    }
}

/// Names the end of events that ended without an end marker; `debris` came before them, and `cut`
/// is the beginning of the next one.
fn settle_end(reply: &mut ReplyState, complete: bool, debris: &[u8], cut: &str) {
    if !reply.is_open() {
        return;
    }
    let only_bad = reply.events == reply.bad_events;
    if complete && only_bad && is_page(debris) {
        judge_page(debris, reply);
    } else if complete && only_bad && reply.events > 0 {
        let message = "none of its events is one of this dialect";
        reply.fail(ErrorKind::NotAStream, message, None, cut);
    } else if complete && reply.finish_reason.is_some() {
        reply.end = End::Stopped;
    } else {
        reply.truncate(complete, cut);
    }
}
