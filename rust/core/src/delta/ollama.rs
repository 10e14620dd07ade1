//! Ollama's own API: one JSON object a line, of `/api/chat` or `/api/generate`; not streamed, one
//! line.
//!
//! Every line has the same form. The last one says `done`, why it stopped and what was counted.

use crate::event::Event;
use crate::json::{JsonError, Kind, Reader, Text};
use crate::prelude::*;

use super::call::{Call, read_calls, read_some, read_whole};
use super::no_answer::fail_upstream;
use super::openai::{DONE, is_truthy};
use super::reply::{Reply, Usage};
use super::{DeltaSink, Dialect};

/// Reads the lines of one reply.
#[derive(Debug, Clone, Default)]
pub(super) struct Ollama {
    /// Calls so far: older servers do not number them.
    calls: u64,
}

impl Ollama {
    /// Reads one line. Returns its content when it did nothing but add it.
    pub(super) fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        event: &Event<'a>,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) -> Option<Text<'a>> {
        if event.data.trim_ascii() == DONE {
            reply.mark_done();
            return None;
        }
        let Ok(frame) = Frame::read(event.data) else {
            reply.bad_events += 1;
            return None;
        };
        reply.note_ids(None, frame.model);
        if frame.has_error {
            fail_upstream(event.data, Dialect::Ollama, reply);
            return None;
        }
        self.deliver(frame.message(), reply, scratch, sink);
        if frame.done {
            reply.note_finish(frame.done_reason);
            reply.usage = frame.usage().or(reply.usage);
            reply.mark_done();
        }
        frame.only_content()
    }

    fn deliver<S: DeltaSink + ?Sized>(
        &mut self,
        message: &Message<'_>,
        reply: &mut Reply,
        scratch: &mut Vec<u8>,
        sink: &mut S,
    ) {
        if sink.wants_everything()
            && let Some(thinking) = message.thinking
        {
            sink.reasoning(thinking.decode_with(scratch));
        }
        if let Some(text) = message.text {
            reply.deliver(text.decode_with(scratch), sink);
        }
        for call in &message.calls {
            let index = call.index.or(Some(self.calls));
            self.calls += 1;
            if sink.wants_everything() {
                Call { index, ..*call }.deliver(sink);
            }
        }
    }
}

/// Whether the value of a line's key can change what the line does.
pub(super) fn matters(key: Text<'_>) -> bool {
    matches!(&*key.decode(), "message" | "response" | "thinking" | "done" | "done_reason" | "error")
}

/// What a line holds, as far as it is wanted.
#[derive(Default)]
struct Frame<'a> {
    has_error: bool,
    model: Option<Text<'a>>,
    message: Option<Message<'a>>,
    /// What `/api/generate` has instead of a message.
    generated: Message<'a>,
    done: bool,
    done_reason: Option<Text<'a>>,
    prompt_count: Option<u64>,
    answer_count: Option<u64>,
}

impl<'a> Frame<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut frame = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|key, reader| {
            match &*key.decode() {
                "error" => frame.has_error = is_truthy(reader.raw()?),
                "model" => frame.model = reader.string_or_skip()?,
                "message" => frame.message = Message::read(reader)?,
                "response" => frame.generated.text = read_some(reader)?,
                "thinking" => frame.generated.thinking = read_some(reader)?,
                "done" => {
                    frame.done = reader.peek()? == Kind::True;
                    reader.skip()?;
                }
                "done_reason" => frame.done_reason = reader.string_or_skip()?,
                "prompt_eval_count" => frame.prompt_count = read_whole(reader)?,
                "eval_count" => frame.answer_count = read_whole(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(frame)
    }
    fn message(&self) -> &Message<'a> {
        self.message.as_ref().unwrap_or(&self.generated)
    }

    fn usage(&self) -> Option<Usage> {
        let counted = self.prompt_count.is_some() || self.answer_count.is_some();
        counted.then(|| Usage::of(self.prompt_count.unwrap_or(0), self.answer_count.unwrap_or(0)))
    }

    fn only_content(&self) -> Option<Text<'a>> {
        let Message { text, thinking, calls } = self.message();
        text.filter(|_| thinking.is_none() && calls.is_empty() && !self.done)
    }
}

/// What a line adds.
#[derive(Default)]
struct Message<'a> {
    text: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    calls: Vec<Call<'a>>,
}

impl<'a> Message<'a> {
    /// `None` when it is no object.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, JsonError> {
        let mut message = Self::default();
        let is_object = reader.object_or_skip(|key, reader| {
            match &*key.decode() {
                "content" => message.text = read_some(reader)?,
                "thinking" => message.thinking = read_some(reader)?,
                "tool_calls" => message.calls = read_calls(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(is_object.then_some(message))
    }
}
