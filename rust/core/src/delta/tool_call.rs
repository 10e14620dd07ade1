//! A tool call as JSON holds it in, pieces of it for the sink out.

use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::fields::read_count;
use super::{DeltaSink, ToolCall};

/// A piece of a tool call, not decoded yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CallPiece<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Arguments<'a>,
}

/// The arguments of a call. Some APIs write them as a string that holds JSON, others as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Arguments<'a> {
    #[default]
    None,
    Text(Text<'a>),
    Raw(&'a str),
}

impl CallPiece<'_> {
    /// Hands the piece to the sink; an empty id or name is none.
    pub(super) fn deliver<S: DeltaSink + ?Sized>(&self, sink: &mut S) {
        let [id, name] = [self.id, self.name].map(|text| text.map(Text::decode));
        let arguments = match self.arguments {
            Arguments::None => "".into(),
            Arguments::Text(text) => text.decode(),
            Arguments::Raw(raw) => raw.into(),
        };
        sink.tool_call(ToolCall {
            index: self.index,
            id: id.as_deref().filter(|id| !id.is_empty()),
            name: name.as_deref().filter(|name| !name.is_empty()),
            arguments: &arguments,
        });
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
}

/// Reads a list of calls as OpenAI writes them. An element that is no object is no call.
pub(super) fn read_calls<'a>(reader: &mut Reader<'a>) -> Result<Vec<CallPiece<'a>>, JsonError> {
    let mut calls = Vec::new();
    reader.array_or_skip(|reader| {
        calls.extend(read_call(reader)?);
        Ok(())
    })?;
    Ok(calls)
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Option<CallPiece<'a>>, JsonError> {
    let (mut index, mut id, mut function) = (None, None, None);
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "index" => index = read_count(reader)?,
            "id" => id = reader.string_or_skip()?,
            "function" | "custom" => function = read_function(reader)?.or(function),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let function = function.unwrap_or_default();
    Ok(is_object.then_some(CallPiece { index: index.or(function.index), id, ..function }))
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
