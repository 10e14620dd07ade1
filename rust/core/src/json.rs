//! JSON text in, borrowed strings and numbers out: a strict reader (RFC 8259) that validates all
//! and builds nothing.
//!
//! The caller walks the text once and takes what it wants; what it does not want it skips, and
//! skipping validates too. Duplicate keys are all visited, in order: a caller that assigns on each
//! visit lets the last one win.

use alloc::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use crate::lanes::{BLOCK, are, places, splat};
use crate::limits::MAX_JSON_DEPTH;
use crate::prelude::*;
use crate::utf8::{SHORT, Short, validate, validate_short};

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or `-`.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// Why a text is not JSON, or not as expected. Offsets are bytes from the start of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// The byte at this offset cannot stand there, or another kind of value was asked for.
    Syntax {
        /// Where.
        offset: usize,
    },
    /// The text ended inside a value.
    UnexpectedEnd,
    /// More than [`MAX_JSON_DEPTH`] containers were open.
    TooDeep {
        /// Where the container too many opens.
        offset: usize,
    },
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax { offset } => write!(f, "invalid JSON at byte {offset}"),
            Self::UnexpectedEnd => f.write_str("the JSON text ends inside a value"),
            Self::TooDeep { offset } => {
                write!(f, "more than {MAX_JSON_DEPTH} containers are open at byte {offset}")
            }
        }
    }
}

impl std::error::Error for JsonError {}

/// A cursor over one JSON text. After an error its place is undefined: drop it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Starts before the first value of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, position: 0, depth: 0 }
    }

    /// Skips whitespace and says what comes next; the value stays to be read.
    ///
    /// # Errors
    /// When no value can start here.
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        self.whitespace();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// Reads an object: `visit` gets each key, with the reader standing before its value, and must
    /// consume exactly that value.
    ///
    /// # Errors
    /// When the next value is not a valid object, nests too deep, or `visit` fails.
    pub fn object(
        &mut self,
        mut visit: impl FnMut(Text<'a>, &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'{')?;
        let mut first = true;
        while self.another(first, b'}')? {
            let key = self.key()?;
            visit(key, self)?;
            first = false;
        }
        Ok(())
    }

    /// Reads an object as [`object`](Self::object) does; any other value is skipped. Says whether
    /// it was one.
    ///
    /// # Errors
    /// When the next value is not valid, nests too deep, or `visit` fails.
    pub fn object_or_skip(
        &mut self,
        visit: impl FnMut(Text<'a>, &mut Self) -> Result<(), JsonError>,
    ) -> Result<bool, JsonError> {
        let is_object = self.peek()? == Kind::Object;
        if is_object {
            self.object(visit)?;
        } else {
            self.skip()?;
        }
        Ok(is_object)
    }

    /// Reads an array: `visit` is called with the reader standing before each element, and must
    /// consume exactly it.
    ///
    /// # Errors
    /// When the next value is not a valid array, nests too deep, or `visit` fails.
    pub fn array(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'[')?;
        let mut first = true;
        while self.another(first, b']')? {
            visit(self)?;
            first = false;
        }
        Ok(())
    }

    /// Reads a string.
    ///
    /// # Errors
    /// When the next value is not a valid string.
    pub fn string(&mut self) -> Result<Text<'a>, JsonError> {
        let inside = self.open_string()?;
        let plain = plain_run(inside);
        self.close_string(plain, string_end_from(plain, inside))
    }

    /// Reads a number and returns it as it is written.
    ///
    /// # Errors
    /// When the next value is not a valid number.
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.whitespace();
        let start = self.position;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.position])
    }

    /// Reads any value and drops it. Nothing is called recursively, so a deep text costs no stack.
    ///
    /// # Errors
    /// When the next value is not valid or nests too deep.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            Kind::Object | Kind::Array => self.skip_container(),
            kind => self.scalar(kind),
        }
    }

    fn skip_container(&mut self) -> Result<(), JsonError> {
        let floor = self.depth;
        // What closes each open container, by depth.
        let mut closers = [b']'; MAX_JSON_DEPTH + 1];
        loop {
            let opened = self.open_or_scalar(&mut closers)?;
            let mut first = opened;
            while self.depth > floor {
                let closer = closers[self.depth];
                if self.another(first, closer)? {
                    if closer == b'}' {
                        self.key()?;
                    }
                    break;
                }
                first = false;
            }
            if self.depth == floor {
                return Ok(());
            }
        }
    }

    /// Reads any value and returns it as it is written, validated.
    ///
    /// # Errors
    /// When the next value is not valid or nests too deep.
    pub fn raw(&mut self) -> Result<&'a str, JsonError> {
        self.whitespace();
        let start = self.position;
        self.skip()?;
        Ok(&self.text[start..self.position])
    }

    /// Reads a string; `None` for any other value, which is skipped.
    ///
    /// # Errors
    /// When the next value is not valid or nests too deep.
    pub fn string_or_skip(&mut self) -> Result<Option<Text<'a>>, JsonError> {
        if self.peek()? == Kind::String {
            return self.string().map(Some);
        }
        self.skip().map(|()| None)
    }

    /// The same, and decodes the string while it reads: where it has escapes, `scratch` becomes
    /// what [`Text::decoded_in`] makes its text of.
    pub(crate) fn decode_string_or_skip(
        &mut self,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Text<'a>>, JsonError> {
        if self.peek()? != Kind::String {
            return self.skip().map(|()| None);
        }
        let inside = self.open_string()?;
        let plain = plain_run(inside);
        let read = if inside.get(plain) == Some(&b'\\') {
            // What is decoded is no longer than what is written, so that it is not moved while it
            // grows.
            scratch.reserve(inside.len() + WINDOW);
            decode_from(plain, inside, scratch)
        } else {
            plain
        };
        // What it stopped at is the end, or what is wrong.
        self.close_string(plain, string_end_from(read, inside)).map(Some)
    }

    /// Says that nothing but whitespace is left.
    ///
    /// # Errors
    /// When something else is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.whitespace();
        match self.byte() {
            None => Ok(()),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn open_or_scalar(
        &mut self,
        closers: &mut [u8; MAX_JSON_DEPTH + 1],
    ) -> Result<bool, JsonError> {
        let closer = match self.peek()? {
            Kind::Object => b'}',
            Kind::Array => b']',
            kind => return self.scalar(kind).map(|()| false),
        };
        self.open(if closer == b'}' { b'{' } else { b'[' })?;
        closers[self.depth] = closer;
        Ok(true)
    }

    fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::True => self.word(b"true"),
            Kind::False => self.word(b"false"),
            _ => self.word(b"null"),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        word.iter().try_for_each(|&byte| self.require(byte))
    }

    fn open(&mut self, opener: u8) -> Result<(), JsonError> {
        self.whitespace();
        let offset = self.position;
        self.require(opener)?;
        if self.depth == MAX_JSON_DEPTH {
            return Err(JsonError::TooDeep { offset });
        }
        self.depth += 1;
        Ok(())
    }

    /// Between the elements of a container: past a comma to the next one, or past its end.
    fn another(&mut self, first: bool, closer: u8) -> Result<bool, JsonError> {
        self.whitespace();
        if self.take(closer) {
            self.depth -= 1;
            return Ok(false);
        }
        if !first {
            self.require(b',')?;
        }
        Ok(true)
    }

    /// Past a string's opening quote; what is left of the text.
    #[inline]
    fn open_string(&mut self) -> Result<&'a [u8], JsonError> {
        self.whitespace();
        self.require(b'"')?;
        Ok(&self.text.as_bytes()[self.position..])
    }

    /// Past a string's end, as [`string_end`] found it.
    #[inline]
    fn close_string(
        &mut self,
        plain: usize,
        end: Result<usize, usize>,
    ) -> Result<Text<'a>, JsonError> {
        let start = self.position;
        match end {
            Ok(length) => {
                self.position += length + 1;
                Ok(Text { raw: &self.text[start..start + length], plain })
            }
            Err(length) => {
                self.position += length;
                Err(self.unexpected())
            }
        }
    }

    fn key(&mut self) -> Result<Text<'a>, JsonError> {
        let key = self.string()?;
        self.whitespace();
        self.require(b':')?;
        Ok(key)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = &self.text.as_bytes()[self.position..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.position += count;
        if count == 0 { Err(self.unexpected()) } else { Ok(()) }
    }

    fn whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.position += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn require(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn unexpected(&self) -> JsonError {
        if self.position < self.text.len() {
            JsonError::Syntax { offset: self.position }
        } else {
            JsonError::UnexpectedEnd
        }
    }
}

/// A string of a JSON text, as written: validated, its escapes not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    raw: &'a str,
    /// Bytes before the first escape. (A flag would do, were a struct that ends in one not slower
    /// to hand around.)
    plain: usize,
}

impl<'a> Text<'a> {
    /// The text with its escapes decoded; borrowed when there are none. A surrogate pair is one
    /// character, each lone surrogate one U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        if !self.is_escaped() {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        Cow::Owned(self.decode_with(&mut text).to_owned())
    }

    /// Like [`decode`](Self::decode), with `scratch` as the place for a text that has escapes.
    pub fn decode_with<'b>(self, scratch: &'b mut Vec<u8>) -> &'b str
    where
        'a: 'b,
    {
        if !self.is_escaped() {
            return self.raw;
        }
        scratch.clear();
        self.decode_into(scratch);
        validate(scratch).unwrap_or_default()
    }

    /// The text of a string that was decoded into `scratch` when it was read.
    pub(crate) fn decoded_in<'b>(self, scratch: &'b [u8]) -> &'b str
    where
        'a: 'b,
    {
        if self.is_escaped() { validate(scratch).unwrap_or_default() } else { self.raw }
    }

    /// Appends to `target` the UTF-8 of what [`decode`](Self::decode) returns.
    pub fn decode_into(self, target: &mut Vec<u8>) {
        decode_run(self.raw.as_bytes(), target);
    }

    /// True when the string is `""`.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// Where the string stands in `whole`, when that is the text it was read from.
    pub(crate) fn place_in(self, whole: &str) -> Option<Range<usize>> {
        place_in(self.raw, whole)
    }

    fn is_escaped(self) -> bool {
        self.plain < self.raw.len()
    }
}

/// Where a part stands in the text it was taken from.
pub(crate) fn place_in(part: &str, whole: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let place = start..start.checked_add(part.len())?;
    (place.end <= whole.len()).then_some(place)
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.is_escaped() { self.decode() == other } else { self.raw == other }
    }
}

/// Reads a string from behind its opening quote, and returns the offset of the closing one. The
/// error is the offset of the byte that cannot stand there, or the length of `bytes` when the
/// string does not end in them. Bytes of characters beyond ASCII pass, valid or not.
pub(crate) fn string_end(bytes: &[u8]) -> Result<usize, usize> {
    string_end_from(plain_run(bytes), bytes)
}

/// The same, where a [`plain_run`] is behind already.
fn string_end_from(plain: usize, bytes: &[u8]) -> Result<usize, usize> {
    let mut at = plain;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at += 1 + escape(&bytes[at + 1..]).map_err(|offset| at + 1 + offset)?,
            _ => return Err(at),
        }
        at += plain_run(&bytes[at..]);
    }
}

/// Where texts are put that are not given from where they lie.
#[derive(Default)]
pub(crate) struct Scratch {
    short: Short,
    /// Texts with escapes.
    pub(crate) escaped: Vec<u8>,
}

/// Reads a string as [`string_end`] does and decodes it, with `scratch` as a place for it. `None`
/// when it is no valid string, or not UTF-8.
pub(crate) fn string_content<'a>(
    bytes: &'a [u8],
    scratch: &'a mut Scratch,
) -> Option<(&'a str, usize)> {
    let plain = plain_run(bytes);
    if bytes.get(plain) == Some(&b'"') {
        let text = match bytes.first_chunk() {
            Some(beginning) if plain < SHORT => {
                validate_short(beginning, plain, &mut scratch.short)
            }
            _ => validate(&bytes[..plain]),
        };
        return Some((text?, plain));
    }
    let length = decode_from(plain, bytes, &mut scratch.escaped);
    (bytes.get(length) == Some(&b'"')).then_some((validate(&scratch.escaped)?, length))
}

/// Decodes the inside of a string, where a [`plain_run`] is behind already, into `scratch` alone.
/// Returns what [`decode_run`] would for the whole.
fn decode_from(plain: usize, bytes: &[u8], scratch: &mut Vec<u8>) -> usize {
    scratch.clear();
    scratch.extend_from_slice(&bytes[..plain]);
    plain + decode_run(&bytes[plain..], scratch)
}

/// The length of an escape behind its backslash; the error is the offset of the byte that cannot
/// stand there.
fn escape(bytes: &[u8]) -> Result<usize, usize> {
    match bytes {
        [kind, ..] if UNESCAPED[usize::from(*kind)] > 0 => Ok(1),
        [b'u', digits @ ..] => {
            match digits.iter().take(4).take_while(|digit| digit.is_ascii_hexdigit()).count() {
                4 => Ok(5),
                count => Err(1 + count),
            }
        }
        _ => Err(0),
    }
}

/// How many bytes come before the first that ends or interrupts a string: a quote, a backslash or a
/// control character.
fn plain_run(bytes: &[u8]) -> usize {
    // Most strings are short; of what is long the compiler makes vector instructions.
    let (head, rest) = bytes.split_at(bytes.len().min(BLOCK));
    let run = plain_words(head);
    if run < head.len() {
        return run;
    }
    // To search for these two takes wider vectors than the compiler may; for it one comparison is
    // left.
    let rest = &rest[..memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    let (blocks, _) = rest.as_chunks::<LONG>();
    let least = |block: &[u8; LONG]| block.iter().fold(u8::MAX, |least, &byte| least.min(byte));
    let plain = blocks.iter().take_while(|block| least(block) >= CONTROL_END).count() * LONG;
    run + plain + plain_words(&rest[plain..])
}

/// Bytes looked at together in a long string.
const LONG: usize = 4 * BLOCK;

/// What is less is a control character.
const CONTROL_END: u8 = 0x20;

fn plain_words(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<WORD>();
    for (place, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return place * WORD + special.trailing_zeros() as usize / 8;
        }
    }
    let run = tail.iter().take_while(|&&byte| !is_special(byte)).count();
    words.len() * WORD + run
}

/// Bytes looked at together in a short string.
const WORD: usize = 8;

fn is_special(byte: u8) -> bool {
    byte < CONTROL_END || byte == b'"' || byte == b'\\'
}

/// The high bit of the first byte of eight that is special, and perhaps of some behind it.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH_BITS: u64 = ONES * 0x80;
    let backslashes = word ^ (ONES * u64::from(b'\\'));
    // Of all bytes only control characters and the quote are less than 0x21 with this bit turned
    // over.
    let turned = word ^ (ONES * 2);
    // Subtracting borrows from the next byte only where a byte was found, so that the first one
    // found is right.
    let found = (backslashes.wrapping_sub(ONES) & !backslashes)
        | (turned.wrapping_sub(ONES * 0x21) & !turned);
    found & HIGH_BITS
}

/// Decodes the inside of a string and appends it to `target`, up to the first byte that does not
/// belong there: the closing quote, a control character, a wrong escape. Returns how many bytes
/// come before it.
fn decode_run(bytes: &[u8], target: &mut Vec<u8>) -> usize {
    let mut decoding = Decoding::default();
    let mut window = FIRST_WINDOW;
    while !decoding.stopped {
        let length = target.len();
        target.resize(length + window, 0);
        decoding.written = 0;
        decoding.advance(bytes, &mut target[length..]);
        target.truncate(length + decoding.written);
        window = WINDOW;
    }
    decoding.read
}

/// Room for a part of a text that is decoded: so much of it is written without asking for more.
const WINDOW: usize = 1024;

/// The same for its beginning, as most texts are short.
const FIRST_WINDOW: usize = 256;

/// A block and what an escape or a copy may take of the next one.
const AHEAD: usize = 2 * BLOCK;

/// How far the inside of a string has been decoded.
#[derive(Default)]
struct Decoding {
    read: usize,
    written: usize,
    /// A byte that does not belong to the string comes next.
    stopped: bool,
}

impl Decoding {
    /// Goes on while there is room for a block, and what is copied too much.
    fn advance(&mut self, bytes: &[u8], room: &mut [u8]) {
        while !self.stopped
            && let Some(place) = room.get_mut(self.written..).and_then(<[u8]>::first_chunk_mut)
        {
            let rest = &bytes[self.read..];
            if let Some(ahead) = rest.first_chunk() {
                self.block(ahead, place);
            } else {
                // What is put behind is a control character, at which it stops.
                let mut ahead = [0; AHEAD];
                ahead[..rest.len()].copy_from_slice(rest);
                self.block(&ahead, place);
            }
        }
    }

    /// Decodes a block. Its bytes are compared once, and what is found is a bit for each: from one
    /// escape to the next it takes neither a load nor a branch that cannot be foreseen.
    #[inline]
    fn block(&mut self, ahead: &[u8; AHEAD], place: &mut [u8; AHEAD]) {
        let (mut from, mut to) = (0, 0);
        let mut special = special_places(ahead);
        while from < BLOCK {
            special &= u64::MAX << from;
            // More than what is wanted is copied: what comes next is written over it.
            copy_block(&ahead[from..], &mut place[to..]);
            let at = special.trailing_zeros() as usize;
            to += at - from;
            from = at;
            if at == BLOCK {
                break;
            }
            let Some((length, size)) = unescape(&ahead[at..], &mut place[to..]) else {
                self.stopped = true;
                break;
            };
            from += length;
            to += size;
        }
        self.read += from;
        self.written += to;
    }
}

/// A bit for each byte of a block that is special.
#[inline]
fn special_places(ahead: &[u8; AHEAD]) -> u64 {
    // A control character is what has none of the upper three bits.
    let is_special = |bytes| are(bytes, b'"') | are(bytes, b'\\') | are(bytes & splat(0xE0), 0);
    ahead.first_chunk().map_or(0, |block| places(block, is_special))
}

#[inline]
fn copy_block(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<BLOCK>(), to.first_chunk_mut::<BLOCK>()) {
        *to = *from;
    }
}

/// Writes what an escape stands for. Returns the length of the escape and the size of what it
/// stands for; `None` when it is no escape.
#[inline]
fn unescape(escape: &[u8], place: &mut [u8]) -> Option<(usize, usize)> {
    let [b'\\', kind] = escape.first_chunk()? else { return None };
    let place = place.first_chunk_mut::<4>()?;
    place[0] = UNESCAPED[usize::from(*kind)];
    if place[0] > 0 {
        return Some((2, 1));
    }
    let (character, length) = unescape_unicode(escape)?;
    Some((length, character.encode_utf8(place).len()))
}

/// The byte that an escape of two characters stands for, by its second one; 0 where there is no
/// such escape. A table: which escape comes next cannot be foreseen, and a branch that is taken
/// wrongly costs more than all else here.
const UNESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x08;
    table[b'f' as usize] = 0x0c;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

/// The character that `\uXXXX`, or a pair of them, stands for, and the length of what it is written
/// as.
fn unescape_unicode(escape: &[u8]) -> Option<(char, usize)> {
    const LONE: char = char::REPLACEMENT_CHARACTER;
    let unit = code_unit(escape)?;
    if !(0xD800..0xDC00).contains(&unit) {
        return Some((char::from_u32(unit).unwrap_or(LONE), 6));
    }
    match escape.get(6..).and_then(code_unit) {
        Some(low @ 0xDC00..0xE000) => {
            let joined = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            Some((char::from_u32(joined).unwrap_or(LONE), 12))
        }
        _ => Some((LONE, 6)),
    }
}

/// The number in `\uXXXX`.
#[inline]
fn code_unit(escape: &[u8]) -> Option<u32> {
    let &[b'\\', b'u', a, b, c, d] = escape.first_chunk()? else { return None };
    let [a, b, c, d] = [a, b, c, d].map(|digit| DIGITS[usize::from(digit)]);
    let unit = a << 12 | b << 8 | c << 4 | d;
    (unit < NO_DIGIT).then_some(unit)
}

/// The value of each hexadecimal digit.
const DIGITS: [u32; 256] = {
    let mut table = [NO_DIGIT; 256];
    let (mut value, digits) = (0_u32, *b"0123456789abcdef");
    while value < 16 {
        let digit = digits[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

/// What is more than any code unit, wherever it stands in one.
const NO_DIGIT: u32 = 0x1_0000;
