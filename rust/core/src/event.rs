//! Bytes in, server-sent events out (WHATWG HTML 9.2.5 and 9.2.6). Chunk boundaries never change the events.
//!
//! What is held is one event's known-field lines, at most as many bytes as the limit allows. Comments and unknown
//! fields are dropped as they arrive, however long they are. No held byte is looked at again when more arrive.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::limits::{Limit, LimitExceeded};
use crate::line::{LineSplitter, Piece};

/// One dispatched event. It borrows from the decoder or from the bytes it was fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The value of the block's last `event` field, also when empty; `None` when the block had no such field.
    pub name: Option<&'a str>,
    /// The values of the `data` fields, joined by LF.
    pub data: &'a str,
    /// The last event id in force when the event was dispatched.
    pub id: &'a str,
    /// How many ids the stream has set by then. Events of one number have one id: who keeps events can keep it once,
    /// however long it is and however many events follow it.
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

/// The fields the specification knows; all others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Id,
    Retry,
}

/// Decodes one stream of server-sent events.
#[derive(Debug, Clone)]
pub struct EventDecoder {
    max_event_bytes: usize,
    lines: LineSplitter,
    line: PartialLine,
    block: Block,
    last_event_id: String,
    id_number: u64,
    retry: Option<u64>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Ended,
    Failed(LimitExceeded),
}

/// The fields of the event being read.
#[derive(Debug, Clone, Default)]
struct Block {
    /// Bytes of the known-field lines so far.
    size: usize,
    /// Values of the `data` lines joined by LF, not yet decoded.
    data: Vec<u8>,
    has_data: bool,
    name: String,
    has_name: bool,
    id: String,
    has_id: bool,
    retry: Option<u64>,
}

/// A line of which only a part has arrived.
#[derive(Debug, Clone, Default)]
struct PartialLine {
    bytes: Vec<u8>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    /// Still a beginning of a known field's name.
    #[default]
    Open,
    Known,
    /// A comment or an unknown field.
    Dropped,
}

impl EventDecoder {
    /// A decoder that holds at most `max_event_bytes` of one event: the bytes of its known-field lines as they stand
    /// on the wire, without line ends.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            lines: LineSplitter::default(),
            line: PartialLine::default(),
            block: Block::default(),
            last_event_id: String::new(),
            id_number: 0,
            retry: None,
            state: State::Open,
        }
    }

    /// Hands each event that `bytes` complete to `sink`. When `sink` breaks, the stream has ended: what follows is
    /// ignored, now and later.
    ///
    /// # Errors
    /// When an event is larger than the limit, after the events before it were delivered; and ever after.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), LimitExceeded> {
        match self.state {
            State::Open => {}
            State::Ended => return Ok(()),
            State::Failed(error) => return Err(error),
        }
        let result = self.read(bytes, &mut sink);
        if let Err(error) = result {
            self.release(State::Failed(error));
        }
        result
    }

    /// Ends the stream. An unfinished block is dropped, as the specification says; later bytes are ignored.
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
            State::Failed(error) => Some(error),
            State::Open | State::Ended => None,
        }
    }

    /// The last event id in force: that of the last finished block which set one.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time in force, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Ends the stream and returns the block that the end cut off, if it has data. Its last line may be cut, too.
    pub(crate) fn unfinished(&mut self, sink: impl FnOnce(Event<'_>)) {
        if !matches!(self.state, State::Open) {
            return;
        }
        self.end_line();
        if self.block.has_data {
            self.set_last_event_id();
            let data = String::from_utf8_lossy(&self.block.data);
            sink(self.block.event(&data, &self.last_event_id, self.id_number));
        }
        self.release(State::Ended);
    }

    fn read(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), LimitExceeded> {
        // The block's data when it is one line that lies whole in `input`: dispatched from there, without a copy.
        let mut whole: Option<&[u8]> = None;
        while let Some(piece) = self.lines.next(&mut input) {
            if !piece.ended || self.line.started() {
                if self.extend_line(&piece)? {
                    self.block.keep(whole.take());
                    self.end_line();
                }
            } else if piece.bytes.is_empty() {
                if self.dispatch(whole.take(), sink).is_break() {
                    self.release(State::Ended);
                    return Ok(());
                }
            } else if let Some((field, value)) = split_field(piece.bytes) {
                self.count(piece.bytes.len())?;
                if field == Field::Data && !self.block.has_data {
                    self.block.has_data = true;
                    whole = Some(value);
                } else {
                    self.block.keep(whole.take());
                    self.apply(field, value);
                }
            }
        }
        self.block.keep(whole);
        Ok(())
    }

    /// Adds a piece to the unfinished line, as far as it is worth keeping. True when the line ended.
    fn extend_line(&mut self, piece: &Piece<'_>) -> Result<bool, LimitExceeded> {
        let mut rest = piece.bytes;
        if self.line.fate == Fate::Open {
            let (head, tail) = rest.split_at(rest.len().min(LONGEST_HEAD - self.line.bytes.len()));
            self.line.bytes.extend_from_slice(head);
            self.line.fate = fate(&self.line.bytes);
            rest = tail;
            if self.line.fate == Fate::Known {
                self.count(self.line.bytes.len())?;
            }
        }
        if self.line.fate == Fate::Known {
            self.count(rest.len())?;
            self.line.bytes.extend_from_slice(rest);
        } else if self.line.fate == Fate::Open && piece.ended {
            // A field's name without a colon.
            if split_field(&self.line.bytes).is_some() {
                self.count(self.line.bytes.len())?;
            }
        }
        Ok(piece.ended)
    }

    fn end_line(&mut self) {
        let fate = std::mem::take(&mut self.line.fate);
        let mut line = std::mem::take(&mut self.line.bytes);
        if fate != Fate::Dropped
            && let Some((field, value)) = split_field(&line)
        {
            self.apply(field, value);
        }
        line.clear();
        self.line.bytes = line;
    }

    fn count(&mut self, bytes: usize) -> Result<(), LimitExceeded> {
        self.block.size += bytes;
        if self.block.size > self.max_event_bytes {
            return Err(LimitExceeded { limit: Limit::Event, bytes: self.max_event_bytes });
        }
        Ok(())
    }

    fn apply(&mut self, field: Field, value: &[u8]) {
        match field {
            Field::Data => self.block.push_data(value),
            Field::Event => self.block.set_name(&String::from_utf8_lossy(value)),
            Field::Id => self.block.set_id(value),
            Field::Retry => {
                if let Some(milliseconds) = parse_retry(value) {
                    self.block.retry = Some(milliseconds);
                    self.retry = Some(milliseconds);
                }
            }
        }
    }

    /// An empty line: the block is finished. Without data it is no event, but its id counts.
    fn dispatch(
        &mut self,
        whole: Option<&[u8]>,
        sink: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.set_last_event_id();
        let mut flow = ControlFlow::Continue(());
        if self.block.has_data {
            let data: Cow<'_, str> = String::from_utf8_lossy(whole.unwrap_or(&self.block.data));
            flow = sink(self.block.event(&data, &self.last_event_id, self.id_number));
        }
        self.block.clear();
        flow
    }

    fn set_last_event_id(&mut self) {
        if self.block.has_id {
            std::mem::swap(&mut self.last_event_id, &mut self.block.id);
            self.id_number += 1;
        }
    }

    /// Lets go of all that is held.
    fn release(&mut self, state: State) {
        self.block = Block::default();
        self.line = PartialLine::default();
        self.state = state;
    }
}

impl PartialLine {
    fn started(&self) -> bool {
        self.fate != Fate::Open || !self.bytes.is_empty()
    }
}

impl Block {
    fn event<'a>(&'a self, data: &'a str, id: &'a str, id_number: u64) -> Event<'a> {
        Event { name: self.has_name.then_some(self.name.as_str()), data, id, id_number, retry: self.retry }
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
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }

    fn set_name(&mut self, name: &str) {
        self.has_name = true;
        self.name.clear();
        self.name.push_str(name);
    }

    fn set_id(&mut self, value: &[u8]) {
        if memchr::memchr(0, value).is_none() {
            self.has_id = true;
            self.id.clear();
            self.id.push_str(&String::from_utf8_lossy(value));
        }
    }

    fn clear(&mut self) {
        self.size = 0;
        self.data.clear();
        self.has_data = false;
        self.has_name = false;
        self.has_id = false;
        self.retry = None;
    }
}

/// Bytes of a line after which it is always decided whether its field is known: the longest name and a colon.
const LONGEST_HEAD: usize = 6;

/// What the beginning of a line says about its field.
fn fate(head: &[u8]) -> Fate {
    const NAMES: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];
    if head.contains(&b':') {
        return if split_field(head).is_some() { Fate::Known } else { Fate::Dropped };
    }
    if NAMES.iter().any(|name| name.starts_with(head)) { Fate::Open } else { Fate::Dropped }
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

/// Digits only; a number too large for 64 bits is the largest that fits.
fn parse_retry(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}
