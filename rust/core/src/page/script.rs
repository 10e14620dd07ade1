//! A script in, the named values that may be tokens out: `"_wpnonce":"…"`, `wpaicg_nonce: '…'`,
//! `var post_id = 123`.
//!
//! JavaScript is read as lexemes, no deeper. Comments are skipped, and the inside of a string is
//! data, however much it looks like code or markup; a value is a whole string or a whole number,
//! not a part of an expression. JSON is read the same way, so attribute values that hold JSON are
//! read here too. The cost is linear: each byte is lexed a fixed number of times.

use std::borrow::Cow;
use std::sync::LazyLock;

use data_url::DataUrl;
use memchr::memmem::Finder;

use super::attributes::Tag;

/// A name whose values are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// `_wpnonce`
    WpNonce,
    /// `wpaicg_nonce`
    WpaicgNonce,
    /// `post_id` as an object's key
    PostId,
    /// `post_id` as a variable
    PostIdVariable,
    /// `ajax_url` directly in `wpaicgParams`
    AjaxUrl,
}

/// Calls `found` for each value of a [`Key`], in order, with its string escapes decoded.
pub(super) fn for_each_value<'a>(script: &'a str, mut found: impl FnMut(Key, Cow<'a, str>)) {
    let mut lexer = Lexer::new(script);
    let mut before = Lexeme::Other(b'{');
    let mut scope = Scope::default();
    while let Some(lexeme) = lexer.next() {
        if let Some(name) = lexeme.name() {
            if let Some((key, value)) = value_of(name, lexeme, before, &lexer, &scope) {
                found(key, value);
            }
            scope.enter_params(name, &lexer);
        }
        scope.follow(lexeme);
        before = lexeme;
    }
}

/// Whether a script can hold a [`Key`]: a key is there as it is written, or not at all. `ajax_url`
/// needs `wpaicgParams`.
pub(super) fn names_a_key(script: &[u8]) -> bool {
    static NAMES: LazyLock<[Finder<'static>; 3]> =
        LazyLock::new(|| ["wpaicg", "_wpnonce", "post_id"].map(Finder::new));
    holds(script, &*NAMES)
}

/// Whether one of the words stands in a script.
pub(super) fn holds(script: &[u8], words: &[Finder<'_>]) -> bool {
    words.iter().any(|word| word.find(script).is_some())
}

/// The text of a script that stands in a `data:` URL of its tag, where optimizers put inline scripts
/// that are to run later: in `src` or in an attribute of their own.
pub(super) fn script_of_url(tag: &Tag<'_>) -> Option<Vec<u8>> {
    static SCHEME: LazyLock<[Finder<'static>; 1]> = LazyLock::new(|| [Finder::new("data:")]);
    if !holds(tag.raw_attributes(), &*SCHEME) {
        return None;
    }
    let attribute =
        tag.attributes().find(|attribute| attribute.raw_value().starts_with(b"data:"))?;
    Some(DataUrl::process(&attribute.value()).ok()?.decode_to_vec().ok()?.0)
}

/// What a script mentions, outside of comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention<'a> {
    /// A name that a `=` follows.
    Set(&'a str),
    /// Any other name.
    Used(&'a str),
    /// The text of a string, escapes not decoded.
    Text(&'a str),
}

/// Calls `found` for each name and each string of a script, in order.
pub(super) fn for_each_mention<'a>(script: &'a str, mut found: impl FnMut(Mention<'a>)) {
    let mut lexer = Lexer::new(script);
    let mut next = lexer.next();
    while let Some(lexeme) = next {
        next = lexer.next();
        match (lexeme, next) {
            (Lexeme::Name(name), Some(Lexeme::Other(b'='))) => found(Mention::Set(name)),
            (Lexeme::Name(name), _) => found(Mention::Used(name)),
            (Lexeme::String(text), _) => found(Mention::Text(text)),
            _ => {}
        }
    }
}

/// The value that follows a name, when the name is a key's.
fn value_of<'a>(
    name: &str,
    lexeme: Lexeme<'a>,
    before: Lexeme<'a>,
    after: &Lexer<'a>,
    scope: &Scope,
) -> Option<(Key, Cow<'a, str>)> {
    if !matches!(name, "_wpnonce" | "wpaicg_nonce" | "post_id" | "ajax_url") {
        return None;
    }
    let mut lexer = after.clone();
    let assigned = match lexer.next()? {
        // The second branch of `a ? post_id : 5` is no key.
        Lexeme::Other(b':') if matches!(before, Lexeme::Other(b'{' | b',')) => false,
        Lexeme::Other(b'=') if matches!(lexeme, Lexeme::Name(_)) => true,
        _ => return None,
    };
    let key = match name {
        "_wpnonce" => Key::WpNonce,
        "wpaicg_nonce" => Key::WpaicgNonce,
        "post_id" if assigned => Key::PostIdVariable,
        "post_id" => Key::PostId,
        _ if scope.in_params() && !assigned => Key::AjaxUrl,
        _ => return None,
    };
    let value = lexer.next()?.value()?;
    lexer.ends_value().then_some((key, value))
}

/// The brackets that are open, as far as it takes to know what stands directly in `wpaicgParams`.
#[derive(Default)]
struct Scope {
    depth: usize,
    params: Option<usize>,
}

impl Scope {
    fn in_params(&self) -> bool {
        self.params == Some(self.depth)
    }

    /// Notes that the object about to open is `wpaicgParams`, when `name` and the lexemes behind it
    /// say so: `wpaicgParams = {`, `wpaicgParams: {`.
    fn enter_params(&mut self, name: &str, after: &Lexer<'_>) {
        let mut lexer = after.clone();
        if name == "wpaicgParams"
            && matches!(lexer.next(), Some(Lexeme::Other(b'=' | b':')))
            && matches!(lexer.next(), Some(Lexeme::Other(b'{')))
        {
            self.params = Some(self.depth + 1);
        }
    }

    fn follow(&mut self, lexeme: Lexeme<'_>) {
        match lexeme {
            Lexeme::Other(b'{' | b'[' | b'(') => self.depth += 1,
            Lexeme::Other(b'}' | b']' | b')') => {
                if self.in_params() {
                    self.params = None;
                }
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Lexeme<'a> {
    Name(&'a str),
    Number(&'a str),
    /// The text between the quotes, escapes not decoded.
    String(&'a str),
    /// A template, a regular expression, `++` or `--`: something a division may follow.
    Operand,
    /// `==`, `===`, `=>` and the like: an `=` that assigns nothing.
    Comparison,
    /// Any other byte.
    Other(u8),
}

impl<'a> Lexeme<'a> {
    fn name(self) -> Option<&'a str> {
        match self {
            Self::Name(name) | Self::String(name) => Some(name),
            _ => None,
        }
    }

    fn value(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Number(digits) => Some(Cow::Borrowed(digits)),
            Self::String(text) => Some(unescape(text)),
            _ => None,
        }
    }

    /// Whether a `/` after this begins a regular expression.
    fn precedes_regex(self) -> bool {
        match self {
            Self::Name(name) => {
                matches!(
                    name,
                    "return"
                        | "typeof"
                        | "case"
                        | "in"
                        | "of"
                        | "void"
                        | "delete"
                        | "throw"
                        | "else"
                        | "do"
                )
            }
            Self::Comparison => true,
            Self::Other(byte) => !matches!(byte, b')' | b']' | b'}'),
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Lexer<'a> {
    text: &'a str,
    at: usize,
    last: Lexeme<'a>,
    /// The offset before which no regular expression ends: so many bytes have been tried in vain.
    no_regex_before: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, last: Lexeme::Other(b';'), no_regex_before: 0 }
    }

    fn next(&mut self) -> Option<Lexeme<'a>> {
        self.skip_space_and_comments();
        let lexeme = match self.byte()? {
            quote @ (b'"' | b'\'') => self.string(quote),
            b'`' => self.template(),
            b'0'..=b'9' => Lexeme::Number(self.word()),
            byte if is_name_byte(byte) => Lexeme::Name(self.word()),
            b'/' if self.last.precedes_regex() => self.regex(),
            byte => self.punctuation(byte),
        };
        self.last = lexeme;
        Some(lexeme)
    }

    /// Whether a value ends here, rather than being the beginning of a longer expression.
    fn ends_value(&mut self) -> bool {
        let start = self.at;
        match self.next() {
            None | Some(Lexeme::Other(b',' | b';' | b'}' | b']' | b')')) => true,
            // `var post_id = 5` newline `var …` is ended by its line.
            Some(Lexeme::Name(name)) => self.text[start..self.at - name.len()].contains('\n'),
            Some(_) => false,
        }
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.at += match &rest[spaces..] {
                // `<!--` begins a comment of one line, as old scripts do.
                [b'/', b'/', comment @ ..] => spaces + 2 + line_length(comment),
                [b'<', b'!', b'-', b'-', comment @ ..] => spaces + 4 + line_length(comment),
                [b'/', b'*', comment @ ..] => spaces + 2 + block_length(comment),
                _ => {
                    self.at += spaces;
                    return;
                }
            };
        }
    }

    /// Reads a string. One that its line does not end is no string, and nothing on that line can be
    /// trusted after it.
    fn string(&mut self, quote: u8) -> Lexeme<'a> {
        let start = self.at + 1;
        let body = &self.text.as_bytes()[start..];
        match closing(body, quote, true) {
            Ok(length) => {
                self.at = start + length + 1;
                Lexeme::String(&self.text[start..start + length])
            }
            Err(length) => {
                self.at = start + length;
                Lexeme::Operand
            }
        }
    }

    fn template(&mut self) -> Lexeme<'a> {
        let length =
            closing(&self.rest()[1..], b'`', false).map_or_else(|rest| rest, |length| length + 1);
        self.at += 1 + length;
        Lexeme::Operand
    }

    fn regex(&mut self) -> Lexeme<'a> {
        if self.at < self.no_regex_before {
            return self.punctuation(b'/');
        }
        match regex_length(&self.rest()[1..]) {
            Ok(length) => {
                self.at += 1 + length;
                Lexeme::Operand
            }
            Err(tried) => {
                self.no_regex_before = self.at + 1 + tried;
                self.punctuation(b'/')
            }
        }
    }

    /// Reads one byte, or one of the few operators that must not be taken apart. An escape outside
    /// of strings hides its byte.
    fn punctuation(&mut self, byte: u8) -> Lexeme<'a> {
        let (lexeme, length) = match self.rest() {
            [b'=', b'=', b'=', ..] => (Lexeme::Comparison, 3),
            [b'=', b'=' | b'>', ..] | [b'!' | b'<' | b'>', b'=', ..] => (Lexeme::Comparison, 2),
            [b'+', b'+', ..] | [b'-', b'-', ..] => (Lexeme::Operand, 2),
            [b'\\', next, ..] if next.is_ascii() => (Lexeme::Operand, 2),
            _ => (Lexeme::Other(byte), 1),
        };
        self.at += length;
        lexeme
    }

    fn word(&mut self) -> &'a str {
        let start = self.at;
        self.at += self.rest().iter().take_while(|&&byte| is_name_byte(byte)).count();
        &self.text[start..self.at]
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn byte(&self) -> Option<u8> {
        self.rest().first().copied()
    }
}

/// Whether a byte is one of names and numbers. Every byte of a character beyond ASCII is, so that
/// no character is taken apart.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

fn line_length(text: &[u8]) -> usize {
    memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len())
}

fn block_length(text: &[u8]) -> usize {
    memchr::memmem::find(text, b"*/").map_or(text.len(), |length| length + 2)
}

/// The length up to the closing quote, or, when there is none (on this line), the length that was
/// tried.
fn closing(text: &[u8], quote: u8, one_line: bool) -> Result<usize, usize> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' | b'\r' if one_line => return Err(at),
            _ if byte == quote => return Ok(at),
            _ => {}
        }
        at += 1;
    }
    Err(text.len())
}

/// The length of a regular expression, in whose classes a `/` stands for itself, with its closing
/// `/`; else the length that was tried, as of [`closing`].
fn regex_length(text: &[u8]) -> Result<usize, usize> {
    let (mut at, mut class) = (0, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' | b'\r' => return Err(at),
            b'[' => class = true,
            b']' => class = false,
            b'/' if !class => return Ok(at + 1),
            _ => {}
        }
        at += 1;
    }
    Err(text.len())
}

/// Decodes a JavaScript string's escapes, JSON's among them. Surrogate pairs join; a lone one is
/// U+FFFD.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        units.extend(plain.encode_utf16());
        rest = unescape_one(escape, &mut units);
    }
    units.extend(rest.encode_utf16());
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// Decodes what follows one backslash and returns what is left.
fn unescape_one<'a>(escape: &'a str, units: &mut Vec<u16>) -> &'a str {
    let mut characters = escape.chars();
    let Some(character) = characters.next() else { return "" };
    let rest = characters.as_str();
    let digits = match character {
        'u' => 4,
        'x' => 2,
        _ => 0,
    };
    let number =
        rest.get(..digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if let Some(Ok(unit)) = number.map(|number| u16::from_str_radix(number, 16)) {
        units.push(unit);
        return &rest[digits..];
    }
    let decoded = match character {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        other => other,
    };
    units.extend(decoded.encode_utf16(&mut [0; 2]).iter());
    rest
}
