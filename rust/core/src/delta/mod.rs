//! Bytes of one chat reply in, text deltas out, and at the end a name for how it ended.
//!
//! `framing` finds out what kind of reply it is, each dialect's file reads its events and bodies,
//! `decoder` joins them.

mod ai_power;
mod aipkit;
mod anthropic;
mod call;
mod decoder;
mod framing;
mod gemini;
mod layout;
mod no_answer;
mod ollama;
mod openai;
mod openai_rest;
mod records;
mod reply;
mod responses;
mod text;

use std::fmt;
use std::str::FromStr;

use crate::limits::{MAX_BODY_BYTES, MAX_EVENT_BYTES};
use crate::prelude::*;

pub use decoder::DeltaDecoder;
pub use reply::{End, Ids, Usage};

/// The form of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI's chat completions, and the older completions: chunks as server-sent events, or one
    /// JSON body.
    OpenAi,
    /// OpenAI's Responses: named server-sent events, or one JSON body.
    OpenAiResponses,
    /// Anthropic's messages: named server-sent events, or one JSON body.
    Anthropic,
    /// Gemini's `generateContent`: server-sent events, a JSON array that comes bit by bit, or one
    /// JSON body.
    Gemini,
    /// Ollama's own API: one JSON object a line.
    Ollama,
    /// The WordPress plugin AI Power up to 2.2: OpenAI's chunks, its own frames, Assistants events,
    /// JSON bodies.
    AiPower,
    /// The same plugin from 2.3 on, named `AIPKit`: its own deltas as server-sent events, or one
    /// JSON body.
    AiPkit,
    /// The body is the answer.
    Text,
}

impl Dialect {
    /// All there are.
    pub const ALL: &'static [Self] = &[
        Self::OpenAi,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
        Self::AiPower,
        Self::AiPkit,
        Self::Text,
    ];

    /// The dialect's name, e.g. `ai-power`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
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
        Self::ALL.iter().copied().find(|dialect| dialect.as_str() == name).ok_or(UnknownDialect)
    }
}

/// No dialect has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Dialect::ALL.iter().map(|dialect| dialect.as_str()).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        write!(f, "the decoder dialects are {} and {last}", others.join(", "))
    }
}

impl std::error::Error for UnknownDialect {}

/// What a decoder is told about its reply, and its limits. A later version may have more of them:
/// end a literal with `..DeltaOptions::default()`.
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

/// Where deltas go: a `String` that they are joined in, a `Vec<String>`, a closure, or a type of
/// your own, which may want more of a reply than its text.
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
    /// Takes one delta: text that one event adds, or of a `text` reply what one read adds. It is
    /// never empty.
    fn text(&mut self, delta: &str);

    /// Whether it takes more than text. What is not wanted is not looked for, and the methods below
    /// may not be called. The answer must be the same all the time.
    fn wants_everything(&self) -> bool {
        false
    }

    /// Takes text of the model's reasoning, or of a summary of it. It is never empty.
    fn reasoning(&mut self, delta: &str) {
        let _ = delta;
    }

    /// Takes text by which the model refuses to answer, where the API keeps that apart. It is never
    /// empty.
    fn refusal(&mut self, delta: &str) {
        let _ = delta;
    }

    /// Takes a piece of a call of one of the caller's tools.
    fn tool_call(&mut self, piece: ToolCall<'_>) {
        let _ = piece;
    }
}

/// A piece of a call of a tool. The first piece of a call has its name; the arguments of all its
/// pieces, joined, are what the model wrote: JSON, for nearly all tools.
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect, ToolCall};
///
/// /// The name and the arguments of a reply's only call.
/// #[derive(Default)]
/// struct Call(String, String);
///
/// impl DeltaSink for Call {
///     fn text(&mut self, _: &str) {}
///
///     fn wants_everything(&self) -> bool {
///         true
///     }
///
///     fn tool_call(&mut self, piece: ToolCall<'_>) {
///         self.0.push_str(piece.name.unwrap_or_default());
///         self.1.push_str(piece.arguments);
///     }
/// }
///
/// let mut call = Call::default();
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
/// for function in [r#"{"name":"tide","arguments":""}"#, r#"{"arguments":"{\"at\":"}"#, r#"{"arguments":"9}"}"#] {
///     let event = format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":0,"function":{function}}}]}}}}]}}"#);
///     decoder.feed(format!("data: {event}\n\n").as_bytes(), &mut call);
/// }
/// assert_eq!((call.0.as_str(), call.1.as_str()), ("tide", r#"{"at":9}"#));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ToolCall<'a> {
    /// Which of the reply's calls it is a piece of, as the API numbers them; not always from 0 on.
    pub index: Option<u64>,
    /// What the call is to be answered by.
    pub id: Option<&'a str>,
    /// The tool's name.
    pub name: Option<&'a str>,
    /// What this piece adds to the arguments; it may be empty.
    pub arguments: &'a str,
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
    /// One JSON text a line: progress is a line.
    Lines,
    /// A JSON array whose elements are read as they come: progress is an element.
    Array,
    /// One JSON body, read when it is whole: every read is progress.
    Json,
    /// The body as it stands, an error's body included: every read is progress.
    Text,
}

impl Framing {
    /// The framing's name: `open`, `sse`, `ndjson`, `array`, `json`, `text`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sse => "sse",
            Self::Lines => "ndjson",
            Self::Array => "array",
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
