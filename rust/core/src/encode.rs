//! Text in, OpenAI's `chat.completion.chunk` events out: one JSON object a `data` line, an empty
//! line after each.
//!
//! Bytes that a stream repeats are prepared once; each delta is escaped straight into the caller's
//! buffer.
//! The text is a stranger's: whatever it holds, it stays within its JSON string and its line.
//! Escaped are, beside what JSON asks for (RFC 8259, section 7), every other character that some
//! reader takes for a line's end or a terminal for a command (U+007F to U+009F, U+2028, U+2029),
//! and `<`, so that an event quoted in a page's script is no markup.

use crate::prelude::*;

/// The fields that every chunk of one stream says of itself.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ChunkFields<'a> {
    /// The completion's id, `chatcmpl-…`.
    pub id: &'a str,
    /// When the completion began, in seconds since 1970.
    pub created: i64,
    /// The model's id.
    pub model: &'a str,
    /// The fingerprint of the server's configuration; `null` where it is `None`.
    pub system_fingerprint: Option<&'a str>,
    /// Whether a usage chunk will follow, so that every other chunk says `"usage":null`
    /// (`stream_options.include_usage`).
    pub include_usage: bool,
}

impl<'a> ChunkFields<'a> {
    /// The fields of a stream without a fingerprint and without a usage chunk.
    pub fn new(id: &'a str, created: i64, model: &'a str) -> Self {
        Self { id, created, model, system_fingerprint: None, include_usage: false }
    }
}

/// The token counts that a usage chunk tells.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ChunkUsage {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the answer.
    pub completion: u64,
    /// Tokens of both, by the site's own count; their sum where it is `None`.
    pub total: Option<u64>,
    /// Tokens of the prompt that came from a cache; left out where it is `None`.
    pub cached: Option<u64>,
    /// Tokens of the answer that are reasoning; left out where it is `None`.
    pub reasoning: Option<u64>,
    /// Whether the counts are a guess, which `usage_estimated` says beside them.
    pub estimated: bool,
}

impl ChunkUsage {
    /// Counts that are no guess, with nothing known beside them.
    pub fn new(prompt: u64, completion: u64) -> Self {
        let (total, cached, reasoning) = (None, None, None);
        Self { prompt, completion, total, cached, reasoning, estimated: false }
    }
}

/// The events of one stream. Every method appends whole events to `out` and keeps no state.
///
/// ```
/// use tailrace_core::{ChunkEncoder, ChunkFields};
///
/// let encoder = ChunkEncoder::new(&ChunkFields::new("chatcmpl-1", 1_700_000_000, "mill"));
/// let mut out = Vec::new();
/// encoder.role(&mut out);
/// encoder.delta("What runs off", &mut out);
/// encoder.finish("stop", &mut out);
/// out.extend_from_slice(ChunkEncoder::DONE);
///
/// let events = String::from_utf8(out)?;
/// assert_eq!(events.matches("data: ").count(), 4);
/// assert!(events.contains(r#""delta":{"content":"What runs off"}"#));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChunkEncoder {
    /// Up to and with `"choices":[`.
    head: Vec<u8>,
    /// Up to and with `"content":"`.
    content_head: Vec<u8>,
    content_tail: Vec<u8>,
    /// From `]` to the empty line.
    tail: &'static [u8],
}

const CHOICE: &[u8] = br#"{"index":0,"delta":"#;
const UNFINISHED: &[u8] = br#","logprobs":null,"finish_reason":null}"#;

impl ChunkEncoder {
    /// The last event of a stream that ended well.
    pub const DONE: &'static [u8] = b"data: [DONE]\n\n";

    /// Prepares the bytes that the stream's events share.
    pub fn new(fields: &ChunkFields<'_>) -> Self {
        let mut head = br#"data: {"id":"#.to_vec();
        quoted(fields.id, &mut head);
        head.extend_from_slice(br#","object":"chat.completion.chunk","created":"#);
        head.extend_from_slice(fields.created.to_string().as_bytes());
        head.extend_from_slice(br#","model":"#);
        quoted(fields.model, &mut head);
        head.extend_from_slice(br#","system_fingerprint":"#);
        nullable(fields.system_fingerprint, &mut head);
        head.extend_from_slice(br#","choices":["#);
        let tail: &[u8] = if fields.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        Self {
            content_head: [&head, CHOICE, br#"{"content":""#].concat(),
            content_tail: [br#""}"#, UNFINISHED, tail].concat(),
            head,
            tail,
        }
    }

    /// Appends the first event, which says who speaks.
    pub fn role(&self, out: &mut Vec<u8>) {
        let delta: &[u8] = br#"{"role":"assistant","content":"","refusal":null}"#;
        for part in [&self.head, CHOICE, delta, UNFINISHED, self.tail] {
            out.extend_from_slice(part);
        }
    }

    /// Appends one event with `text`.
    pub fn delta(&self, text: &str, out: &mut Vec<u8>) {
        out.reserve(self.delta_bytes() + text.len());
        out.extend_from_slice(&self.content_head);
        escape(text, out);
        out.extend_from_slice(&self.content_tail);
    }

    /// How many bytes an event of [`delta`](Self::delta) takes beside its text.
    pub fn delta_bytes(&self) -> usize {
        self.content_head.len() + self.content_tail.len()
    }

    /// Appends the event that says why the answer ends, e.g. `stop`.
    pub fn finish(&self, reason: &str, out: &mut Vec<u8>) {
        for part in [&self.head, CHOICE, br#"{},"logprobs":null,"finish_reason":"#] {
            out.extend_from_slice(part);
        }
        quoted(reason, out);
        out.push(b'}');
        out.extend_from_slice(self.tail);
    }

    /// Appends the event with token counts and no choices.
    pub fn usage(&self, usage: &ChunkUsage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        let ChunkUsage { prompt, completion, estimated, .. } = usage;
        let total = usage.total.unwrap_or_else(|| prompt.saturating_add(*completion));
        let cached = detail("prompt", "cached", usage.cached);
        let reasoning = detail("completion", "reasoning", usage.reasoning);
        let counts = format!(
            "],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\
             \"total_tokens\":{total}{cached}{reasoning}}},\"usage_estimated\":{estimated}}}\n\n"
        );
        out.extend_from_slice(counts.as_bytes());
    }

    /// Appends the last event of a stream that failed: OpenAI's error object, with `kind` as its
    /// `type`. It has nothing of the stream's own.
    pub fn error(
        message: &str,
        kind: &str,
        param: Option<&str>,
        code: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(br#"data: {"error":{"message":"#);
        quoted(message, out);
        out.extend_from_slice(br#","type":"#);
        quoted(kind, out);
        out.extend_from_slice(br#","param":"#);
        nullable(param, out);
        out.extend_from_slice(br#","code":"#);
        nullable(code, out);
        out.extend_from_slice(b"}}\n\n");
    }
}

/// The member that says how many of the tokens are of a kind; empty where that is not known.
fn detail(of: &str, kind: &str, count: Option<u64>) -> String {
    count.map_or_else(String::new, |count| {
        format!(",\"{of}_tokens_details\":{{\"{kind}_tokens\":{count}}}")
    })
}

fn nullable(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => quoted(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

pub(crate) fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Appends the text as the inside of a JSON string.
fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let (mut copied, mut at) = (0, 0);
    while let Some(plain) = bytes[at..].iter().position(|&byte| MAY_NEED_ESCAPE[usize::from(byte)])
    {
        at += plain;
        let (width, character) = match bytes[at..] {
            [0xc2, second @ 0x80..=0x9f, ..] => (2, u16::from(second)),
            [0xe2, 0x80, third @ (0xa8 | 0xa9), ..] => (3, 0x2000 | u16::from(third - 0x80)),
            [byte @ ..0x80, ..] => (1, u16::from(byte)),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        escape_character(character, out);
        at += width;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Whether a character may need an escape, by its first byte.
const MAY_NEED_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[0x7f] = true;
    table[0xc2] = true; // U+0080 to U+009F
    table[0xe2] = true; // U+2028, U+2029
    table
};

fn escape_character(character: u16, out: &mut Vec<u8>) {
    let letter = match character {
        0x22 => b'"',
        0x5c => b'\\',
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => return out.extend_from_slice(format!("\\u{character:04x}").as_bytes()),
    };
    out.extend_from_slice(&[b'\\', letter]);
}
