//! A JSON text in, its values out, in the order in which they stand.

use crate::limits::MAX_JSON_DEPTH;
use crate::prelude::*;

use super::string::{plain_run, string_end_from};
use super::text::Text;
use super::unescape::{WINDOW, decode_all_from};
use super::{JsonError, Kind};

/// A cursor over one JSON text. After an error its position is undefined: drop it.
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
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
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

    /// Reads a text that is one object, as [`object`](Self::object) does, to its end.
    ///
    /// # Errors
    /// When the text is not one valid object, nests too deep, or `visit` fails.
    pub fn whole_object(
        mut self,
        visit: impl FnMut(Text<'a>, &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.object(visit)?;
        self.end()
    }

    /// Reads an object as [`object`](Self::object) does; any other value is skipped. Returns
    /// whether the value was an object.
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

    /// Reads an array as [`array`](Self::array) does; any other value is skipped. Returns whether
    /// the value was an array.
    ///
    /// # Errors
    /// When the next value is not valid, nests too deep, or `visit` fails.
    pub fn array_or_skip(
        &mut self,
        visit: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<bool, JsonError> {
        let is_array = self.peek()? == Kind::Array;
        if is_array {
            self.array(visit)?;
        } else {
            self.skip()?;
        }
        Ok(is_array)
    }

    /// Reads an array into a list of what `read` returns for each element; `None` for any other
    /// value, which is skipped.
    ///
    /// # Errors
    /// When the next value is not valid, nests too deep, or `read` fails.
    pub fn list_or_skip<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, JsonError>,
    ) -> Result<Option<Vec<T>>, JsonError> {
        let mut list = Vec::new();
        let is_array = self.array_or_skip(|reader| {
            list.push(read(reader)?);
            Ok(())
        })?;
        Ok(is_array.then_some(list))
    }

    /// Reads `true` or `false`; `None` for any other value, which is skipped.
    ///
    /// # Errors
    /// When the next value is not valid or nests too deep.
    pub fn bool_or_skip(&mut self) -> Result<Option<bool>, JsonError> {
        let kind = self.peek()?;
        self.skip()?;
        Ok(match kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        })
    }

    /// Reads a string.
    ///
    /// # Errors
    /// When the next value is not a valid string.
    pub fn string(&mut self) -> Result<Text<'a>, JsonError> {
        let inside = self.open_string()?;
        let plain = plain_run(inside);
        let end = if inside.get(plain) == Some(&b'"') {
            Ok(plain)
        } else {
            string_end_from(plain, inside)
        };
        self.close_string(plain, end)
    }

    /// Reads a number and returns it as it is written, `NaN` and the infinities among them.
    ///
    /// # Errors
    /// When the next value is not a valid number.
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.whitespace();
        let start = self.position;
        let is_negative = self.take(b'-');
        match self.byte() {
            Some(b'I') => self.word(b"Infinity")?,
            Some(b'N') if !is_negative => self.word(b"NaN")?,
            _ => self.finite()?,
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
        // The brackets that close the open containers, by depth.
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

    /// Reads a string as [`string_or_skip`](Self::string_or_skip) does, and decodes it meanwhile:
    /// where it has escapes, `scratch` becomes what [`Text::decoded_in`] makes its text of.
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
            // A decoded string is no longer than it was written, so that it is not moved while it
            // grows.
            scratch.reserve(inside.len() + WINDOW);
            decode_all_from(plain, inside, scratch)
        } else {
            plain
        };
        // The decoding stopped at the end, or at what is wrong.
        self.close_string(plain, string_end_from(read, inside)).map(Some)
    }

    /// Checks that nothing but whitespace is left.
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

    /// Reads a number behind its sign.
    fn finite(&mut self) -> Result<(), JsonError> {
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
        Ok(())
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

    /// Between the elements of a container: goes past a comma to the next one, or past the end.
    /// Returns whether there is a next one.
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

    /// Goes past a string's opening quote. Returns what is left of the text.
    #[inline]
    fn open_string(&mut self) -> Result<&'a [u8], JsonError> {
        self.whitespace();
        self.require(b'"')?;
        Ok(&self.text.as_bytes()[self.position..])
    }

    /// Goes past a string's end, as [`string_end_from`] found it.
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
                Ok(Text::new(&self.text[start..start + length], plain))
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
