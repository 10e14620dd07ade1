//! A piece of a call of a tool, as it stands in JSON.

use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::{DeltaSink, ToolCall};

/// What is wanted of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Call<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) arguments: Arguments<'a>,
}

/// Some APIs write arguments as a string that holds JSON, others as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Arguments<'a> {
    #[default]
    None,
    Text(Text<'a>),
    Raw(&'a str),
}

impl Call<'_> {
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
    /// Reads them in whichever form they come; null is none.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        match reader.peek()? {
            Kind::String => reader.string().map(Self::Text),
            Kind::Null => reader.skip().map(|()| Self::None),
            _ => reader.raw().map(Self::Raw),
        }
    }
}

/// A plain whole number; `None` for any other value.
pub(super) fn read_whole(reader: &mut Reader<'_>) -> Result<Option<u64>, JsonError> {
    match reader.peek()? {
        Kind::Number => reader.number().map(|number| number.parse().ok()),
        _ => reader.skip().map(|()| None),
    }
}

/// A string that is not empty.
pub(super) fn read_some<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, JsonError> {
    reader.string_or_skip().map(|text| text.filter(|text| !text.is_empty()))
}

/// Reads the calls of a list; what is no object is none.
pub(super) fn read_calls<'a>(reader: &mut Reader<'a>) -> Result<Vec<Call<'a>>, JsonError> {
    let mut calls = Vec::new();
    if reader.peek()? != Kind::Array {
        return reader.skip().map(|()| calls);
    }
    reader.array(|reader| {
        calls.extend(read_call(reader)?);
        Ok(())
    })?;
    Ok(calls)
}

fn read_call<'a>(reader: &mut Reader<'a>) -> Result<Option<Call<'a>>, JsonError> {
    let (mut index, mut id, mut function) = (None, None, None);
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "index" => index = read_whole(reader)?,
            "id" => id = reader.string_or_skip()?,
            "function" | "custom" => function = read_function(reader)?.or(function),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let function = function.unwrap_or_default();
    Ok(is_object.then_some(Call { index: index.or(function.index), id, ..function }))
}

/// A function's name and arguments; of a custom tool, name and input. Ollama has the call's index
/// there.
pub(super) fn read_function<'a>(reader: &mut Reader<'a>) -> Result<Option<Call<'a>>, JsonError> {
    let mut call = Call::default();
    let is_object = reader.object_or_skip(|key, reader| {
        match &*key.decode() {
            "index" => call.index = read_whole(reader)?,
            "name" => call.name = reader.string_or_skip()?,
            "arguments" | "input" => call.arguments = Arguments::read(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(call))
}
