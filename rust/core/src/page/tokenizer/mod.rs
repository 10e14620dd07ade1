//! Bytes of a page in, tags and raw text out, at the level of the WHATWG tokenizer (HTML 13.2.5).
//!
//! Chunk boundaries never change the tokens. Text between tags is hopped over, and so are comments;
//! the text of raw elements (`script`, `style`, `title`, …) is given as it stands. Elements switch
//! the tokenizer as a tree builder with scripting on would, `noscript` included; in foreign content
//! none does (`tree`). The one buffer holds the tag that a chunk's end has cut.
//!
//! Tags that lie whole in a chunk are mostly read at once (`fast_tag`); the states (`states`) read
//! all else, and whatever is odd. Both give the same tokens, which is tested by cutting pages.

mod states;

use std::fmt;
use std::ops::ControlFlow;

use memchr::{memchr, memchr2};

use super::attributes::Tag;
use super::fast_tag::FastTag;
use super::tree::{Content, Tree};
use states::{
    Part, State, cdata_state, comment_state, ends_name, read_script_name, script_state, tag_state,
};

/// Takes the tokens. `Break` ends the tokenizing at once: nothing after that token is looked at.
pub trait Sink {
    /// Whether only tags that can matter to a scan for widgets and tokens are wanted. Of the
    /// others, which are most of a page's, those that lie whole in a chunk are passed over.
    const ONLY_MATTERING: bool = false;

    /// Takes a start tag, self-closing or not.
    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()>;

    /// Takes an end tag.
    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()>;

    /// Takes a piece of a raw element's text, between the element's start and end tags: bytes of
    /// the page, nothing decoded.
    fn text(&mut self, piece: &[u8]);
}

/// How many `<template>`s are open: the inside of one is no markup of the page.
#[derive(Default)]
pub(super) struct Templates(usize);

impl Templates {
    /// Takes a start tag; false when it belongs to a template, or begins one.
    pub(super) fn start_tag(&mut self, tag: &Tag<'_>) -> bool {
        self.0 += usize::from(tag.is("template"));
        self.0 == 0
    }

    /// Takes an end tag; one without its start ends nothing.
    pub(super) fn end_tag(&mut self, tag: &Tag<'_>) {
        if tag.is("template") {
            self.0 = self.0.saturating_sub(1);
        }
    }
}

/// The incremental tokenizer. A token that is unfinished when the page ends is none, so that the
/// end need not be told. The `Debug` form shows nothing of the page.
#[derive(Default)]
pub struct Tokenizer {
    state: State,
    /// The elements that are open, as far as it matters which.
    tree: Tree,
    /// The raw element whose text is being read, in lower case.
    raw: &'static str,
    /// Whether a possible end tag stands in a script's escaped text.
    escaped: bool,
    /// The beginning, from earlier chunks, of the tag (or the possible end tag) that is being read.
    carried: Vec<u8>,
}

/// The current chunk, and how far it has been read.
struct Chunk<'data> {
    data: &'data [u8],
    at: usize,
    /// The offset of the raw text that has not been given yet.
    text_start: usize,
    /// The offset of the `<` of the tag being read, or 0 when that is in the carried bytes.
    tag_start: usize,
}

impl<'data> Chunk<'data> {
    fn new(data: &'data [u8]) -> Self {
        Self { data, at: 0, text_start: 0, tag_start: 0 }
    }
}

const RAW_ELEMENTS: [&str; 9] =
    ["script", "style", "title", "textarea", "noscript", "iframe", "noembed", "noframes", "xmp"];

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// A tokenizer at the beginning of a page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held back because their tag is not complete; never more than were fed.
    pub fn buffered(&self) -> usize {
        self.carried.len()
    }

    /// Gives the tokens that end in `data` to the sink, until it breaks; after a break nothing may
    /// be fed.
    pub fn feed(&mut self, data: &[u8], sink: &mut impl Sink) -> ControlFlow<()> {
        let mut chunk = Chunk::new(data);
        while self.hop(&mut chunk) {
            if !self.read_fast(&mut chunk, sink)? {
                self.step(&mut chunk, sink)?;
            }
        }
        self.keep(&chunk, sink);
        ControlFlow::Continue(())
    }

    /// At the `<` of a tag that lies whole in the chunk and is written as most are: reads the tag
    /// at once. False: whatever begins there is for the states to read.
    fn read_fast<S: Sink>(&mut self, chunk: &mut Chunk<'_>, sink: &mut S) -> ControlFlow<(), bool> {
        if self.state != State::Data {
            return ControlFlow::Continue(false);
        }
        let rest = &chunk.data[chunk.at..];
        let Some(tag) = FastTag::read(rest) else {
            return ControlFlow::Continue(false);
        };
        let FastTag { length, name, is_named, matters, is_self_closing } = tag;
        chunk.at += length + 1;
        chunk.text_start = chunk.at;
        if matters || !S::ONLY_MATTERING {
            self.give_tag(&rest[..length], false, sink)?;
        } else if is_named {
            self.give_tag(&rest[..length], true, sink)?;
        } else if !self.tree.takes(name, is_self_closing) {
            self.build(&rest[..length]);
        }
        ControlFlow::Continue(true)
    }

    /// Moves over the bytes that cannot change the state; false when none is left.
    fn hop(&self, chunk: &mut Chunk<'_>) -> bool {
        let rest = chunk.data.get(chunk.at..).unwrap_or_default();
        let skipped = match self.state {
            State::Data | State::Text => memchr(b'<', rest),
            State::Quoted(quote) => memchr(quote, rest),
            State::Comment => memchr(b'-', rest),
            State::Cdata => memchr(b']', rest),
            State::BogusComment => memchr(b'>', rest),
            State::Escaped | State::DoubleEscaped => memchr2(b'-', b'<', rest),
            State::Plaintext => None,
            _ => Some(0),
        };
        chunk.at += skipped.unwrap_or(rest.len());
        chunk.at < chunk.data.len()
    }

    fn step(&mut self, chunk: &mut Chunk<'_>, sink: &mut impl Sink) -> ControlFlow<()> {
        let byte = chunk.data[chunk.at];
        match self.state.part() {
            Part::Data | Part::TagStart => self.open(byte, chunk),
            Part::Tag => return self.tag(byte, chunk, sink),
            // `<![` may begin a CDATA section, as there are in foreign content.
            Part::Declaration if byte == b'[' && self.tree.is_foreign() => {
                self.state = State::CdataOpen(1);
            }
            Part::Declaration | Part::Comment => self.state = comment_state(self.state, byte),
            Part::Cdata => self.state = cdata_state(self.state, byte),
            Part::Text | Part::TextEnd => return self.text(byte, chunk, sink),
            Part::Script => {
                self.script(byte, chunk);
                return ControlFlow::Continue(());
            }
        }
        chunk.at += 1;
        ControlFlow::Continue(())
    }

    /// Takes a byte of 13.2.5.1, 13.2.5.6 and 13.2.5.7, which tell what a `<` in data begins.
    fn open(&mut self, byte: u8, chunk: &mut Chunk<'_>) {
        self.state = match (self.state, byte) {
            (State::Data | State::TagOpen, b'<') => {
                self.carried.clear();
                chunk.tag_start = chunk.at;
                State::TagOpen
            }
            (State::TagOpen, b'/') => State::EndTagOpen,
            (State::TagOpen, b'!') => State::MarkupDeclaration,
            (State::TagOpen | State::EndTagOpen, b'a'..=b'z' | b'A'..=b'Z') => State::TagName,
            (State::TagOpen, b'?') => State::BogusComment,
            (State::EndTagOpen, byte) if byte != b'>' => State::BogusComment,
            _ => State::Data,
        };
        if matches!(self.state, State::Data | State::MarkupDeclaration | State::BogusComment) {
            self.carried.clear();
        }
    }

    fn tag(&mut self, byte: u8, chunk: &mut Chunk<'_>, sink: &mut impl Sink) -> ControlFlow<()> {
        let next = tag_state(self.state, byte);
        if let Some(state) = next {
            self.state = state;
        } else {
            self.finish_tag(chunk, sink)?;
        }
        chunk.at += 1;
        if next.is_none() {
            chunk.text_start = chunk.at;
        }
        ControlFlow::Continue(())
    }

    /// Gives the tag that ends at the current `>` and enters the state that follows it.
    fn finish_tag<S: Sink>(&mut self, chunk: &Chunk<'_>, sink: &mut S) -> ControlFlow<()> {
        let mut carried = std::mem::take(&mut self.carried);
        let here = chunk.data.get(chunk.tag_start..=chunk.at).unwrap_or_default();
        let whole = if carried.is_empty() {
            here
        } else {
            carried.extend_from_slice(here);
            &carried
        };
        let tag = &whole[..whole.len().saturating_sub(1)];
        let is_plain = |fast: FastTag| !fast.matters && fast.length == tag.len();
        let is_plain = S::ONLY_MATTERING && FastTag::read(whole).is_some_and(is_plain);
        let flow = self.give_tag(tag, is_plain, sink);
        carried.clear();
        self.carried = carried;
        flow
    }

    /// Gives a tag, without its `>`, and enters the state that follows it.
    fn give_tag(&mut self, tag: &[u8], is_plain: bool, sink: &mut impl Sink) -> ControlFlow<()> {
        let is_end = tag.get(1) == Some(&b'/');
        let tag = self.build(tag);
        let tag = if is_plain { tag.plain() } else { tag };
        if is_end { sink.end_tag(&tag) } else { sink.start_tag(&tag) }
    }

    /// Takes a tag, without its `>`, into the tree, and enters the state that follows it.
    fn build<'tag>(&mut self, tag: &'tag [u8]) -> Tag<'tag> {
        let bytes = tag.get(1..).unwrap_or_default();
        let (tag, content) = if let [b'/', inside @ ..] = bytes {
            // A raw element's own end tag closes that element alone, which the tree does not know.
            let content = if self.raw.is_empty() { self.tree.end(bytes) } else { Content::Html };
            self.enter("", State::Data);
            (Tag::new(inside), content)
        } else {
            let tag = Tag::new(bytes);
            let content = self.tree.start(&tag, bytes);
            self.enter_content(&tag, content);
            (tag, content)
        };
        if content == Content::Foreign { tag.foreign() } else { tag }
    }

    /// Enters the state that follows a start tag.
    fn enter_content(&mut self, tag: &Tag<'_>, content: Content) {
        let raw = RAW_ELEMENTS.into_iter().find(|name| tag.is(name));
        match raw.filter(|_| content == Content::Html) {
            Some(name) => self.enter(name, State::Text),
            None if content == Content::Html && tag.is("plaintext") => {
                self.enter("", State::Plaintext);
            }
            None => self.enter("", State::Data),
        }
    }

    fn enter(&mut self, raw: &'static str, state: State) {
        (self.raw, self.state) = (raw, state);
    }

    /// Takes a byte of 13.2.5.2, 13.2.5.3 and 13.2.5.9 to 13.2.5.17: raw text, where a `<` may
    /// begin the end tag.
    fn text(&mut self, byte: u8, chunk: &mut Chunk<'_>, sink: &mut impl Sink) -> ControlFlow<()> {
        let name = self.raw.as_bytes();
        self.state = match self.state {
            State::Text => {
                self.escaped = false;
                chunk.tag_start = chunk.at;
                State::TextLess
            }
            State::TextLess if byte == b'/' => State::TextEndOpen,
            State::TextLess if byte == b'!' && self.raw == "script" && !self.escaped => {
                self.release(sink);
                State::EscapeStart
            }
            State::TextLess if self.escaped && byte.is_ascii_alphabetic() => {
                self.release(sink);
                State::DoubleEscapeStart(read_script_name(Some(0), byte))
            }
            State::TextEndOpen if byte.is_ascii_alphabetic() => {
                self.state = State::TextEndName(0);
                return ControlFlow::Continue(());
            }
            State::TextEndName(read)
                if name.get(read).is_some_and(|next| byte.eq_ignore_ascii_case(next)) =>
            {
                State::TextEndName(read + 1)
            }
            State::TextEndName(read) if read == name.len() && ends_name(byte) => {
                if self.carried.is_empty() {
                    give_text(sink, &chunk.data[chunk.text_start..chunk.tag_start]);
                }
                self.state = State::TagName;
                return self.tag(byte, chunk, sink);
            }
            _ => {
                // Not its end tag after all: the byte is looked at again, as text.
                self.release(sink);
                self.state = if self.escaped { State::Escaped } else { State::Text };
                return ControlFlow::Continue(());
            }
        };
        chunk.at += 1;
        ControlFlow::Continue(())
    }

    /// Takes a byte of 13.2.5.18 to 13.2.5.31: a script's escaped text (`<!--`) and doubly escaped
    /// text (`<!-- <script`).
    fn script(&mut self, byte: u8, chunk: &mut Chunk<'_>) {
        let (next, consumed) = script_state(self.state, byte);
        if next == State::TextLess {
            self.escaped = true;
            chunk.tag_start = chunk.at;
        }
        self.state = next;
        chunk.at += usize::from(consumed);
    }

    /// Gives the carried bytes as text, since they turned out to be no end tag.
    fn release(&mut self, sink: &mut impl Sink) {
        if !self.carried.is_empty() {
            sink.text(&self.carried);
            self.carried.clear();
        }
    }

    /// Ends a chunk: gives the raw text so far, and carries the tag so far.
    fn keep(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) {
        match self.state.part() {
            Part::TextEnd => {
                if self.carried.is_empty() {
                    give_text(sink, &chunk.data[chunk.text_start..chunk.tag_start]);
                }
                self.carry(chunk);
            }
            Part::TagStart | Part::Tag => self.carry(chunk),
            Part::Data | Part::Declaration | Part::Comment | Part::Cdata => {}
            Part::Text | Part::Script => give_text(sink, &chunk.data[chunk.text_start..]),
        }
    }

    fn carry(&mut self, chunk: &Chunk<'_>) {
        self.carried.extend_from_slice(chunk.data.get(chunk.tag_start..).unwrap_or_default());
    }
}

fn give_text(sink: &mut (impl Sink + ?Sized), piece: &[u8]) {
    if !piece.is_empty() {
        sink.text(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Sink for Nobody {
        fn start_tag(&mut self, _: &Tag<'_>) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn end_tag(&mut self, _: &Tag<'_>) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn text(&mut self, _: &[u8]) {}
    }

    /// How many steps the states take, which here read the tags that lie whole in a chunk, too.
    fn steps(page: &[u8]) -> usize {
        let mut tokenizer = Tokenizer::new();
        let mut chunk = Chunk::new(page);
        let mut steps = 0;
        while tokenizer.hop(&mut chunk) {
            assert!(tokenizer.step(&mut chunk, &mut Nobody).is_continue());
            steps += 1;
        }
        steps
    }

    #[test]
    fn a_byte_is_looked_at_twice_at_most_and_hopped_over_where_it_can_be() {
        for unit in [
            "<",
            "</",
            "<!-",
            "--!",
            "<a b='",
            "<script><!--<script ",
            "<textarea></textare",
            "<title></",
            "a",
            "<p a=b c>",
        ] {
            let page = unit.repeat(1000);
            assert!(steps(page.as_bytes()) <= 2 * page.len(), "{unit}");
        }
        let text = "long text, ".repeat(1000);
        for page in [
            format!("{text}<p>"),
            format!("<p a='{text}'>"),
            format!("<!--{text}-->"),
            format!("<title>{text}</title>"),
        ] {
            assert!(steps(page.as_bytes()) < 30, "{}", &page[..9]);
        }
    }
}
