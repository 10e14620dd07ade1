//! Bytes in, server-sent events out (WHATWG HTML 9.2.5 and 9.2.6). Chunk boundaries never change
//! the events.
//!
//! Held are one event's known-field lines, at most as many bytes as the limit allows.
//! Comments and unknown fields are dropped as they arrive, however long they are. No held byte is
//! looked at again when more arrive.
//!
//! A [forgiving](EventDecoder::forgiving) decoder reads what servers get wrong, too; the rules of
//! that are in `forgiving`.

mod forgiving;
mod owned;

use std::ops::ControlFlow;

use crate::limits::{KEPT_BYTES, Limit, LimitExceeded, MAX_EVENT_BYTES};
use crate::line::{LineSplitter, Piece};
use crate::prelude::*;
use crate::utf8::decode;

pub(crate) use forgiving::ERROR;
use forgiving::{Odd, without_blanks};
pub use owned::OwnedEvent;

/// One dispatched event, borrowed from the decoder or from the bytes that the decoder was fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The value of the block's last `event` field, also when empty; `None` when the block had no
    /// such field.
    pub name: Option<&'a str>,
    /// The values of the `data` fields, joined by LF.
    pub data: &'a str,
    /// The last event id in force when the event was dispatched.
    pub id: &'a str,
    /// How many ids the stream has set by then. Events of one number have one id: who keeps events
    /// can keep it once, however long it is and however many events follow it.
    pub id_number: u64,
    /// Reconnection time in milliseconds, when this block set one.
    pub retry: Option<u64>,
}

impl<'a> Event<'a> {
    /// The event's type as the specification sees it: `message` unless a name was given.
    pub fn kind(&self) -> &'a str {
        self.name.filter(|name| !name.is_empty()).unwrap_or("message")
    }
}

/// An event whose data is as it came: not yet decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawEvent<'a> {
    pub(crate) kind: RawKind,
    pub(crate) name: Option<&'a str>,
    pub(crate) data: &'a [u8],
    id: &'a str,
    id_number: u64,
    retry: Option<u64>,
}

/// What was found. Anything but an event comes from a forgiving decoder alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawKind {
    Event,
    /// A block with a name and without data.
    Name,
    /// A line that belongs to no event, as data.
    Line,
}

impl<'a> RawEvent<'a> {
    /// A JSON text that came without a server-sent event around it.
    pub(crate) fn of_data(data: &'a [u8]) -> Self {
        Self { kind: RawKind::Event, name: None, data, id: "", id_number: 0, retry: None }
    }

    /// The event with its data decoded.
    pub(crate) fn with_data(&self, data: &'a str) -> Event<'a> {
        Event { name: self.name, data, id: self.id, id_number: self.id_number, retry: self.retry }
    }
}

/// The fields the specification knows; all others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Id,
    Retry,
    /// An error, in a field of its own, which only a forgiving decoder knows.
    Error,
}

/// Decodes one stream of server-sent events.
///
/// ```
/// use std::ops::ControlFlow;
/// use tailrace_core::EventDecoder;
///
/// let mut decoder = EventDecoder::new(64 * 1024);
/// let mut lengths = Vec::new();
/// decoder.feed(b"id: 7\ndata: one\n\ndata: [DONE]\n\ndata: more\n\n", |event| {
///     if event.data == "[DONE]" {
///         return ControlFlow::Break(()); // the stream has ended, whatever follows
///     }
///     lengths.push(event.data.len());
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(lengths, [3]);
/// assert_eq!(decoder.last_event_id(), "7");
/// # Ok::<(), tailrace_core::LimitExceeded>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventDecoder {
    max_event_bytes: usize,
    lines: LineSplitter,
    line: PartialLine,
    block: Block,
    /// What few streams tell.
    told: Option<Box<Told>>,
    state: State,
    /// Whether a data line alone is an event of its own, where what servers get wrong is read, too.
    forgiving: Option<fn(&[u8]) -> bool>,
    /// What they got wrong so far and is not yet dealt with.
    odd: Option<Box<Odd>>,
    /// Whether something is to be handed out before the block goes on.
    has_ready: bool,
    /// Whether each data line is an event, as empty lines are missing.
    by_lines: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Ended,
    /// An event was larger than the limit.
    Failed,
}

/// The event being read: its fields so far.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a field of an event may be there and empty")]
struct Block {
    /// Bytes of the known-field lines so far.
    size: usize,
    /// Values of the `data` lines joined by LF, not yet decoded.
    data: Vec<u8>,
    has_data: bool,
    name: String,
    has_name: bool,
    has_id: bool,
    has_retry: bool,
    /// Whether the data has several lines.
    has_lines: bool,
}

/// The ids and the reconnection time of a stream: apart, as a decoder that waits is to be small.
#[derive(Debug, Clone, Default)]
struct Told {
    last_event_id: String,
    id_number: u64,
    /// The id of the block that is being read, where that has one.
    id: String,
    /// The time in force, which is the block's where that has one.
    retry: Option<u64>,
}

/// A line of which only a part has arrived.
#[derive(Debug, Clone, Default)]
struct PartialLine {
    /// The bytes so far; of a `data` line only the beginning, as its value goes to the block at
    /// once.
    bytes: Vec<u8>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    /// Still a beginning of a known field's name.
    #[default]
    Open,
    /// `data:`, of which nothing more has come: a space would not be part of the value.
    DataColon,
    /// A `data` line whose value has begun.
    Data,
    /// Another known field's line.
    Known,
    /// Any line, held as it came without a look at it.
    Held,
    /// A line that a forgiving decoder does not know; its beginning is kept.
    Stray,
    /// A comment or an unknown field.
    Dropped,
}

impl Default for EventDecoder {
    /// A decoder that holds at most [`MAX_EVENT_BYTES`] of one event.
    fn default() -> Self {
        Self::new(MAX_EVENT_BYTES)
    }
}

impl EventDecoder {
    /// A decoder that holds at most `max_event_bytes` of one event: the bytes of its known-field
    /// lines as they stand on the wire, without line ends.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            lines: LineSplitter::default(),
            line: PartialLine::default(),
            block: Block::default(),
            told: None,
            state: State::Open,
            forgiving: None,
            odd: None,
            has_ready: false,
            by_lines: false,
        }
    }

    /// Hands each event that `bytes` complete to `sink`. When `sink` breaks, the stream has ended:
    /// what follows is ignored, now and later.
    ///
    /// # Errors
    /// When an event is larger than the limit, after the events before it were delivered;
    /// and ever after.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), LimitExceeded> {
        let mut input = bytes;
        loop {
            self.next(&mut input, |event| sink(event.with_data(&decode(event.data))))?;
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads `input` up to the end of its next event, which goes to `sink`, or to its own end.
    /// Otherwise like [`feed`](Self::feed).
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        sink: impl FnMut(RawEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), LimitExceeded> {
        match self.state {
            State::Open => {}
            State::Ended => {
                *input = &[];
                return Ok(());
            }
            State::Failed => return Err(self.limit()),
        }
        let result = self.read(input, sink);
        if result.is_err() {
            self.release(State::Failed);
        }
        result
    }

    /// Takes the next event off `input`, where that is one line of data and lies in it whole, with
    /// its end: most events do. `None` where the next one is another, which [`next`](Self::next)
    /// reads, and where the read has cut it: then its beginning is held, if it is not too long.
    #[cfg(any(feature = "std", feature = "stream"))]
    #[inline]
    pub(crate) fn next_plain<'a>(&mut self, input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let is_at_start = matches!(self.state, State::Open)
            && self.lines.is_past_mark()
            && self.block.size == 0
            && !self.line.started();
        if !is_at_start {
            return None;
        }
        self.lines.end_line(input);
        let value = data_of(input)?;
        let Some(end) = crate::line::line_end(value) else {
            self.hold(input);
            return None;
        };
        let data = plain(input, value, end, self.max_event_bytes)?;
        if input.is_empty() {
            self.rest();
        }
        Some(data)
    }

    /// Takes the rest of an event off `input`, where that is one line of data whose beginning is
    /// held, and has `take` take the data. Otherwise like [`next_plain`](Self::next_plain).
    #[cfg(any(feature = "std", feature = "stream"))]
    pub(crate) fn next_held<T>(
        &mut self,
        input: &mut &[u8],
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        if !self.is_holding() {
            return None;
        }
        let end = crate::line::line_end(input)?;
        let rest = input.get(..end + crate::line::LONGEST_END).unwrap_or(input);
        let held = &mut self.line.bytes;
        let before = held.len();
        if before + rest.len() > KEPT_BYTES {
            return None;
        }
        held.extend_from_slice(rest);
        let mut joined = &held[..];
        let data = data_of(joined).and_then(|value| {
            let end = (before + end).checked_sub(joined.len() - value.len())?;
            plain(&mut joined, value, end, self.max_event_bytes)
        });
        let Some(data) = data else {
            held.truncate(before);
            return None;
        };
        let taken = take(data);
        *input = &input[rest.len() - joined.len()..];
        self.let_go();
        if input.is_empty() {
            self.rest();
        }
        Some(taken)
    }

    /// Whether a line that begins with `input` would be the first of an event that ends at an empty
    /// line, in a stream of which an event was read and that goes on. Drops the rest of the line
    /// end before.
    pub(crate) fn is_between_events(&mut self, input: &mut &[u8]) -> bool {
        self.lines.end_line(input);
        self.is_resting() && !self.by_lines
    }

    /// Takes `beginning`, which is not empty and ends no line, off the input and holds it as it is,
    /// so that its event can be looked at whole once more has come. A beginning that is too long
    /// for that is left.
    pub(crate) fn hold(&mut self, beginning: &mut &[u8]) {
        let room = KEPT_BYTES.min(self.max_event_bytes) - self.line.bytes.len();
        if beginning.len() <= room {
            self.line.fate = Fate::Held;
            self.line.bytes.extend_from_slice(std::mem::take(beginning));
        }
    }

    /// Whether the beginning of an event is held as it came.
    pub(crate) fn is_holding(&self) -> bool {
        self.line.fate == Fate::Held
    }

    /// The beginning of an event that is held as it came, when one [is](Self::is_holding). Unless
    /// the caller lets go of it, it is read before the bytes that come next.
    pub(crate) fn held(&mut self) -> &mut Vec<u8> {
        &mut self.line.bytes
    }

    /// Drops the beginning that is held, as the caller has read its event.
    pub(crate) fn let_go(&mut self) {
        self.line.fate = Fate::Open;
        self.line.bytes.clear();
    }

    /// Bytes that the known-field lines of one event may have.
    pub(crate) fn max_event_bytes(&self) -> usize {
        self.max_event_bytes
    }

    /// Ends the stream. An unfinished block is dropped, as the specification says; later bytes are
    /// ignored.
    ///
    /// # Errors
    /// When a limit was passed before.
    pub fn close(&mut self) -> Result<(), LimitExceeded> {
        if let Some(error) = self.error() {
            return Err(error);
        }
        self.release(State::Ended);
        Ok(())
    }

    /// The limit that was passed, which every later call reports.
    pub fn error(&self) -> Option<LimitExceeded> {
        match self.state {
            State::Failed => Some(self.limit()),
            State::Open | State::Ended => None,
        }
    }

    /// Whether the stream was ended: later bytes are ignored.
    #[cfg(any(feature = "std", feature = "stream"))]
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// How many ids the stream has set.
    #[cfg(any(feature = "std", feature = "stream"))]
    pub(crate) fn id_number(&self) -> u64 {
        self.told.as_ref().map_or(0, |told| told.id_number)
    }

    /// The last event id in force: that of the last finished block which set one.
    pub fn last_event_id(&self) -> &str {
        self.told.as_ref().map_or("", |told| &told.last_event_id)
    }

    /// The reconnection time in force, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.told.as_ref().and_then(|told| told.retry)
    }

    /// Ends the stream, and hands the block that the end cut off to `sink`, if it has data or a
    /// name. The block's last line may be cut, too.
    pub(crate) fn unfinished(&mut self, mut sink: impl FnMut(RawEvent<'_>)) {
        if !matches!(self.state, State::Open) {
            return;
        }
        if matches!(self.line.fate, Fate::Data | Fate::DataColon) {
            self.line = PartialLine::default();
        } else {
            // A limit that the last line passes no longer matters.
            let _ = self.end_line();
        }
        self.hand_out(&mut sink);
        self.settle_name();
        if self.block.has_data || self.block.has_name {
            self.set_last_event_id();
            sink(self.block.event(&self.block.data, self.told.as_deref()));
        }
        self.release(State::Ended);
    }

    fn read(
        &mut self,
        input: &mut &[u8],
        sink: impl FnMut(RawEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), LimitExceeded> {
        if self.is_holding() && !input.is_empty() {
            let held = std::mem::take(&mut self.line);
            let read = self.extend_line(&Piece { bytes: &held.bytes, ended: false });
            if self.has_ready {
                return self.hand_out_behind(read, input, sink);
            }
            read?;
        }
        // The block's data when it is one line that lies whole in `input`: dispatched from there,
        // without a copy.
        let mut whole: Option<&[u8]> = None;
        while let Some(piece) = self.lines.next(input) {
            let read = if !piece.ended || self.line.started() {
                self.block.keep(whole.take());
                self.read_piece(&piece)
            } else if piece.bytes.is_empty() {
                if self.block.size > 0 {
                    self.dispatch(whole, input, sink);
                    if input.is_empty() {
                        self.rest();
                    }
                    return Ok(());
                }
                self.by_lines = false;
                continue;
            } else if let Some(value) = data_of(piece.bytes)
                && !self.block.has_data
                && !self.by_lines
            {
                self.count(piece.bytes.len())?;
                self.block.has_data = true;
                whole = Some(value);
                continue;
            } else {
                self.block.keep(whole.take());
                self.read_line(piece.bytes)
            };
            if self.has_ready {
                return self.hand_out_behind(read, input, sink);
            }
            read?;
        }
        self.block.keep(whole);
        self.rest();
        Ok(())
    }

    /// Reads a whole line that is not empty.
    fn read_line(&mut self, line: &[u8]) -> Result<(), LimitExceeded> {
        match split_field(line) {
            Some((field, value)) => self.add_field(field, value, line.len()),
            None if self.forgiving.is_some() => self.forgive(line),
            None => Ok(()),
        }
    }

    /// Reads a piece of a line that comes in pieces.
    fn read_piece(&mut self, piece: &Piece<'_>) -> Result<(), LimitExceeded> {
        self.extend_line(piece)?;
        if piece.ended { self.end_line() } else { Ok(()) }
    }

    /// Adds a piece to the unfinished line, as far as it is worth keeping.
    fn extend_line(&mut self, piece: &Piece<'_>) -> Result<(), LimitExceeded> {
        let mut rest = piece.bytes;
        if self.line.fate == Fate::Open {
            if self.forgiving.is_some() && self.line.bytes.is_empty() {
                rest = without_blanks(rest);
            }
            let (head, tail) = rest.split_at(rest.len().min(LONGEST_HEAD - self.line.bytes.len()));
            self.line.bytes.extend_from_slice(head);
            rest = tail;
            self.decide_line()?;
        }
        match self.line.fate {
            Fate::DataColon | Fate::Data => {
                self.count(rest.len())?;
                self.extend_data(rest);
            }
            Fate::Known => {
                self.count(rest.len())?;
                self.line.bytes.extend_from_slice(rest);
            }
            Fate::Open if piece.ended => self.count_name()?,
            Fate::Stray => self.extend_stray(rest)?,
            Fate::Open | Fate::Held | Fate::Dropped => {}
        }
        Ok(())
    }

    /// Counts a line that is a field's name without a colon. Where it begins another event, its
    /// bytes are not those of the event before it.
    fn count_name(&mut self) -> Result<(), LimitExceeded> {
        let Some((field, _)) = split_field(&self.line.bytes) else { return Ok(()) };
        if field == Field::Data {
            self.begin_data();
        }
        self.count(self.line.bytes.len())
    }

    /// Finds out what the unfinished line is, as far as its beginning tells.
    fn decide_line(&mut self) -> Result<(), LimitExceeded> {
        self.line.fate = fate(&self.line.bytes);
        if self.forgiving.is_some() {
            self.line.fate = forgiving::fate(&self.line.bytes, self.line.fate);
        }
        match self.line.fate {
            Fate::Data | Fate::DataColon => self.begin_data(),
            Fate::Known => {
                self.begin_error();
                return self.count(self.line.bytes.len());
            }
            _ => return Ok(()),
        }
        self.count(self.line.bytes.len())?;
        self.block.push_data(data_of(&self.line.bytes).unwrap_or_default());
        Ok(())
    }

    /// Adds a piece of the value of a `data` line that comes in pieces.
    fn extend_data(&mut self, mut piece: &[u8]) {
        if self.line.fate == Fate::DataColon && !piece.is_empty() {
            piece = piece.strip_prefix(b" ").unwrap_or(piece);
            self.line.fate = Fate::Data;
        }
        self.block.data.extend_from_slice(piece);
    }

    fn end_line(&mut self) -> Result<(), LimitExceeded> {
        let fate = std::mem::take(&mut self.line.fate);
        if matches!(fate, Fate::Data | Fate::DataColon) {
            self.line.bytes.clear();
            self.end_data();
            return Ok(());
        }
        self.end_short_line(fate)
    }

    /// Ends a line whose bytes are all held, as far as they are worth it.
    fn end_short_line(&mut self, fate: Fate) -> Result<(), LimitExceeded> {
        let mut line = std::mem::take(&mut self.line.bytes);
        match (fate, split_field(&line)) {
            (Fate::Dropped, _) => {}
            (Fate::Open | Fate::Known | Fate::Held, Some((field, value))) => {
                self.apply_whole(field, value);
            }
            _ if self.forgiving.is_some() => self.forgive_end(&line, fate == Fate::Stray)?,
            _ => {}
        }
        line.clear();
        self.line.bytes = line;
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), LimitExceeded> {
        self.block.size += bytes;
        if self.block.size > self.max_event_bytes {
            return Err(self.limit());
        }
        Ok(())
    }

    fn limit(&self) -> LimitExceeded {
        LimitExceeded { limit: Limit::Event, bytes: self.max_event_bytes }
    }

    fn apply(&mut self, field: Field, value: &[u8]) {
        match field {
            Field::Data => self.block.push_data(value),
            Field::Event => self.set_name(value),
            Field::Error => {
                self.block.set_name(forgiving::ERROR);
                self.block.push_data(value);
            }
            Field::Id => self.set_id(value),
            Field::Retry => {
                if let Some(milliseconds) = parse_retry(value) {
                    self.block.has_retry = true;
                    self.told.get_or_insert_default().retry = Some(milliseconds);
                }
            }
        }
    }

    /// Finishes the block at an empty line. A block without data is no event, but its id counts.
    fn dispatch(
        &mut self,
        whole: Option<&[u8]>,
        input: &mut &[u8],
        mut sink: impl FnMut(RawEvent<'_>) -> ControlFlow<()>,
    ) {
        self.set_last_event_id();
        self.settle_name();
        self.by_lines = false;
        let mut flow = ControlFlow::Continue(());
        if self.block.has_data || (self.block.has_name && self.forgiving.is_some()) {
            let data = whole.unwrap_or(&self.block.data);
            flow = sink(self.block.event(data, self.told.as_deref()));
        }
        self.block.clear();
        if flow.is_break() {
            *input = &[];
            self.release(State::Ended);
        }
    }

    fn set_id(&mut self, value: &[u8]) {
        if memchr::memchr(0, value).is_none() {
            self.block.has_id = true;
            let id = &mut self.told.get_or_insert_default().id;
            id.clear();
            id.push_str(&decode(value));
        }
    }

    fn set_last_event_id(&mut self) {
        if self.block.has_id
            && let Some(Told { last_event_id, id_number, id, .. }) = self.told.as_deref_mut()
        {
            std::mem::swap(last_event_id, id);
            *id_number += 1;
        }
    }

    /// Ends a read: a stream that rests between two events holds no buffer.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.is_resting() {
            let held = self.block.data.capacity() | self.line.bytes.capacity();
            // Most reads have held nothing.
            if held > 0 {
                self.give_back();
            }
        }
    }

    /// Whether a stream that goes on rests between two events.
    pub(crate) fn is_resting(&self) -> bool {
        self.block.size == 0 && !self.line.started()
    }

    fn give_back(&mut self) {
        self.block.data = Vec::new();
        self.line.bytes = Vec::new();
    }

    /// Lets go of every buffer, and enters `state` for good.
    fn release(&mut self, state: State) {
        self.block = Block::default();
        self.line = PartialLine::default();
        if let Some(told) = &mut self.told {
            told.id = String::new();
        }
        self.state = state;
    }
}

impl PartialLine {
    fn started(&self) -> bool {
        self.fate != Fate::Open || !self.bytes.is_empty()
    }
}

impl Block {
    fn event<'a>(&'a self, data: &'a [u8], told: Option<&'a Told>) -> RawEvent<'a> {
        let (id, id_number, retry) = told.map_or(("", 0, None), |told| {
            (&*told.last_event_id, told.id_number, told.retry.filter(|_| self.has_retry))
        });
        RawEvent {
            kind: if self.has_data { RawKind::Event } else { RawKind::Name },
            name: self.has_name.then_some(self.name.as_str()),
            data,
            id,
            id_number,
            retry,
        }
    }

    /// Copies the data line that could not be dispatched from where it lay.
    fn keep(&mut self, whole: Option<&[u8]>) {
        if let Some(value) = whole {
            self.data.extend_from_slice(value);
        }
    }

    fn push_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
            self.has_lines = true;
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }

    fn set_name(&mut self, name: &str) {
        self.has_name = true;
        self.name.clear();
        self.name.push_str(name);
    }

    fn clear(&mut self) {
        self.size = 0;
        self.data.clear();
        if self.data.capacity() > KEPT_BYTES {
            self.data = Vec::new();
        }
        self.has_data = false;
        self.has_name = false;
        self.has_id = false;
        self.has_retry = false;
        self.has_lines = false;
    }
}

/// Bytes of a line after which it is always decided whether its field is known: the longest name
/// and a colon.
const LONGEST_HEAD: usize = 6;

/// The fate of a line that begins with `head`.
fn fate(head: &[u8]) -> Fate {
    const NAMES: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];
    if head.contains(&b':') {
        return match split_field(head) {
            Some((Field::Data, _)) if head.len() == LONGEST_HEAD => Fate::Data,
            Some((Field::Data, _)) => Fate::DataColon,
            Some(_) => Fate::Known,
            None => Fate::Dropped,
        };
    }
    if NAMES.iter().any(|name| name.starts_with(head)) { Fate::Open } else { Fate::Dropped }
}

/// Takes an event off `input`, where an empty line follows its line of data, the value of which ends
/// at this offset.
#[cfg(any(feature = "std", feature = "stream"))]
#[inline]
fn plain<'a>(
    input: &mut &'a [u8],
    value: &'a [u8],
    end: usize,
    max_bytes: usize,
) -> Option<&'a [u8]> {
    let (data, rest) = value.split_at(end);
    if input.len() - rest.len() > max_bytes {
        return None;
    }
    *input = rest.strip_prefix(b"\n\n").or_else(|| rest.strip_prefix(b"\r\n\r\n"))?;
    Some(data)
}

/// The value of a `data` line that has a colon: what [`split_field`] finds, in fewer steps.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// A line's field and value: the name up to the first colon, the value without one space in front.
fn split_field(line: &[u8]) -> Option<(Field, &[u8])> {
    let (field, rest) = match line {
        [b'd', b'a', b't', b'a', rest @ ..] => (Field::Data, rest),
        [b'e', b'v', b'e', b'n', b't', rest @ ..] => (Field::Event, rest),
        [b'i', b'd', rest @ ..] => (Field::Id, rest),
        [b'r', b'e', b't', b'r', b'y', rest @ ..] => (Field::Retry, rest),
        _ => return None,
    };
    match rest {
        [] => Some((field, rest)),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some((field, value)),
        _ => None,
    }
}

/// The milliseconds of a `retry` field: digits only. A number too large for 64 bits is the largest
/// that fits.
fn parse_retry(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        }),
    )
}
