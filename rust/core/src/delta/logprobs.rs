//! Log probabilities as any service tells them in, OpenAI's form of them out.
//!
//! Chat completions tell an object with a list for the content and one for a refusal, other APIs the
//! list alone, or one for the tokens that were chosen and one for those that were likely; legacy
//! completions have a list for each field. What stands beside that in a token stays.

use alloc::borrow::Cow;
use std::fmt;

use crate::json::{JsonError, Kind, Reader, Text, decimal, finite_on_one_line, quoted};
use crate::prelude::*;

use super::{Delta, DeltaSink, Seal, ToolCall};

/// The log probabilities of the tokens of one event, in the form of OpenAI's chat completions: it is
/// written as their `logprobs`, one JSON object on one line.
///
/// ```
/// use tailrace_core::Logprobs;
///
/// let told = r#"{"tokens": ["Hi"], "token_logprobs": [-0.5], "top_logprobs": [null]}"#;
/// let logprobs = Logprobs::read(told).expect("these are a legacy completion's");
/// let content = r#"{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[]}"#;
/// assert_eq!(logprobs.content(), content);
/// assert_eq!(logprobs.to_string(), format!(r#"{{"content":[{content}],"refusal":null}}"#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Logprobs {
    /// A list as JSON; empty where there is none.
    content: String,
    refusal: String,
}

impl Logprobs {
    /// Reads the JSON of any service's form; `None` where it tells of no token.
    ///
    /// A token gets the `bytes` and the `top_logprobs` that it lacks. A number that JSON does not
    /// have becomes one that it has: `-Infinity` is -9999.0, as OpenAI writes it.
    pub fn read(json: &str) -> Option<Self> {
        let told = Told::read(json).ok()?;
        let logprobs = told.written().ok()?;
        (logprobs != Self::default()).then_some(logprobs)
    }

    /// The tokens of the answer: JSON objects with a comma between any two of them.
    pub fn content(&self) -> &str {
        elements(&self.content)
    }

    /// The tokens of a refusal, in the same form.
    pub fn refusal(&self) -> &str {
        elements(&self.refusal)
    }

    /// The tokens of the answer and of a refusal, one by one.
    pub(crate) fn tokens(&self) -> Vec<LogprobToken<'_>> {
        let lists = [&self.content, &self.refusal].into_iter();
        // They are valid: they were written here.
        let tokens = |list| LogprobToken::read_all(&mut Reader::new(list)).unwrap_or_default();
        lists.filter(|list| !list.is_empty()).flat_map(|list| tokens(list)).collect()
    }
}

/// What stands in a list.
fn elements(list: &str) -> &str {
    list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or_default()
}

impl fmt::Display for Logprobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [content, refusal] = [&self.content, &self.refusal]
            .map(|list| if list.is_empty() { "null" } else { list.as_str() });
        write!(f, r#"{{"content":{content},"refusal":{refusal}}}"#)
    }
}

/// A token, with what a legacy completion tells of it.
#[derive(Debug, Default)]
pub(crate) struct LogprobToken<'a> {
    token: Option<Text<'a>>,
    /// The figure, as written.
    logprob: Option<&'a str>,
    /// The tokens that were likely in its place.
    pub(crate) top: Vec<LogprobToken<'a>>,
}

impl<'a> LogprobToken<'a> {
    pub(crate) fn text(&self) -> Cow<'a, str> {
        self.token.map(Text::decode).unwrap_or_default()
    }

    /// The figure as JSON.
    pub(crate) fn logprob(&self) -> &'a str {
        self.logprob.unwrap_or("null")
    }

    fn read_all(reader: &mut Reader<'a>) -> Result<Vec<Self>, JsonError> {
        Ok(reader.list_or_skip(Self::read)?.unwrap_or_default())
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut token = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "token" => token.token = reader.string_or_skip()?,
                "logprob" => token.logprob = Some(reader.raw()?),
                "top_logprobs" => token.top = Self::read_all(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(token)
    }
}

/// The fields of any form, as written.
#[derive(Default)]
struct Told<'a> {
    content: Vec<&'a str>,
    refusal: Vec<&'a str>,
    /// A legacy completion's tokens, and their figures.
    tokens: Vec<Option<Text<'a>>>,
    token_logprobs: Vec<&'a str>,
    /// Of each token those that were likely in its place.
    tops: Vec<&'a str>,
}

impl<'a> Told<'a> {
    fn read(json: &'a str) -> Result<Self, JsonError> {
        let mut told = Self::default();
        let mut reader = Reader::new(json);
        if reader.peek()? == Kind::Array {
            told.content = read_list(&mut reader)?;
        } else {
            reader.object_or_skip(|key, reader| told.read_member(key, reader))?;
        }
        reader.end()?;
        Ok(told)
    }

    fn read_member(&mut self, key: Text<'a>, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        match &*key.decode() {
            "content" | "chosenCandidates" => self.content = read_list(reader)?,
            "refusal" => self.refusal = read_list(reader)?,
            "tokens" => {
                self.tokens = reader.list_or_skip(Reader::string_or_skip)?.unwrap_or_default();
            }
            "token_logprobs" => self.token_logprobs = read_list(reader)?,
            "top_logprobs" | "topCandidates" => self.tops = read_list(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn written(&self) -> Result<Logprobs, JsonError> {
        let (mut content, mut refusal) = (List::default(), List::default());
        for (token, top) in self.content.iter().zip(of_each(&self.tops)) {
            content.object(token, Others::Are(top))?;
        }
        if self.content.is_empty() {
            self.write_legacy(&mut content)?;
        }
        for token in &self.refusal {
            refusal.object(token, Others::Are(None))?;
        }
        Ok(Logprobs { content: content.into_string(), refusal: refusal.into_string() })
    }

    fn write_legacy(&self, content: &mut List) -> Result<(), JsonError> {
        let figures = of_each(&self.token_logprobs).zip(of_each(&self.tops));
        for (token, (logprob, top)) in self.tokens.iter().zip(figures) {
            if let Some(token) = token {
                content.token(*token, logprob.unwrap_or("null"), Others::Are(top))?;
            }
        }
        Ok(())
    }
}

/// What there is for each token, and nothing for those behind.
fn of_each<'a>(list: &[&'a str]) -> impl Iterator<Item = Option<&'a str>> {
    list.iter().copied().map(Some).chain(std::iter::repeat(None))
}

/// Reads the elements of a list, as written; of any other value there are none.
fn read_list<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, JsonError> {
    Ok(reader.list_or_skip(Reader::raw)?.unwrap_or_default())
}

/// The tokens that were likely in the place of another.
#[derive(Clone, Copy)]
enum Others<'a> {
    /// These, or where it is `None` those that the token tells itself.
    Are(Option<&'a str>),
    /// None are told of such a token itself.
    Untold,
}

/// Tokens as they are written.
#[derive(Default)]
struct List(Vec<u8>);

impl List {
    fn into_string(mut self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        self.0.push(b']');
        // All of it is text.
        String::from_utf8(self.0).unwrap_or_default()
    }

    fn begin(&mut self) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
    }

    /// Appends a token that is an object; anything else is none.
    fn object(&mut self, token: &str, others: Others<'_>) -> Result<(), JsonError> {
        if Reader::new(token).peek()? == Kind::Object {
            self.begin();
            write_object(token, others, &mut self.0)?;
        }
        Ok(())
    }

    /// Appends a token whose figure stands elsewhere.
    fn token(
        &mut self,
        token: Text<'_>,
        logprob: &str,
        others: Others<'_>,
    ) -> Result<(), JsonError> {
        self.begin();
        self.0.extend_from_slice(br#"{"token":"#);
        quoted(&token.decode(), &mut self.0);
        self.0.extend_from_slice(br#","logprob":"#);
        finite_on_one_line(logprob, &mut self.0)?;
        write_bytes(Some(token), &mut self.0);
        write_others(others, None, &mut self.0)?;
        self.0.push(b'}');
        Ok(())
    }
}

fn write_object(token: &str, others: Others<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let (mut text, mut has_bytes, mut own) = (None, false, None);
    out.push(b'{');
    let start = out.len();
    Reader::new(token).object(|key, reader| {
        let key = key.decode();
        if key == "token" {
            text = reader.clone().string_or_skip()?;
        }
        let value = reader.raw()?;
        if key == "top_logprobs" {
            own = Some(value);
        }
        if key == "top_logprobs" || (key == "bytes" && value == "null") {
            return Ok(());
        }
        has_bytes |= key == "bytes";
        if out.len() > start {
            out.push(b',');
        }
        quoted(if key == "logProbability" { "logprob" } else { &key }, out);
        out.push(b':');
        finite_on_one_line(value, out)
    })?;
    if !has_bytes {
        write_bytes(text, out);
    }
    write_others(others, own, out)?;
    out.push(b'}');
    Ok(())
}

/// Appends the member with a token's bytes, which are not known where its text stands for some that
/// are no text.
fn write_bytes(token: Option<Text<'_>>, out: &mut Vec<u8>) {
    let token = token.map(Text::decode);
    let is_text =
        |token: &Cow<'_, str>| !token.contains('\u{fffd}') && !token.starts_with("bytes:");
    out.extend_from_slice(br#","bytes":"#);
    let Some(token) = token.filter(is_text) else {
        return out.extend_from_slice(b"null");
    };
    out.push(b'[');
    for (at, byte) in token.bytes().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        decimal(byte.into(), out);
    }
    out.push(b']');
}

/// Appends the member with the tokens that were likely in a token's place: a list of them, an object
/// that holds the list, or one whose keys are the tokens.
fn write_others(others: Others<'_>, own: Option<&str>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let Others::Are(told) = others else { return Ok(()) };
    let mut list = List::default();
    let mut reader = Reader::new(told.or(own).unwrap_or("[]"));
    let kind = reader.peek()?;
    if kind == Kind::Object {
        reader.object(|key, reader| match reader.peek()? {
            Kind::Array => add_others(&mut list, reader),
            _ => list.token(key, reader.raw()?, Others::Untold),
        })?;
    } else if kind == Kind::Array {
        add_others(&mut list, &mut reader)?;
    }
    out.extend_from_slice(br#","top_logprobs":"#);
    let list = list.into_string();
    out.extend_from_slice(if list.is_empty() { b"[]" } else { list.as_bytes() });
    Ok(())
}

fn add_others(list: &mut List, reader: &mut Reader<'_>) -> Result<(), JsonError> {
    reader.array(|reader| list.object(reader.raw()?, Others::Untold))
}

/// The deltas of one event that tells log probabilities: the first of them takes these along.
pub(super) struct Scored<'s, S: ?Sized> {
    logprobs: Option<&'s Logprobs>,
    sink: &'s mut S,
}

impl<'s, S: DeltaSink + ?Sized> Scored<'s, S> {
    pub(super) fn new(logprobs: &'s Logprobs, sink: &'s mut S) -> Self {
        Self { logprobs: Some(logprobs), sink }
    }

    /// Hands on what no delta took along.
    pub(super) fn finish(mut self) {
        if self.logprobs.is_some() {
            self.hand_on(Delta::Text(""));
        }
    }

    fn hand_on(&mut self, delta: Delta<'_>) {
        match self.logprobs.take() {
            Some(logprobs) => self.sink.with_logprobs(delta, logprobs),
            None => delta.hand_to(self.sink),
        }
    }
}

impl<S: DeltaSink + ?Sized> DeltaSink for Scored<'_, S> {
    fn text(&mut self, delta: &str) {
        self.hand_on(Delta::Text(delta));
    }

    fn wants_everything(&self) -> bool {
        self.sink.wants_everything()
    }

    fn reasoning(&mut self, delta: &str) {
        self.hand_on(Delta::Reasoning(delta));
    }

    fn refusal(&mut self, delta: &str) {
        self.hand_on(Delta::Refusal(delta));
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.hand_on(Delta::ToolCall(piece));
    }

    fn seal(&mut self, seal: Seal<'_>) {
        self.sink.seal(seal);
    }
}
