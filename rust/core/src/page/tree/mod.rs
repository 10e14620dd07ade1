//! A page's tags in, out whether each is HTML's or stands in foreign content, that is in SVG or
//! `MathML` (HTML 13.2.6.5): there `<title/>`, `<style/>` and `<script/>` are elements like any other
//! and switch nothing, and CDATA is text.
//!
//! An end tag can end foreign content by an element that was open before. So the elements that are
//! open must be known, but only where it comes to that, which on most pages is nowhere. Until then
//! the tags of HTML are kept unread, and an `<svg>` whose tags fit is read by itself.

mod rules;
mod stack;

use super::attributes::Tag;
use super::names::{BREAKOUT, LOOKED_AT, Name};
use stack::{Element, MAX_OPEN, Space, Stack};

/// Tags kept unread at most.
const MAX_UNREAD: usize = 16 * 1024;

/// What a tag belongs to, and so what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Html,
    Foreign,
}

/// The elements that are open.
#[derive(Default)]
pub(super) struct Tree {
    stack: Stack,
    /// The names of tags of HTML that came before the foreign elements, and that the stack does not
    /// know yet. Those of end tags are marked.
    unread: Vec<Name>,
    /// The foreign elements that are open above all that came before, as long as nothing else is.
    foreign: Vec<Element>,
    has_foreign: bool,
}

impl Tree {
    /// Whether text, and so a CDATA section, would be foreign content.
    pub(super) fn is_foreign(&self) -> bool {
        let current = self.foreign.last().or_else(|| self.stack.current());
        self.has_foreign && current.is_some_and(|element| element.space != Space::Html)
    }

    /// Takes a tag of which the name, with the mark if it is an end tag's, tells all. False: it is not
    /// taken, and is to be built.
    #[inline]
    pub(super) fn takes(&mut self, name: Name, is_self_closing: bool) -> bool {
        if self.has_foreign {
            let (name, is_end) = name.without_mark();
            return if is_end { self.ends(name) } else { self.fits(name, is_self_closing) };
        }
        match Space::of_root(name) {
            Some(space) => {
                self.html(OPEN_FORMATTING);
                self.has_foreign = !is_self_closing;
                self.foreign.extend(self.has_foreign.then(|| Element::plain(name, space)));
            }
            None => self.html(name),
        }
        true
    }

    /// Takes the end tag of the innermost foreign element.
    fn ends(&mut self, name: Name) -> bool {
        let is_own = self.foreign.last().is_some_and(|current| current.name == name);
        if is_own {
            self.foreign.pop();
            self.has_foreign = !self.foreign.is_empty();
        }
        is_own
    }

    /// Takes a start tag inside of a foreign element that nothing but its name depends on.
    fn fits(&mut self, name: Name, is_self_closing: bool) -> bool {
        let Some(current) = self.foreign.last() else { return false };
        let is_plain = current.takes_start(name) && !name.is_in_table(&LOOKED_AT);
        if is_plain && !is_self_closing && self.foreign.len() < MAX_OPEN {
            let space = current.space;
            self.foreign.push(Element::plain(name, space));
        }
        is_plain
    }

    /// Takes a tag of HTML, while no foreign element is open: its name, an end tag's with the mark.
    #[inline]
    fn html(&mut self, name: Name) {
        if self.unread.len() == MAX_UNREAD {
            self.read();
        }
        self.unread.push(name);
    }

    /// Takes a start tag, whose `bytes` are those behind its `<`.
    pub(super) fn start(&mut self, tag: &Tag<'_>, bytes: &[u8]) -> Content {
        let name = Name::at(bytes);
        if !self.has_foreign {
            let content = self.start_in_html(tag, name);
            self.has_foreign = !self.foreign.is_empty();
            return content;
        }
        let content = self.start_in_foreign(tag, name);
        self.has_foreign = !self.foreign.is_empty() || self.stack.has_foreign();
        content
    }

    fn start_in_foreign(&mut self, tag: &Tag<'_>, name: Name) -> Content {
        if let Some(current) = self.foreign.last().copied() {
            let is_taken = current.takes_start(name);
            if is_taken && !breaks_out(tag, name) {
                self.push_foreign(tag, name, current.space);
                return Content::Foreign;
            }
            if is_taken && !self.foreign.iter().any(|element| element.is_point) {
                self.foreign.clear();
                return self.start_in_html(tag, name);
            }
            self.settle();
        }
        self.stack.start(tag, name)
    }

    /// Takes an end tag, whose `bytes` are those behind its `<`, other than a raw element's own.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Content {
        let name = Name::at(&bytes[1..]);
        if !self.has_foreign {
            self.html(name.marked());
            return Content::Html;
        }
        let content = self.end_in_foreign(name);
        self.has_foreign = !self.foreign.is_empty() || self.stack.has_foreign();
        content
    }

    fn end_in_foreign(&mut self, name: Name) -> Content {
        if !self.foreign.is_empty() {
            let breaks_out = name.is("br") || name.is("p");
            if breaks_out && !self.foreign.iter().any(|element| element.is_point) {
                self.foreign.clear();
                self.html(name.marked());
                return Content::Html;
            }
            let fitting = self.foreign.iter().rposition(|element| element.name == name);
            if let Some(at) = fitting.filter(|_| !breaks_out) {
                self.foreign.truncate(at);
                return Content::Foreign;
            }
            self.settle();
        }
        self.stack.end(name)
    }

    fn start_in_html(&mut self, tag: &Tag<'_>, name: Name) -> Content {
        let Some(space) = Space::of_root(name) else {
            self.html(name);
            return Content::Html;
        };
        self.html(OPEN_FORMATTING);
        self.push_foreign(tag, name, space);
        Content::Foreign
    }

    fn push_foreign(&mut self, tag: &Tag<'_>, name: Name, space: Space) {
        if !tag.is_self_closing() && self.foreign.len() < MAX_OPEN {
            self.foreign.push(Element::foreign(tag, name, space));
        }
    }

    /// Puts all that is known into the stack.
    fn settle(&mut self) {
        self.read();
        self.stack.extend(self.foreign.drain(..));
    }

    fn read(&mut self) {
        for tag in self.unread.drain(..) {
            match tag.without_mark() {
                (name, true) => self.stack.end_html(name),
                (OPEN_FORMATTING, false) => self.stack.open_formatting(),
                (name, false) => self.stack.start_html(name),
            }
        }
    }
}

/// Instead of a tag's name: stands for what an `<svg>` does to the elements before it.
const OPEN_FORMATTING: Name = Name::of("");

/// Whether a start tag ends foreign content.
fn breaks_out(tag: &Tag<'_>, name: Name) -> bool {
    let is_html = || ["color", "face", "size"].iter().any(|name| tag.has_attribute(name));
    name.is_in(&BREAKOUT) || name.is("font") && is_html()
}
