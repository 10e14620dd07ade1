//! What events told of an answer's parts in, what a later event that tells a part whole adds out.
//!
//! OpenAI's Responses tell each part by deltas, then at once, then within its item, and at last
//! within the response. Servers that took after the API leave out any of these. Kept of a part are
//! its place, its length and a fingerprint.

use crate::json::Text;
use crate::prelude::*;

use super::super::content::{Content, Spoken};
use super::super::reply::Part as Coming;
use super::super::said::{Fingerprint, Said};
use super::super::tool_call::{Arguments, CallPiece};
use super::{DeltaSink, Output};

/// Parts, and calls, that are remembered at most.
const KNOWN_PARTS: usize = 256;

/// Where a part stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: PartKind,
    /// The index of its item; `None` where the server does not say it, and means the one that is
    /// coming.
    pub(super) item: Option<u64>,
    /// Its index within the item.
    pub(super) part: u64,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    Text,
    Refusal,
    Reasoning,
    Summary,
}

impl PartKind {
    /// What a part with a text of this kind is.
    pub(super) fn of(kind: Spoken, is_summary: bool) -> Self {
        match kind {
            Spoken::Text => Self::Text,
            Spoken::Refusal => Self::Refusal,
            Spoken::Reasoning if is_summary => Self::Summary,
            Spoken::Reasoning => Self::Reasoning,
        }
    }

    pub(super) fn spoken(self) -> Spoken {
        match self {
            Self::Text => Spoken::Text,
            Self::Refusal => Spoken::Refusal,
            Self::Reasoning | Self::Summary => Spoken::Reasoning,
        }
    }
}

/// The parts that were told so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    parts: Vec<Part>,
    /// The index of the part whose text is coming: the reply's state knows how much of it has.
    coming: Option<usize>,
    calls: Vec<Call>,
    /// Bytes of text in parts that are no longer remembered.
    forgotten: usize,
}

#[derive(Debug, Clone)]
struct Part {
    place: Place,
    said: Said,
    /// Whether it was told whole.
    is_whole: bool,
    /// Whether log probabilities of it were told.
    has_logprobs: bool,
}

impl Part {
    /// Whether it was told whole, and no index says that this place is the same.
    fn is_over_for(&self, place: Place) -> bool {
        self.is_whole && (self.place.item.is_none() || place.item.is_none())
    }

    /// Whether a whole text at this place is another part's.
    fn is_over(&self, place: Place, whole: &str) -> bool {
        self.is_over_for(place) && self.said != Said::of(whole)
    }
}

#[derive(Debug, Clone)]
struct Call {
    index: Option<u64>,
    id: Option<Fingerprint>,
    is_named: bool,
    arguments: Said,
}

impl Told {
    /// Tells what a delta adds to a part, with the log probabilities of its tokens.
    #[inline]
    pub(super) fn add<S: DeltaSink + ?Sized>(
        &mut self,
        place: Place,
        delta: Content<'_>,
        logprobs: Option<&str>,
        output: &mut Output<'_, S>,
    ) {
        match output.read_logprobs(logprobs) {
            None => self.add_delta(place, delta, output),
            Some(logprobs) => {
                output.with_logprobs(&logprobs, |output| self.add_delta(place, delta, output));
                self.note_logprobs(place);
            }
        }
    }

    fn add_delta<S: DeltaSink + ?Sized>(
        &mut self,
        place: Place,
        delta: Content<'_>,
        output: &mut Output<'_, S>,
    ) {
        if place.kind == PartKind::Text {
            self.enter(place, output);
            return output.say(Spoken::Text, delta);
        }
        if output.wants_everything()
            && let Some(text) = delta.decode()
        {
            self.note_part(place, &text);
        }
        output.say(place.kind.spoken(), delta);
    }

    /// Writes down what is added to a part that is not text of the answer.
    pub(super) fn note_part(&mut self, place: Place, text: &str) {
        let at = self.position_to_add(place);
        self.parts[at].said.add(text);
    }

    /// Tells of a whole part what was not told before; its log probabilities, where none of it
    /// were.
    pub(super) fn add_whole<S: DeltaSink + ?Sized>(
        &mut self,
        place: Place,
        whole: Content<'_>,
        logprobs: Option<&str>,
        output: &mut Output<'_, S>,
    ) {
        let is_told = |at: usize| self.parts[at].has_logprobs;
        let untold = logprobs.filter(|_| !self.position(place).is_some_and(is_told));
        match output.read_logprobs(untold) {
            None => self.add_whole_text(place, whole, output),
            Some(logprobs) => {
                output.with_logprobs(&logprobs, |output| self.add_whole_text(place, whole, output));
                self.note_logprobs(place);
            }
        }
    }

    fn add_whole_text<S: DeltaSink + ?Sized>(
        &mut self,
        place: Place,
        whole: Content<'_>,
        output: &mut Output<'_, S>,
    ) {
        self.settle(output);
        if !whole.is_filled() {
            return;
        }
        if place.kind != PartKind::Text && !output.wants_everything() {
            return output.note(place.kind.spoken());
        }
        let Some(text) = whole.decode() else {
            if self.position(place).is_none() {
                self.add_delta(place, whole, output);
            }
            return;
        };
        let known = self.position(place).filter(|&at| !self.parts[at].is_over(place, &text));
        let at = known.unwrap_or_else(|| self.begin(place));
        let rest = self.parts[at].said.rest(&text).unwrap_or_default();
        self.parts[at].said.add(rest);
        self.parts[at].is_whole = true;
        if !rest.is_empty() {
            output.say_decoded(place.kind.spoken(), rest);
        }
    }

    /// Tells the log probabilities of a part that is known.
    pub(super) fn add_logprobs<S: DeltaSink + ?Sized>(
        &mut self,
        place: Place,
        logprobs: Option<&str>,
        output: &mut Output<'_, S>,
    ) {
        if let Some(logprobs) = output.read_logprobs(logprobs) {
            output.with_logprobs(&logprobs, |_| {});
            self.note_logprobs(place);
        }
    }

    fn note_logprobs(&mut self, place: Place) {
        if let Some(at) = self.position(place) {
            self.parts[at].has_logprobs = true;
        }
    }

    /// Whether log probabilities of any part were told.
    pub(super) fn has_logprobs(&self) -> bool {
        self.parts.iter().any(|part| part.has_logprobs)
    }

    /// Whether a part of this kind with this text was among those told so far.
    pub(super) fn knows(&self, kind: PartKind, text: &str, before: usize) -> bool {
        let whole = Said::of(text);
        let known = self.parts.iter().take(before);
        known.into_iter().any(|part| part.place.kind == kind && part.said == whole)
    }

    /// How many parts were told.
    pub(super) fn count(&self) -> usize {
        self.parts.len()
    }

    /// The bytes of text told in all.
    pub(super) fn text_length<S: DeltaSink + ?Sized>(
        &mut self,
        output: &mut Output<'_, S>,
    ) -> usize {
        self.settle(output);
        let texts = self.parts.iter().filter(|part| part.place.kind == PartKind::Text);
        texts.map(|part| part.said.length()).sum::<usize>() + self.forgotten
    }

    /// Whether parts may have been told that are no longer known.
    pub(super) fn has_forgotten(&self) -> bool {
        self.forgotten > 0
    }

    /// Writes down that a call has begun.
    pub(super) fn begin_call(&mut self, call: &CallPiece<'_>) {
        let id = fingerprint(call.id);
        match self.call_at(call.index, id) {
            Some(at) => self.calls[at].is_named = true,
            None => self.push_call(Call {
                index: call.index,
                id,
                is_named: true,
                arguments: Said::default(),
            }),
        }
    }

    /// Writes down that a delta adds to a call's arguments.
    pub(super) fn add_arguments(&mut self, index: Option<u64>, delta: &str) {
        let at = self.call_at(index, None).unwrap_or_else(|| {
            self.push_call(Call { index, id: None, is_named: false, arguments: Said::default() });
            self.calls.len() - 1
        });
        self.calls[at].arguments.add(delta);
    }

    /// Tells of a whole call what was not told before.
    pub(super) fn add_whole_call<S: DeltaSink + ?Sized>(
        &mut self,
        call: &CallPiece<'_>,
        output: &mut Output<'_, S>,
    ) {
        let id = fingerprint(call.id);
        let Some(at) = self.call_at(call.index, id) else {
            self.begin_call(call);
            if let Some(known) = self.calls.last_mut() {
                known.arguments.add(&call.arguments.decode());
                known.is_named = call.has_name();
            }
            return output.tool_call(call);
        };
        let known = &mut self.calls[at];
        let whole = call.arguments.decode();
        let rest = known.arguments.rest(&whole).unwrap_or_default();
        known.arguments.add(rest);
        known.id = known.id.or(id);
        let names = !known.is_named && call.has_name();
        known.is_named |= names;
        let (id, name) = if names { (call.id, call.name) } else { (None, None) };
        if rest.is_empty() && id.is_none() && name.is_none() {
            return;
        }
        let arguments = if rest.is_empty() { Arguments::None } else { Arguments::Raw(rest) };
        let index = known.index;
        output.tool_call(&CallPiece { index, id, name, arguments, ..CallPiece::default() });
    }

    /// Goes to the part whose text is coming.
    fn enter<S: DeltaSink + ?Sized>(&mut self, place: Place, output: &mut Output<'_, S>) {
        let is_coming = |at: usize| {
            let part = &self.parts[at];
            part.place == place && !part.is_over_for(place)
        };
        if self.coming.is_some_and(is_coming) {
            return;
        }
        self.settle(output);
        let at = self.position_to_add(place);
        output.reply.part = Some(Box::new(Coming::Exact(self.parts[at].said)));
        output.reply.is_another_part = true;
        self.coming = Some(at);
    }

    /// Writes down how much of the part that was coming has come.
    fn settle<S: DeltaSink + ?Sized>(&mut self, output: &mut Output<'_, S>) {
        if let (Some(at), Some(Coming::Exact(said))) =
            (self.coming.take(), output.reply.part.take().map(|part| *part))
        {
            self.parts[at].said = said;
            output.reply.is_another_part = true;
        }
    }

    /// The part at a place. Where one of the two has no index of an item, it is the last one of its
    /// kind.
    fn position(&self, place: Place) -> Option<usize> {
        let last_of = |is_it: &dyn Fn(&Place) -> bool| {
            self.parts.iter().rposition(|part| part.place.kind == place.kind && is_it(&part.place))
        };
        last_of(&|known| *known == place)
            .or_else(|| last_of(&|known| known.item.is_none() || place.item.is_none()))
    }

    /// The part that a delta adds to: a new one, where no index tells it from one that is whole.
    fn position_to_add(&mut self, place: Place) -> usize {
        let known = self.position(place).filter(|&at| !self.parts[at].is_over_for(place));
        known.unwrap_or_else(|| self.begin(place))
    }

    fn begin(&mut self, place: Place) -> usize {
        if self.parts.len() == KNOWN_PARTS {
            let part = self.parts.remove(0);
            self.forgotten +=
                if part.place.kind == PartKind::Text { part.said.length() } else { 0 };
            self.coming = self.coming.and_then(|at| at.checked_sub(1));
        }
        let (is_whole, has_logprobs) = (false, false);
        self.parts.push(Part { place, said: Said::default(), is_whole, has_logprobs });
        self.parts.len() - 1
    }

    /// The call with this id, or else with this index and no other id.
    fn call_at(&self, index: Option<u64>, id: Option<Fingerprint>) -> Option<usize> {
        let of_id = self.calls.iter().rposition(|call| id.is_some() && call.id == id);
        of_id.or_else(|| {
            let is_it = |call: &Call| call.index == index && (id.is_none() || call.id.is_none());
            self.calls.iter().rposition(is_it)
        })
    }

    fn push_call(&mut self, call: Call) {
        if self.calls.len() == KNOWN_PARTS {
            self.calls.remove(0);
        }
        self.calls.push(call);
    }
}

fn fingerprint(text: Option<Text<'_>>) -> Option<Fingerprint> {
    text.filter(|text| !text.is_empty()).map(|text| Fingerprint::of(&text.decode()))
}
