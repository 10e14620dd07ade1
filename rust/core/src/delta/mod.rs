//! Bytes of one chat reply in, text deltas out, and at the end a name for how it ended.
//!
//! `framing` finds out what kind of reply it is, each dialect's file reads its events and bodies, `decoder` joins them.

mod ai_power;
mod aipkit;
mod decoder;
mod framing;
mod layout;
mod no_answer;
mod openai;
mod reply;
mod text;

use std::fmt;
use std::str::FromStr;

use crate::limits::{MAX_BODY_BYTES, MAX_EVENT_BYTES};

pub use decoder::DeltaDecoder;
pub use reply::{End, Ids, Usage};

/// The form of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI's chat completions: chunks as server-sent events, or one JSON body.
    OpenAi,
    /// The WordPress plugin AI Power up to 2.2: OpenAI's chunks, its own frames, Assistants events, JSON bodies.
    AiPower,
    /// The same plugin from 2.3 on, named `AIPKit`: its own deltas as server-sent events, or one JSON body.
    AiPkit,
    /// The body is the answer.
    Text,
}

impl Dialect {
    /// The dialect's name: `openai`, `ai-power`, `aipkit`, `text`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::AiPower => "ai-power",
            Self::AiPkit => "aipkit",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        [Self::OpenAi, Self::AiPower, Self::AiPkit, Self::Text]
            .into_iter()
            .find(|dialect| dialect.as_str() == name)
            .ok_or(UnknownDialect)
    }
}

/// No dialect has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the decoder dialects are openai, ai-power, aipkit and text")
    }
}

impl std::error::Error for UnknownDialect {}

/// What a decoder is told about its reply, and its limits. A later version may have more of them: end a literal with
/// `..DeltaOptions::default()`.
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, ErrorKind};
///
/// let options = DeltaOptions { status: 429, ..DeltaOptions::default() };
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, options);
/// decoder.feed(br#"{"error":{"message":"slow down","code":"rate"}}"#, &mut String::new());
/// decoder.close(true, &mut String::new());
///
/// let error = decoder.error().expect("429 is an error");
/// assert_eq!((error.kind, error.status), (ErrorKind::Upstream, 429));
/// assert_eq!((error.message.as_str(), error.code.as_deref()), ("slow down", Some("rate")));
/// ```
#[derive(Debug, Clone)]
pub struct DeltaOptions {
    /// The reply's Content-Type, parameters included. Only `text` heeds it: HTML is no answer.
    pub content_type: Option<String>,
    /// The reply's HTTP status. From 400 on there are no deltas; the body tells the error.
    pub status: u16,
    /// For `text`: a literal at the very end of the reply that means failure.
    pub failure_tail: Option<String>,
    /// Bytes of one server-sent event held at most.
    pub max_event_bytes: usize,
    /// Bytes of a JSON body held, and of anything that is no answer read, at most.
    pub max_body_bytes: usize,
}

impl Default for DeltaOptions {
    fn default() -> Self {
        Self {
            content_type: None,
            status: 200,
            failure_tail: None,
            max_event_bytes: MAX_EVENT_BYTES,
            max_body_bytes: MAX_BODY_BYTES,
        }
    }
}

/// Where deltas go: a `String` that they are joined in, a `Vec<String>`, a closure, or a type of your own. A delta is
/// never empty.
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect};
///
/// /// Counts, and keeps nothing.
/// #[derive(Default)]
/// struct Characters(usize);
///
/// impl DeltaSink for Characters {
///     fn text(&mut self, delta: &str) {
///         self.0 += delta.chars().count();
///     }
/// }
///
/// let mut characters = Characters::default();
/// let mut decoder = DeltaDecoder::new(Dialect::Text, DeltaOptions::default());
/// decoder.feed("Straße".as_bytes(), &mut characters);
/// decoder.close(true, &mut characters);
/// assert_eq!(characters.0, 6);
/// ```
pub trait DeltaSink {
    /// Takes one delta: the text that one event adds, or of a `text` reply what one read adds.
    fn text(&mut self, delta: &str);
}

impl DeltaSink for String {
    fn text(&mut self, delta: &str) {
        self.push_str(delta);
    }
}

impl DeltaSink for Vec<String> {
    fn text(&mut self, delta: &str) {
        self.push(delta.to_owned());
    }
}

impl<F: FnMut(&str)> DeltaSink for F {
    fn text(&mut self, delta: &str) {
        self(delta);
    }
}

/// How a reply's bytes are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// Not known yet.
    Open,
    /// Server-sent events: progress is an event.
    Sse,
    /// One JSON body, read when it is whole: every read is progress.
    Json,
    /// The body as it stands, an error's body included: every read is progress.
    Text,
}

impl Framing {
    /// The framing's name: `open`, `sse`, `json`, `text`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sse => "sse",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
