//! The bytes of an event in, its content out, when they repeat those of an earlier event around
//! another content. Otherwise nothing: the event is to be read in full.
//!
//! The chunks of one stream are the same text around changing content: text of the answer,
//! reasoning, arguments of a call. A layout is that text, taken from an event that was read in full
//! and did nothing but add its content. An event that equals it byte for byte, but for the insides
//! of JSON strings that the layout knows by their positions, has the same keys and values as that
//! event but for those strings. One is the content, which is not empty; the others are values that
//! nobody reads (an `id` after the first one, padding, the content once more under another name).
//! So reading such an event in full would do nothing but add its content either. Nothing is guessed:
//! each byte is compared or, inside those strings, checked as the full reader checks it.

use std::ops::Range;

use crate::json::{JsonError, Kind, Reader, Scratch, Text, range_in, string_content, string_end};
use crate::limits::KEPT_BYTES;
use crate::line::{LONGEST_END, line_end};
use crate::prelude::*;

use super::added::{Added, AddedKind};
use super::content::Content;

/// Bytes of an event around its content that are worth remembering, at most.
const MAX_LAYOUT_BYTES: usize = 2 * 1024;

/// Values of an event that can differ, beside the content, each of which has a bit; further ones are
/// compared like all else.
const MAX_SLOTS: usize = u16::BITS as usize;

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
    /// What the content of the layout is.
    kind: AddedKind,
    credit: u8,
    /// Whether the last event that could have repeated the layout did not.
    missed: bool,
    /// Bytes of the last event that repeated the layout.
    length: u32,
    /// Events that repeated the layout.
    count: u64,
    /// Bytes of the layout that the beginning of an event which is held repeats; 0 where that is not
    /// known.
    reached: u16,
}

impl Repeats {
    /// No layout yet.
    pub(super) fn new() -> Self {
        Self {
            layout: None,
            kind: AddedKind::TEXT,
            credit: MAX_CREDIT,
            missed: false,
            length: 0,
            count: 0,
            reached: 0,
        }
    }

    /// Forgets the layout: what events did is no longer all that they would do.
    pub(super) fn forget(&mut self) {
        self.layout = None;
        self.reached = 0;
    }

    /// What is added by events that repeat the layout.
    #[inline]
    pub(super) fn kind(&self) -> &AddedKind {
        &self.kind
    }

    /// How many events repeated the layout.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The content of the event at the beginning of `input`, when that is one `data` line of at
    /// most `max_bytes` and repeats the layout. Takes the event off `input`.
    #[expect(clippy::inline_always, reason = "called once an event, it costs as much as it does")]
    #[inline(always)]
    pub(super) fn next_content<'t, 'a: 't>(
        &mut self,
        input: &mut &'a [u8],
        max_bytes: usize,
        scratch: &'t mut Scratch,
    ) -> Option<&'t str> {
        // Where little is left of a read, an event's end is not in it: to look for it would be in
        // vain.
        let length = self.length as usize;
        if input.len() < length - length / 4 {
            return None;
        }
        let value = input.strip_prefix(FIELD)?;
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let (content, rest) = self.layout.as_ref()?.split(0, value, scratch)?;
        self.take(0, rest, max_bytes, input)?;
        Some(content)
    }

    /// The content of the event of which `before` bytes are held, when `input` goes on where they
    /// end in the layout. Otherwise as [`next_content`](Self::next_content).
    pub(super) fn resumed_content<'t, 'a: 't>(
        &mut self,
        before: usize,
        input: &mut &'a [u8],
        max_bytes: usize,
        scratch: &'t mut Scratch,
    ) -> Option<&'t str> {
        let reached = usize::from(std::mem::take(&mut self.reached));
        if reached == 0 {
            return None;
        }
        let (content, rest) = self.layout.as_ref()?.split(reached, input, scratch)?;
        self.take(before, rest, max_bytes, input)?;
        Some(content)
    }

    /// Whether the beginning that is held and all of `input` behind it repeat the layout, as far as
    /// that is known, and end before the content.
    pub(super) fn goes_on(&mut self, input: &[u8]) -> bool {
        let Some(layout) = self.layout.as_ref().filter(|_| self.reached > 0) else { return false };
        let reached = layout.advance(self.reached, input);
        self.reached = reached.unwrap_or(self.reached);
        reached.is_some()
    }

    /// The beginning of `input` that finishes an event of which so many bytes came `before`, or a
    /// little more; `None` when the event's line goes on. An event that is too long to be put
    /// together is cut.
    pub(super) fn rest<'a>(&mut self, before: usize, input: &'a [u8]) -> Option<&'a [u8]> {
        // Mostly an event is about as long as the one before, and its end need not be looked for.
        let expected = (self.length as usize + LONGER).saturating_sub(before);
        let length = if expected <= input.len() {
            expected
        } else {
            let Some(end) = line_end(input) else {
                self.reached = 0;
                return None;
            };
            input.len().min(end + LONGEST_END)
        };
        input.get(..length.min(KEPT_BYTES))
    }

    /// Whether an event with this beginning, whose line goes on, may repeat the layout: as far as
    /// is worth knowing before more of the event has come. Remembers how far it does.
    pub(super) fn may_repeat(&mut self, beginning: &[u8]) -> bool {
        self.reached = 0;
        if beginning.is_empty() || self.missed {
            return false;
        }
        let Some(layout) = &self.layout else { return false };
        let Some(value) = beginning.strip_prefix(FIELD) else {
            return FIELD.starts_with(beginning);
        };
        self.reached = layout.reach(value.strip_prefix(b" ").unwrap_or(value)).unwrap_or(0);
        self.reached > 0 || line_end(value).is_none()
    }

    /// The content of an event with this data, when it repeats the layout.
    pub(super) fn content<'t>(
        &mut self,
        data: &'t [u8],
        scratch: &'t mut Scratch,
    ) -> Option<&'t str> {
        let (content, rest) = self.layout.as_ref()?.split(0, data, scratch)?;
        if !rest.is_empty() {
            return None;
        }
        self.earn(data.len());
        Some(content)
    }

    /// Learns the layout of an event that was read in full and did nothing but what is `added`.
    /// Strings and numbers that are values of its keys may differ where `matters` is false.
    pub(super) fn learn(
        &mut self,
        data: &str,
        added: &Added<'_>,
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
        let Some(mut layout) = Layout::of(data, added, matters) else { return };
        if let Some(before) = &self.layout {
            layout.note_differences(before);
        }
        self.layout = Some(layout);
        self.kind = added.kind;
    }

    /// Takes an event off `input` that repeats the layout up to the line end before `rest`, and of
    /// which `before` bytes are held.
    #[inline]
    fn take<'a>(
        &mut self,
        before: usize,
        rest: &'a [u8],
        max_bytes: usize,
        input: &mut &'a [u8],
    ) -> Option<()> {
        let length = before + input.len() - rest.len();
        if length > max_bytes {
            return None;
        }
        *input = rest.strip_prefix(b"\n\n").or_else(|| rest.strip_prefix(b"\r\n\r\n"))?;
        self.earn(length);
        Some(())
    }

    fn earn(&mut self, length: usize) {
        self.length = u32::try_from(length).unwrap_or(u32::MAX);
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
    /// A bit for each of them that stands before the content and has been found to differ, so that
    /// it is not compared.
    before: u16,
    /// The same of those behind the content.
    behind: u16,
}

/// A number, or the inside of a string, in `Layout::bytes`.
#[derive(Debug, Clone)]
struct Slot {
    start: u16,
    end: u16,
    is_number: bool,
}

impl Layout {
    /// The layout of an event with this data; `None` when it is not worth remembering.
    fn of(data: &str, added: &Added<'_>, matters: impl Fn(Text<'_>, Kind) -> bool) -> Option<Self> {
        let content = added.content.range_in(data)?;
        if data.len() - content.len() > MAX_LAYOUT_BYTES {
            return None;
        }
        let bytes = [&data[..content.start], &data[content.end..]].concat().into_bytes();
        // A line end within the data was written otherwise on the wire.
        if bytes.contains(&b'\n') {
            return None;
        }
        let mut slots = Vec::new();
        let mut values = loose_values(data, matters).ok()?;
        values.extend(unread_strings(added, data).ok()?);
        values.sort_unstable_by_key(|(range, _)| range.start);
        for (Range { start, end }, kind) in values.into_iter().take(MAX_SLOTS) {
            let moved = if start > content.start { content.len() } else { 0 };
            slots.push(Slot::new(start - moved, end - moved, kind)?);
        }
        let content = content.start.try_into().ok()?;
        Some(Self { bytes: bytes.into(), content, slots: slots.into(), before: 0, behind: 0 })
    }

    /// Finds the content of an event whose data goes on with the layout from this offset on, and
    /// the bytes behind it.
    #[expect(clippy::inline_always, reason = "called once an event, it costs as much as it does")]
    #[inline(always)]
    fn split<'t, 'a: 't>(
        &self,
        from: usize,
        data: &'a [u8],
        scratch: &'t mut Scratch,
    ) -> Option<(&'t str, &'a [u8])> {
        let content = usize::from(self.content);
        let rest = self.pass(from..content, self.before, data)?;
        let (text, length) = string_content(rest, scratch)?;
        // Without a text, something else in the event may count.
        if text.is_empty() {
            return None;
        }
        let rest = self.pass(content..self.bytes.len(), self.behind, rest.get(length..)?)?;
        Some((text, rest))
    }

    /// Passes a part of the layout, with which `data` must begin but for these slots, as far as
    /// they are in that part. Returns the bytes behind it.
    #[expect(clippy::inline_always, reason = "called once an event, it costs as much as it does")]
    #[inline(always)]
    fn pass<'a>(&self, part: Range<usize>, slots: u16, data: &'a [u8]) -> Option<&'a [u8]> {
        let (compared, data) = match slots {
            0 => (part.start, data),
            slots => self.pass_slots(part.start, slots, data)?,
        };
        data.strip_prefix(self.bytes.get(compared..part.end)?)
    }

    /// Passes the layout up to the end of the last of these slots, those before an offset left out.
    /// Returns where that is, and the bytes behind it.
    #[inline(never)]
    fn pass_slots<'a>(
        &self,
        mut compared: usize,
        mut slots: u16,
        mut data: &'a [u8],
    ) -> Option<(usize, &'a [u8])> {
        while slots > 0 {
            let slot = self.slots.get(slots.trailing_zeros() as usize)?;
            slots &= slots - 1;
            if slot.start() < compared {
                continue;
            }
            data = data.strip_prefix(self.bytes.get(compared..slot.start())?)?;
            data = data.get(slot.length_in(data)?..)?;
            compared = slot.end();
        }
        Some((compared, data))
    }

    /// How much of the layout the beginning of an event's data repeats, when that ends before the
    /// content, and not in a slot that differs.
    fn reach(&self, mut beginning: &[u8]) -> Option<u16> {
        let mut compared = 0;
        for slot in self.slots_of(self.before) {
            let fixed = self.bytes.get(compared..slot.start())?;
            if beginning.len() <= fixed.len() {
                break;
            }
            beginning = beginning.strip_prefix(fixed)?;
            // What follows the value is there, too: that is all of it.
            beginning =
                beginning.get(slot.length_in(beginning)?..).filter(|rest| !rest.is_empty())?;
            compared = slot.end();
        }
        let fixed = self.bytes.get(compared..self.content.into())?;
        let is_repeated = fixed.starts_with(beginning);
        is_repeated.then(|| u16::try_from(compared + beginning.len()).ok())?
    }

    /// How much of the layout is repeated where so much of it is, and `more` comes: when that ends
    /// before the content, and before the next slot that differs.
    fn advance(&self, reached: u16, more: &[u8]) -> Option<u16> {
        let slot = self.slots_of(self.before).find(|slot| slot.start >= reached);
        let end = slot.map_or(self.content, |slot| slot.start);
        let fixed = self.bytes.get(reached.into()..end.into())?;
        if fixed.starts_with(more) {
            reached.checked_add(more.len().try_into().ok()?)
        } else {
            None
        }
    }

    /// Compares with the layout before: where all else is equal, the slots that are not will differ
    /// again.
    fn note_differences(&mut self, before: &Self) {
        if self.slots.len() != before.slots.len() || !self.fixed().eq(before.fixed()) {
            return;
        }
        let known = before.before | before.behind;
        for (index, (slot, earlier)) in self.slots.iter().zip(&before.slots).enumerate() {
            let bit = 1 << index;
            if known & bit == 0 && self.bytes[slot.range()] == before.bytes[earlier.range()] {
                continue;
            }
            if slot.start < self.content {
                self.before |= bit;
            } else {
                self.behind |= bit;
            }
        }
    }

    /// The slots of these bits.
    #[inline]
    fn slots_of(&self, mut bits: u16) -> impl Iterator<Item = &Slot> {
        std::iter::from_fn(move || {
            let index = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            self.slots.get(index)
        })
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
        Some(Self { start: start.try_into().ok()?, end: end.try_into().ok()?, is_number })
    }

    /// How long another value is that `data` has in this slot, when it is of the same kind. Of
    /// numbers plain ones only.
    #[inline]
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

/// The insides of the strings in the values that nobody reads.
fn unread_strings(added: &Added<'_>, data: &str) -> Result<Vec<(Range<usize>, Kind)>, JsonError> {
    let mut texts = Vec::new();
    for value in &added.unread {
        match value {
            Content::Text(text) => texts.push(*text),
            Content::Parts(raw) => add_strings(&mut Reader::new(raw), &mut texts)?,
            Content::None | Content::Bare(_) => {}
        }
    }
    let ranges = texts.into_iter().filter_map(|text| text.range_in(data));
    Ok(ranges.map(|range| (range, Kind::String)).collect())
}

fn add_strings<'a>(reader: &mut Reader<'a>, texts: &mut Vec<Text<'a>>) -> Result<(), JsonError> {
    match reader.peek()? {
        Kind::Object => reader.object(|_, reader| add_strings(reader, texts)),
        Kind::Array => reader.array(|reader| add_strings(reader, texts)),
        Kind::String => reader.string().map(|text| texts.push(text)),
        _ => reader.skip(),
    }
}
