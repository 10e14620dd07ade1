//! The arguments of a call that come value by value in, the text of one JSON object out, as far as
//! it is known.
//!
//! Each value names its place by a path (RFC 9535: `$.stops[0].name`). They come in the order in
//! which the object is written, so that a path tells which objects and arrays end before it.

use crate::json::{JsonError, Kind, Reader, Text, quoted};
use crate::prelude::*;
use crate::utf8::decode;

/// The text so far: where it ends.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialArguments {
    /// The path of the last value; empty before the first one.
    path: Vec<Segment>,
    /// Whether the last value is a string that goes on.
    in_string: bool,
}

/// A step of a path: into an object, or into an array.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(String),
}

/// A value, or a piece of a string.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PartialArgument<'a> {
    path: Option<Text<'a>>,
    value: Value<'a>,
    goes_on: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Value<'a> {
    #[default]
    None,
    String(Text<'a>),
    /// As it is written.
    Other(&'a str),
}

impl<'a> PartialArgument<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, JsonError> {
        let mut argument = Self::default();
        reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "jsonPath" => argument.path = reader.string_or_skip()?,
                "stringValue" if reader.peek()? == Kind::String => {
                    argument.value = Value::String(reader.string()?);
                }
                "numberValue" | "boolValue" => argument.value = Value::Other(reader.raw()?),
                "nullValue" => {
                    reader.skip()?;
                    argument.value = Value::Other("null");
                }
                "willContinue" => argument.goes_on = reader.bool_or_skip()? == Some(true),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(argument)
    }
}

impl PartialArguments {
    /// Writes what a value adds.
    pub(super) fn add(&mut self, argument: &PartialArgument<'_>, text: &mut String) {
        let Some(path) = argument.path else { return };
        let path = segments(&path.decode());
        let goes_on = self.in_string && path == self.path;
        if !goes_on {
            if matches!(argument.value, Value::None) {
                return;
            }
            self.go_to(path, text);
        }
        match argument.value {
            Value::String(piece) => {
                text.push_str(if goes_on { "" } else { "\"" });
                text.push_str(piece.raw());
                self.in_string = true;
            }
            Value::Other(raw) if !goes_on => text.push_str(raw),
            _ => {}
        }
        if !argument.goes_on {
            self.end_string(text);
        }
    }

    /// Writes what ends the object, if it has begun.
    pub(super) fn end(&mut self, text: &mut String) {
        self.end_string(text);
        self.leave(0, text);
    }

    /// Leaves the place of the last value for that of the next one.
    fn go_to(&mut self, path: Vec<Segment>, text: &mut String) {
        self.end_string(text);
        let depth = self.path.len().min(path.len()).saturating_sub(1);
        let common = self.path.iter().zip(&path).take(depth).take_while(|(a, b)| a == b).count();
        let is_first = self.path.is_empty();
        self.leave(common + 1, text);
        text.push_str(if is_first { "" } else { "," });
        for (at, segment) in path.iter().enumerate().skip(common) {
            if is_first || at > common {
                text.push_str(segment.opener());
            }
            segment.write_key(text);
        }
        self.path = path;
    }

    /// Ends the objects and arrays that lie deeper than this.
    fn leave(&mut self, depth: usize, text: &mut String) {
        while self.path.len() > depth {
            if let Some(segment) = self.path.pop() {
                text.push_str(segment.closer());
            }
        }
    }

    fn end_string(&mut self, text: &mut String) {
        if std::mem::take(&mut self.in_string) {
            text.push('"');
        }
    }
}

impl Segment {
    fn opener(&self) -> &'static str {
        match self {
            Self::Key(_) => "{",
            Self::Index(_) => "[",
        }
    }

    fn closer(&self) -> &'static str {
        match self {
            Self::Key(_) => "}",
            Self::Index(_) => "]",
        }
    }

    fn write_key(&self, text: &mut String) {
        if let Self::Key(key) = self {
            let mut name = Vec::new();
            quoted(key, &mut name);
            text.push_str(&decode(&name));
            text.push(':');
        }
    }
}

/// The steps of a path. The root is an object.
fn segments(path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    while !rest.is_empty() {
        let (segment, after) = if let Some(inside) = rest.strip_prefix('[') {
            in_brackets(inside)
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            (Segment::Key(name[..end].to_owned()), &name[end..])
        };
        segments.push(segment);
        rest = after;
    }
    segments
}

fn in_brackets(inside: &str) -> (Segment, &str) {
    for (quote, end) in [('\'', "']"), ('"', "\"]")] {
        if let Some(name) = inside.strip_prefix(quote) {
            let (name, after) = name.split_once(end).unwrap_or((name, ""));
            return (Segment::Key(name.to_owned()), after);
        }
    }
    let (index, after) = inside.split_once(']').unwrap_or((inside, ""));
    (Segment::Index(index.to_owned()), after)
}
