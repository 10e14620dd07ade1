//! Bytes of one chat reply in, text deltas out, and at the end a name for how it ended.
//!
//! `framing` finds out how a reply is put together, `events` and `records` take it apart, a
//! dialect's file in `dialects` reads the parts; `decoder` leads from one to the next.

mod added;
mod collected;
mod content;
mod decoder;
mod dialects;
mod events;
mod failure;
mod fields;
mod framing;
mod halves;
mod held_calls;
mod logprobs;
mod members;
mod output;
mod owned;
mod passed_over;
mod read_event;
mod records;
mod repeats;
mod reply;
mod said;
mod scout;
mod site_error;
mod text;
mod tool_call;
mod usage;

use std::fmt;

use crate::limits::{MAX_BODY_BYTES, MAX_EVENT_BYTES};
use crate::prelude::*;

pub use collected::{Collected, CollectedCall, ThinkingBlock};
pub use decoder::DeltaDecoder;
pub use dialects::{Dialect, UnknownDialect};
pub(crate) use logprobs::LogprobToken;
pub use logprobs::Logprobs;
pub use owned::{DeltaKind, OwnedDelta, OwnedSeal, OwnedToolCall};
pub use read_event::ReadEvent;
pub(crate) use records::Nesting;
pub use reply::{End, Ids};
pub(crate) use said::Fingerprint;
pub use usage::Usage;

/// The options of a decoder: what it is told about its reply, and its limits. A later version may
/// have more of them: end a literal with `..DeltaOptions::default()`.
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
    /// The reply's HTTP status; 200 unless given. From 400 on there are no deltas: the body tells
    /// the error.
    pub status: u16,
    /// For `text`: a literal at the very end of the reply that means failure; none unless given.
    pub failure_tail: Option<String>,
    /// Bytes of one server-sent event, or of one JSON text that stands for one, held at most: 8 MiB
    /// unless given.
    pub max_event_bytes: usize,
    /// Bytes of a JSON body held, of anything that is no answer read, and of what is collected
    /// besides text, at most: 8 MiB unless given.
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

/// Where deltas go: a `String` that they are joined in, a `Vec<String>`, a closure, all of which
/// take text alone; a `Vec` of [`OwnedDelta`]s, which takes everything; or a type of your own.
///
/// A type of your own gets everything that it has a method for. One that has use for text alone
/// says so, which spares the decoder the search for the rest:
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
///
///     fn wants_everything(&self) -> bool {
///         false
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
    /// Takes one delta, never an empty one: text that one event adds, or of a `text` reply what one
    /// read adds.
    fn text(&mut self, delta: &str);

    /// Whether the sink takes more than text, as it does unless it says otherwise. Where it does
    /// not, other deltas are not looked for, and the methods below may not be called: a sink that
    /// has one of them leaves this as it is. The answer must be the same all the time.
    fn wants_everything(&self) -> bool {
        true
    }

    /// Takes text, never an empty one, of the model's reasoning, or of a summary of that.
    fn reasoning(&mut self, delta: &str) {
        let _ = delta;
    }

    /// Takes text, never an empty one, by which the model refuses to answer, where the API keeps
    /// that apart.
    fn refusal(&mut self, delta: &str) {
        let _ = delta;
    }

    /// Takes a piece of a call of one of the caller's tools.
    fn tool_call(&mut self, piece: ToolCall<'_>) {
        let _ = piece;
    }

    /// Takes what the service wants to have back where the dialogue goes on.
    fn seal(&mut self, seal: Seal<'_>) {
        let _ = seal;
    }

    /// Takes the first delta of an event that tells the log probabilities of its tokens, and these;
    /// an empty text where it has no delta. Unless a sink has use for them, its other methods take
    /// the delta.
    fn with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        let _ = logprobs;
        delta.hand_to(self);
    }

    /// Where the events themselves go, too; nowhere, unless the sink has such a place. Each event is
    /// then read in full, which costs more. That there is one, or none, must be so all the time.
    fn events(&mut self) -> Option<&mut dyn EventSink> {
        None
    }
}

/// Where the events of a reply go, beside their deltas: what [`DeltaSink::events`] gives.
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect, EventSink, ReadEvent};
///
/// /// The JSON of each event.
/// #[derive(Default)]
/// struct Kept(Vec<String>);
///
/// impl DeltaSink for Kept {
///     fn text(&mut self, _: &str) {}
///
///     fn events(&mut self) -> Option<&mut dyn EventSink> {
///         Some(self)
///     }
/// }
///
/// impl EventSink for Kept {
///     fn event(&mut self, event: ReadEvent<'_>) {
///         self.0.push(event.json.to_owned());
///     }
/// }
///
/// let mut kept = Kept::default();
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
/// decoder.feed(b"data: {\"choices\":[]}\n\ndata: [DONE]\n\n", &mut kept);
/// assert_eq!(kept.0, [r#"{"choices":[]}"#]);
/// ```
pub trait EventSink {
    /// Takes an event whose data is a JSON object, after the deltas that it added, if it added any.
    /// A JSON body is one event.
    fn event(&mut self, event: ReadEvent<'_>);
}

/// A piece of a call of a tool. The first piece of a call has the tool's name; the arguments of all
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
///     fn tool_call(&mut self, piece: ToolCall<'_>) {
///         self.0.push_str(piece.name.unwrap_or_default());
///         self.1.push_str(piece.arguments);
///     }
/// }
///
/// let mut call = Call::default();
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
/// for function in [
///     r#"{"name":"tide","arguments":""}"#,
///     r#"{"arguments":"{\"at\":"}"#,
///     r#"{"arguments":"9}"}"#,
/// ] {
///     let delta = format!(r#"{{"tool_calls":[{{"index":0,"function":{function}}}]}}"#);
///     let event = format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
///     decoder.feed(event.as_bytes(), &mut call);
/// }
/// assert_eq!((call.0.as_str(), call.1.as_str()), ("tide", r#"{"at":9}"#));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ToolCall<'a> {
    /// The call that this is a piece of, as the API numbers the reply's calls: not always from 0
    /// on.
    pub index: Option<u64>,
    /// The id by which the call is to be answered.
    pub id: Option<&'a str>,
    /// The tool's name.
    pub name: Option<&'a str>,
    /// Text that this piece adds to the arguments; may be empty.
    pub arguments: &'a str,
    /// What the service wants to have back with the call where the dialogue goes on: the signature
    /// of the thoughts that led to it.
    pub signature: Option<&'a str>,
}

/// What a service gives for its thoughts to be known again where a dialogue goes on: a text that
/// means nothing to anybody else, to be sent back as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Seal<'a> {
    /// The signature of the reasoning that was told since the last seal, of which nothing may be
    /// shown.
    Signature(&'a str),
    /// Reasoning, encrypted: it stands apart from what is shown.
    Redacted(&'a str),
    /// The reasoning that was told since the last seal, encrypted, in the item of this id.
    Encrypted {
        /// The item's id; empty where the service gives none.
        id: &'a str,
        /// The reasoning.
        data: &'a str,
    },
    /// The signature of the text.
    Text(&'a str),
}

/// What one event of a reply adds to it, as the methods of a [`DeltaSink`] take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delta<'a> {
    /// Text of the answer.
    Text(&'a str),
    /// Text of the model's reasoning, or of a summary of that.
    Reasoning(&'a str),
    /// Text by which the model refuses to answer.
    Refusal(&'a str),
    /// A piece of a call of one of the caller's tools.
    ToolCall(ToolCall<'a>),
    /// What the service wants to have back where the dialogue goes on.
    Seal(Seal<'a>),
}

impl Delta<'_> {
    /// Hands it to the method of the sink that takes its kind; an empty text is no delta.
    fn hand_to<S: DeltaSink + ?Sized>(self, sink: &mut S) {
        match self {
            Self::Text("") | Self::Reasoning("") | Self::Refusal("") => {}
            Self::Text(delta) => sink.text(delta),
            Self::Reasoning(delta) => sink.reasoning(delta),
            Self::Refusal(delta) => sink.refusal(delta),
            Self::ToolCall(piece) => sink.tool_call(piece),
            Self::Seal(seal) => sink.seal(seal),
        }
    }
}

impl DeltaSink for String {
    fn text(&mut self, delta: &str) {
        self.push_str(delta);
    }

    fn wants_everything(&self) -> bool {
        false
    }
}

impl DeltaSink for Vec<String> {
    fn text(&mut self, delta: &str) {
        self.push(delta.to_owned());
    }

    fn wants_everything(&self) -> bool {
        false
    }
}

impl<F: FnMut(&str)> DeltaSink for F {
    fn text(&mut self, delta: &str) {
        self(delta);
    }

    fn wants_everything(&self) -> bool {
        false
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
