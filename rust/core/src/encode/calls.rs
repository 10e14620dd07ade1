//! Pieces of tool calls in, the number of each one's call out: from 0 on, as they came.

use alloc::borrow::Cow;

use crate::delta::{Fingerprint, ToolCall};
use crate::json::{escape, quoted};
use crate::prelude::*;

use super::reason::FinishReason;

/// Calls that are remembered: as many as a decoder does.
const KNOWN_CALLS: usize = 128;

/// The calls of one answer.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    known: Vec<Call>,
    count: usize,
    /// What ids that are made up begin with.
    prefix: String,
}

/// One call.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, any of which may hold"
)]
pub(super) struct Call {
    /// The number that the piece of the reply had.
    index: Option<u64>,
    pub(super) number: usize,
    /// The fingerprint of the id that it was given and has.
    given: Option<Fingerprint>,
    /// Whether a piece of it was taken.
    pub(super) has_begun: bool,
    pub(super) is_named: bool,
    has_arguments: bool,
    /// Whether its last piece is thought to have come.
    pub(super) is_over: bool,
}

impl Calls {
    /// The calls of an answer of this id. Where a call comes without an id, it gets one that is
    /// made of `kind`, the answer's id and its number.
    pub(super) fn new(kind: &str, id: &str) -> Self {
        let own = id.split_once(['-', '_']).map_or(id, |(_, own)| own);
        Self { known: Vec::new(), count: 0, prefix: format!("{kind}_{own}_") }
    }

    /// Whether a call has begun.
    pub(super) fn are_any(&self) -> bool {
        self.count > 0
    }

    /// The call that a piece with this index belongs to.
    pub(super) fn call_of(&mut self, index: Option<u64>) -> &mut Call {
        let at = self.known.iter().rposition(|call| call.index == index);
        let at = at.unwrap_or_else(|| self.begin(index));
        &mut self.known[at]
    }

    /// The call of this number, while it is remembered.
    pub(super) fn numbered(&mut self, number: usize) -> Option<&mut Call> {
        self.known.iter_mut().rfind(|call| call.number == number)
    }

    /// The id of the call of this number: the one that it was `given`, or one that is made up where
    /// it has none, or that of another call: what is answered is then told by it.
    pub(super) fn id<'i>(&mut self, number: usize, given: Option<&'i str>) -> Cow<'i, str> {
        let fingerprint = given.map(Fingerprint::of);
        let is_others = |call: &Call| call.number != number && call.given == fingerprint;
        match given {
            Some(given) if !self.known.iter().any(is_others) => {
                if let Some(call) = self.numbered(number) {
                    call.given = fingerprint;
                }
                given.into()
            }
            _ => format!("{}{number}", self.prefix).into(),
        }
    }

    fn begin(&mut self, index: Option<u64>) -> usize {
        if self.known.len() == KNOWN_CALLS {
            self.known.remove(0);
        }
        let number = self.count;
        self.count += 1;
        let (has_begun, is_named, has_arguments, is_over) = (false, false, false, false);
        let given = None;
        self.known.push(Call { index, number, given, has_begun, is_named, has_arguments, is_over });
        self.known.len() - 1
    }

    /// The arguments of the calls that have none, as elements of `tool_calls`: arguments are JSON,
    /// unless the answer that ends for this reason was cut.
    pub(super) fn missing_arguments(&self, reason: Option<&str>) -> Vec<String> {
        let is_cut = FinishReason::of(reason.unwrap_or_default()).is_cut();
        let without = self.known.iter().filter(|call| !is_cut && !call.has_arguments);
        let element = |call: &Call| {
            format!(r#"{{"index":{},"function":{{"arguments":"{{}}"}}}}"#, call.number)
        };
        without.map(element).collect()
    }

    /// Appends a piece as the element of `tool_calls` that it is in a chat completion's delta: the
    /// first one says what is called.
    pub(super) fn element(&mut self, piece: &ToolCall<'_>, out: &mut Vec<u8>) {
        let call = self.call_of(piece.index);
        let (number, begins) = (call.number, !call.has_begun);
        let name = piece.name.filter(|_| !call.is_named);
        call.has_begun = true;
        call.is_named |= name.is_some();
        call.has_arguments |= !piece.arguments.trim_ascii().is_empty();
        out.extend_from_slice(format!(r#"{{"index":{number}"#).as_bytes());
        if begins {
            out.extend_from_slice(br#","id":"#);
            quoted(&self.id(number, piece.id), out);
            out.extend_from_slice(br#","type":"function""#);
        }
        out.extend_from_slice(br#","function":{"#);
        if let Some(name) = name {
            out.extend_from_slice(br#""name":"#);
            quoted(name, out);
            out.push(b',');
        }
        out.extend_from_slice(br#""arguments":""#);
        escape(piece.arguments, out);
        out.extend_from_slice(br#""}"#);
        if let Some(signature) = piece.signature {
            out.extend_from_slice(br#","extra_content":{"google":{"thought_signature":"#);
            quoted(signature, out);
            out.extend_from_slice(b"}}");
        }
        out.push(b'}');
    }
}
