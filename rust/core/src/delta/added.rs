//! What an event adds to a reply, where adding that is all that the event does: a text, and what it
//! is a text of.

use crate::json::Text;
use crate::prelude::*;

use super::content::{Content, Spoken};

/// What an event adds, and does nothing beside. The ids that it tells are known from then on.
pub(super) struct Added<'a> {
    /// The text, which is not empty. Another one that is not would be added the same way.
    pub(super) content: Text<'a>,
    pub(super) kind: AddedKind,
    /// Values in which any string may be another: they say again what the content says.
    pub(super) unread: Vec<Content<'a>>,
}

/// What a text is that is added. Indices are none that do not fit: a decoder that waits is to be
/// small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddedKind {
    Spoken(Spoken),
    /// A text of this kind, in a part of the answer that a dialect knows by its place.
    Part {
        kind: Spoken,
        /// Whether it sums reasoning up.
        is_summary: bool,
        /// The indices of its item, and of the part within that.
        item: Option<u32>,
        part: u32,
    },
    /// Arguments of a call, with its number as the server gives it, or of the only one that the API
    /// has.
    Arguments {
        index: Option<u32>,
        is_only: bool,
    },
}

impl<'a> Added<'a> {
    /// A text of this kind, if it is one and not empty.
    pub(super) fn spoken(kind: Spoken, content: Content<'a>) -> Option<Self> {
        Self::of(AddedKind::Spoken(kind), content.text()?)
    }

    /// What is added, unless it is empty.
    pub(super) fn of(kind: AddedKind, content: Text<'a>) -> Option<Self> {
        (!content.is_empty()).then_some(Self { content, kind, unread: Vec::new() })
    }
}

impl AddedKind {
    /// Text of the answer, as most events add it.
    pub(super) const TEXT: Self = Self::Spoken(Spoken::Text);

    /// Arguments of a call with this number.
    pub(super) fn arguments(index: Option<u64>, is_only: bool) -> Option<Self> {
        let index = index.map(u32::try_from).transpose().ok()?;
        Some(Self::Arguments { index, is_only })
    }

    /// A text of this kind in the part of these indices.
    pub(super) fn part(
        kind: Spoken,
        is_summary: bool,
        item: Option<u64>,
        part: u64,
    ) -> Option<Self> {
        let item = item.map(u32::try_from).transpose().ok()?;
        Some(Self::Part { kind, is_summary, item, part: part.try_into().ok()? })
    }

    #[inline]
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Spoken(Spoken::Text))
    }
}
