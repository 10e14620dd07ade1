//! Bytes of one chat reply in, deltas out: the stages that a reply goes through, from its first
//! bytes to a name for its end.

use memchr::memmem;

use crate::error::{ErrorKind, ReplyError};
use crate::html::{is_html, is_page};
use crate::json::JsonError;
use crate::limits::{ERROR_BODY_BYTES, Limit, LimitExceeded};
use crate::prelude::*;
use crate::utf8::decode;

use super::collected::{Collected, Collecting};
use super::dialects::AnyReader;
use super::events::{EventReader, Events, Records};
use super::failure::{
    describe, judge_debris, judge_error_body, judge_page, judge_page_for_text, judge_unread,
    objects,
};
use super::framing::{Debris, Framings, Sniffed, Sniffer};
use super::members::Members;
use super::output::Output;
use super::read_event::CountBefore;
use super::records::RecordSplitter;
use super::reply::{End, Ids, ReplyState};
use super::scout::Scout;
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
    /// Whether the dialect is that of the reply's own bytes, and not yet known.
    is_scouting: bool,
    max_event_bytes: usize,
    max_body_bytes: usize,
    framing: Framing,
    stage: Stage,
    reply: ReplyState,
    /// What came in front of the answer, if anything did.
    debris: Option<Box<Debris>>,
    /// Whether events that repeat an earlier one need not be read in full.
    repeats: bool,
}

/// The stage of a reply. The first bytes decide which comes next, the end brings the last one.
#[derive(Debug, Clone)]
enum Stage {
    /// The first bytes of a reply whose dialect they are to tell.
    Scouting(Box<Scout>),
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
            is_scouting: false,
            max_event_bytes,
            max_body_bytes,
            framing: if is_undecided { Framing::Open } else { Framing::Text },
            stage,
            reply: ReplyState::new(status),
            debris: None,
            repeats: true,
        }
    }

    /// A decoder for one reply whose dialect is not known: its first event, or its first JSON
    /// object, that is unmistakably of one decides, and nothing is delivered before. Where none is,
    /// the reply is read as OpenAI's. No reply is found to be plain text.
    ///
    /// ```
    /// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};
    ///
    /// let mut decoder = DeltaDecoder::detecting(DeltaOptions::default());
    /// let mut answer = String::new();
    /// let event = br#"data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#;
    /// decoder.feed(event, &mut answer);
    /// assert_eq!(decoder.dialect(), None);
    /// decoder.feed(b"\n\n", &mut answer);
    /// assert_eq!((answer.as_str(), decoder.dialect()), ("Hi", Some(Dialect::Gemini)));
    /// ```
    pub fn detecting(options: DeltaOptions) -> Self {
        let limit = options.max_body_bytes;
        let mut decoder = Self::new(Dialect::OpenAi, options);
        if matches!(decoder.stage, Stage::Sniffing(_)) {
            decoder.stage = Stage::Scouting(Box::new(Scout::new(limit)));
            decoder.is_scouting = true;
        }
        decoder
    }

    /// A decoder that reads each event in full, whatever came before it: the reference for
    /// [`new`](Self::new), from which it differs in nothing but speed.
    #[doc(hidden)]
    pub fn without_repeats(dialect: Dialect, options: DeltaOptions) -> Self {
        Self { repeats: false, ..Self::new(dialect, options) }
    }

    /// Collects what is no text from now on, whatever the sinks want: see
    /// [`collected`](Self::collected). That is part of what
    /// [`max_body_bytes`](DeltaOptions::max_body_bytes) limits: a reply with more of it fails.
    ///
    /// ```
    /// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};
    ///
    /// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    /// decoder.collect();
    /// let call = r#"{"index":0,"function":{"name":"tide","arguments":"{\"at\":9}"}}"#;
    /// let event = format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n");
    /// decoder.feed(event.as_bytes(), &mut String::new());
    ///
    /// let collected = decoder.collected().expect("it is asked for");
    /// let [call] = collected.tool_calls() else { panic!("one call") };
    /// assert_eq!((call.name.as_str(), call.arguments.as_str()), ("tide", r#"{"at":9}"#));
    /// ```
    pub fn collect(&mut self) {
        let max_bytes = self.max_body_bytes;
        self.reply.collecting.get_or_insert_with(|| Box::new(Collecting::new(max_bytes)));
    }

    /// What the reply holds besides text, as far as it has come; `None` where nothing is collected.
    pub fn collected(&self) -> Option<&Collected> {
        self.reply.collecting.as_deref().map(Collecting::collected)
    }

    /// Delivers to `sink` the text that `bytes` add. After the end, bytes are ignored.
    pub fn feed<S: DeltaSink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        if self.reply.is_open()
            && let Err(limit) = self.read(bytes, sink)
        {
            self.reply.fail_limit(limit);
        }
        if !self.reply.is_open() {
            let (_, mut debris) = self.take_stage();
            self.read_before(&mut debris, sink);
            self.hand_over(sink);
        }
    }

    /// Ends the reply: delivers to `sink` what was held, and settles how the reply ended.
    /// `complete` is false when the transport broke.
    pub fn close<S: DeltaSink + ?Sized>(&mut self, complete: bool, sink: &mut S) {
        if let Stage::Scouting(scout) = &mut self.stage {
            let held = scout.take();
            self.found(self.dialect, &held, sink);
        }
        let (stage, mut debris) = self.take_stage();
        let reply = &mut self.reply;
        if !reply.is_open() {
            return;
        }
        match stage {
            Stage::Sniffing(sniffer) => match sniffer.into_debris() {
                Ok(debris) => self.close_debris(debris, complete, sink),
                Err(limit) => reply.fail_limit(limit),
            },
            Stage::Page(page) if complete => judge_page_for_text(&page, reply),
            Stage::Page(page) => reply.truncate(complete, &decode(page.kept())),
            Stage::Events(events) => {
                let cut = events.close(reply, sink);
                self.read_before(&mut debris, sink);
                self.settle_end(complete, &debris, &cut);
            }
            Stage::Records(records) => {
                let cut = records.close(reply, sink);
                self.settle_end(complete, &debris, &cut);
            }
            Stage::Json(body) => {
                let before = debris.take_held();
                self.close_json(&before, &body, complete, &debris, sink);
            }
            Stage::Text(text) => text.close(complete, reply, sink),
            Stage::ErrorBody(body) => {
                let dialect = AnyReader::new(self.dialect);
                judge_error_body(&body, &dialect, self.dialect.framings(), reply);
            }
            Stage::Scouting(_) | Stage::Over => {}
        }
        self.hand_over(sink);
    }

    /// The reply's dialect; `None` while a [detecting](Self::detecting) decoder does not know it.
    pub fn dialect(&self) -> Option<Dialect> {
        (!self.is_scouting).then_some(self.dialect)
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
        self.reply.usage.as_deref()
    }

    /// The ids that the reply gave of itself.
    pub fn ids(&self) -> &Ids {
        &self.reply.ids
    }

    /// The nonce that the reply gives for later requests, in the dialect `ai-engine`.
    ///
    /// ```
    /// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};
    ///
    /// let mut decoder = DeltaDecoder::new(Dialect::AiEngine, DeltaOptions::default());
    /// let body = br#"{"success":true,"reply":"Hi","new_token":"c0ffee"}"#;
    /// decoder.feed(body, &mut String::new());
    /// decoder.close(true, &mut String::new());
    /// assert_eq!(decoder.new_token(), Some("c0ffee"));
    /// ```
    pub fn new_token(&self) -> Option<&str> {
        self.reply.unread.new_token()
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

    /// What the reply holds that no delta is made of, and how much of it, by kind: `citation`,
    /// `image`, `audio`, `file`, `server_tool` (calls of tools that run at the service, and their
    /// results), `choice` (answers beside the first), `other`. Counted where more than text is
    /// wanted: by the sinks, or to be [collected](Self::collect).
    ///
    /// ```
    /// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};
    ///
    /// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    /// decoder.collect();
    /// let delta = r#"{"content":"Hi","annotations":[{"type":"url_citation"}]}"#;
    /// let event = format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
    /// decoder.feed(event.as_bytes(), &mut String::new());
    /// assert!(decoder.passed_over().eq([("citation", 1)]));
    /// ```
    pub fn passed_over(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        let passed_over = self.reply.passed_over.iter().filter(|_| self.reply.counts_all);
        passed_over.flat_map(|passed_over| passed_over.iter())
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
            Stage::Scouting(scout) => {
                if let Some(found) = scout.feed(bytes) {
                    let held = scout.take();
                    self.found(found.unwrap_or(self.dialect), &held, sink);
                }
            }
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
        let Sniffed::Decided { framing, head, rest } = found else { return Ok(()) };
        self.enter(*framing);
        // A line that lies whole in the read is read from there.
        let (before, _) = bytes.split_at(bytes.len() - rest.len());
        if before.ends_with(head) {
            return self.read(&bytes[before.len() - head.len()..], sink);
        }
        self.read(head, sink)?;
        self.read(rest, sink)
    }

    /// Reads what has been held, now that the reply's dialect is known.
    fn found<S: DeltaSink + ?Sized>(&mut self, dialect: Dialect, held: &[u8], sink: &mut S) {
        self.dialect = dialect;
        self.is_scouting = false;
        let sniffer = Sniffer::new(self.max_body_bytes, dialect.framings());
        self.stage = Stage::Sniffing(Box::new(sniffer));
        self.feed(held, sink);
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
        self.reply.is_stream = framing == Framing::Sse;
        self.reply.is_lines = framing == Framing::Lines;
        if let Stage::Sniffing(mut sniffer) = std::mem::replace(&mut self.stage, stage) {
            let debris = sniffer.take_debris();
            self.debris = (!debris.is_empty()).then(|| Box::new(debris));
        }
    }

    /// Leaves the stage and the debris to the caller, after which nothing is read any more.
    fn take_stage(&mut self) -> (Stage, Debris) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        (stage, self.debris.take().map_or_else(|| Debris::new(0), |debris| *debris))
    }

    /// Hands out what a reply holds that has ended, and makes its error one to be shown.
    fn hand_over<S: DeltaSink + ?Sized>(&mut self, sink: &mut S) {
        self.reply.release_halves(sink);
        self.reply.shorten_message();
    }

    /// Reads the body that stood behind other output on its line, where the events that came after
    /// it told nothing.
    fn read_before<S: DeltaSink + ?Sized>(&mut self, debris: &mut Debris, sink: &mut S) {
        let ReplyState { end, events, .. } = self.reply;
        let is_silent = !self.reply.has_come() && self.reply.finish_reason.is_none();
        let held = debris.take_held();
        if held.is_empty() || !is_silent || is_page(debris.kept()) {
            return;
        }
        let error = self.reply.error.clone();
        if !self.reply.is_open() && !self.reply.reopen_empty() {
            return;
        }
        let is_read = self.read_objects(&decode(&held), sink);
        self.reply.events = events + u64::from(is_read);
        if is_read {
            self.framing = Framing::Json;
        } else {
            self.reply.end = end;
            self.reply.error = error;
        }
    }

    /// Reads a JSON body, `before` of which debris came that may have begun one. It shows its own
    /// end: one that is whole is read, also when the transport broke after it.
    fn close_json<S: DeltaSink + ?Sized>(
        &mut self,
        before: &[u8],
        body: &[u8],
        complete: bool,
        debris: &Debris,
        sink: &mut S,
    ) {
        let is_page = || is_page(debris.kept());
        if !before.is_empty() && !is_page() {
            let whole = [before, body].concat();
            if self.read_objects(&decode(&whole), sink) {
                return;
            }
        }
        let text = decode(body);
        let read = self.read_body(&text, sink);
        if !self.reply.is_open() {
            return;
        }
        // One that breaks off is no event, as in a stream.
        self.reply.events = u64::from(read != Err(JsonError::UnexpectedEnd));
        if let Some(start) = begins_events(body)
            && !is_page()
        {
            return self.close_events_behind(body.split_at(start), complete, debris, sink);
        }
        if read.is_err() && !is_page() && self.read_objects(&text, sink) {
            return;
        }
        let Self { reply, .. } = self;
        reply.bad_events = if read.is_err() { reply.events } else { 0 };
        if !complete && read.is_err() {
            reply.truncate(complete, &text);
        } else if is_page() {
            judge_page(debris.kept(), reply);
        } else if read == Err(JsonError::UnexpectedEnd) {
            reply.truncate(complete, &text);
        } else {
            let message = reply.likeness().unwrap_or_else(|| describe(&text));
            reply.fail(ErrorKind::NotAStream, message, None, &text);
        }
    }

    /// Reads a text as one body. Where it is one and says nothing of the dialect, the reply stays
    /// open.
    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        text: &str,
        sink: &mut S,
    ) -> Result<(), JsonError> {
        let Self { reply, dialect, .. } = self;
        reply.foreign = false;
        let before = CountBefore::of(reply);
        let mut output = Output { reply, sink: &mut *sink, scratch: &mut Vec::new() };
        let read = dialect.read_body(text, &mut output);
        reply.events = u64::from(read.is_ok());
        if sink.events().is_some() && !reply.is_open() {
            before.hand_over(text, reply, sink);
        }
        if reply.is_open() {
            let found = Members::read(text, None).and_then(|members| Dialect::of(&members));
            let other = found.filter(|found| found != dialect);
            reply.unread.note_likeness(other.map(Dialect::as_str));
        }
        read
    }

    /// Reads the first object in a text that is an answer or an error, whatever else stands there.
    /// False when there is none.
    fn read_objects<S: DeltaSink + ?Sized>(&mut self, text: &str, sink: &mut S) -> bool {
        objects(text).any(|object| {
            let _ = self.read_body(object, sink);
            !self.reply.is_open() && !self.reply.reopen_empty()
        })
    }

    /// Reads the events that came behind a JSON object, which is the body if they tell nothing.
    fn close_events_behind<S: DeltaSink + ?Sized>(
        &mut self,
        (object, events): (&[u8], &[u8]),
        complete: bool,
        debris: &Debris,
        sink: &mut S,
    ) {
        self.enter(Framing::Sse);
        self.debris = Some(Box::new(debris.clone().with_held(object)));
        self.feed(events, sink);
        self.close(complete, sink);
    }

    /// Names the end of a reply of which nothing but debris came, unless an answer is in it.
    fn close_debris<S: DeltaSink + ?Sized>(
        &mut self,
        mut debris: Debris,
        complete: bool,
        sink: &mut S,
    ) {
        let held = debris.take_held();
        if !held.is_empty() && !is_page(debris.kept()) {
            let framing = match self.dialect.framings() {
                Framings::EventsOrLines => Framing::Lines,
                Framings::EventsOrArrayOrBody if debris.is_list() => Framing::Array,
                _ => Framing::Json,
            };
            if framing == Framing::Json {
                if self.read_objects(&decode(&held), sink) {
                    self.framing = framing;
                    return;
                }
                self.reply.events = 0;
            } else if self.close_records(framing, &held, complete, sink) {
                return;
            }
        }
        let Self { reply, .. } = self;
        if !complete {
            reply.truncate(complete, &decode(debris.kept()));
        } else if let Some(likeness) = reply.likeness() {
            reply.fail(ErrorKind::NotAStream, likeness, None, &decode(debris.kept()));
        } else {
            judge_debris(&debris, reply);
        }
    }

    /// Reads JSON texts that came behind other output on the same line. False when none of them is
    /// one of the dialect.
    fn close_records<S: DeltaSink + ?Sized>(
        &mut self,
        framing: Framing,
        bytes: &[u8],
        complete: bool,
        sink: &mut S,
    ) -> bool {
        if objects(&decode(bytes)).next().is_none() {
            return false;
        }
        self.enter(framing);
        self.feed(bytes, sink);
        self.close(complete, sink);
        true
    }

    /// Names the end of events that ended without an end marker; `debris` came before them, and
    /// `cut` is the beginning of the next one.
    fn settle_end(&mut self, complete: bool, debris: &Debris, cut: &str) {
        let dialect = AnyReader::new(self.dialect);
        let reply = &mut self.reply;
        if !reply.is_open() {
            return;
        }
        let (has_come, events) = (reply.has_come(), reply.events - u64::from(reply.keep_alives));
        if reply.finish_reason.is_some() {
            reply.end_for_its_reason(End::Stopped, "");
        } else if complete && !has_come && is_page(debris.kept()) {
            judge_page(debris.kept(), reply);
        } else if judge_unread(&dialect, reply) {
            // It was an error.
        } else if complete && !has_come && are_lines_without_ends(cut) {
            let message = "its lines have no ends: give the bytes as they came, not line by line";
            reply.fail(ErrorKind::NotAStream, message, None, cut);
        } else if let Some(likeness) = reply.likeness().filter(|_| complete) {
            let unread = reply.unread.shown();
            reply.fail(ErrorKind::NotAStream, likeness, None, &unread.text);
        } else if complete && reply.bad_events > 0 && events == reply.bad_events {
            let unread = reply.unread.shown();
            let message = format!("none of its events is one of this dialect{}", unread.clause);
            reply.fail(ErrorKind::NotAStream, message, None, &unread.text);
        } else {
            reply.truncate(complete, cut);
        }
    }
}

/// Where in a body a line begins that is a server-sent event's data. (Not in its text: what is no
/// UTF-8 has another length there.)
fn begins_events(body: &[u8]) -> Option<usize> {
    memmem::find(body, b"\ndata:").map(|end| end + 1)
}

/// Whether an event that was cut is several, one behind the other on one line.
fn are_lines_without_ends(cut: &str) -> bool {
    cut.contains("}data:") || cut.contains("}event:") || cut.contains("[DONE]")
}
