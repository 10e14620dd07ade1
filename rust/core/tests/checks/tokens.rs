//! The tokenizer against html5ever's: the same tags, attributes and raw text, however the page is
//! cut.

use std::collections::HashSet;
use std::ops::ControlFlow;

use tailrace_core::entity::decode_text;
use tailrace_core::page::attributes::Tag;
use tailrace_core::page::tokenizer::{Sink, Tokenizer};

use super::cutting::{reads, sizes};
use super::oracle::{Seen, oracle};

pub fn check(data: &[u8]) {
    let (sizes, page) = sizes(data);
    // A table ends a paragraph in this mode only, which the crate takes for granted.
    let page = &[b"<!DOCTYPE html>", page].concat()[..];
    let whole = tokens(&[page]);
    let shown = String::from_utf8_lossy(page);
    if is_modelled(&shown.to_ascii_lowercase()) {
        assert_eq!(closed(whole.clone()), closed(oracle(page)), "page: {shown:?}");
    }
    assert_eq!(tokens(&reads(page, sizes)), whole, "page: {shown:?} in reads of {sizes:?}");
}

/// Whether the crate follows what the standard does with a page. It knows no frames, and no columns
/// without a table.
fn is_modelled(page: &str) -> bool {
    let holds = |tag: &str| page.contains(tag);
    !(holds("<frameset") || holds("<template") && holds("<col"))
}

/// The crate's tokens of a page.
fn tokens(reads: &[&[u8]]) -> Vec<Seen> {
    let (mut tokenizer, mut sink) = (Tokenizer::new(), Tokens::default());
    for read in reads {
        assert!(tokenizer.feed(read, &mut sink).is_continue());
    }
    sink.flush();
    sink.seen
}

#[derive(Default)]
struct Tokens {
    seen: Vec<Seen>,
    rcdata: bool,
    text: Vec<u8>,
}

impl Tokens {
    fn flush(&mut self) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{FFFD}");
        let text = if self.rcdata { decode_text(&text).into_owned() } else { text };
        if !text.is_empty() {
            self.seen.push(Seen::Text(text));
        }
    }
}

impl Sink for Tokens {
    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.rcdata = tag.is("title") || tag.is("textarea");
        let mut names = HashSet::new();
        let first = tag.attributes().filter(|attribute| names.insert(attribute.name()));
        let attributes =
            first.map(|attribute| (attribute.name(), attribute.value().into_owned())).collect();
        self.seen.push(Seen::Start(tag.name(), attributes));
        ControlFlow::Continue(())
    }

    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.flush();
        self.seen.push(Seen::End(tag.name()));
        ControlFlow::Continue(())
    }

    fn text(&mut self, piece: &[u8]) {
        self.text.extend_from_slice(piece);
    }
}

/// Without the text of a raw element that the page's end has cut, which nobody is told of.
fn closed(mut seen: Vec<Seen>) -> Vec<Seen> {
    if matches!(seen.last(), Some(Seen::Text(_))) {
        seen.pop();
    }
    seen
}
