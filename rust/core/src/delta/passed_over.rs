//! What of a reply is neither text nor reasoning, refusal or call of a tool: it is counted, by kind.

use crate::prelude::*;

/// How much a reply holds that no delta is made of, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PassedOver([Counts; TELLERS]);

/// The kinds of what is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unspoken {
    /// A source of the text: an annotation, a piece of grounding.
    Citation,
    Image,
    Audio,
    /// Any other data: a document, a file of a service.
    File,
    /// A call of a tool that runs at the service, or its result.
    ServerTool,
    /// Another answer than the first.
    Choice,
    /// An event, an item, a block or a part of a type that is not known.
    Other,
}

/// Who tells it. Some APIs tell the same again, ever more of it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Teller {
    /// An event tells what nothing told before.
    Piece,
    /// A part that is told whole.
    Part,
    /// An item, or a block, that is told whole.
    Item,
    /// An event, or a body, that tells all there is so far.
    Whole,
}

/// Numbers of things, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts([u64; KINDS]);

const KINDS: usize = 7;
const TELLERS: usize = 4;
const NAMES: [&str; KINDS] =
    ["citation", "image", "audio", "file", "server_tool", "choice", "other"];

impl Counts {
    pub(super) fn add(&mut self, kind: Unspoken, count: u64) {
        let known = &mut self.0[kind as usize];
        *known = known.saturating_add(count);
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds those of another.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (known, count) in self.0.iter_mut().zip(other.0) {
            *known = known.saturating_add(count);
        }
    }
}

impl PassedOver {
    /// Takes what is told.
    pub(super) fn take(&mut self, told: &Counts, teller: Teller) {
        let known = &mut self.0[teller as usize];
        match teller {
            Teller::Whole => {
                for (known, count) in known.0.iter_mut().zip(told.0) {
                    *known = count.max(*known);
                }
            }
            _ => known.add_all(told),
        }
    }

    /// The name of each kind that there is any of, and how much of it: as much as was told at most.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let most = |kind: usize| self.0.iter().map(|told| told.0[kind]).max().unwrap_or(0);
        let counts: Vec<u64> = (0..KINDS).map(most).collect();
        NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// What there is of kinds that are known, in words: for an error.
    pub(super) fn shown(&self) -> String {
        let known = self.iter().filter(|(name, _)| *name != "other");
        let counts: Vec<String> =
            known.map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect();
        counts.join(", ")
    }
}

/// Words in the names of calls that a client is to answer, though no tool of its own is called.
const FOR_CLIENTS: [&str; 5] = ["computer", "shell", "apply_patch", "approval", "custom"];

/// What data of this media type is.
pub(super) fn of_media_type(media_type: &str) -> Unspoken {
    match media_type.split('/').next() {
        Some("image") => Unspoken::Image,
        Some("audio") => Unspoken::Audio,
        _ => Unspoken::File,
    }
}

/// What a part, a block or an item of this type is, by the words of its name.
pub(super) fn of_type(name: &str) -> Unspoken {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&FOR_CLIENTS) {
        Unspoken::Other
    } else if has(&["citation", "reference", "annotation", "source", "grounding"]) {
        Unspoken::Citation
    } else if has(&["image"]) {
        Unspoken::Image
    } else if has(&["audio"]) {
        Unspoken::Audio
    } else if has(&["tool", "mcp", "search_call", "interpreter", "code_execution", "web_fetch"]) {
        Unspoken::ServerTool
    } else if has(&["file", "document", "upload"]) {
        Unspoken::File
    } else {
        Unspoken::Other
    }
}
