//! The bytes of an event in, its content out, when they repeat those of an earlier event around
//! another content. Otherwise nothing: the event is to be read in full.
//!
//! The chunks of one stream are the same text around changing content. A layout is that text, taken
//! from an event that was read in full and did nothing but add its content. An event that equals it
//! byte for byte, but for the insides of JSON strings that the layout knows by their positions, has
//! the same keys and values as that event but for those strings. One is the content; the others are
//! values that nobody reads (an `id` after the first one, padding). So reading such an event in
//! full would do nothing but add its content either. Nothing is guessed: each byte is compared or,
//! inside those strings, checked as the full reader checks it.

use std::ops::Range;

use crate::json::{JsonError, Kind, Reader, Scratch, Text, range_in, string_content, string_end};
use crate::limits::KEPT_BYTES;
use crate::line::{LONGEST_END, line_end};
use crate::prelude::*;

/// Bytes of an event around its content that are worth remembering, at most.
const MAX_LAYOUT_BYTES: usize = 2 * 1024;

/// Values of an event that can differ, beside the content; further ones are compared like all else.
const MAX_SLOTS: usize = 8;

/// Credit that learning a layout costs and an event that repeats the layout earns. An event that
/// does not repeat it earns 1, so that a stream whose layout keeps changing is learnt anew with
/// every sixteenth event at most.
const PRICE: u8 = 16;

/// Credit that can be saved up, at most; a stream begins with it.
const MAX_CREDIT: u8 = 8 * PRICE;

/// Bytes by which an event may be longer than the one before and still be as expected.
const LONGER: usize = 64;

/// The beginning of the line of an event's data.
const FIELD: &[u8] = b"data:";

/// The layout that the events of one stream repeat.
#[derive(Debug, Clone)]
pub(super) struct Repeats {
    layout: Option<Layout>,
    credit: u8,
    /// Whether the last event that could have repeated the layout did not.
    missed: bool,
    /// Bytes of the last event that repeated the layout.
    length: usize,
    /// Events that repeated the layout.
    count: u64,
}

impl Repeats {
    /// No layout yet.
    pub(super) fn new() -> Self {
        Self { layout: None, credit: MAX_CREDIT, missed: false, length: 0, count: 0 }
    }

    /// Forgets the layout: what events did is no longer all that they would do.
    pub(super) fn forget(&mut self) {
        self.layout = None;
    }

    /// How many events repeated the layout.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The content of the event at the beginning of `input`, when that is one `data` line of at
    /// most `max_bytes` and repeats the layout. Takes the event off `input`.
    pub(super) fn next_content<'t, 'a: 't>(
        &mut self,
        input: &mut &'a [u8],
        max_bytes: usize,
        scratch: &'t mut Scratch,
    ) -> Option<&'t str> {
        let layout = self.layout.as_ref()?;
        // Where little is left of a read, an event's end is not in it: to look for it would be in
        // vain.
        if input.len() < self.length - self.length / 4 {
            return None;
        }
        let value = input.strip_prefix(FIELD)?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let (content, rest) = layout.split(value, scratch)?;
        let length = input.len() - rest.len();
        if length > max_bytes {
            return None;
        }
        *input = rest.strip_prefix(b"\n\n").or_else(|| rest.strip_prefix(b"\r\n\r\n"))?;
        self.earn(length);
        Some(content)
    }

    /// The beginning of `input` that finishes an event of which so many bytes came `before`, or a
    /// little more; `None` when the event's line goes on. An event that is too long to be put
    /// together is cut.
    pub(super) fn rest<'a>(&self, before: usize, input: &'a [u8]) -> Option<&'a [u8]> {
        // Mostly an event is about as long as the one before, and its end need not be looked for.
        let expected = (self.length + LONGER).saturating_sub(before);
        let length = if expected <= input.len() {
            expected
        } else {
            input.len().min(line_end(input)? + LONGEST_END)
        };
        input.get(..length.min(KEPT_BYTES))
    }

    /// Whether an event with this beginning, whose line goes on, may repeat the layout: as far as
    /// is worth knowing before more of the event has come.
    pub(super) fn may_repeat(&self, beginning: &[u8]) -> bool {
        if beginning.is_empty() || self.missed {
            return false;
        }
        let Some(layout) = &self.layout else { return false };
        let Some(value) = beginning.strip_prefix(FIELD) else {
            return FIELD.starts_with(beginning);
        };
        // No line ends in a layout.
        layout.bytes.starts_with(value.strip_prefix(b" ").unwrap_or(value))
            || line_end(value).is_none()
    }

    /// The content of an event with this data, when it repeats the layout.
    pub(super) fn content<'t>(
        &mut self,
        data: &'t [u8],
        scratch: &'t mut Scratch,
    ) -> Option<&'t str> {
        let (content, rest) = self.layout.as_ref()?.split(data, scratch)?;
        if !rest.is_empty() {
            return None;
        }
        self.earn(data.len());
        Some(content)
    }

    /// Learns the layout of an event that was read in full and did nothing but add `content`.
    /// Strings and numbers that are values of its keys may differ where `matters` is false.
    pub(super) fn learn(
        &mut self,
        data: &str,
        content: Text<'_>,
        matters: impl Fn(Text<'_>, Kind) -> bool,
    ) {
        self.credit = self.credit.saturating_add(1).min(MAX_CREDIT);
        // Where two layouts take turns, one is kept: a layout is given up after two misses in a
        // row.
        let missed = std::mem::replace(&mut self.missed, true);
        if (self.layout.is_some() && !missed) || self.credit < PRICE {
            return;
        }
        self.credit -= PRICE;
        let Some(mut layout) = Layout::of(data, content, matters) else { return };
        if let Some(before) = &self.layout {
            layout.note_differences(before);
        }
        self.layout = Some(layout);
    }

    fn earn(&mut self, length: usize) {
        self.length = length;
        self.credit = self.credit.saturating_add(PRICE).min(MAX_CREDIT);
        self.missed = false;
        self.count += 1;
    }
}

/// The text around the content of an event, and the slots in it whose values may differ.
#[derive(Debug, Clone)]
struct Layout {
    /// The event's data without its content.
    bytes: Box<[u8]>,
    /// The offset of the content.
    content: u16,
    /// The values that nobody reads, in the order in which they stand.
    slots: Box<[Slot]>,
    /// How many of the slots stand before the content.
    before: u16,
    /// Whether one of the slots has been found to differ.
    any_differs: bool,
}

/// A number, or the inside of a string, in `Layout::bytes`.
#[derive(Debug, Clone)]
struct Slot {
    start: u16,
    end: u16,
    is_number: bool,
    /// Whether the value has been found to differ, and so is not compared.
    differs: bool,
}

impl Layout {
    /// The layout of an event with this data; `None` when it is not worth remembering.
    fn of(data: &str, content: Text<'_>, matters: impl Fn(Text<'_>, Kind) -> bool) -> Option<Self> {
        let content = content.range_in(data)?;
        if data.len() - content.len() > MAX_LAYOUT_BYTES {
            return None;
        }
        let bytes = [&data[..content.start], &data[content.end..]].concat().into_bytes();
        // A line end within the data was written otherwise on the wire.
        if bytes.contains(&b'\n') {
            return None;
        }
        let mut slots = Vec::new();
        let values = loose_values(data, matters).ok()?;
        for (Range { start, end }, kind) in values.into_iter().take(MAX_SLOTS) {
            let moved = if start > content.start { content.len() } else { 0 };
            slots.push(Slot::new(start - moved, end - moved, kind)?);
        }
        let before = slots.partition_point(|slot| slot.start() < content.start);
        let content = content.start.try_into().ok()?;
        Some(Self {
            bytes: bytes.into(),
            content,
            slots: slots.into(),
            before: before.try_into().ok()?,
            any_differs: false,
        })
    }

    /// Finds the content of an event whose data begins with the layout, and the bytes behind it.
    #[inline]
    fn split<'t, 'a: 't>(
        &self,
        data: &'a [u8],
        scratch: &'t mut Scratch,
    ) -> Option<(&'t str, &'a [u8])> {
        let offset = usize::from(self.content);
        if !self.any_differs {
            let (before, after) = self.bytes.split_at_checked(offset)?;
            let (content, length) = string_content(data.strip_prefix(before)?, scratch)?;
            return Some((content, data[offset + length..].strip_prefix(after)?));
        }
        let (before, after) = self.slots.split_at(self.before.into());
        let rest = self.pass(0..offset, before, data)?;
        let (content, length) = string_content(rest, scratch)?;
        let rest = self.pass(offset..self.bytes.len(), after, &rest[length..])?;
        Some((content, rest))
    }

    /// Passes a part of the layout, with which `data` must begin but for the slots that differ.
    /// Returns the bytes behind it.
    fn pass<'a>(&self, part: Range<usize>, slots: &[Slot], data: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = data;
        let mut compared = part.start;
        for slot in slots.iter().filter(|slot| slot.differs) {
            rest = rest.strip_prefix(self.bytes.get(compared..slot.start())?)?;
            rest = &rest[slot.length_in(rest)?..];
            compared = slot.end();
        }
        rest.strip_prefix(self.bytes.get(compared..part.end)?)
    }

    /// Compares with the layout before: where all else is equal, the slots that are not will differ
    /// again.
    fn note_differences(&mut self, before: &Self) {
        if self.slots.len() != before.slots.len() || !self.fixed().eq(before.fixed()) {
            return;
        }
        for (slot, earlier) in self.slots.iter_mut().zip(&before.slots) {
            slot.differs =
                earlier.differs || self.bytes[slot.range()] != before.bytes[earlier.range()];
            self.any_differs |= slot.differs;
        }
    }

    /// The bytes between the slots.
    fn fixed(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.slots.iter().map(Slot::end));
        let ends = self.slots.iter().map(Slot::start).chain(std::iter::once(self.bytes.len()));
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end])
    }
}

impl Slot {
    fn new(start: usize, end: usize, kind: Kind) -> Option<Self> {
        let is_number = kind == Kind::Number;
        Some(Self {
            start: start.try_into().ok()?,
            end: end.try_into().ok()?,
            is_number,
            differs: false,
        })
    }

    /// How long another value is that `data` has in this slot, when it is of the same kind. Of
    /// numbers plain ones only.
    fn length_in(&self, data: &[u8]) -> Option<usize> {
        if !self.is_number {
            return string_end(data).ok();
        }
        let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits == 1 || digits > 1 && data[0] != b'0').then_some(digits)
    }

    fn start(&self) -> usize {
        self.start.into()
    }

    fn end(&self) -> usize {
        self.end.into()
    }

    fn range(&self) -> Range<usize> {
        self.start()..self.end()
    }
}

/// The numbers, and the insides of the strings, that are values of the object's keys for which
/// `matters` is false.
fn loose_values(
    data: &str,
    matters: impl Fn(Text<'_>, Kind) -> bool,
) -> Result<Vec<(Range<usize>, Kind)>, JsonError> {
    let mut found = Vec::new();
    let mut reader = Reader::new(data);
    reader.object(|key, reader| {
        let kind = reader.peek()?;
        let range = match kind {
            Kind::String if !matters(key, kind) => reader.string()?.range_in(data),
            Kind::Number if !matters(key, kind) => range_in(reader.number()?, data),
            _ => return reader.skip(),
        };
        found.extend(range.map(|range| (range, kind)));
        Ok(())
    })?;
    Ok(found)
}
