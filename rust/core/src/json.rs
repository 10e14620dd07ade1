//! JSON text in, borrowed strings and numbers out: a strict reader (RFC 8259) that validates all and builds nothing.
//!
//! The caller walks the text once and takes what it wants; what it does not want it skips, and skipping validates
//! too. Duplicate keys are all visited, in order: a caller that assigns on each visit lets the last one win.

use std::borrow::Cow;

use crate::limits::MAX_JSON_DEPTH;

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
            Self::TooDeep { offset } => write!(f, "more than {MAX_JSON_DEPTH} containers are open at byte {offset}"),
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

    /// Reads an object: `visit` gets each key, with the reader standing before its value, and must consume exactly
    /// that value.
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

    /// Reads an array: `visit` is called with the reader standing before each element, and must consume exactly it.
    ///
    /// # Errors
    /// When the next value is not a valid array, nests too deep, or `visit` fails.
    pub fn array(&mut self, mut visit: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
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
        self.whitespace();
        self.require(b'"')?;
        let start = self.position;
        let mut escaped = false;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(byte) if byte >= 0x20 => self.position += 1,
                _ => return Err(self.unexpected()),
            }
        }
        let raw = &self.text[start..self.position];
        self.position += 1;
        Ok(Text { raw, escaped })
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

    fn open_or_scalar(&mut self, closers: &mut [u8; MAX_JSON_DEPTH + 1]) -> Result<bool, JsonError> {
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

    fn key(&mut self) -> Result<Text<'a>, JsonError> {
        let key = self.string()?;
        self.whitespace();
        self.require(b':')?;
        Ok(key)
    }

    /// Past one escape, from its backslash.
    fn escape(&mut self) -> Result<(), JsonError> {
        self.position += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.position += 1,
            Some(b'u') => {
                self.position += 1;
                for _ in 0..4 {
                    match self.byte() {
                        Some(byte) if byte.is_ascii_hexdigit() => self.position += 1,
                        _ => return Err(self.unexpected()),
                    }
                }
            }
            _ => return Err(self.unexpected()),
        }
        Ok(())
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
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The text with its escapes decoded; borrowed when there are none. A surrogate pair is one character, each lone
    /// surrogate one U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = String::with_capacity(self.raw.len());
        self.decode_into(&mut text);
        Cow::Owned(text)
    }

    /// Like [`decode`](Self::decode), with `scratch` as the place for a text that has escapes.
    pub fn decode_with<'b>(self, scratch: &'b mut String) -> &'b str
    where
        'a: 'b,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        self.decode_into(scratch);
        scratch
    }

    /// Appends to `target` what [`decode`](Self::decode) returns.
    pub fn decode_into(self, target: &mut String) {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            target.push_str(&rest[..at]);
            let (character, length) = unescape(&rest.as_bytes()[at..]);
            target.push(character);
            rest = &rest[at + length..];
        }
        target.push_str(rest);
    }

    /// True when the string is `""`.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.escaped { self.decode() == other } else { self.raw == other }
    }
}

/// The character that a validated escape stands for, and the escape's length.
fn unescape(escape: &[u8]) -> (char, usize) {
    let character = match escape[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(escape),
        other => char::from(other),
    };
    (character, 2)
}

fn unescape_unicode(escape: &[u8]) -> (char, usize) {
    const LONE: char = char::REPLACEMENT_CHARACTER;
    let unit = code_unit(&escape[2..6]);
    if !(0xD800..0xDC00).contains(&unit) {
        return (char::from_u32(unit).unwrap_or(LONE), 6);
    }
    let low = match escape.get(6..12) {
        Some([b'\\', b'u', digits @ ..]) => code_unit(digits),
        _ => 0,
    };
    if !(0xDC00..0xE000).contains(&low) {
        return (LONE, 6);
    }
    let joined = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    (char::from_u32(joined).unwrap_or(LONE), 12)
}

fn code_unit(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |unit, &digit| (unit << 4) | char::from(digit).to_digit(16).unwrap_or(0))
}
