//! The bytes of an event in, its content out, when they repeat those of an earlier event. Otherwise
//! nothing: the event is to be read in full.
//!
//! The chunks of one stream are the same text around changing content. A layout is that text, taken
//! from an event that was read in full and did nothing but add its content. An event that equals it
//! byte for byte, but for the insides of JSON strings whose places the layout knows, has the same
//! keys and values as that event but for those strings. One is the content; the others are values
//! that nobody reads (an `id` after the first one, padding). So reading such an event in full would
//! do nothing but add its content either. Nothing is guessed: each byte is compared or, inside
//! those strings, checked as the full reader checks it.

use std::ops::Range;

use crate::json::{JsonError, Kind, Reader, Scratch, Text, place_in, string_content, string_end};
use crate::limits::KEPT_BYTES;
use crate::line::{LONGEST_END, line_end};
use crate::prelude::*;

/// Bytes of an event around its content that are worth remembering.
const MAX_LAYOUT_BYTES: usize = 2 * 1024;

/// Strings of an event that can differ, beside the content; further ones are compared like all
/// else.
const MAX_STRINGS: usize = 8;

/// What learning a layout costs and an event that repeats it earns. An event that does not earns 1,
/// so that a stream whose layout keeps changing is learnt anew with every sixteenth event at most.
const PRICE: u8 = 16;

/// The most that can be saved up, and what a stream begins with.
const MAX_CREDIT: u8 = 8 * PRICE;

/// Bytes by which an event may be longer than the one before and still be as expected.
const LONGER: usize = 64;

/// What the line of an event's data begins with.
const FIELD: &[u8] = b"data:";

/// What is remembered of one stream.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    layout: Option<Layout>,
    credit: u8,
    /// The last event that could have repeated the layout did not.
    missed: bool,
    /// Bytes of the last event that repeated the layout.
    length: usize,
    /// Events that needed no full reading.
    repeated: u64,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { layout: None, credit: MAX_CREDIT, missed: false, length: 0, repeated: 0 }
    }

    /// Events that needed no full reading.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// The content of the event that is one `data` line of at most `max_bytes` at the start of
    /// `input` and repeats the layout; takes the event off `input`.
    pub(super) fn next_content<'t, 'a: 't>(
        &mut self,
        input: &mut &'a [u8],
        max_bytes: usize,
        scratch: &'t mut Scratch,
    ) -> Option<&'t str> {
        let layout = self.layout.as_ref()?;
        // Where little is left of a read, an event's end is not in it: looking for it would be in
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

    /// What of `input` finishes an event of which so many bytes came before, or a little more;
    /// `None` when its line goes on. It is cut where an event is too long to be put together.
    pub(super) fn rest<'a>(&self, before: usize, input: &'a [u8]) -> Option<&'a [u8]> {
        // Mostly it is about as long as the one before, and its end need not be looked for.
        let expected = (self.length + LONGER).saturating_sub(before);
        let length = if expected <= input.len() {
            expected
        } else {
            input.len().min(line_end(input)? + LONGEST_END)
        };
        input.get(..length.min(KEPT_BYTES))
    }

    /// Whether an event that begins so, and whose line goes on, may repeat the layout, as far as is
    /// worth knowing before more of it has come.
    pub(super) fn may_repeat(&self, beginning: &[u8]) -> bool {
        let Some(layout) = self.layout.as_ref().filter(|_| !self.missed && !beginning.is_empty())
        else {
            return false;
        };
        let Some(value) = beginning.strip_prefix(FIELD) else {
            return FIELD.starts_with(beginning);
        };
        // No line ends in what is remembered.
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

    /// Takes the layout of an event that was read in full and did nothing but add `content`.
    /// Strings and numbers among the values of its keys may differ where `matters` is false.
    pub(super) fn learn(
        &mut self,
        data: &str,
        content: Text<'_>,
        matters: impl Fn(Text<'_>, Kind) -> bool,
    ) {
        self.credit = self.credit.saturating_add(1).min(MAX_CREDIT);
        // Where two layouts take turns, one is remembered: it is given up after two misses in a
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
        self.repeated += 1;
    }
}

/// The text around the content of an event, and the places of other strings in it.
#[derive(Debug, Clone)]
struct Layout {
    /// The event's data without its content.
    bytes: Box<[u8]>,
    /// Where the content stands.
    content: u16,
    /// Values that nobody reads, in the order of their places.
    strings: Box<[Place]>,
    /// How many of them stand before the content.
    before: u16,
    /// One of them has been found to differ.
    any_differs: bool,
}

/// A number or the inside of a string in `Layout::bytes`.
#[derive(Debug, Clone)]
struct Place {
    start: u16,
    end: u16,
    is_number: bool,
    /// It has been found to differ, and is not compared.
    differs: bool,
}

impl Layout {
    /// The layout of an event with this data; `None` when it is not worth it.
    fn of(data: &str, content: Text<'_>, matters: impl Fn(Text<'_>, Kind) -> bool) -> Option<Self> {
        let content = content.place_in(data)?;
        if data.len() - content.len() > MAX_LAYOUT_BYTES {
            return None;
        }
        let bytes = [&data[..content.start], &data[content.end..]].concat().into_bytes();
        // A line end within the data stood otherwise on the wire.
        if bytes.contains(&b'\n') {
            return None;
        }
        let mut strings = Vec::new();
        for (Range { start, end }, kind) in
            loose_values(data, matters).ok()?.into_iter().take(MAX_STRINGS)
        {
            let moved = if start > content.start { content.len() } else { 0 };
            strings.push(Place::new(start - moved, end - moved, kind)?);
        }
        let before = strings.partition_point(|place| place.start() < content.start);
        let content = content.start.try_into().ok()?;
        Some(Self {
            bytes: bytes.into(),
            content,
            strings: strings.into(),
            before: before.try_into().ok()?,
            any_differs: false,
        })
    }

    /// Finds the content of an event whose data begins with what is remembered, and what comes
    /// behind.
    #[inline]
    fn split<'t, 'a: 't>(
        &self,
        data: &'a [u8],
        scratch: &'t mut Scratch,
    ) -> Option<(&'t str, &'a [u8])> {
        let place = usize::from(self.content);
        if !self.any_differs {
            let (before, after) = self.bytes.split_at_checked(place)?;
            let (content, length) = string_content(data.strip_prefix(before)?, scratch)?;
            return Some((content, data[place + length..].strip_prefix(after)?));
        }
        let (before, after) = self.strings.split_at(self.before.into());
        let rest = self.pass(0..place, before, data)?;
        let (content, length) = string_content(rest, scratch)?;
        let rest = self.pass(place..self.bytes.len(), after, &rest[length..])?;
        Some((content, rest))
    }

    /// What comes behind a part of the remembered text, which `data` must begin with, but for the
    /// strings that differ.
    fn pass<'a>(&self, part: Range<usize>, strings: &[Place], data: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = data;
        let mut compared = part.start;
        for place in strings.iter().filter(|place| place.differs) {
            rest = rest.strip_prefix(self.bytes.get(compared..place.start())?)?;
            rest = &rest[place.length_in(rest)?..];
            compared = place.end();
        }
        rest.strip_prefix(self.bytes.get(compared..part.end)?)
    }

    /// Compares with the layout before: where all else is equal, the strings that are not will
    /// differ again.
    fn note_differences(&mut self, before: &Self) {
        if self.strings.len() != before.strings.len() || !self.fixed().eq(before.fixed()) {
            return;
        }
        for (place, earlier) in self.strings.iter_mut().zip(&before.strings) {
            place.differs =
                earlier.differs || self.bytes[place.range()] != before.bytes[earlier.range()];
            self.any_differs |= place.differs;
        }
    }

    /// What stands between the strings.
    fn fixed(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.strings.iter().map(Place::end));
        let ends = self.strings.iter().map(Place::start).chain(std::iter::once(self.bytes.len()));
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end])
    }
}

impl Place {
    fn new(start: usize, end: usize, kind: Kind) -> Option<Self> {
        let is_number = kind == Kind::Number;
        Some(Self {
            start: start.try_into().ok()?,
            end: end.try_into().ok()?,
            is_number,
            differs: false,
        })
    }

    /// How long another value is that stands in its place, when it is of the same kind; of numbers
    /// plain ones only.
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

/// The numbers and the insides of the strings that are values of the object's keys, of those for
/// which `matters` is false.
fn loose_values(
    data: &str,
    matters: impl Fn(Text<'_>, Kind) -> bool,
) -> Result<Vec<(Range<usize>, Kind)>, JsonError> {
    let mut found = Vec::new();
    let mut reader = Reader::new(data);
    reader.object(|key, reader| {
        let kind = reader.peek()?;
        let place = match kind {
            Kind::String if !matters(key, kind) => reader.string()?.place_in(data),
            Kind::Number if !matters(key, kind) => place_in(reader.number()?, data),
            _ => return reader.skip(),
        };
        found.extend(place.map(|place| (place, kind)));
        Ok(())
    })?;
    Ok(found)
}
