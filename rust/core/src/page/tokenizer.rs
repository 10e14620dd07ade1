//! Bytes of a page in, tags and raw text out, at the level of the WHATWG tokenizer (HTML 13.2.5).
//!
//! Chunk boundaries never change the tokens. Text between tags is hopped over, and so are comments;
//! the text of raw elements (`script`, `style`, `title`, …) is given as it stands. Elements switch
//! the tokenizer as a tree builder with scripting on would, `noscript` included. There is no
//! foreign content: `title` or `style` inside `svg` are taken as HTML's, and a CDATA section is a
//! comment. The one buffer holds the tag that a chunk's end has cut.
//!
//! Tags, comments and raw text that lie whole in a chunk are mostly read at once (`whole`); the
//! states read the others, and what is odd. Both give the same tokens, which is tested by cutting
//! pages.

use std::fmt;
use std::ops::ControlFlow;

use memchr::{memchr, memchr2};

use super::attributes::{Tag, is_space};
use super::near::{Blocks, Shape};
use super::outline::Outline;

/// What becomes of the tokens. `Break` ends the tokenizing at once: nothing after that token is
/// looked at.
pub trait Sink {
    /// Whether only tags that can matter to a scan for widgets and tokens are wanted. Others are
    /// passed over where they lie whole in a chunk, which is most of a page's.
    const ONLY_TELLING: bool = false;

    /// A start tag, self-closing or not.
    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()>;

    /// An end tag.
    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()>;

    /// A piece of a raw element's text, between its start and end tags: bytes of the page, nothing
    /// decoded.
    fn text(&mut self, piece: &[u8]);

    /// A raw element's end: the last piece of its text, and its end tag.
    fn text_end(&mut self, piece: &[u8], tag: &Tag<'_>) -> ControlFlow<()> {
        give_text(self, piece);
        self.end_tag(tag)
    }
}

/// How many `<template>`s are open: what is in one is no markup of the page.
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

/// The incremental tokenizer. It has no end to be told: what is unfinished when the page ends is no
/// token. Its `Debug` form shows nothing of the page.
#[derive(Default)]
pub struct Tokenizer {
    state: State,
    /// The raw element whose text is being read, in lower case.
    raw: &'static str,
    /// Whether a possible end tag stands in a script's escaped text.
    escaped: bool,
    /// What earlier chunks held of the tag (or the possible end tag) that is being read.
    carried: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    TagOpen,
    EndTagOpen,
    TagName,
    /// Also the standard's self-closing and after-quoted-value states, which tell tags no
    /// differently.
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
    MarkupDeclaration,
    MarkupDash,
    /// Also a DOCTYPE, which every `>` ends as well.
    BogusComment,
    CommentStart,
    CommentStartDash,
    Comment,
    CommentEndDash,
    CommentEnd,
    CommentEndBang,
    Plaintext,
    /// Raw text, RCDATA or script data.
    Text,
    TextLess,
    TextEndOpen,
    /// So many bytes of the raw element's name have been read after `</`.
    TextEndName(usize),
    EscapeStart,
    EscapeStartDash,
    Escaped,
    EscapedDash,
    EscapedDashDash,
    /// How much of `script` has been read after `<`; `None` when it is another name.
    DoubleEscapeStart(Option<usize>),
    DoubleEscaped,
    DoubleEscapedDash,
    DoubleEscapedDashDash,
    DoubleEscapedLess,
    DoubleEscapeEnd(Option<usize>),
}

/// Where in the current chunk the reading is.
struct Chunk<'data> {
    data: &'data [u8],
    at: usize,
    /// Raw text from here on has not been given yet.
    text_start: usize,
    /// The `<` of the tag being read, or 0 when it is in the carried bytes.
    tag_start: usize,
    blocks: Blocks<'data>,
}

impl<'data> Chunk<'data> {
    fn new(data: &'data [u8]) -> Self {
        Self { data, at: 0, text_start: 0, tag_start: 0, blocks: Blocks::new(data) }
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
            if !self.whole(&mut chunk, sink)? {
                self.step(&mut chunk, sink)?;
            }
        }
        self.keep(&chunk, sink);
        ControlFlow::Continue(())
    }

    /// At a `<`: reads the tag, the comment or the rest of a raw element that begins or ends there,
    /// if it lies whole in the chunk and can be told without the states. False: it is theirs.
    fn whole<S: Sink>(&mut self, chunk: &mut Chunk<'_>, sink: &mut S) -> ControlFlow<(), bool> {
        match self.state {
            State::Data => self.whole_tag(chunk, sink),
            State::Text => self.whole_text(chunk, sink),
            _ => ControlFlow::Continue(false),
        }
    }

    /// Goes from tag to tag as long as they lie whole in the chunk; stops in front of one that does
    /// not, and behind one after which there is no markup.
    fn whole_tag<S: Sink>(&mut self, chunk: &mut Chunk<'_>, sink: &mut S) -> ControlFlow<(), bool> {
        let data = chunk.data;
        loop {
            let at = chunk.at;
            let Some(end) = self.read_whole(at, chunk, sink)? else {
                return ControlFlow::Continue(false);
            };
            chunk.at = end;
            if self.state != State::Data {
                chunk.text_start = end;
                return ControlFlow::Continue(true);
            }
            let Some(next) = chunk.blocks.next(Shape::Less, end) else {
                chunk.at = data.len();
                return ControlFlow::Continue(true);
            };
            chunk.at = next;
        }
    }

    /// Reads one tag or comment, and says where it ends.
    #[inline]
    fn read_whole<S: Sink>(
        &mut self,
        at: usize,
        chunk: &mut Chunk<'_>,
        sink: &mut S,
    ) -> ControlFlow<(), Option<usize>> {
        let data = chunk.data;
        // Start and end tags are read alike, since a branch between them would be guessed wrong
        // half the time.
        let is_end = data.get(at + 1) == Some(&b'/');
        let name = at + 1 + usize::from(is_end);
        if !data.get(name).is_some_and(u8::is_ascii_alphabetic) {
            return ControlFlow::Continue(comment_end(data, at));
        }
        let Some(outline) = Outline::read(&mut chunk.blocks, name) else {
            return ControlFlow::Continue(None);
        };
        if !S::ONLY_TELLING | outline.named | outline.telling {
            let inside = &data[name..outline.end];
            let tag = if outline.telling { Tag::new(inside) } else { Tag::dull(inside) };
            if is_end {
                sink.end_tag(&tag)?;
            } else {
                self.enter_content(&tag);
                sink.start_tag(&tag)?;
            }
        }
        ControlFlow::Continue(Some(outline.end + 1))
    }

    /// The rest of a raw element, from a `<` in its text on.
    fn whole_text(&mut self, chunk: &mut Chunk<'_>, sink: &mut impl Sink) -> ControlFlow<(), bool> {
        let (data, name) = (chunk.data, self.raw.as_bytes());
        loop {
            match &data[chunk.at..] {
                [_, b'/', rest @ ..] => match rest.get(..=name.len()) {
                    Some([found @ .., after])
                        if ends_name(*after) && found.eq_ignore_ascii_case(name) =>
                    {
                        if *after != b'>' {
                            return ControlFlow::Continue(false);
                        }
                        let text = &data[chunk.text_start..chunk.at];
                        chunk.at += 2 + name.len() + 1;
                        self.enter("", State::Data);
                        sink.text_end(text, &Tag::new(found))?;
                        return ControlFlow::Continue(true);
                    }
                    Some(_) => {}
                    None => return ControlFlow::Continue(false),
                },
                [_, b'!', ..] if self.raw == "script" => return ControlFlow::Continue(false),
                [_] => return ControlFlow::Continue(false),
                _ => {}
            }
            let Some(next) = memchr(b'<', &data[chunk.at + 1..]) else {
                chunk.at = data.len();
                return ControlFlow::Continue(true);
            };
            chunk.at += 1 + next;
        }
    }

    /// Moves over the bytes that cannot change the state; false when none is left.
    fn hop(&self, chunk: &mut Chunk<'_>) -> bool {
        let rest = chunk.data.get(chunk.at..).unwrap_or_default();
        let skipped = match self.state {
            State::Data | State::Text => memchr(b'<', rest),
            State::Quoted(quote) => memchr(quote, rest),
            State::Comment => memchr(b'-', rest),
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
        match self.state {
            State::Data | State::TagOpen | State::EndTagOpen => self.open(byte, chunk),
            State::TagName
            | State::BeforeName
            | State::Name
            | State::AfterName
            | State::BeforeValue
            | State::Quoted(_)
            | State::Unquoted => return self.tag(byte, chunk, sink),
            State::MarkupDeclaration
            | State::MarkupDash
            | State::BogusComment
            | State::CommentStart
            | State::CommentStartDash
            | State::Comment
            | State::CommentEndDash
            | State::CommentEnd
            | State::CommentEndBang => self.state = comment_state(self.state, byte),
            State::Text | State::TextLess | State::TextEndOpen | State::TextEndName(_) => {
                return self.text(byte, chunk, sink);
            }
            _ => {
                self.script(byte, chunk);
                return ControlFlow::Continue(());
            }
        }
        chunk.at += 1;
        ControlFlow::Continue(())
    }

    /// 13.2.5.1, 13.2.5.6 and 13.2.5.7: what a `<` in data begins.
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
    fn finish_tag(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) -> ControlFlow<()> {
        let mut carried = std::mem::take(&mut self.carried);
        let here = chunk.data.get(chunk.tag_start..chunk.at).unwrap_or_default();
        let whole = if carried.is_empty() {
            here
        } else {
            carried.extend_from_slice(here);
            &carried
        };
        let flow = if let [b'<', b'/', inside @ ..] = whole {
            self.enter("", State::Data);
            sink.end_tag(&Tag::new(inside))
        } else {
            let tag = Tag::new(whole.get(1..).unwrap_or_default());
            self.enter_content(&tag);
            sink.start_tag(&tag)
        };
        carried.clear();
        self.carried = carried;
        flow
    }

    /// Enters the state that follows a start tag.
    fn enter_content(&mut self, tag: &Tag<'_>) {
        match RAW_ELEMENTS.into_iter().find(|name| tag.is(name)) {
            Some(name) => self.enter(name, State::Text),
            None if tag.is("plaintext") => self.enter("", State::Plaintext),
            None => self.enter("", State::Data),
        }
    }

    fn enter(&mut self, raw: &'static str, state: State) {
        (self.raw, self.state) = (raw, state);
    }

    /// 13.2.5.2, 13.2.5.3 and 13.2.5.9 to 13.2.5.17: raw text, and whether a `<` in it begins its
    /// end tag.
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

    /// 13.2.5.18 to 13.2.5.31: a script's escaped text (`<!--`) and doubly escaped text (`<!--
    /// <script`).
    fn script(&mut self, byte: u8, chunk: &mut Chunk<'_>) {
        let (next, consumed) = script_state(self.state, byte);
        if next == State::TextLess {
            self.escaped = true;
            chunk.tag_start = chunk.at;
        }
        self.state = next;
        chunk.at += usize::from(consumed);
    }

    /// Gives what was carried as text, since it turned out to be no end tag.
    fn release(&mut self, sink: &mut impl Sink) {
        if !self.carried.is_empty() {
            sink.text(&self.carried);
            self.carried.clear();
        }
    }

    /// At a chunk's end: gives the raw text so far and carries the tag so far.
    fn keep(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) {
        match self.state {
            State::TextLess | State::TextEndOpen | State::TextEndName(_) => {
                if self.carried.is_empty() {
                    give_text(sink, &chunk.data[chunk.text_start..chunk.tag_start]);
                }
                self.carry(chunk);
            }
            State::TagOpen
            | State::EndTagOpen
            | State::TagName
            | State::BeforeName
            | State::Name
            | State::AfterName
            | State::BeforeValue
            | State::Quoted(_)
            | State::Unquoted => self.carry(chunk),
            State::Data
            | State::MarkupDeclaration
            | State::MarkupDash
            | State::BogusComment
            | State::CommentStart
            | State::CommentStartDash
            | State::Comment
            | State::CommentEndDash
            | State::CommentEnd
            | State::CommentEndBang => {}
            _ => give_text(sink, &chunk.data[chunk.text_start..]),
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

/// 13.2.5.43 to 13.2.5.52: where the comment that begins at a place ends, if it is one and its end
/// is there. The beginning's dashes may be those of `-->`, but not those of `--!>`.
fn comment_end(data: &[u8], at: usize) -> Option<usize> {
    let comment = data[at..].strip_prefix(b"<!")?;
    let text = comment.strip_prefix(b"--")?;
    let mut length = 0;
    loop {
        length += memchr(b'>', &text[length..])?;
        if comment[..2 + length].ends_with(b"--") || text[..length].ends_with(b"--!") {
            return Some(at + 4 + length + 1);
        }
        length += 1;
    }
}

/// 13.2.5.8 and 13.2.5.32 to 13.2.5.40, as far as the end of a tag depends on them; `None` is that
/// end.
fn tag_state(state: State, byte: u8) -> Option<State> {
    Some(match (state, byte) {
        (State::Quoted(quote), byte) if byte == quote => State::BeforeName,
        (State::Quoted(_), _) => state,
        (_, b'>') => return None,
        (State::Name | State::AfterName, b'=') => State::BeforeValue,
        (State::BeforeValue, b'"' | b'\'') => State::Quoted(byte),
        (State::Unquoted, b'/') => State::Unquoted,
        (State::BeforeValue, byte) if !is_space(byte) => State::Unquoted,
        (_, b'/') => State::BeforeName,
        (State::TagName | State::Unquoted, byte) if is_space(byte) => State::BeforeName,
        (State::Name, byte) if is_space(byte) => State::AfterName,
        (State::BeforeName | State::AfterName, byte) if !is_space(byte) => State::Name,
        _ => state,
    })
}

/// 13.2.5.41 to 13.2.5.52. The states after a comment's `<` decide nothing that these do not.
fn comment_state(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::MarkupDeclaration, b'-') => State::MarkupDash,
        (State::MarkupDash, b'-') => State::CommentStart,
        (State::MarkupDeclaration | State::MarkupDash | State::BogusComment, byte)
            if byte != b'>' =>
        {
            State::BogusComment
        }
        (State::CommentStart, b'-') => State::CommentStartDash,
        (State::CommentStartDash | State::CommentEndDash | State::CommentEnd, b'-') => {
            State::CommentEnd
        }
        (State::Comment | State::CommentEndBang, b'-') => State::CommentEndDash,
        (State::CommentEnd, b'!') => State::CommentEndBang,
        (State::Comment | State::CommentEndDash, _) => State::Comment,
        (_, b'>') => State::Data,
        _ => State::Comment,
    }
}

/// 13.2.5.18 to 13.2.5.31, without the end tags, which [`Tokenizer::text`] tells. False: the byte
/// is looked at again.
fn script_state(state: State, byte: u8) -> (State, bool) {
    let next = match (state, byte) {
        (State::EscapeStart, b'-') => State::EscapeStartDash,
        (State::EscapeStart | State::EscapeStartDash, byte) if byte != b'-' => {
            return (State::Text, false);
        }
        (State::EscapeStartDash | State::EscapedDash | State::EscapedDashDash, b'-') => {
            State::EscapedDashDash
        }
        (State::Escaped, b'-') => State::EscapedDash,
        (State::Escaped | State::EscapedDash | State::EscapedDashDash, b'<') => State::TextLess,
        (State::EscapedDashDash | State::DoubleEscapedDashDash, b'>') => State::Text,
        (State::DoubleEscapeStart(read), byte) if ends_name(byte) => after_script_name(read, true),
        (State::DoubleEscapeStart(read), byte) if byte.is_ascii_alphabetic() => {
            State::DoubleEscapeStart(read_script_name(read, byte))
        }
        (State::DoubleEscapeStart(_), _) => return (State::Escaped, false),
        (State::DoubleEscapedDash | State::DoubleEscapedDashDash, b'-') => {
            State::DoubleEscapedDashDash
        }
        (State::DoubleEscaped, b'-') => State::DoubleEscapedDash,
        (State::DoubleEscaped | State::DoubleEscapedDash | State::DoubleEscapedDashDash, b'<') => {
            State::DoubleEscapedLess
        }
        (State::DoubleEscapedLess, b'/') => State::DoubleEscapeEnd(Some(0)),
        (State::DoubleEscapeEnd(read), byte) if ends_name(byte) => after_script_name(read, false),
        (State::DoubleEscapeEnd(read), byte) if byte.is_ascii_alphabetic() => {
            State::DoubleEscapeEnd(read_script_name(read, byte))
        }
        (State::DoubleEscapedLess | State::DoubleEscapeEnd(_), _) => {
            return (State::DoubleEscaped, false);
        }
        (State::DoubleEscaped | State::DoubleEscapedDash | State::DoubleEscapedDashDash, _) => {
            State::DoubleEscaped
        }
        _ => State::Escaped,
    };
    (next, true)
}

const SCRIPT: &[u8] = b"script";

/// How much of the name `script` has been read, given one more letter.
fn read_script_name(read: Option<usize>, byte: u8) -> Option<usize> {
    let read = read?;
    SCRIPT.get(read).filter(|next| byte.eq_ignore_ascii_case(next)).map(|_| read + 1)
}

/// A tag's name in escaped text has ended: `<script` enters doubly escaped text, `</script` leaves
/// it.
fn after_script_name(read: Option<usize>, entering: bool) -> State {
    let is_script = read == Some(SCRIPT.len());
    if is_script == entering { State::DoubleEscaped } else { State::Escaped }
}

fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
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

    /// What the states do, counted; what lies whole in its chunk is read by them, too.
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
