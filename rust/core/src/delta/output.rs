//! The fields of an event in, deltas for the caller's sink and the reply's state out.

use crate::json::Text;
use crate::prelude::*;

use super::added::AddedKind;
use super::collected::{Keeping, Sealed};
use super::content::{Content, Spoken, Stated, read_parts};
use super::logprobs::{Logprobs, Scored};
use super::passed_over::{Counts, Teller, Unspoken};
use super::reply::ReplyState;
use super::tool_call::{Arguments, CallPiece};
use super::{DeltaSink, Seal};

/// Where a dialect puts what an event or a body holds.
///
/// Deltas that a sink does not want are not even decoded: see [`DeltaSink::wants_everything`].
pub(super) struct Output<'o, S: ?Sized> {
    /// The state that the reply is in.
    pub(super) reply: &'o mut ReplyState,
    /// Where deltas go.
    pub(super) sink: &'o mut S,
    /// Where texts with escapes are decoded.
    pub(super) scratch: &'o mut Vec<u8>,
}

impl<S: DeltaSink + ?Sized> Output<'_, S> {
    /// Delivers text of the answer; an empty one is none.
    #[inline]
    pub(super) fn text(&mut self, text: Text<'_>) {
        let joined = self.reply.halves.text.join(text, self.scratch);
        self.reply.deliver(joined, self.sink);
        self.reply.delivered |= !text.is_empty();
    }

    /// Delivers reasoning, where it is wanted; an empty one is none.
    pub(super) fn reasoning(&mut self, text: Text<'_>) {
        self.reply.told.reasoning |= !text.is_empty();
        if self.wants_everything() {
            let joined = self.reply.halves.reasoning.join(text, self.scratch);
            if !joined.is_empty() {
                keeping(self.reply, self.sink).reasoning(joined);
                self.reply.check_collected();
            }
        }
    }

    /// Delivers a refusal, where it is wanted; an empty one is none.
    pub(super) fn refusal(&mut self, text: Text<'_>) {
        self.reply.told.refusal |= !text.is_empty();
        if self.wants_everything() {
            let joined = self.reply.halves.refusal.join(text, self.scratch);
            if !joined.is_empty() {
                keeping(self.reply, self.sink).refusal(joined);
                self.reply.check_collected();
            }
        }
    }

    /// Delivers, where it is wanted, what came for what was said before to be known again.
    pub(super) fn seal(&mut self, sealed: Option<Text<'_>>, kind: Sealed) {
        self.seal_item(None, sealed, kind);
    }

    /// As [`seal`](Self::seal), of the item with this id.
    pub(super) fn seal_item(
        &mut self,
        id: Option<Text<'_>>,
        sealed: Option<Text<'_>>,
        kind: Sealed,
    ) {
        let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) else { return };
        if !self.wants_everything() {
            return;
        }
        let (id, sealed) = (id.map(Text::decode).unwrap_or_default(), sealed.decode());
        let seal = match kind {
            Sealed::Signature => Seal::Signature(&sealed),
            Sealed::Redacted => Seal::Redacted(&sealed),
            Sealed::Encrypted => Seal::Encrypted { id: &id, data: &sealed },
            Sealed::Text => Seal::Text(&sealed),
        };
        keeping(self.reply, self.sink).seal(seal);
        self.reply.check_collected();
    }

    /// Delivers what stands where a text of this kind is due.
    pub(super) fn say(&mut self, kind: Spoken, content: Content<'_>) {
        let text = match content {
            Content::None => return,
            Content::Text(text) => text,
            Content::Bare(raw) => Text::of_raw(raw),
            Content::Parts(raw) => {
                return read_parts(raw, kind, &mut |stated| match stated {
                    Stated::Spoken(kind, content) => self.say(kind, content),
                    Stated::Unspoken(kind) => self.pass_over(kind, 1, Teller::Piece),
                });
            }
        };
        match kind {
            Spoken::Text => self.text(text),
            Spoken::Reasoning => self.reasoning(text),
            Spoken::Refusal => self.refusal(text),
        }
    }

    /// Delivers a text of this kind that is decoded and says what a half that is held begins.
    pub(super) fn say_decoded(&mut self, kind: Spoken, text: &str) {
        let is_wanted = self.wants_everything();
        let Self { reply, sink, .. } = self;
        match kind {
            Spoken::Text => {
                reply.halves.text.take();
                reply.deliver(text, *sink);
            }
            Spoken::Reasoning if is_wanted => {
                reply.halves.reasoning.take();
                keeping(reply, *sink).reasoning(text);
            }
            Spoken::Refusal if is_wanted => {
                reply.halves.refusal.take();
                keeping(reply, *sink).refusal(text);
            }
            _ => {}
        }
        reply.check_collected();
        self.note(kind);
    }

    /// Writes down that the reply told a text of this kind, also where nobody wants it.
    pub(super) fn note(&mut self, kind: Spoken) {
        self.reply.told.reasoning |= kind == Spoken::Reasoning;
        self.reply.told.refusal |= kind == Spoken::Refusal;
    }

    /// Delivers a piece of a tool call, where it is wanted.
    pub(super) fn tool_call(&mut self, piece: &CallPiece<'_>) {
        self.reply.told.call = true;
        if self.wants_everything() {
            let ReplyState { calls, collecting, .. } = &mut *self.reply;
            let mut sink = Keeping { collecting: collecting.as_deref_mut(), sink: &mut *self.sink };
            piece.deliver(calls.get_or_insert_default(), self.scratch, &mut sink);
            self.reply.check_collected();
        }
    }

    /// Delivers, where it is wanted, what is added by an event that repeats an earlier one. It is
    /// decoded, and no half is held that it could go on with.
    pub(super) fn add(&mut self, kind: AddedKind, content: &str) {
        match kind {
            AddedKind::Spoken(kind) | AddedKind::Part { kind, .. } => {
                self.say_decoded(kind, content);
            }
            AddedKind::Arguments { index, is_only } => {
                let (index, arguments) = (index.map(u64::from), Arguments::Decoded(content));
                self.tool_call(&CallPiece { index, arguments, is_only, ..CallPiece::default() });
            }
        }
    }

    /// Counts what no delta is made of.
    pub(super) fn pass_over(&mut self, kind: Unspoken, count: u64, teller: Teller) {
        if count > 0 {
            let mut told = Counts::default();
            told.add(kind, count);
            self.pass_all_over(&told, teller);
        }
    }

    /// Counts what no delta is made of.
    pub(super) fn pass_all_over(&mut self, told: &Counts, teller: Teller) {
        if !told.is_empty() {
            self.reply.passed_over.get_or_insert_default().take(told, teller);
            // Beside text that nothing else is wanted of, not all of it is looked for.
            self.reply.counts_all |= self.wants_everything();
        }
    }

    /// What a value tells of log probabilities, where the sink wants them; they are not collected.
    pub(super) fn read_logprobs(&self, raw: Option<&str>) -> Option<Logprobs> {
        raw.filter(|_| self.sink.wants_everything()).and_then(Logprobs::read)
    }

    /// Hands these to the sink with the first delta that `deliver` delivers.
    pub(super) fn with_logprobs(
        &mut self,
        logprobs: &Logprobs,
        deliver: impl FnOnce(&mut Output<'_, dyn DeltaSink + '_>),
    ) {
        let mut scored = Scored::new(logprobs, &mut *self.sink);
        deliver(&mut Output {
            reply: &mut *self.reply,
            sink: &mut scored,
            scratch: &mut *self.scratch,
        });
        scored.finish();
    }

    /// Whether more than text is wanted: by the sink, or to be collected.
    #[inline]
    pub(super) fn wants_everything(&self) -> bool {
        self.reply.wants_everything(self.sink)
    }

    /// Whether the reply has answered: with text, a refusal or a call. Reasoning alone does not.
    pub(super) fn has_answered(&self) -> bool {
        self.reply.delivered || self.reply.told.refusal || self.reply.told.call
    }
}

/// The sink whose deltas are collected, too.
fn keeping<'k, S: DeltaSink + ?Sized>(
    reply: &'k mut ReplyState,
    sink: &'k mut S,
) -> Keeping<'k, S> {
    Keeping { collecting: reply.collecting.as_deref_mut(), sink }
}
