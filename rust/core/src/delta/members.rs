//! An event or a body in, what dialects are told apart by out: the names of its members, and the
//! kinds of their values.

use alloc::borrow::Cow;

use crate::json::{Kind, Reader, Text};
use crate::prelude::*;

/// The members of a JSON object.
#[derive(Debug)]
pub(super) struct Members<'a> {
    /// The name of the event whose data it is.
    pub(super) event: Option<&'a str>,
    list: Vec<(Cow<'a, str>, Kind, &'a str)>,
}

impl<'a> Members<'a> {
    /// The members of the object that `text` is; `None` when it is none.
    pub(super) fn read(text: &'a str, event: Option<&'a str>) -> Option<Self> {
        let mut list = Vec::new();
        let read = Reader::new(text).whole_object(|key, reader| {
            let kind = reader.peek()?;
            list.push((key.decode(), kind, reader.raw()?));
            Ok(())
        });
        read.is_ok().then_some(Self { event, list })
    }

    /// Whether a member of this name has a value of this kind.
    pub(super) fn has(&self, name: &str, kind: Kind) -> bool {
        self.raw(name).is_some_and(|(found, _)| found == kind)
    }

    /// Whether a member of this name is true or false.
    pub(super) fn has_flag(&self, name: &str) -> bool {
        self.has(name, Kind::True) || self.has(name, Kind::False)
    }

    /// The text of the member of this name; empty where it has none.
    pub(super) fn text(&self, name: &str) -> Cow<'a, str> {
        let raw = self.raw(name).filter(|(kind, _)| *kind == Kind::String);
        let text = raw.and_then(|(_, raw)| Reader::new(raw).string().ok());
        text.map_or(Cow::Borrowed(""), Text::decode)
    }

    /// The members of the member of this name.
    pub(super) fn object(&self, name: &str) -> Option<Members<'a>> {
        Self::read(self.raw(name)?.1, None)
    }

    fn raw(&self, name: &str) -> Option<(Kind, &'a str)> {
        let found = self.list.iter().rev().find(|(key, _, _)| key == name)?;
        Some((found.1, found.2))
    }
}
