//! Blocks in, the events of a response's output items out, and the items themselves.

use crate::json::{decimal, escape, quoted};
use crate::prelude::*;

use super::sequence::{Blocks, Kind, Opening, push_elements};

/// Bytes that an item or a part counts for beside its text.
const ITEM_BYTES: usize = 256;

/// The output items of one response.
#[derive(Clone, Debug)]
pub(super) struct Items {
    /// What the ids of items end with, but for their number.
    own_id: String,
    /// The number of the next event.
    next: u64,
    /// How many items have begun.
    count: u64,
    /// The items that are whole, joined.
    output: Vec<u8>,
    item: Option<Item>,
    part: Option<Part>,
    /// Whether the answer is cut, so that what ends now is not whole.
    pub(super) is_cut: bool,
    /// Bytes that are kept.
    pub(super) kept: usize,
}

/// The item that is open: a message stays open from its text to its refusal.
#[derive(Clone, Debug)]
struct Item {
    kind: ItemKind,
    /// `"item_id":…,"output_index":…`
    place: Vec<u8>,
    /// As JSON, up to what a status comes before.
    head: Vec<u8>,
    /// Parts that are whole, joined; of a call its arguments.
    content: Vec<u8>,
    parts: u64,
    /// From behind the content on.
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ItemKind {
    Message,
    Reasoning,
    Call,
}

/// The part of the item that is open.
#[derive(Clone, Debug)]
struct Part {
    wire: &'static PartWire,
    /// `"item_id":…,"output_index":…`, and the part's index.
    place: Vec<u8>,
    /// The event of a delta, up to the text.
    delta_head: Vec<u8>,
    /// The text so far, escaped.
    text: Vec<u8>,
    /// The log probabilities of its tokens, joined by commas.
    logprobs: String,
    /// What stands beside the whole text: of a call the tool's name.
    beside_whole: Vec<u8>,
}

/// How a kind of part is written.
#[derive(Debug)]
struct PartWire {
    /// What the events of its text begin with.
    name: &'static str,
    /// The name of the whole text.
    whole: &'static str,
    /// What the events of the part begin with, how its index is named, and its JSON up to what it
    /// holds; a call has no parts.
    part: Option<(&'static str, &'static str, &'static str)>,
    /// Whether it has log probabilities.
    has_logprobs: bool,
}

const TEXT: PartWire = PartWire {
    name: "response.output_text",
    whole: "text",
    part: Some((
        "response.content_part",
        "content_index",
        r#"{"type":"output_text","annotations":[]"#,
    )),
    has_logprobs: true,
};

const REFUSAL: PartWire = PartWire {
    name: "response.refusal",
    whole: "refusal",
    part: Some(("response.content_part", "content_index", r#"{"type":"refusal""#)),
    has_logprobs: false,
};

const SUMMARY: PartWire = PartWire {
    name: "response.reasoning_summary_text",
    whole: "text",
    part: Some(("response.reasoning_summary_part", "summary_index", r#"{"type":"summary_text""#)),
    has_logprobs: false,
};

const ARGUMENTS: PartWire = PartWire {
    name: "response.function_call_arguments",
    whole: "arguments",
    part: None,
    has_logprobs: false,
};

impl Blocks for Items {
    fn open(&mut self, opening: Opening<'_>, out: &mut Vec<u8>) {
        let (kind, wire) = match opening.kind {
            Kind::Text => (ItemKind::Message, &TEXT),
            Kind::Refusal => (ItemKind::Message, &REFUSAL),
            Kind::Reasoning => (ItemKind::Reasoning, &SUMMARY),
            Kind::Call(_) => (ItemKind::Call, &ARGUMENTS),
            // Reasoning of which nothing is shown has no part.
            Kind::Redacted | Kind::Signature | Kind::Encrypted => {
                self.end_item(out);
                return self.begin_item(ItemKind::Reasoning, opening, out);
            }
        };
        let goes_on = kind == ItemKind::Message;
        if !(goes_on && self.item.as_ref().is_some_and(|item| item.kind == kind)) {
            self.end_item(out);
            self.begin_item(kind, opening, out);
        }
        self.begin_part(wire, opening, out);
    }

    fn add(&mut self, text: &str, logprobs: &str, out: &mut Vec<u8>) {
        let Some(part) = &mut self.part else { return };
        out.reserve(part.delta_head.len() + text.len() + logprobs.len() + 64);
        out.extend_from_slice(&part.delta_head);
        let start = out.len();
        escape(text, out);
        part.text.extend_from_slice(&out[start..]);
        self.kept += out.len() - start;
        out.push(b'"');
        if part.wire.has_logprobs {
            write_logprobs(logprobs, out);
        }
        if !logprobs.is_empty() {
            push_elements(logprobs, &mut part.logprobs);
            self.kept += logprobs.len();
        }
        self.number(out);
    }

    fn takes(&self, seal: Kind) -> bool {
        seal == Kind::Encrypted
    }

    fn seal(&mut self, seal: &str, _: &mut Vec<u8>) {
        if let Some(item) = &mut self.item {
            item.tail.extend_from_slice(br#","encrypted_content":"#);
            quoted(seal, &mut item.tail);
            self.kept += seal.len();
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        // The arguments of a call are JSON, also where it has none.
        let is_call = self.item.as_ref().is_some_and(|item| item.kind == ItemKind::Call);
        let is_blank = |part: &Part| part.text.trim_ascii().is_empty();
        if is_call && !self.is_cut && self.part.as_ref().is_some_and(is_blank) {
            self.add("{}", "", out);
        }
        self.end_part(out);
        if self.item.as_ref().is_some_and(|item| item.kind != ItemKind::Message) {
            self.end_item(out);
        }
    }
}

impl Items {
    /// The items of a response of this id.
    pub(super) fn new(id: &str) -> Self {
        let own_id = id.split_once('_').map_or(id, |(_, own)| own).to_owned();
        Self {
            own_id,
            next: 0,
            count: 0,
            output: Vec::new(),
            item: None,
            part: None,
            is_cut: false,
            kept: 0,
        }
    }

    /// The items of the same response, none of them there yet.
    pub(super) fn anew(&self) -> Self {
        Self::new(&format!("_{}", self.own_id))
    }

    /// Appends an event, to which `members` adds.
    pub(super) fn event(
        &mut self,
        kind: &str,
        members: impl FnOnce(&mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        begin_event(kind, out);
        members(out);
        self.number(out);
    }

    /// Ends the event that was begun with its number.
    fn number(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#","sequence_number":"#);
        decimal(self.next, out);
        out.extend_from_slice(b"}\n\n");
        self.next += 1;
    }

    /// Ends the item that is open.
    pub(super) fn end_item(&mut self, out: &mut Vec<u8>) {
        let Some(item) = self.item.take() else { return };
        let whole = item.json(if self.is_cut { "incomplete" } else { "completed" });
        self.item_event("response.output_item.done", &whole, out);
        self.count += 1;
        push_element(&whole, &mut self.output);
    }

    /// The items so far, the one that is open among them.
    pub(super) fn output(&self) -> Vec<u8> {
        let mut output = self.output.clone();
        if let Some(item) = &self.item {
            let mut item = item.clone();
            if let Some(part) = &self.part {
                item.take(part);
            }
            push_element(&item.json("incomplete"), &mut output);
        }
        output
    }

    fn begin_item(&mut self, kind: ItemKind, opening: Opening<'_>, out: &mut Vec<u8>) {
        let item = Item::new(kind, opening, &self.own_id, self.count);
        self.item_event("response.output_item.added", &item.json("in_progress"), out);
        self.kept += ITEM_BYTES + opening.id.len() + opening.name.len();
        self.item = Some(item);
    }

    fn item_event(&mut self, kind: &str, item: &[u8], out: &mut Vec<u8>) {
        let index = self.count;
        let members = |out: &mut Vec<u8>| {
            out.extend_from_slice(format!(r#","output_index":{index},"item":"#).as_bytes());
            out.extend_from_slice(item);
        };
        self.event(kind, members, out);
    }

    fn begin_part(&mut self, wire: &'static PartWire, opening: Opening<'_>, out: &mut Vec<u8>) {
        let Some(item) = &self.item else { return };
        let mut place = item.place.clone();
        if let Some((_, index, _)) = wire.part {
            place.extend_from_slice(format!(r#","{index}":{}"#, item.parts).as_bytes());
        }
        let mut delta_head = Vec::new();
        begin_event(&format!("{}.delta", wire.name), &mut delta_head);
        delta_head.extend_from_slice(&place);
        delta_head.extend_from_slice(br#","delta":""#);
        let mut beside_whole = Vec::new();
        if let Kind::Call(_) = opening.kind {
            beside_whole.extend_from_slice(br#","name":"#);
            quoted(opening.name, &mut beside_whole);
        }
        let (text, logprobs) = (Vec::new(), String::new());
        let part = Part { wire, place, delta_head, text, logprobs, beside_whole };
        self.part_event("added", &part, out);
        self.kept += ITEM_BYTES;
        self.part = Some(part);
    }

    fn end_part(&mut self, out: &mut Vec<u8>) {
        let Some(part) = self.part.take() else { return };
        let members = |out: &mut Vec<u8>| {
            out.extend_from_slice(&part.place);
            out.extend_from_slice(format!(r#","{}":""#, part.wire.whole).as_bytes());
            out.extend_from_slice(&part.text);
            out.push(b'"');
            part.write_logprobs(out);
            out.extend_from_slice(&part.beside_whole);
        };
        self.event(&format!("{}.done", part.wire.name), members, out);
        self.part_event("done", &part, out);
        if let Some(item) = &mut self.item {
            item.take(&part);
        }
    }

    /// Appends the event that a part has begun or ended, if the item has parts.
    fn part_event(&mut self, step: &str, part: &Part, out: &mut Vec<u8>) {
        let Some((name, ..)) = part.wire.part else { return };
        let members = |out: &mut Vec<u8>| {
            out.extend_from_slice(&part.place);
            out.extend_from_slice(br#","part":"#);
            part.write(out);
        };
        self.event(&format!("{name}.{step}"), members, out);
    }
}

impl Item {
    fn new(kind: ItemKind, opening: Opening<'_>, own_id: &str, index: u64) -> Self {
        let (prefix, name, content, tail) = match kind {
            ItemKind::Message => ("msg", "message", r#","role":"assistant","content":["#, "]"),
            ItemKind::Reasoning => ("rs", "reasoning", r#","summary":["#, "]"),
            ItemKind::Call => ("fc", "function_call", r#","arguments":""#, r#"""#),
        };
        let mut id = Vec::new();
        quoted(&format!("{prefix}_{own_id}_{index}"), &mut id);
        let place = format!(r#","output_index":{index}"#);
        let mut tail = tail.as_bytes().to_vec();
        if kind == ItemKind::Call {
            tail.extend_from_slice(br#","call_id":"#);
            quoted(opening.id, &mut tail);
            tail.extend_from_slice(br#","name":"#);
            quoted(opening.name, &mut tail);
        }
        Self {
            kind,
            place: [br#","item_id":"#, &*id, place.as_bytes()].concat(),
            head: [br#"{"id":"#, &*id, format!(r#","type":"{name}""#).as_bytes()].concat(),
            content: content.as_bytes().to_vec(),
            parts: 0,
            tail,
        }
    }

    /// Takes what a part holds.
    fn take(&mut self, part: &Part) {
        if part.wire.part.is_none() {
            return self.content.extend_from_slice(&part.text);
        }
        if self.parts > 0 {
            self.content.push(b',');
        }
        part.write(&mut self.content);
        self.parts += 1;
    }

    /// The item as JSON. Reasoning has no status.
    fn json(&self, status: &str) -> Vec<u8> {
        let status = format!(r#","status":"{status}""#);
        let status = if self.kind == ItemKind::Reasoning { "" } else { &status };
        [&self.head, status.as_bytes(), &self.content, &self.tail, b"}"].concat()
    }
}

impl Part {
    /// Appends the part as JSON, with the text so far.
    fn write(&self, out: &mut Vec<u8>) {
        if let Some((.., head)) = self.wire.part {
            out.extend_from_slice(head.as_bytes());
            self.write_logprobs(out);
            out.extend_from_slice(format!(r#","{}":""#, self.wire.whole).as_bytes());
            out.extend_from_slice(&self.text);
            out.extend_from_slice(br#""}"#);
        }
    }

    fn write_logprobs(&self, out: &mut Vec<u8>) {
        if self.wire.has_logprobs {
            write_logprobs(&self.logprobs, out);
        }
    }
}

/// Appends the member with log probabilities.
fn write_logprobs(logprobs: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","logprobs":["#);
    out.extend_from_slice(logprobs.as_bytes());
    out.push(b']');
}

fn begin_event(kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {kind}\ndata: {{\"type\":\"{kind}\"").as_bytes());
}

fn push_element(element: &[u8], list: &mut Vec<u8>) {
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(element);
}
