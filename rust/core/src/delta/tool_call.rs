//! A tool call as JSON holds it in, pieces of it for the sink out, each with the number of its
//! call.

use alloc::borrow::Cow;

use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::added::{Added, AddedKind};
use super::fields::read_count;
use super::halves::{Half, LONE};
use super::records::Nesting;
use super::said::Fingerprint;
use super::{DeltaSink, ToolCall};

/// Calls of one reply that are remembered: as many as may be open at a time.
pub(super) const KNOWN_CALLS: usize = 128;

/// A piece of a tool call, not decoded yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CallPiece<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Arguments<'a>,
    /// What the service wants to have back with the call.
    pub(super) signature: Option<Text<'a>>,
    /// Whether the API has one call only, and so no numbers for calls.
    pub(super) is_only: bool,
}

/// The arguments of a call. Some APIs write them as a string that holds JSON, others as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Arguments<'a> {
    #[default]
    None,
    Text(Text<'a>),
    Raw(&'a str),
    /// A text, decoded: no half of a character stands before or behind it.
    Decoded(&'a str),
}

/// The calls of one reply: which of them a piece belongs to.
///
/// An API may number its calls, and servers get that wrong: all of them are 0, or none has a
/// number. Of an id and a name each call has but one.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    known: Vec<Call>,
    /// A number above all that were given.
    next: u64,
    /// The half that the arguments of a call without a number end with.
    half: Half,
}

#[derive(Debug, Clone, Default)]
struct Call {
    number: u64,
    /// The number that the server gives it.
    index: Option<u64>,
    /// Fingerprints of what its pieces said.
    id: Option<Fingerprint>,
    name: Option<Fingerprint>,
    nesting: Nesting,
    /// Whether the arguments are whole.
    is_whole: bool,
    half: Half,
}

impl<'a> CallPiece<'a> {
    /// Whether it names the tool.
    pub(super) fn has_name(&self) -> bool {
        self.name.is_some_and(|name| !name.is_empty())
    }

    /// The arguments that it adds, where it says nothing else.
    pub(super) fn added(&self) -> Option<Added<'a>> {
        let Self { index, is_only, arguments: Arguments::Text(content), .. } = *self else {
            return None;
        };
        let told = [self.id, self.name, self.signature].into_iter().flatten();
        let says_more = told.into_iter().any(|text| !text.is_empty());
        let added = Added::of(AddedKind::arguments(index, is_only)?, content);
        added.filter(|_| !says_more)
    }

    /// Hands the piece to the sink; an empty id or name is none.
    pub(super) fn deliver<S: DeltaSink + ?Sized>(
        &self,
        calls: &mut Calls,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) {
        let [id, name, signature] =
            [self.id, self.name, self.signature].map(|text| text.map(Text::decode));
        let [id, name, signature] =
            [&id, &name, &signature].map(|text| text.as_deref().filter(|text| !text.is_empty()));
        let mut piece = ToolCall { index: self.index, id, name, arguments: "", signature };
        let call = if self.is_only {
            None
        } else {
            let call = calls.call_of(&piece, self.arguments.begin());
            piece.index = Some(call.number);
            Some(call)
        };
        match (self.arguments, call) {
            (Arguments::None, _) => {}
            (Arguments::Raw(raw), call) => {
                piece.arguments = raw;
                if let Some(call) = call {
                    call.is_whole = true;
                }
            }
            (Arguments::Text(text), Some(call)) => {
                piece.arguments = call.half.join(text, scratch);
                call.note(piece.arguments);
            }
            (Arguments::Text(text), None) => piece.arguments = calls.half.join(text, scratch),
            (Arguments::Decoded(text), call) => {
                piece.arguments = text;
                if let Some(call) = call {
                    call.note(text);
                }
            }
        }
        sink.tool_call(piece);
    }
}

impl<'a> Arguments<'a> {
    /// Reads the arguments in whichever form they come; null is none.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        match reader.peek()? {
            Kind::String => reader.string().map(Self::Text),
            Kind::Null => reader.skip().map(|()| Self::None),
            _ => reader.raw().map(Self::Raw),
        }
    }

    /// The arguments, decoded.
    pub(super) fn decode(self) -> Cow<'a, str> {
        match self {
            Self::None => "".into(),
            Self::Text(text) => text.decode(),
            Self::Raw(text) | Self::Decoded(text) => text.into(),
        }
    }

    /// Whether arguments begin here: no piece of JSON that goes on does with a brace, but within a
    /// string or behind one that is open.
    fn begin(self) -> bool {
        let raw = match self {
            Self::None => return false,
            Self::Text(text) => text.raw(),
            Self::Raw(text) | Self::Decoded(text) => text,
        };
        raw.trim_ascii_start().starts_with('{')
    }
}

impl Calls {
    /// The call that a piece belongs to; a new one, unless the piece goes on with one that is
    /// known.
    fn call_of(&mut self, piece: &ToolCall<'_>, begins: bool) -> &mut Call {
        let [id, name] = [piece.id, piece.name].map(|text| text.map(Fingerprint::of));
        let found = self.position(piece.index, id, name);
        let found = found.filter(|&at| !self.known[at].is_another_than(id, name, begins));
        let position = found.unwrap_or_else(|| self.begin(piece.index));
        let call = &mut self.known[position];
        call.index = piece.index.or(call.index);
        call.id = call.id.or(id);
        call.name = call.name.or(name);
        call
    }

    /// The call that a piece goes on with, unless it says that it is another's: the last one of its
    /// index, or else of its id, or else of all.
    fn position(
        &self,
        index: Option<u64>,
        id: Option<Fingerprint>,
        name: Option<Fingerprint>,
    ) -> Option<usize> {
        let last_of = |is_it: &dyn Fn(&Call) -> bool| self.known.iter().rposition(is_it);
        let of_id = || last_of(&|call| call.id == id);
        match index {
            Some(_) => last_of(&|call| call.index == index)
                .or_else(|| of_id().filter(|_| id.is_some() && name.is_none())),
            None if id.is_some() => of_id(),
            None => self.known.len().checked_sub(1),
        }
    }

    /// Whether the arguments of a call end with half a character: of the one that a piece goes on
    /// with which has this number and says no more, or of the only one.
    pub(super) fn hold_half(&self, index: Option<u64>, is_only: bool) -> bool {
        let half_of = |at: usize| self.known[at].half;
        let half = if is_only {
            self.half
        } else {
            self.position(index, None, None).map(half_of).unwrap_or_default()
        };
        half.is_held()
    }

    /// A new call, with the server's number where no other has it.
    fn begin(&mut self, index: Option<u64>) -> usize {
        let is_free = |index: &u64| self.known.iter().all(|call| call.number != *index);
        let number = index.filter(is_free).unwrap_or(self.next);
        self.next = self.next.max(number.saturating_add(1));
        if self.known.len() == KNOWN_CALLS {
            self.known.remove(0);
        }
        self.known.push(Call { number, index, ..Call::default() });
        self.known.len() - 1
    }

    /// Hands to the sink what was held, at the reply's end.
    pub(super) fn release<S: DeltaSink + ?Sized>(&mut self, sink: &mut S) {
        let only = self.half.take().then_some(None);
        let numbered = self.known.iter_mut().filter_map(|call| {
            let number = Some(call.number);
            call.half.take().then_some(number)
        });
        for index in only.into_iter().chain(numbered) {
            sink.tool_call(ToolCall { index, arguments: LONE, ..ToolCall::default() });
        }
    }
}

impl Call {
    /// Writes down what was added to the arguments.
    fn note(&mut self, arguments: &str) {
        self.is_whole |= self.nesting.end(arguments.as_bytes()).is_some();
    }

    /// Whether a piece with this id and this name belongs to another call: one of the two is
    /// another, or the name comes again where the arguments are whole and others begin.
    fn is_another_than(
        &self,
        id: Option<Fingerprint>,
        name: Option<Fingerprint>,
        begins: bool,
    ) -> bool {
        let differ = |known: Option<Fingerprint>, said: Option<Fingerprint>| {
            known.zip(said).map(|(known, said)| known != said)
        };
        match (differ(self.id, id), differ(self.name, name)) {
            (Some(is_another), _) => is_another,
            (None, Some(true)) => true,
            (None, Some(false)) => self.is_whole && begins,
            (None, None) => false,
        }
    }
}

/// Reads a list of calls as OpenAI writes them, or one call alone. An element that is no object is
/// no call.
pub(super) fn read_calls<'a>(reader: &mut Reader<'a>) -> Result<Vec<CallPiece<'a>>, JsonError> {
    let mut calls = Vec::new();
    if reader.peek()? == Kind::Object {
        calls.extend(read_call(reader)?);
        return Ok(calls);
    }
    reader.array_or_skip(|reader| {
        calls.extend(read_call(reader)?);
        Ok(())
    })?;
    Ok(calls)
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Option<CallPiece<'a>>, JsonError> {
    let (mut index, mut id, mut function, mut signature) = (None, None, None, None);
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "index" => index = read_count(reader)?,
            "id" => id = reader.string_or_skip()?,
            "function" | "custom" => function = read_function(reader)?.or(function),
            "extra_content" => signature = read_signature(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let function = function.unwrap_or_default();
    let index = index.or(function.index);
    Ok(is_object.then_some(CallPiece { index, id, signature, ..function }))
}

/// Reads what Google's API in OpenAI's form has beside a call: `{"google": {"thought_signature":
/// …}}`.
fn read_signature<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, JsonError> {
    let mut signature = None;
    reader.object_or_skip(|key, reader| {
        if key != *"google" {
            return reader.skip();
        }
        signature = None;
        let read = |key: Text<'a>, reader: &mut Reader<'a>| {
            if key != *"thought_signature" {
                return reader.skip();
            }
            signature = reader.string_or_skip()?;
            Ok(())
        };
        reader.object_or_skip(read).map(drop)
    })?;
    Ok(signature)
}

/// Reads a function's name and arguments; of a custom tool, name and input. One API has the call's
/// index there.
pub(super) fn read_function<'a>(
    reader: &mut Reader<'a>,
) -> Result<Option<CallPiece<'a>>, JsonError> {
    let mut piece = CallPiece::default();
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "index" => piece.index = read_count(reader)?,
            "name" => piece.name = reader.string_or_skip()?,
            "arguments" | "input" => piece.arguments = Arguments::read(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(piece))
}
