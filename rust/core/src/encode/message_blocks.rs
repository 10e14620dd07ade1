//! Blocks in, the events of a message's content blocks out, or the content of a whole message.

use crate::json::{decimal, escape, on_one_line, quoted};
use crate::prelude::*;

use super::sequence::{Blocks, Kind, Opening};

/// The events of the blocks of one message.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockEvents {
    /// The index of the block that is open, or is the next.
    index: u64,
    /// The event of a delta of the block that is open, up to its text.
    delta_head: Vec<u8>,
    /// Whether the block that is open waits for what it holds.
    is_redacted: bool,
}

impl Blocks for BlockEvents {
    fn open(&mut self, opening: Opening<'_>, out: &mut Vec<u8>) {
        let delta = match opening.kind {
            Kind::Text | Kind::Refusal => r#"{"type":"text_delta","text":""#,
            Kind::Call(_) => r#"{"type":"input_json_delta","partial_json":""#,
            _ => r#"{"type":"thinking_delta","thinking":""#,
        };
        self.delta_head = self.event("content_block_delta");
        self.delta_head.extend_from_slice(format!(r#","delta":{delta}"#).as_bytes());
        out.extend_from_slice(&self.event("content_block_start"));
        out.extend_from_slice(br#","content_block":"#);
        begin_block(opening, out);
        out.extend_from_slice(match opening.kind {
            Kind::Text | Kind::Refusal => br#"""#,
            Kind::Call(_) => b"{}",
            Kind::Redacted => {
                self.is_redacted = true;
                return;
            }
            // The clients' type has a signature, which only some services give.
            _ => br#"","signature":"""#,
        });
        out.extend_from_slice(b"}}\n\n");
    }

    fn takes(&self, seal: Kind) -> bool {
        seal != Kind::Encrypted
    }

    fn seal(&mut self, seal: &str, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_redacted) {
            quoted(seal, out);
        } else {
            out.extend_from_slice(&self.event("content_block_delta"));
            out.extend_from_slice(br#","delta":{"type":"signature_delta","signature":"#);
            quoted(seal, out);
        }
        out.extend_from_slice(b"}}\n\n");
    }

    fn add(&mut self, text: &str, _: &str, out: &mut Vec<u8>) {
        out.reserve(self.delta_head.len() + text.len() + 8);
        out.extend_from_slice(&self.delta_head);
        escape(text, out);
        out.extend_from_slice(b"\"}}\n\n");
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.event("content_block_stop"));
        out.extend_from_slice(b"}\n\n");
        self.index += 1;
    }
}

impl BlockEvents {
    /// An event of the block that is open, up to and with its index.
    fn event(&self, kind: &str) -> Vec<u8> {
        let begin = format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"index\":");
        let mut event = begin.into_bytes();
        decimal(self.index, &mut event);
        event
    }
}

/// The blocks of a whole message, joined.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) blocks: Vec<u8>,
    /// The kind of the block that is open.
    kind: Option<Kind>,
    /// The arguments of the call that is open.
    arguments: String,
    /// The signature of the reasoning that is open.
    signature: String,
}

impl Blocks for Content {
    fn open(&mut self, opening: Opening<'_>, _: &mut Vec<u8>) {
        if !self.blocks.is_empty() {
            self.blocks.push(b',');
        }
        self.kind = Some(opening.kind);
        begin_block(opening, &mut self.blocks);
    }

    fn add(&mut self, text: &str, _: &str, _: &mut Vec<u8>) {
        match self.kind {
            Some(Kind::Call(_)) => self.arguments.push_str(text),
            _ => escape(text, &mut self.blocks),
        }
    }

    fn close(&mut self, _: &mut Vec<u8>) {
        match self.kind.take() {
            Some(Kind::Call(_)) => {
                write_input(&std::mem::take(&mut self.arguments), &mut self.blocks);
            }
            Some(Kind::Reasoning | Kind::Signature) => {
                self.blocks.extend_from_slice(br#"","signature":"#);
                quoted(&std::mem::take(&mut self.signature), &mut self.blocks);
            }
            Some(Kind::Redacted) => {}
            _ => self.blocks.push(b'"'),
        }
        self.blocks.push(b'}');
    }

    fn takes(&self, seal: Kind) -> bool {
        seal != Kind::Encrypted
    }

    fn seal(&mut self, seal: &str, _: &mut Vec<u8>) {
        match self.kind {
            Some(Kind::Redacted) => quoted(seal, &mut self.blocks),
            _ => self.signature.push_str(seal),
        }
    }
}

/// Appends a block up to what it holds.
fn begin_block(opening: Opening<'_>, out: &mut Vec<u8>) {
    match opening.kind {
        // The API has no part of its own for a refusal: there it is text, and the stop reason.
        Kind::Text | Kind::Refusal => out.extend_from_slice(br#"{"type":"text","text":""#),
        Kind::Reasoning | Kind::Signature | Kind::Encrypted => {
            out.extend_from_slice(br#"{"type":"thinking","thinking":""#);
        }
        Kind::Call(_) => {
            out.extend_from_slice(br#"{"type":"tool_use","id":"#);
            quoted(opening.id, out);
            out.extend_from_slice(br#","name":"#);
            quoted(opening.name, out);
            out.extend_from_slice(br#","input":"#);
        }
        Kind::Redacted => {
            out.extend_from_slice(br#"{"type":"redacted_thinking","data":"#);
        }
    }
}

/// Appends the arguments as the object that they must be here. Text that is none is told whole, under
/// the name that Anthropic's documentation has for it.
fn write_input(arguments: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if arguments.trim_ascii().is_empty() {
        return out.extend_from_slice(b"{}");
    }
    let is_object = arguments.trim_ascii_start().starts_with('{');
    if !is_object || on_one_line(arguments, out).is_err() {
        out.truncate(start);
        out.extend_from_slice(br#"{"INVALID_JSON":"#);
        quoted(arguments, out);
        out.push(b'}');
    }
}
