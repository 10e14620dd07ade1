//! What replies add, written down in columns: one row a delta.

use tailrace_core::{Delta, DeltaSink, EventSink, Logprobs, ReadEvent, Seal, ToolCall};

/// What is kept of the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Rows alone.
    Counts,
    /// The text of an answer, too.
    Text,
    /// All that is told, too: text, reasoning, refusals and the arguments of tool calls.
    All,
    /// The bytes of the reply, which is not decoded.
    Body,
}

impl Keep {
    /// All, with their names.
    pub const NAMES: [(&'static str, Self); 4] =
        [("counts", Self::Counts), ("text", Self::Text), ("all", Self::All), ("body", Self::Body)];

    fn takes(self, kind: Kind) -> bool {
        self == Self::All || (self == Self::Text && kind == Kind::Text)
    }
}

/// The kind of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Text of the answer.
    Text,
    /// Text of the model's reasoning.
    Reasoning,
    /// Text by which the model refuses to answer.
    Refusal,
    /// A piece of a tool call.
    ToolCall,
}

impl Kind {
    /// The names of the kinds, by their number.
    pub const NAMES: [&'static str; 4] = ["text", "reasoning", "refusal", "tool_call"];
}

/// Stands in the column of tokens where an event tells none.
const NOT_TOLD: i32 = -1;

/// Columns of one length, a row for each delta.
#[derive(Debug, Default)]
pub struct Rows {
    /// The caller's number of the request.
    pub tag: Vec<i64>,
    /// When the bytes were read that completed the event, in nanoseconds.
    pub at: Vec<i64>,
    /// The delta's [`Kind`].
    pub kind: Vec<u8>,
    /// The tokens of the answer as far as the event told them; -1 where it told none.
    pub tokens: Vec<i32>,
    /// The delta's characters.
    pub length: Vec<u32>,
    /// All texts that are kept, one behind the other.
    pub text: String,
    /// Where the text of each row ends; empty where none is kept.
    pub text_ends: Vec<usize>,
}

impl Rows {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.tag.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.tag.is_empty()
    }

    /// The text of a row; empty where it is not kept, or there is no such row.
    pub fn text_of(&self, row: usize) -> &str {
        let start =
            row.checked_sub(1).map_or(Some(0), |before| self.text_ends.get(before).copied());
        let range = start.zip(self.text_ends.get(row).copied());
        range.and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default()
    }

    /// Empty columns with as much room as these take.
    pub(crate) fn successor(&self) -> Self {
        Self {
            tag: Vec::with_capacity(self.tag.len()),
            at: Vec::with_capacity(self.at.len()),
            kind: Vec::with_capacity(self.kind.len()),
            tokens: Vec::with_capacity(self.tokens.len()),
            length: Vec::with_capacity(self.length.len()),
            text: String::with_capacity(self.text.len()),
            text_ends: Vec::with_capacity(self.text_ends.len()),
        }
    }
}

/// What a sink knows of its stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) tag: i64,
    pub(crate) at: i64,
    pub(crate) keep: Keep,
    pub(crate) wants_tokens: bool,
}

/// Writes one stream's deltas into the columns.
pub(crate) struct RowSink<'r> {
    rows: &'r mut Rows,
    source: Source,
    /// The stream's own text, where that is kept.
    text: Option<&'r mut String>,
    /// The first row of the event that is being read.
    event: usize,
    /// Whether any text came.
    pub(crate) has_text: bool,
}

impl<'r> RowSink<'r> {
    pub(crate) fn new(rows: &'r mut Rows, source: Source, text: Option<&'r mut String>) -> Self {
        let event = rows.len();
        Self { rows, source, text, event, has_text: false }
    }

    fn push(&mut self, kind: Kind, text: &str) {
        let Source { tag, at, keep, .. } = self.source;
        let rows = &mut *self.rows;
        rows.tag.push(tag);
        rows.at.push(at);
        rows.kind.push(kind as u8);
        rows.tokens.push(NOT_TOLD);
        rows.length.push(u32::try_from(text.chars().count()).unwrap_or(u32::MAX));
        if keep.takes(kind) {
            rows.text.push_str(text);
        }
        if keep != Keep::Counts {
            rows.text_ends.push(rows.text.len());
        }
    }
}

impl DeltaSink for RowSink<'_> {
    fn text(&mut self, delta: &str) {
        self.has_text = true;
        self.push(Kind::Text, delta);
        if let Some(text) = &mut self.text {
            text.push_str(delta);
        }
    }

    fn reasoning(&mut self, delta: &str) {
        self.push(Kind::Reasoning, delta);
    }

    fn refusal(&mut self, delta: &str) {
        self.push(Kind::Refusal, delta);
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.push(Kind::ToolCall, piece.arguments);
    }

    fn seal(&mut self, seal: Seal<'_>) {
        self.push(if matches!(seal, Seal::Text(_)) { Kind::Text } else { Kind::Reasoning }, "");
    }

    /// An event may tell log probabilities and add nothing.
    fn with_logprobs(&mut self, delta: Delta<'_>, _: &Logprobs) {
        match delta {
            Delta::Text("") => self.push(Kind::Text, ""),
            Delta::Text(delta) => self.text(delta),
            Delta::Reasoning(delta) => self.reasoning(delta),
            Delta::Refusal(delta) => self.refusal(delta),
            Delta::ToolCall(piece) => self.tool_call(piece),
            Delta::Seal(seal) => self.seal(seal),
            _ => {}
        }
    }

    fn events(&mut self) -> Option<&mut dyn EventSink> {
        if self.source.wants_tokens { Some(self) } else { None }
    }
}

impl EventSink for RowSink<'_> {
    fn event(&mut self, event: ReadEvent<'_>) {
        if let Some(tokens) = event.tokens {
            self.rows.tokens[self.event..].fill(i32::try_from(tokens).unwrap_or(i32::MAX));
        }
        self.event = self.rows.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect};

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Grüße\"}}],",
        "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );

    fn read(keep: Keep, wants_tokens: bool) -> Rows {
        let mut rows = Rows::default();
        let source = Source { tag: 7, at: 9, keep, wants_tokens };
        let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
        decoder.feed(STREAM.as_bytes(), &mut RowSink::new(&mut rows, source, None));
        rows
    }

    #[test]
    fn a_row_for_each_delta() {
        let rows = read(Keep::Counts, false);
        assert_eq!((rows.tag.as_slice(), rows.at.as_slice()), (&[7, 7][..], &[9, 9][..]));
        assert_eq!((rows.kind.as_slice(), rows.length.as_slice()), (&[1, 0][..], &[2, 5][..]));
        assert_eq!((rows.tokens.as_slice(), rows.text_of(1)), (&[-1, -1][..], ""));
    }

    #[test]
    fn tokens_belong_to_the_deltas_of_their_event() {
        assert_eq!(read(Keep::Counts, true).tokens, [-1, 2]);
    }

    #[test]
    fn what_is_kept() {
        let texts = |keep| {
            let rows = read(keep, false);
            [0, 1, 2].map(|row| rows.text_of(row).to_owned())
        };
        assert_eq!(texts(Keep::Text), ["", "Grüße", ""]);
        assert_eq!(texts(Keep::All), ["hm", "Grüße", ""]);
    }
}
