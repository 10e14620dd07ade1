//! Where the values of an object or an array stand in their text, so that each can be read when it
//! is asked for.

use std::ops::Range;

use crate::prelude::*;

use super::text::range_in;
use super::{JsonError, Kind, Reader, Text};

/// A value of a text: its kind, and the bytes at which it stands.
pub type Place = (Kind, Range<usize>);

/// The members of one JSON object, validated, and found by name in the text they were read from.
#[derive(Debug, Clone, Default)]
pub struct Members(Vec<Member>);

#[derive(Debug, Clone)]
struct Member {
    key: Range<usize>,
    /// Whether the key is written with escapes.
    is_escaped: bool,
    place: Place,
}

/// Members for which there is room before memory is taken again: more than most objects have.
const USUAL: usize = 12;

impl Members {
    /// The members of the object that `text` is.
    ///
    /// # Errors
    /// When the text is not one valid object, or nests too deep.
    pub fn read(text: &str) -> Result<Self, JsonError> {
        let mut list = Vec::with_capacity(USUAL);
        Reader::new(text).whole_object(|key, reader| {
            let kind = reader.peek()?;
            let place = (kind, range_of(reader.raw()?, text));
            let is_escaped = key.is_escaped();
            list.push(Member { key: range_of(key.raw(), text), is_escaped, place });
            Ok(())
        })?;
        Ok(Self(list))
    }

    /// Where the member of this name stands in `text`; of several the last.
    pub fn find(&self, text: &str, name: &str) -> Option<Place> {
        let is_named = |member: &&Member| {
            let raw = &text[member.key.clone()];
            if member.is_escaped { Text::of_raw(raw) == *name } else { raw == name }
        };
        self.0.iter().rev().find(is_named).map(|member| member.place.clone())
    }

    /// Each name as it is written, without quotes, and where its value stands.
    pub fn iter<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a str, &'a Place)> {
        self.0.iter().map(|member| (&text[member.key.clone()], &member.place))
    }
}

/// Where the elements of the array that `text` is stand in it.
///
/// # Errors
/// When the text is not one valid array, or nests too deep.
pub fn elements(text: &str) -> Result<Vec<Place>, JsonError> {
    let mut list = Vec::new();
    let mut reader = Reader::new(text);
    reader.array(|reader| {
        let kind = reader.peek()?;
        list.push((kind, range_of(reader.raw()?, text)));
        Ok(())
    })?;
    reader.end()?;
    Ok(list)
}

fn range_of(part: &str, text: &str) -> Range<usize> {
    range_in(part, text).unwrap_or_default()
}
