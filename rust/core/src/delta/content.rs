//! What a server puts where an API has the text of a delta in, texts of each kind out.
//!
//! By the reference pages that is a string or null. Servers also send numbers, lists of parts, and
//! a part alone; a part may be text, reasoning or a refusal.

use alloc::borrow::Cow;

use crate::json::{JsonError, Kind, Reader, Text};

use super::fields::is_truthy;
use super::passed_over::{Unspoken, of_type};

/// The value of a key under which a text is due.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Content<'a> {
    #[default]
    None,
    Text(Text<'a>),
    /// A number or a truth value, as it is written.
    Bare(&'a str),
    /// A list of parts, or one part, as it is written.
    Parts(&'a str),
}

/// The kinds of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Text,
    Reasoning,
    Refusal,
}

impl<'a> Content<'a> {
    /// Reads any value.
    #[inline]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        match reader.peek()? {
            Kind::String => reader.string().map(Self::Text),
            Kind::Null => reader.skip().map(|()| Self::None),
            Kind::Object | Kind::Array => reader.raw().map(Self::Parts),
            _ => reader.raw().map(Self::Bare),
        }
    }

    /// Reads any value, of which a truth value is no text.
    pub(super) fn read_texts(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let kind = reader.peek()?;
        let content = Self::read(reader)?;
        Ok(if matches!(kind, Kind::True | Kind::False) { Self::None } else { content })
    }

    /// Whether it may hold a text.
    pub(super) fn is_filled(self) -> bool {
        match self {
            Self::None => false,
            Self::Text(text) => !text.is_empty(),
            Self::Bare(_) => true,
            Self::Parts(raw) => is_truthy(raw),
        }
    }

    /// This content where it is filled, else the other one.
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_filled() { self } else { other }
    }

    /// The text decoded, when it is one and not a list of parts.
    pub(super) fn decode(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.decode()),
            Self::Bare(raw) => Some(raw.into()),
            Self::None | Self::Parts(_) => None,
        }
    }

    /// The text, when it is a string that is not empty.
    #[inline]
    pub(super) fn text(self) -> Option<Text<'a>> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// What a part holds.
pub(super) enum Stated<'a> {
    /// A content, and the kind of text that it is.
    Spoken(Spoken, Content<'a>),
    Unspoken(Unspoken),
}

/// Takes what a part holds.
type Say<'s, 'a> = &'s mut dyn FnMut(Stated<'a>);

/// Reads the parts of a value that was read before, and hands the texts in them to `say`, in their
/// order; what no part says otherwise is of `kind`.
pub(super) fn read_parts<'a>(raw: &'a str, kind: Spoken, say: Say<'_, 'a>) {
    // The value is valid: it was read before.
    let _ = read_value(&mut Reader::new(raw), kind, say);
}

fn read_value<'a>(
    reader: &mut Reader<'a>,
    kind: Spoken,
    say: Say<'_, 'a>,
) -> Result<(), JsonError> {
    match reader.peek()? {
        Kind::Array => reader.array(|reader| read_value(reader, kind, say)),
        Kind::Object => Part::read(reader).map(|part| part.say(kind, say)),
        _ => Content::read(reader).map(|content| say(Stated::Spoken(kind, content))),
    }
}

/// A part of a list. Of parts of other kinds (pictures, sources, calls) the kind is told.
#[derive(Default)]
struct Part<'a> {
    kind: Option<Text<'a>>,
    is_thought: bool,
    text: Content<'a>,
    content: Content<'a>,
    thinking: Content<'a>,
    summary: Content<'a>,
    refusal: Content<'a>,
    /// The first key that is none of these: some parts are named by it.
    other: Option<Text<'a>>,
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        reader.object(|key, reader| {
            match &*key.decode() {
                "type" => part.kind = reader.string_or_skip()?,
                "thought" => part.is_thought = reader.bool_or_skip()? == Some(true),
                "text" | "value" => part.text = Content::read_texts(reader)?,
                "content" => part.content = Content::read_texts(reader)?,
                "thinking" | "reasoning" => part.thinking = Content::read_texts(reader)?,
                "summary" => part.summary = Content::read_texts(reader)?,
                "refusal" => part.refusal = Content::read_texts(reader)?,
                _ => {
                    part.other = part.other.or(Some(key));
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        Ok(part)
    }

    /// What it is where it holds no text, and is none by its type.
    fn unspoken(&self, name: Option<&str>) -> Option<Unspoken> {
        let mut texts = [self.text, self.thinking, self.summary, self.refusal].into_iter();
        if texts.any(Content::is_filled) {
            return None;
        }
        let Some(name) = name else {
            let other = self.other.filter(|_| !self.content.is_filled())?;
            return Some(of_type(&other.decode()));
        };
        let is_text = name.contains("text") || name == "refusal" || is_reasoning(name);
        (!is_text).then(|| of_type(name))
    }

    fn say(&self, kind: Spoken, say: Say<'_, 'a>) {
        let name = self.kind.map(Text::decode);
        if let Some(unspoken) = self.unspoken(name.as_deref()) {
            return say(Stated::Unspoken(unspoken));
        }
        let mut say = |kind, content| say(Stated::Spoken(kind, content));
        let is_reasoning = self.is_thought || name.as_deref().is_some_and(is_reasoning);
        let kind = if is_reasoning { Spoken::Reasoning } else { kind };
        say(Spoken::Reasoning, self.thinking);
        if kind == Spoken::Reasoning {
            say(kind, self.summary);
        }
        say(kind, self.text);
        // Of a part that runs a tool it is what the tool said.
        if kind == Spoken::Reasoning || name.is_none() {
            say(kind, self.content);
        }
        say(Spoken::Refusal, self.refusal);
    }
}

/// Whether parts of this type are reasoning.
fn is_reasoning(kind: &str) -> bool {
    const KINDS: [&str; 8] = [
        "thinking",
        "thinking_delta",
        "reasoning",
        "reasoning_text",
        "reasoning.text",
        "reasoning.summary",
        "summary_text",
        "thought",
    ];
    KINDS.contains(&kind)
}
