//! The dialects. Each is a file of this folder and a row of the table below, and is named nowhere
//! else.
//!
//! A dialect's file implements [`DialectReader`]. Of the rows a macro makes the modules, the public
//! [`Dialect`] and [`AnyReader`], which knows at compile time whom it calls.

mod gemini_arguments;
mod openai_extras;
mod responses_told;

use std::fmt;
use std::str::FromStr;

use crate::event::Event;
use crate::json::JsonError;
use crate::prelude::*;

use super::DeltaSink;
use super::added::{Added, AddedKind};
use super::failure::{ReadSiteError, SiteError, judge_json};
use super::fields::is_done;
use super::framing::Framings;
use super::members::Members;
use super::output::Output;
use super::reply::ReplyState;

/// Reads what a reply of one dialect holds: its events, or its body. One value reads one reply.
///
/// A JSON text that is a line, or an element of an array, is an event too: one without a name.
pub(super) trait DialectReader: ReadSiteError {
    /// Reads one event in full, unless [`is_end`](Self::is_end) says that it is an end marker.
    /// Returns what the event adds when adding that was all it did.
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        output: &mut Output<'_, S>,
    ) -> Option<Added<'a>>;

    /// Adds what an event does that repeats an earlier one, which
    /// [did nothing but add this kind](Self::read_event) and was no text of the answer.
    fn add_again<S: DeltaSink + ?Sized>(
        &mut self,
        kind: AddedKind,
        content: &str,
        output: &mut Output<'_, S>,
    ) {
        output.add(kind, content);
    }

    /// Whether an event or a body with these members is unmistakably of this dialect.
    fn owns(members: &Members<'_>) -> bool
    where
        Self: Sized,
    {
        let _ = members;
        false
    }

    /// Whether another value of this key can change what an event does: the event has that key, and
    /// [did nothing but add something](Self::read_event). (Ids need not be among them: they count until
    /// each is known.)
    fn key_matters(&self, key: &str) -> bool;

    /// Reads a body that is one JSON object, at most 8 MiB by default. A dialect that never comes
    /// as such a body keeps this: no answer is in it.
    fn read_body<S: DeltaSink + ?Sized>(
        &mut self,
        body: &str,
        output: &mut Output<'_, S>,
    ) -> Result<(), JsonError>
    where
        Self: Default,
    {
        judge_json(body, output.reply);
        Ok(())
    }

    /// Delivers what was held back until another event would say it or not: nothing more comes, or
    /// an end marker does.
    fn release<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
        let _ = output;
    }

    /// Whether the event is an end marker, whole or not.
    fn is_end(&self, event: &Event<'_>) -> bool {
        is_done(event)
    }

    /// Takes an end marker.
    fn end(&mut self, event: &Event<'_>, reply: &mut ReplyState) {
        let _ = event;
        reply.mark_done();
    }

    /// Takes the end of a reply that broke off without an end marker. False when that tells nothing
    /// about how the reply ended.
    fn finish(&mut self, reply: &mut ReplyState) -> bool {
        let _ = reply;
        false
    }

    /// Whether an event of this name can do what an earlier one did. A name says what an event
    /// means, unless the event's data does.
    fn can_repeat(&self, name: Option<&str>) -> bool {
        name.is_none()
    }

    /// Whether numbers matter whatever their key. No API but one numbers its events.
    fn number_matters(&self) -> bool {
        true
    }
}

/// Makes of the table's rows the dialects' modules, [`Dialect`] and [`AnyReader`].
macro_rules! dialects {
    ($(
        $(#[$doc:meta])+
        $dialect:ident: $name:literal, $framings:ident, $module:ident::$reader:ident;
    )+) => {
        $(mod $module;)+

        /// The form of a reply.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Dialect {
            $($(#[$doc])+ $dialect,)+
        }

        impl Dialect {
            /// All dialects there are.
            pub const ALL: &'static [Self] = &[$(Self::$dialect),+];

            /// The dialect's name, e.g. `ai-power`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$dialect => $name,)+
                }
            }

            /// The framings that a reply of this dialect can have.
            pub(super) fn framings(self) -> Framings {
                match self {
                    $(Self::$dialect => Framings::$framings,)+
                }
            }

            /// Reads a body that is one JSON object, with a reader that has read nothing.
            pub(super) fn read_body<S: DeltaSink + ?Sized>(
                self,
                body: &str,
                output: &mut Output<'_, S>,
            ) -> Result<(), JsonError> {
                match self {
                    $(Self::$dialect => $module::$reader::default().read_body(body, output),)+
                }
            }

            /// The first dialect that an event or a body with these members is unmistakably of.
            pub(super) fn of(members: &Members<'_>) -> Option<Self> {
                $(if $module::$reader::owns(members) {
                    return Some(Self::$dialect);
                })+
                None
            }
        }

        /// The reader of whichever dialect. An enum, so that reading an event calls no pointer; the
        /// largest reader must not make the others large.
        #[derive(Debug, Clone)]
        pub(super) enum AnyReader {
            $($dialect(Box<$module::$reader>),)+
        }

        impl AnyReader {
            /// A reader for one reply of this dialect.
            pub(super) fn new(dialect: Dialect) -> Self {
                match dialect {
                    $(Dialect::$dialect => Self::$dialect(Box::default()),)+
                }
            }

            /// The dialect that it reads.
            pub(super) fn dialect(&self) -> Dialect {
                match self {
                    $(Self::$dialect(_) => Dialect::$dialect,)+
                }
            }
        }

        impl DialectReader for AnyReader {
            fn read_event<'a, S: DeltaSink + ?Sized>(
                &mut self,
                event: &Event<'a>,
                output: &mut Output<'_, S>,
            ) -> Option<Added<'a>> {
                match self {
                    $(Self::$dialect(reader) => reader.read_event(event, output),)+
                }
            }

            fn add_again<S: DeltaSink + ?Sized>(
                &mut self,
                kind: AddedKind,
                content: &str,
                output: &mut Output<'_, S>,
            ) {
                match self {
                    $(Self::$dialect(reader) => reader.add_again(kind, content, output),)+
                }
            }

            fn key_matters(&self, key: &str) -> bool {
                match self {
                    $(Self::$dialect(reader) => reader.key_matters(key),)+
                }
            }

            fn release<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
                match self {
                    $(Self::$dialect(reader) => reader.release(output),)+
                }
            }

            fn is_end(&self, event: &Event<'_>) -> bool {
                match self {
                    $(Self::$dialect(reader) => reader.is_end(event),)+
                }
            }

            fn end(&mut self, event: &Event<'_>, reply: &mut ReplyState) {
                match self {
                    $(Self::$dialect(reader) => reader.end(event, reply),)+
                }
            }

            fn finish(&mut self, reply: &mut ReplyState) -> bool {
                match self {
                    $(Self::$dialect(reader) => reader.finish(reply),)+
                }
            }

            fn can_repeat(&self, name: Option<&str>) -> bool {
                match self {
                    $(Self::$dialect(reader) => reader.can_repeat(name),)+
                }
            }

            fn number_matters(&self) -> bool {
                match self {
                    $(Self::$dialect(reader) => reader.number_matters(),)+
                }
            }
        }

        impl ReadSiteError for AnyReader {
            fn error_code(&self, error: SiteError, raw: &str) -> Option<String> {
                match self {
                    $(Self::$dialect(reader) => reader.error_code(error, raw),)+
                }
            }

            fn error_message(&self, message: String) -> String {
                match self {
                    $(Self::$dialect(reader) => reader.error_message(message),)+
                }
            }
        }
    };
}

// A row: what the dialect is, its name in Rust and in options, its framings, its reader.
dialects! {
    /// OpenAI's chat completions, and the older completions: chunks as server-sent events, or one
    /// JSON body.
    OpenAi: "openai", EventsOrBody, openai::OpenAi;
    /// OpenAI's Responses: named server-sent events, or one JSON body.
    OpenAiResponses: "openai-responses", EventsOrBody, responses::OpenAiResponses;
    /// Anthropic's messages: named server-sent events, or one JSON body.
    Anthropic: "anthropic", EventsOrBody, anthropic::Anthropic;
    /// Gemini's `generateContent`: server-sent events, a JSON array that comes bit by bit, or one
    /// JSON body.
    Gemini: "gemini", EventsOrArrayOrBody, gemini::Gemini;
    /// Ollama's own API: one JSON object a line.
    Ollama: "ollama", EventsOrLines, ollama::Ollama;
    /// The WordPress plugin AI Power up to 2.2: OpenAI's chunks, the plugin's own, Assistants
    /// events, JSON bodies.
    AiPower: "ai-power", EventsOrBody, ai_power::AiPower;
    /// The same plugin from 2.3 on, named `AIPKit`: its own deltas as server-sent events, or one
    /// JSON body.
    AiPkit: "aipkit", EventsOrBody, aipkit::AiPkit;
    /// The WordPress plugin AI Engine: its own frames as server-sent events, or one JSON body.
    AiEngine: "ai-engine", EventsOrBody, ai_engine::AiEngine;
    /// The body is the answer.
    Text: "text", Text, text::PlainText;
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
