//! What servers get wrong in server-sent events in, the events that they meant out.
//!
//! Where the empty lines between events are missing, a data line that is an event of its own, and
//! is followed by another one, is one; from then on each line is, until an empty line comes. Blanks
//! in front of a field's name are skipped, and so is other output there (`<input …>data: {…`). A
//! field `error` is an event of that name. A block may have a name alone. Lines that belong to no
//! event are handed out, their first 4 KiB.

use std::ops::ControlFlow;

use memchr::memmem;

use crate::limits::{KEPT_BYTES, LimitExceeded};
use crate::prelude::*;
use crate::utf8::decode;

use super::{EventDecoder, Fate, Field, RawEvent, RawKind, State, split_field};

/// The name of the events that are errors, and of the field that stands for one.
pub(crate) const ERROR: &str = "error";

/// What a forgiving decoder knows beside the block.
#[derive(Debug, Clone, Default)]
pub(super) struct Odd {
    /// The name of the next event, when it came behind the data of one.
    next_name: Option<String>,
    /// What is to be handed out before the block goes on.
    ready: Vec<Ready>,
}

/// An event, or a line that belongs to none.
#[derive(Debug, Clone)]
struct Ready {
    kind: RawKind,
    name: Option<String>,
    data: Vec<u8>,
}

impl EventDecoder {
    /// A decoder that reads what servers get wrong, too; `is_event` says whether a data line alone
    /// is an event of its own.
    pub(crate) fn forgiving(max_event_bytes: usize, is_event: fn(&[u8]) -> bool) -> Self {
        Self { forgiving: Some(is_event), ..Self::new(max_event_bytes) }
    }

    /// Begins a data line: where the data before it is an event, that is handed out.
    pub(super) fn begin_data(&mut self) {
        let Some(is_event) = self.forgiving.filter(|_| self.block.has_data) else { return };
        let is_event = !self.block.has_lines && is_event(&self.block.data);
        if is_event || self.odd.as_ref().is_some_and(|odd| odd.next_name.is_some()) {
            self.split_block();
        }
    }

    /// Where the unfinished line is a field `error`, hands out the event in front of it, so that its
    /// bytes do not count as that event's.
    pub(super) fn begin_error(&mut self) {
        if self.block.has_data && self.line.bytes.starts_with(b"error:") {
            self.split_block();
        }
    }

    /// Ends a data line.
    pub(super) fn end_data(&mut self) {
        if self.by_lines {
            self.split_block();
        }
    }

    /// Takes a field's line, so many bytes long.
    pub(super) fn add_field(
        &mut self,
        field: Field,
        value: &[u8],
        length: usize,
    ) -> Result<(), LimitExceeded> {
        match field {
            Field::Data => self.begin_data(),
            Field::Error if self.block.has_data => self.split_block(),
            _ => {}
        }
        self.count(length)?;
        self.apply(field, value);
        if matches!(field, Field::Data | Field::Error) {
            self.end_data();
        }
        Ok(())
    }

    /// Takes a field's line that has been counted.
    pub(super) fn apply_whole(&mut self, field: Field, value: &[u8]) {
        if field == Field::Data {
            self.begin_data();
        }
        self.apply(field, value);
        if field == Field::Data {
            self.end_data();
        }
    }

    /// Takes a whole line that is no field at its beginning.
    pub(super) fn forgive(&mut self, line: &[u8]) -> Result<(), LimitExceeded> {
        let line = without_blanks(line);
        match read_line(line) {
            Line::Comment => {}
            Line::Field(field, value) => self.add_field(field, value, line.len())?,
            Line::Stray => self.push_line(line),
            Line::Empty => self.end_block(),
        }
        Ok(())
    }

    /// Takes such a line that came in pieces; unless it is `stray`, its bytes have been counted.
    pub(super) fn forgive_end(&mut self, line: &[u8], stray: bool) -> Result<(), LimitExceeded> {
        if !stray && let Line::Field(field, value) = read_line(line) {
            return self.add_field(field, value, 0);
        }
        self.forgive(line)
    }

    /// Adds a piece to a stray line. One that turns out to have an event's data in it becomes that.
    pub(super) fn extend_stray(&mut self, piece: &[u8]) -> Result<(), LimitExceeded> {
        let room = KEPT_BYTES.saturating_sub(self.line.bytes.len());
        let (kept, rest) = piece.split_at(piece.len().min(room));
        self.line.bytes.extend_from_slice(kept);
        if rest.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.line.bytes);
        let Line::Field(Field::Data, value) = read_line(&line) else {
            self.line.fate = Fate::Dropped;
            self.push_line(&line);
            return Ok(());
        };
        self.line.fate = Fate::Data;
        self.begin_data();
        self.count(line.len() + rest.len())?;
        self.block.push_data(value);
        self.extend_data(rest);
        Ok(())
    }

    /// Hands out what is ready behind a line, or a piece of one, that was `read` with this result:
    /// what came before a limit was passed is handed out all the same.
    #[cold]
    pub(super) fn hand_out_behind(
        &mut self,
        read: Result<(), LimitExceeded>,
        input: &mut &[u8],
        mut sink: impl FnMut(RawEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), LimitExceeded> {
        let mut flow = ControlFlow::Continue(());
        self.hand_out(|event| {
            if flow.is_continue() {
                flow = sink(event);
            }
        });
        if flow.is_break() {
            *input = &[];
            self.release(State::Ended);
            return Ok(());
        }
        read?;
        if input.is_empty() {
            self.rest();
        }
        Ok(())
    }

    pub(super) fn hand_out(&mut self, mut sink: impl FnMut(RawEvent<'_>)) {
        self.has_ready = false;
        let Some(odd) = &mut self.odd else { return };
        for Ready { kind, name, data } in odd.ready.drain(..) {
            let name = name.as_deref();
            let (id, id_number) =
                self.told.as_ref().map_or(("", 0), |told| (&*told.last_event_id, told.id_number));
            sink(RawEvent { kind, name, data: &data, id, id_number, retry: None });
        }
    }

    /// Sets the name of the block; behind its data, it is the next one's, should that follow
    /// without an empty line.
    pub(super) fn set_name(&mut self, value: &[u8]) {
        let name = decode(value);
        if self.forgiving.is_some() && self.block.has_data {
            self.odd.get_or_insert_default().next_name = Some(name.into_owned());
        } else {
            self.block.set_name(&name);
        }
    }

    /// Gives the block the name that came behind its data, as the specification does, or the one
    /// that came before it began.
    pub(super) fn settle_name(&mut self) {
        if let Some(name) = self.odd.as_mut().and_then(|odd| odd.next_name.take()) {
            self.block.set_name(&name);
        }
    }

    /// Ends the block without an empty line, and begins the next one.
    fn split_block(&mut self) {
        self.set_last_event_id();
        let name = self.block.has_name.then(|| std::mem::take(&mut self.block.name));
        let data = std::mem::take(&mut self.block.data);
        self.push(Ready { kind: RawKind::Event, name, data });
        self.block.clear();
        self.settle_name();
        self.by_lines = true;
    }

    /// Ends the block at a line of blanks.
    fn end_block(&mut self) {
        self.settle_name();
        if self.block.has_data {
            self.split_block();
        } else if self.block.has_name {
            let name = Some(std::mem::take(&mut self.block.name));
            self.push(Ready { kind: RawKind::Name, name, data: Vec::new() });
        }
        self.block.clear();
        self.by_lines = false;
    }

    fn push_line(&mut self, line: &[u8]) {
        let data = line.get(..KEPT_BYTES).unwrap_or(line).to_owned();
        self.push(Ready { kind: RawKind::Line, name: None, data });
    }

    fn push(&mut self, ready: Ready) {
        if self.forgiving.is_some() {
            self.odd.get_or_insert_default().ready.push(ready);
            self.has_ready = true;
        }
    }
}

/// A line that is no field at its beginning.
enum Line<'a> {
    Empty,
    Comment,
    Field(Field, &'a [u8]),
    Stray,
}

/// Reads a line that begins with no blank.
fn read_line(line: &[u8]) -> Line<'_> {
    match line.first() {
        None => return Line::Empty,
        Some(b':') => return Line::Comment,
        _ => {}
    }
    if let Some((field, value)) = split_field(line) {
        return Line::Field(field, value);
    }
    if let Some(value) = line.strip_prefix(b"error:") {
        return Line::Field(Field::Error, value.strip_prefix(b" ").unwrap_or(value));
    }
    match data_behind(line) {
        Some(value) => Line::Field(Field::Data, value),
        None => Line::Stray,
    }
}

/// The data that other output stands in front of, on the same line: a JSON object or the sentinel.
fn data_behind(line: &[u8]) -> Option<&[u8]> {
    let seen = line.get(..KEPT_BYTES).unwrap_or(line);
    memmem::find_iter(seen, b"data:").find_map(|at| {
        let start = at + b"data:".len();
        let value = without_blanks(&seen[start..]);
        let is_data = value.starts_with(b"{") || value.starts_with(b"[DONE]");
        is_data.then(|| without_blanks(&line[start..]))
    })
}

/// The fate of a line with this head, which the specification's rules give `strict`.
pub(super) fn fate(head: &[u8], strict: Fate) -> Fate {
    match strict {
        Fate::Dropped if head.starts_with(b":") => Fate::Dropped,
        Fate::Dropped if head.starts_with(b"error:") => Fate::Known,
        Fate::Dropped if b"error:".starts_with(head) => Fate::Open,
        Fate::Dropped => Fate::Stray,
        other => other,
    }
}

/// A line without spaces and tabs in front.
pub(super) fn without_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
}
