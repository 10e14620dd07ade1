//! The elements that are open, as the standard's tree construction has them (HTML 13.2.4), without
//! a tree. What the rules need of an element is its name and its namespace.

use super::super::names::{
    MATHML_TEXT_POINTS, Name, Names, SCOPE, SPECIAL, SVG_HTML_POINTS, TABLE_SCOPE,
};
use super::{Content, breaks_out};
use crate::page::attributes::Tag;

/// Elements open at once at most: what is opened inside of more is not kept.
pub(super) const MAX_OPEN: usize = 256;

/// Formatting elements kept at most.
const MAX_FORMATTING: usize = 32;

/// An element's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Html,
    Svg,
    MathMl,
}

impl Space {
    /// The namespace that an element of this name begins inside of HTML.
    pub(super) fn of_root(name: Name) -> Option<Self> {
        match name {
            name if name.is("svg") => Some(Self::Svg),
            name if name.is("math") => Some(Self::MathMl),
            _ => None,
        }
    }
}

/// An element that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) name: Name,
    pub(super) space: Space,
    /// Its number, by which the same element is found in the list of formatting elements.
    id: u32,
    /// Whether it is an integration point by its name: HTML can stand in it.
    pub(super) is_point: bool,
    /// Of an `annotation-xml`: whether HTML stands in it.
    holds_html: bool,
}

impl Element {
    pub(super) fn foreign(tag: &Tag<'_>, name: Name, space: Space) -> Self {
        let holds_html = space == Space::MathMl
            && name.is("annotation-xml")
            && tag.attribute("encoding").is_some_and(|encoding| is_html_encoding(&encoding));
        Self { holds_html, ..Self::plain(name, space) }
    }

    /// A foreign element of which the name tells all.
    pub(super) fn plain(name: Name, space: Space) -> Self {
        let is_point = match space {
            Space::Html => false,
            Space::Svg => name.is_in(&SVG_HTML_POINTS),
            Space::MathMl => name.is_in(&MATHML_TEXT_POINTS),
        };
        Self { name, space, id: 0, is_point, holds_html: false }
    }

    pub(super) fn is_html(&self, name: Name) -> bool {
        self.space == Space::Html && self.name == name
    }

    pub(super) fn is_one_of<const N: usize>(&self, names: &Names<N>) -> bool {
        self.space == Space::Html && self.name.is_in(names)
    }

    /// Whether a start tag directly in it is for the rules of foreign content.
    pub(super) fn takes_start(&self, name: Name) -> bool {
        match self.space {
            Space::Html => false,
            Space::Svg => !self.is_point,
            Space::MathMl if self.is_point => name.is("mglyph") || name.is("malignmark"),
            Space::MathMl if self.name.is("annotation-xml") => !name.is("svg") && !self.holds_html,
            Space::MathMl => true,
        }
    }
}

fn is_html_encoding(encoding: &str) -> bool {
    ["text/html", "application/xhtml+xml"].iter().any(|html| encoding.eq_ignore_ascii_case(html))
}

/// An entry of the list of active formatting elements (13.2.4.3).
#[derive(Clone, Copy, Debug)]
enum Entry {
    Marker,
    Element { name: Name, id: u32 },
}

/// The elements that are open, the innermost last, and those that are to be opened again.
#[derive(Default)]
pub(super) struct Stack {
    pub(super) open: Vec<Element>,
    formatting: Vec<Entry>,
    /// The number of the form that controls belong to.
    pub(super) form: Option<u32>,
    last_id: u32,
}

impl Stack {
    pub(super) fn has_foreign(&self) -> bool {
        self.open.iter().any(|element| element.space != Space::Html)
    }

    pub(super) fn current(&self) -> Option<&Element> {
        self.open.last()
    }

    pub(super) fn extend(&mut self, foreign: impl Iterator<Item = Element>) {
        self.open.extend(foreign);
    }

    /// Takes a start tag: by the rules of foreign content where it stands in some (13.2.6.5).
    pub(super) fn start(&mut self, tag: &Tag<'_>, name: Name) -> Content {
        let current = self.current().copied();
        let Some(current) = current.filter(|current| current.takes_start(name)) else {
            return self.start_by_html(tag, name);
        };
        if breaks_out(tag, name) {
            self.leave_foreign();
            return self.start_by_html(tag, name);
        }
        let element = Element::foreign(tag, name, current.space);
        if !tag.is_self_closing() {
            self.push(element);
        }
        Content::Foreign
    }

    fn start_by_html(&mut self, tag: &Tag<'_>, name: Name) -> Content {
        let Some(space) = Space::of_root(name) else {
            self.start_html(name);
            return Content::Html;
        };
        self.open_formatting();
        if !tag.is_self_closing() {
            self.push(Element::foreign(tag, name, space));
        }
        Content::Foreign
    }

    /// Takes an end tag.
    pub(super) fn end(&mut self, name: Name) -> Content {
        if self.current().is_none_or(|current| current.space == Space::Html) {
            self.end_html(name);
            return Content::Html;
        }
        if name.is("br") || name.is("p") {
            self.leave_foreign();
            self.end_html(name);
            return Content::Html;
        }
        for at in (0..self.open.len()).rev() {
            let element = self.open[at];
            if element.space == Space::Html {
                self.end_html(name);
                return Content::Html;
            }
            if element.name == name {
                self.open.truncate(at);
                return Content::Foreign;
            }
        }
        Content::Foreign
    }

    fn leave_foreign(&mut self) {
        while self.current().is_some_and(|top| top.space != Space::Html && !top.is_point) {
            self.open.pop();
        }
    }

    pub(super) fn push(&mut self, element: Element) {
        if self.open.len() < MAX_OPEN {
            self.open.push(element);
        }
    }

    /// Opens an element of HTML, and returns its number.
    pub(super) fn push_html(&mut self, name: Name) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        self.push(Element { id, ..Element::plain(name, Space::Html) });
        id
    }

    pub(super) fn current_is(&self, name: Name) -> bool {
        self.current().is_some_and(|current| current.is_html(name))
    }

    pub(super) fn current_is_in<const N: usize>(&self, names: &Names<N>) -> bool {
        self.current().is_some_and(|current| current.is_one_of(names))
    }

    pub(super) fn has_html(&self, name: Name) -> bool {
        self.open.iter().any(|element| element.is_html(name))
    }

    /// Whether an element that `is` it is open with none between that ends its scope (13.2.4.2).
    pub(super) fn has_in_scope(&self, is: impl Fn(&Element) -> bool, more: &[&str]) -> bool {
        let ends = |element: &Element| {
            element.is_one_of(&SCOPE)
                || element.is_point
                || element.space == Space::Html && more.iter().any(|name| element.name.is(name))
        };
        let found = self.open.iter().rev().find(|element| is(element) || ends(element));
        found.is_some_and(is)
    }

    pub(super) fn in_scope(&self, name: Name) -> bool {
        self.has_in_scope(|element| element.is_html(name), &[])
    }

    pub(super) fn in_table_scope<const N: usize>(&self, names: &Names<N>) -> bool {
        let either =
            |element: &&Element| element.is_one_of(names) || element.is_one_of(&TABLE_SCOPE);
        self.open.iter().rev().find(either).is_some_and(|element| element.is_one_of(names))
    }

    pub(super) fn named_in_table_scope(&self, name: Name) -> bool {
        let either = |element: &&Element| element.is_html(name) || element.is_one_of(&TABLE_SCOPE);
        self.open.iter().rev().find(either).is_some_and(|element| element.is_html(name))
    }

    /// Closes elements up to one of this name, that one too.
    pub(super) fn close(&mut self, name: Name) {
        while let Some(element) = self.open.pop() {
            if element.is_html(name) {
                return;
            }
        }
    }

    pub(super) fn close_one_of<const N: usize>(&mut self, names: &Names<N>) {
        while let Some(element) = self.open.pop() {
            if element.is_one_of(names) {
                return;
            }
        }
    }

    /// Closes elements up to one of these names, which stays.
    pub(super) fn close_up_to<const N: usize>(&mut self, names: &Names<N>) {
        while !self.open.is_empty() && !self.current_is_in(names) {
            self.open.pop();
        }
    }

    /// Closes the elements whose end tags may be left out, but for those of the name `except`.
    pub(super) fn imply_ends<const N: usize>(&mut self, names: &Names<N>, except: Option<Name>) {
        while self.current_is_in(names) && !except.is_some_and(|name| self.current_is(name)) {
            self.open.pop();
        }
    }

    pub(super) fn close_p_in_button_scope(&mut self) {
        let p = Name::of("p");
        if self.has_in_scope(|element| element.is_html(p), &["button"]) {
            self.close(p);
        }
    }

    /// 13.2.6.4.7, any other end tag.
    pub(super) fn close_any_other(&mut self, name: Name) {
        for at in (0..self.open.len()).rev() {
            if self.open[at].is_html(name) {
                self.open.truncate(at);
                return;
            }
            if self.open[at].is_one_of(&SPECIAL) {
                return;
            }
        }
    }

    /// Takes a `<li>`, `<dd>` or `<dt>`, before which the last one ends.
    pub(super) fn close_item<const N: usize>(&mut self, names: &Names<N>) {
        for element in self.open.iter().rev() {
            if element.is_one_of(names) {
                let name = element.name;
                self.close(name);
                break;
            }
            let passed = ["address", "div", "p"].iter().any(|name| element.name.is(name));
            if element.is_one_of(&SPECIAL) && !passed {
                break;
            }
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.open.retain(|element| element.space != Space::Html || element.id != id);
    }

    pub(super) fn has_id(&self, id: u32) -> bool {
        self.open.iter().any(|element| element.space == Space::Html && element.id == id)
    }

    pub(super) fn id_in_scope(&self, id: u32) -> bool {
        self.has_in_scope(|element| element.space == Space::Html && element.id == id, &[])
    }
}

/// Formatting elements (13.2.4.3).
impl Stack {
    pub(super) fn mark(&mut self) {
        if self.formatting.len() < MAX_FORMATTING {
            self.formatting.push(Entry::Marker);
        }
    }

    pub(super) fn clear_to_mark(&mut self) {
        while let Some(Entry::Element { .. }) = self.formatting.pop() {}
    }

    pub(super) fn start_formatting(&mut self, name: Name) {
        let id = self.push_html(name);
        if self.formatting.len() < MAX_FORMATTING {
            self.formatting.push(Entry::Element { name, id });
        }
    }

    /// Opens the formatting elements anew that were closed by the end of another element.
    pub(super) fn open_formatting(&mut self) {
        let is_done = |entry: &Entry| match entry {
            Entry::Marker => true,
            Entry::Element { id, .. } => self.has_id(*id),
        };
        let first = self.formatting.iter().rposition(is_done).map_or(0, |at| at + 1);
        for at in first..self.formatting.len() {
            if let Entry::Element { name, .. } = self.formatting[at] {
                let id = self.push_html(name);
                self.formatting[at] = Entry::Element { name, id };
            }
        }
    }

    /// The last formatting element of this name since the last marker: its place in the list, and
    /// its number.
    pub(super) fn formatting_named(&self, name: Name) -> Option<(usize, u32)> {
        for (at, entry) in self.formatting.iter().enumerate().rev() {
            match entry {
                Entry::Marker => return None,
                Entry::Element { name: other, id } if *other == name => return Some((at, *id)),
                Entry::Element { .. } => {}
            }
        }
        None
    }

    pub(super) fn forget_formatting(&mut self, id: u32) {
        self.formatting
            .retain(|entry| !matches!(entry, Entry::Element { id: other, .. } if *other == id));
    }

    fn is_listed(&self, id: u32) -> bool {
        self.formatting
            .iter()
            .any(|entry| matches!(entry, Entry::Element { id: other, .. } if *other == id))
    }

    /// The adoption agency (13.2.6.4.7), as far as it changes what is open: of the elements inside
    /// of the formatting element those stay that end a paragraph or the like, and the formatting
    /// elements around these.
    pub(super) fn end_formatting(&mut self, name: Name) {
        if self.current().is_some_and(|top| top.is_html(name) && !self.is_listed(top.id)) {
            self.open.pop();
            return;
        }
        let Some((at, id)) = self.formatting_named(name) else {
            self.close_any_other(name);
            return;
        };
        let is_it = |element: &Element| element.space == Space::Html && element.id == id;
        let Some(start) = self.open.iter().rposition(is_it) else {
            self.formatting.remove(at);
            return;
        };
        if !self.id_in_scope(id) {
            return;
        }
        let inside = self.open.split_off(start);
        let last = inside.iter().rposition(|element| element.is_one_of(&SPECIAL));
        let kept = inside.iter().take(last.map_or(0, |last| last + 1)).skip(1).filter(|element| {
            element.is_one_of(&SPECIAL)
                || element.space == Space::Html && self.is_listed(element.id)
        });
        let kept: Vec<_> = kept.copied().collect();
        self.open.extend(kept);
        self.forget_formatting(id);
    }
}
