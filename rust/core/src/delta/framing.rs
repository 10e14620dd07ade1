//! Bytes in, the framing of the reply that they begin out: server-sent events, a JSON object or an
//! array, and the debris before.
//!
//! Deciding is the first line that starts, after byte order marks, spaces and tabs, with a field's
//! name and a colon, with a colon (a comment), with `{` or, where a reply can be an array, with
//! `[`. Other output may stand in front of an event's data, or of a line of JSON texts, on the same
//! line. It decides as soon as its bytes suffice; chunk boundaries never change the decision.
//!
//! From the first `{` on, debris that is no page is held as a whole: a body may be in it.

use alloc::borrow::Cow;

use memchr::{memchr, memchr3};

use crate::html::is_page;
use crate::json::{Kind, Reader};
use crate::limits::{Limit, LimitExceeded, RAW_KEPT_BYTES};
use crate::line::BYTE_ORDER_MARK;
use crate::prelude::*;
use crate::utf8::decode;

use super::Framing;

/// A framing that was decided, and the bytes to be read with it before those that follow.
type Decided = (Framing, Cow<'static, [u8]>);

/// The framings that a reply of one dialect can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framings {
    /// Server-sent events, or one JSON body.
    EventsOrBody,
    /// Server-sent events, an array of JSON texts, or one JSON body.
    EventsOrArrayOrBody,
    /// Server-sent events, or one JSON text a line.
    EventsOrLines,
    /// Whatever a reply of any dialect can be; JSON texts are found by their brackets.
    Any,
    /// The body as it stands, whatever it begins with.
    Text,
}

impl Framings {
    /// Whether a reply can be an array.
    pub(super) fn has_arrays(self) -> bool {
        matches!(self, Self::EventsOrArrayOrBody | Self::Any)
    }

    /// The framing of a reply that begins with `{`.
    fn of_object(self) -> Framing {
        match self {
            Self::EventsOrLines => Framing::Lines,
            Self::Any => Framing::Array,
            _ => Framing::Json,
        }
    }
}

/// The framing, as far as it is known after a read.
pub(super) enum Sniffed<'a> {
    /// Nothing yet.
    Open,
    /// The framing. To be read are `head`, which may have come with earlier reads, then `rest`.
    Decided { framing: Framing, head: Cow<'static, [u8]>, rest: &'a [u8] },
}

/// Bytes of the line's end that are remembered, so that it can be seen what it ends with.
const TAIL_BYTES: usize = 64;

/// Looks for the line that decides.
#[derive(Debug, Clone)]
pub(super) struct Sniffer {
    state: State,
    debris: Debris,
    framings: Framings,
    /// The end of the line that decides nothing.
    tail: Vec<u8>,
    /// The name of an event, when the line before ended with that.
    name: Vec<u8>,
    /// The last byte of a line was a CR.
    after_return: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a line's first character that is no space.
    LineStart,
    /// In a byte order mark there, of which so many bytes have been read.
    Mark(usize),
    /// In a deciding head there, of which so many bytes have been read.
    Head(&'static [u8], usize),
    /// In a line that decides nothing.
    Debris,
}

/// Bytes that are no part of an answer: counted, and their beginning kept for the error.
#[derive(Debug, Clone)]
pub(super) struct Debris {
    kept: Vec<u8>,
    size: usize,
    max_body_bytes: usize,
    blank: bool,
    /// All from the first `{` on, unless it is a page's.
    held: Vec<u8>,
    holding: Holding,
    /// Whether `[` came just before what is held.
    is_list: bool,
    /// The last byte that is no blank.
    last: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    /// Until there is a `{`.
    NotYet,
    Yes,
    Never,
}

impl Debris {
    /// No bytes yet; more than `max_body_bytes` are an error.
    pub(super) fn new(max_body_bytes: usize) -> Self {
        Self {
            kept: Vec::new(),
            size: 0,
            max_body_bytes,
            blank: true,
            held: Vec::new(),
            holding: Holding::Never,
            is_list: false,
            last: 0,
        }
    }

    /// The same, of which a body may be in it.
    fn holding(max_body_bytes: usize) -> Self {
        Self { holding: Holding::NotYet, ..Self::new(max_body_bytes) }
    }

    /// Counts `bytes`, and keeps them while there is room.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), LimitExceeded> {
        self.size = self.size.saturating_add(bytes.len());
        if self.size > self.max_body_bytes {
            return Err(LimitExceeded { limit: Limit::Body, bytes: self.max_body_bytes });
        }
        let room = RAW_KEPT_BYTES - self.kept.len();
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.hold(bytes);
        Ok(())
    }

    fn hold(&mut self, mut bytes: &[u8]) {
        if self.holding == Holding::NotYet
            && let Some(start) = memchr(b'{', bytes)
        {
            self.holding = if is_page(&self.kept) { Holding::Never } else { Holding::Yes };
            self.is_list = self.last == b'[';
            bytes = &bytes[start..];
        }
        self.last = bytes.trim_ascii_end().last().copied().unwrap_or(self.last);
        if self.holding == Holding::Yes {
            self.held.extend_from_slice(bytes);
        }
    }

    /// Forgets what is held, until there is another `{`.
    fn let_go(&mut self) {
        if self.holding == Holding::Yes {
            self.holding = Holding::NotYet;
            self.held.clear();
        }
    }

    /// Takes what is held.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        self.holding = Holding::Never;
        std::mem::take(&mut self.held)
    }

    /// The same, with these bytes held.
    pub(super) fn with_held(self, bytes: &[u8]) -> Self {
        Self { held: bytes.to_owned(), ..self }
    }

    /// Whether a list begins just before what is held.
    pub(super) fn is_list(&self) -> bool {
        self.is_list
    }

    /// The beginning of what came, at most 4 KiB.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// All that came, when it is short enough to have been kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (self.size == self.kept.len()).then_some(&self.kept)
    }

    /// Whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether nothing came but line ends, spaces, tabs and byte order marks.
    pub(super) fn is_blank(&self) -> bool {
        self.blank
    }
}

impl Sniffer {
    /// A sniffer at the beginning of a reply; more than `max_body_bytes` of debris are an error.
    pub(super) fn new(max_body_bytes: usize, framings: Framings) -> Self {
        Self {
            state: State::LineStart,
            debris: Debris::holding(max_body_bytes),
            framings,
            tail: Vec::new(),
            name: Vec::new(),
            after_return: false,
        }
    }

    /// Looks at the next bytes; not to be called again once the framing is decided.
    pub(super) fn feed<'a>(&mut self, mut input: &'a [u8]) -> Result<Sniffed<'a>, LimitExceeded> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::LineStart => {
                    if let Some((framing, head)) = self.decide_by_first(byte) {
                        let head = Cow::Borrowed(head);
                        return Ok(Sniffed::Decided { framing, head, rest });
                    }
                    match deciding_head(byte) {
                        Some(head) => self.state = State::Head(head, 1),
                        None if byte == BYTE_ORDER_MARK[0] => self.state = State::Mark(1),
                        None if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => self.blank(byte)?,
                        None => {
                            self.enter_debris(b"")?;
                            continue;
                        }
                    }
                }
                State::Mark(seen) if byte == BYTE_ORDER_MARK[seen] => self.mark(seen + 1)?,
                State::Mark(seen) => {
                    self.enter_debris(&BYTE_ORDER_MARK[..seen])?;
                    continue;
                }
                State::Head(head, seen) if byte == head[seen] => {
                    if seen + 1 == head.len() {
                        let head = self.with_name(head);
                        return Ok(Sniffed::Decided { framing: Framing::Sse, head, rest });
                    }
                    self.state = State::Head(head, seen + 1);
                }
                State::Head(b"event:", 1) if byte == b'r' => self.state = State::Head(b"error:", 2),
                State::Head(head, seen) => {
                    self.enter_debris(&head[..seen])?;
                    continue;
                }
                State::Debris => {
                    let stop = memchr3(b'\n', b'\r', b'{', input);
                    let (line, end) = input.split_at(stop.unwrap_or(input.len()));
                    self.pass(line)?;
                    if let Some((framing, head)) = self.decide_at(end)? {
                        let rest = if framing == Framing::Sse { end } else { &end[1..] };
                        return Ok(Sniffed::Decided { framing, head, rest });
                    }
                    input = end.get(1..).unwrap_or_default();
                    continue;
                }
            }
            input = rest;
        }
        Ok(Sniffed::Open)
    }

    /// The framing of a reply whose deciding line begins with `byte`, if that alone decides, and
    /// the head to be read. (An array's bracket is not.)
    fn decide_by_first(&self, byte: u8) -> Option<(Framing, &'static [u8])> {
        match byte {
            b'{' => Some((self.framings.of_object(), b"{")),
            // Behind what may have been a body, a bracket begins no other.
            b'[' if self.framings.has_arrays() && self.debris.held.is_empty() => {
                Some((Framing::Array, b""))
            }
            b':' => Some((Framing::Sse, b":")),
            _ => None,
        }
    }

    /// Takes the first byte of `end`, a brace in a line of debris or the line's end. Returns the
    /// framing, and the head to be read, if that decides.
    fn decide_at(&mut self, end: &[u8]) -> Result<Option<Decided>, LimitExceeded> {
        let Some(&byte) = end.first() else { return Ok(None) };
        if byte == b'{' {
            if self.is_behind_field() {
                return Ok(Some((Framing::Sse, self.with_name(b"data:"))));
            }
            self.pass(b"{")?;
            return Ok(None);
        }
        self.name = name_at_end(&self.tail);
        self.debris.push(&end[..1])?;
        self.state = State::LineStart;
        self.after_return = byte == b'\r';
        if !matches!(self.framings, Framings::EventsOrLines | Framings::Any) {
            return Ok(None);
        }
        // A line of JSON texts behind other output.
        let is_text = is_whole_object(&self.debris.held);
        let line = is_text.then(|| (self.framings.of_object(), self.debris.take_held().into()));
        self.debris.let_go();
        Ok(line)
    }

    /// Whether the line so far ends with the name of the field of an event's data.
    fn is_behind_field(&self) -> bool {
        self.tail.trim_ascii_end().ends_with(b"data:") && !is_page(&self.debris.kept)
    }

    /// The head, behind the name of its event, should that have come at the end of the line before.
    fn with_name(&mut self, head: &'static [u8]) -> Cow<'static, [u8]> {
        if self.name.is_empty() || head == b"event:" {
            return Cow::Borrowed(head);
        }
        [b"event:", &self.name[..], b"\n", head].concat().into()
    }

    /// The debris before the line that decided, or instead of one.
    pub(super) fn into_debris(mut self) -> Result<Debris, LimitExceeded> {
        match self.state {
            State::Mark(seen) => self.enter_debris(&BYTE_ORDER_MARK[..seen])?,
            State::Head(head, seen) => self.enter_debris(&head[..seen])?,
            State::LineStart | State::Debris => {}
        }
        Ok(self.debris)
    }

    /// The debris before the line that has just decided.
    pub(super) fn take_debris(&mut self) -> Debris {
        std::mem::replace(&mut self.debris, Debris::new(0))
    }

    fn mark(&mut self, seen: usize) -> Result<(), LimitExceeded> {
        self.state = State::Mark(seen);
        if seen == BYTE_ORDER_MARK.len() {
            self.state = State::LineStart;
            self.debris.push(BYTE_ORDER_MARK)?;
        }
        Ok(())
    }

    /// Takes a blank at a line's start, or the end of an empty line.
    fn blank(&mut self, byte: u8) -> Result<(), LimitExceeded> {
        let ends_line = byte == b'\r' || (byte == b'\n' && !self.after_return);
        if ends_line {
            self.name.clear();
        }
        self.after_return = byte == b'\r';
        self.debris.push(&[byte])
    }

    /// Takes `seen`, which began like a head or a mark and is none, for debris.
    fn enter_debris(&mut self, seen: &[u8]) -> Result<(), LimitExceeded> {
        self.state = State::Debris;
        self.debris.blank = false;
        self.tail.clear();
        self.pass(seen)
    }

    /// Passes a piece of a line that decides nothing.
    fn pass(&mut self, piece: &[u8]) -> Result<(), LimitExceeded> {
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL_BYTES)..]);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        self.debris.push(piece)
    }
}

/// The name of an event, when the end of a line is the field that gives it.
fn name_at_end(tail: &[u8]) -> Vec<u8> {
    let Some(at) = memchr::memmem::rfind(tail, b"event:") else { return Vec::new() };
    let name = tail[at + b"event:".len()..].trim_ascii();
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    if is_name { name.to_owned() } else { Vec::new() }
}

fn is_whole_object(text: &[u8]) -> bool {
    let text = decode(text);
    let mut reader = Reader::new(&text);
    reader.peek() == Ok(Kind::Object) && reader.skip().is_ok() && reader.end().is_ok()
}

/// The head of a line of server-sent events, but for a comment's, that starts with `byte`.
fn deciding_head(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'd' => Some(b"data:"),
        b'e' => Some(b"event:"),
        b'i' => Some(b"id:"),
        b'r' => Some(b"retry:"),
        _ => None,
    }
}
