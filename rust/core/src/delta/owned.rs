//! Deltas that outlive the read they came in.

use super::{Delta, DeltaSink, Logprobs, Seal, ToolCall};
use crate::prelude::*;

/// A [`Delta`] that is kept, with the log probabilities that came with it: it owns its texts, so
/// that it can cross threads and wait in queues. A `Vec` of them is a [`DeltaSink`].
///
/// ```
/// use tailrace_core::{DeltaDecoder, DeltaKind, DeltaOptions, Dialect, OwnedDelta};
///
/// let mut deltas: Vec<OwnedDelta> = Vec::new();
/// let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
/// let call = r#"{"index":0,"id":"c1","function":{"name":"tide","arguments":"{}"}}"#;
/// let delta = format!(r#"{{"content":"Let me see","tool_calls":[{call}]}}"#);
/// let event = format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
/// decoder.feed(event.as_bytes(), &mut deltas);
///
/// let [text, call] = &deltas[..] else { panic!("two deltas") };
/// assert_eq!(text.text(), Some("Let me see"));
/// let DeltaKind::ToolCall(call) = &call.kind else { panic!("a call") };
/// assert_eq!((call.id.as_deref(), call.arguments.as_str()), (Some("c1"), "{}"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OwnedDelta {
    /// What it is, and what it adds to the reply.
    pub kind: DeltaKind,
    /// The log probabilities of the tokens of the event that it is the first delta of; its text may
    /// then be empty.
    pub logprobs: Option<Box<Logprobs>>,
}

/// What a delta is, and what it adds to the reply: the kinds of [`Delta`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeltaKind {
    /// Text of the answer.
    Text(String),
    /// Text of the model's reasoning, or of a summary of that.
    Reasoning(String),
    /// Text by which the model refuses to answer.
    Refusal(String),
    /// A piece of a call of one of the caller's tools.
    ToolCall(Box<OwnedToolCall>),
    /// What the service wants to have back where the dialogue goes on.
    Seal(Box<OwnedSeal>),
}

/// A piece of a call of a tool that is kept: see [`ToolCall`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct OwnedToolCall {
    /// The call that this is a piece of, as the API numbers the reply's calls: not always from 0
    /// on.
    pub index: Option<u64>,
    /// The id by which the call is to be answered.
    pub id: Option<String>,
    /// The tool's name.
    pub name: Option<String>,
    /// Text that this piece adds to the arguments; may be empty.
    pub arguments: String,
    /// What the service wants to have back with the call where the dialogue goes on.
    pub signature: Option<String>,
}

/// What a service gives for its thoughts to be known again, kept: see [`Seal`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OwnedSeal {
    /// The signature of the reasoning that was told since the last seal.
    Signature(String),
    /// Reasoning, encrypted: it stands apart from what is shown.
    Redacted(String),
    /// The reasoning that was told since the last seal, encrypted, in the item of this id.
    Encrypted {
        /// The item's id; empty where the service gives none.
        id: String,
        /// The reasoning.
        data: String,
    },
    /// The signature of the text.
    Text(String),
}

impl OwnedDelta {
    /// A delta without log probabilities.
    pub(crate) fn of(kind: DeltaKind) -> Self {
        Self { kind, logprobs: None }
    }

    /// A delta that is kept, and these with it.
    pub(crate) fn with_logprobs(delta: Delta<'_>, logprobs: &Logprobs) -> Self {
        Self { logprobs: Some(Box::new(logprobs.clone())), ..delta.into() }
    }

    /// The text of the answer that it adds; `None` where it is of another kind.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            DeltaKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same delta, borrowed, without its log probabilities.
    pub fn as_delta(&self) -> Delta<'_> {
        match &self.kind {
            DeltaKind::Text(text) => Delta::Text(text),
            DeltaKind::Reasoning(text) => Delta::Reasoning(text),
            DeltaKind::Refusal(text) => Delta::Refusal(text),
            DeltaKind::ToolCall(call) => Delta::ToolCall(call.as_tool_call()),
            DeltaKind::Seal(seal) => Delta::Seal(seal.as_seal()),
        }
    }

    /// Hands it to the method of the sink that takes its kind, as a decoder does. A sink of text
    /// alone gets nothing of another kind.
    ///
    /// ```
    /// use tailrace_core::{Delta, OwnedDelta};
    ///
    /// let mut text = String::new();
    /// for delta in [Delta::Text("On"), Delta::Reasoning("Hm"), Delta::Text("ly")] {
    ///     OwnedDelta::from(delta).hand_to(&mut text);
    /// }
    /// assert_eq!(text, "Only");
    /// ```
    pub fn hand_to<S: DeltaSink + ?Sized>(&self, sink: &mut S) {
        let delta = self.as_delta();
        match &self.logprobs {
            Some(logprobs) if sink.wants_everything() => sink.with_logprobs(delta, logprobs),
            _ => delta.hand_to(sink),
        }
    }
}

impl OwnedToolCall {
    /// The same piece, borrowed.
    pub fn as_tool_call(&self) -> ToolCall<'_> {
        let Self { index, id, name, arguments, signature } = self;
        let [id, name, signature] = [id, name, signature].map(Option::as_deref);
        ToolCall { index: *index, id, name, arguments, signature }
    }
}

impl OwnedSeal {
    /// The same seal, borrowed.
    pub fn as_seal(&self) -> Seal<'_> {
        match self {
            Self::Signature(signature) => Seal::Signature(signature),
            Self::Redacted(data) => Seal::Redacted(data),
            Self::Encrypted { id, data } => Seal::Encrypted { id, data },
            Self::Text(signature) => Seal::Text(signature),
        }
    }
}

impl From<Delta<'_>> for OwnedDelta {
    fn from(delta: Delta<'_>) -> Self {
        Self::of(match delta {
            Delta::Text(text) => DeltaKind::Text(text.to_owned()),
            Delta::Reasoning(text) => DeltaKind::Reasoning(text.to_owned()),
            Delta::Refusal(text) => DeltaKind::Refusal(text.to_owned()),
            Delta::ToolCall(piece) => DeltaKind::ToolCall(Box::new(piece.into())),
            Delta::Seal(seal) => DeltaKind::Seal(Box::new(seal.into())),
        })
    }
}

impl From<ToolCall<'_>> for OwnedToolCall {
    fn from(piece: ToolCall<'_>) -> Self {
        let ToolCall { index, id, name, arguments, signature } = piece;
        let [id, name, signature] = [id, name, signature].map(|text| text.map(ToOwned::to_owned));
        Self { index, id, name, arguments: arguments.to_owned(), signature }
    }
}

impl From<Seal<'_>> for OwnedSeal {
    fn from(seal: Seal<'_>) -> Self {
        match seal {
            Seal::Signature(signature) => Self::Signature(signature.to_owned()),
            Seal::Redacted(data) => Self::Redacted(data.to_owned()),
            Seal::Encrypted { id, data } => {
                Self::Encrypted { id: id.to_owned(), data: data.to_owned() }
            }
            Seal::Text(signature) => Self::Text(signature.to_owned()),
        }
    }
}

impl DeltaSink for Vec<OwnedDelta> {
    fn text(&mut self, delta: &str) {
        self.push(Delta::Text(delta).into());
    }

    fn reasoning(&mut self, delta: &str) {
        self.push(Delta::Reasoning(delta).into());
    }

    fn refusal(&mut self, delta: &str) {
        self.push(Delta::Refusal(delta).into());
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.push(Delta::ToolCall(piece).into());
    }

    fn seal(&mut self, seal: Seal<'_>) {
        self.push(Delta::Seal(seal).into());
    }

    fn with_logprobs(&mut self, delta: Delta<'_>, logprobs: &Logprobs) {
        self.push(OwnedDelta::with_logprobs(delta, logprobs));
    }
}
