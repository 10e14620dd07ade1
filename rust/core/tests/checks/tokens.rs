//! The tokenizer against html5ever's: the same tags, attributes and raw text, however the page is
//! cut; and the same raw text for who wants only tags that can matter.

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
    for reads in [&[page][..], &reads(page, sizes)] {
        let sifted = sifted(reads);
        assert_eq!(texts(&sifted), texts(&whole), "page: {shown:?} in {} reads", reads.len());
        let mut all = whole.iter();
        assert!(sifted.iter().all(|token| all.any(|other| other == token)), "page: {shown:?}");
    }
}

fn texts(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| matches!(seen, Seen::Text(_))).collect()
}

/// Whether the crate follows what the standard does with a page. It knows no frames, and no columns
/// without a table.
fn is_modelled(page: &str) -> bool {
    let holds = |tag: &str| page.contains(tag);
    !(holds("<frameset") || holds("<template") && holds("<col"))
}

/// The crate's tokens of a page.
fn tokens(reads: &[&[u8]]) -> Vec<Seen> {
    let mut sink = Tokens::default();
    feed(reads, &mut sink);
    sink.flush();
    sink.seen
}

/// Those of them that can matter to a scan.
fn sifted(reads: &[&[u8]]) -> Vec<Seen> {
    let mut sink = Sifted::default();
    feed(reads, &mut sink);
    sink.0.flush();
    sink.0.seen
}

fn feed(reads: &[&[u8]], sink: &mut impl Sink) {
    let mut tokenizer = Tokenizer::new();
    for read in reads {
        assert!(tokenizer.feed(read, sink).is_continue());
    }
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

#[derive(Default)]
struct Sifted(Tokens);

impl Sink for Sifted {
    const ONLY_MATTERING: bool = true;

    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.0.start_tag(tag)
    }

    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.0.end_tag(tag)
    }

    fn text(&mut self, piece: &[u8]) {
        self.0.text(piece);
    }
}

/// Without the text of a raw element that the page's end has cut, which nobody is told of.
fn closed(mut seen: Vec<Seen>) -> Vec<Seen> {
    if matches!(seen.last(), Some(Seen::Text(_))) {
        seen.pop();
    }
    seen
}
