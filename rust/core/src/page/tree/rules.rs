//! The rules for tags of HTML (13.2.6.4), as far as they change what is open.
//!
//! Frames are left out, and so is a document's mode: a table ends a paragraph.

use super::super::names::{
    AFTER_P, BLOCKS, CELLS, FORMATTING, HEADINGS, IMPLIED_END, IN_ROW, IN_TABLE_BODY, IN_TEXT, LI,
    MISPLACED, NEVER_OPEN, Name, OBJECTS, ROW, RUBY_PARTS, TABLE_BODIES, TABLE_PARTS, TABLE_SCOPE,
    TERMS, THOROUGHLY_IMPLIED_END,
};
use super::stack::{Space, Stack};

/// The insertion mode (13.2.4.1), as it follows from what is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Body,
    Template,
    Table,
    Caption,
    ColumnGroup,
    TableBody,
    Row,
    Cell,
}

impl Mode {
    /// Whether the tags of a table's structure are looked for.
    fn is_structure(self) -> bool {
        matches!(self, Self::Table | Self::TableBody | Self::Row)
    }

    /// The mode in an element of this name, if it has one of its own.
    fn inside(name: Name) -> Option<Self> {
        Some(match name {
            name if name.is_in(&CELLS) => Self::Cell,
            name if name.is("tr") => Self::Row,
            name if name.is_in(&TABLE_BODIES) => Self::TableBody,
            name if name.is("caption") => Self::Caption,
            name if name.is("colgroup") => Self::ColumnGroup,
            name if name.is("table") => Self::Table,
            name if name.is("template") => Self::Template,
            _ => return None,
        })
    }
}

impl Stack {
    fn mode(&self) -> Mode {
        let html = self.open.iter().rev().filter(|element| element.space == Space::Html);
        html.map(|element| element.name).find_map(Mode::inside).unwrap_or(Mode::Body)
    }

    /// Takes a start tag of HTML other than `<svg>` and `<math>`.
    pub(super) fn start_html(&mut self, name: Name) {
        let mode = self.mode();
        if name.is("template") {
            self.push_html(name);
            self.mark();
        } else if mode == Mode::Body {
            self.start_in_body(name);
        } else if name.is_in(&TABLE_PARTS) || name.is("table") && mode.is_structure() {
            self.start_table_part(name, mode);
        } else {
            self.start_in_table(name, mode);
        }
    }

    fn start_in_table(&mut self, name: Name, mode: Mode) {
        if mode == Mode::ColumnGroup && self.current_is(Name::of("colgroup")) {
            self.open.pop();
            self.start_html(name);
        } else if name.is("form") && mode.is_structure() {
            // Such a form is closed at once.
            if self.form.is_none() && !self.has_html(Name::of("template")) {
                let id = self.push_html(name);
                self.remove(id);
                self.form = Some(id);
            }
        } else {
            self.start_in_body(name);
        }
    }

    /// Takes a tag of a table's structure, or another table's, in a table.
    fn start_table_part(&mut self, name: Name, mode: Mode) {
        match mode {
            Mode::Body => {}
            Mode::Template => self.open_part(name),
            Mode::Caption => {
                if self.end_caption() {
                    self.start_html(name);
                }
            }
            Mode::Cell => {
                if self.in_table_scope(&CELLS) {
                    self.end_cell();
                    self.start_html(name);
                }
            }
            Mode::ColumnGroup if name.is("col") => {}
            Mode::ColumnGroup => {
                if self.current_is(Name::of("colgroup")) {
                    self.open.pop();
                    self.start_html(name);
                }
            }
            _ if name.is("table") => self.start_nested_table(name),
            Mode::Row if name.is_in(&CELLS) => {
                self.close_up_to(&IN_ROW);
                self.open_part(name);
            }
            Mode::Row => {
                if self.named_in_table_scope(Name::of("tr")) {
                    self.close_one_of(&ROW);
                    self.start_html(name);
                }
            }
            Mode::TableBody if name.is("tr") || name.is_in(&CELLS) => {
                self.close_up_to(&IN_TABLE_BODY);
                self.push_html(Name::of("tr"));
                if name.is_in(&CELLS) {
                    self.open_part(name);
                }
            }
            Mode::TableBody => {
                if self.in_table_scope(&TABLE_BODIES) {
                    self.close_one_of(&TABLE_BODIES);
                    self.start_html(name);
                }
            }
            Mode::Table => {
                self.close_up_to(&TABLE_SCOPE);
                if name.is("col") {
                    self.push_html(Name::of("colgroup"));
                } else if name.is("tr") || name.is_in(&CELLS) {
                    self.push_html(Name::of("tbody"));
                    self.start_html(name);
                } else {
                    self.open_part(name);
                }
            }
        }
    }

    /// A table directly in a table ends that.
    fn start_nested_table(&mut self, name: Name) {
        if self.named_in_table_scope(name) {
            self.close(name);
            self.start_html(name);
        }
    }

    fn open_part(&mut self, name: Name) {
        if !name.is("col") {
            self.push_html(name);
        }
        if name.is_in(&CELLS) || name.is("caption") {
            self.mark();
        }
    }

    fn end_caption(&mut self) -> bool {
        let caption = Name::of("caption");
        let is_open = self.named_in_table_scope(caption);
        if is_open {
            self.close(caption);
            self.clear_to_mark();
        }
        is_open
    }

    fn end_cell(&mut self) {
        self.close_one_of(&CELLS);
        self.clear_to_mark();
    }

    fn start_in_body(&mut self, name: Name) {
        if name.is_in(&MISPLACED) {
            return;
        }
        if name.is("li") {
            self.close_item(&LI);
        } else if name.is("dd") || name.is("dt") {
            self.close_item(&TERMS);
        }
        let is_item = name.is("li") || name.is("dd") || name.is("dt");
        if is_item || name.is("plaintext") || name.is_in(&AFTER_P) {
            self.close_p_in_button_scope();
        }
        if name.is_in(&NEVER_OPEN) {
            self.start_empty(name);
        } else if name.is_in(&FORMATTING) {
            self.start_formatting_element(name);
        } else if name.is_in(&OBJECTS) {
            self.open_formatting();
            self.push_html(name);
            self.mark();
        } else if is_item || name.is_in(&AFTER_P) {
            if name.is_in(&HEADINGS) && self.current_is_in(&HEADINGS) {
                self.open.pop();
            }
            self.push_html(name);
        } else {
            self.start_other(name);
        }
    }

    fn start_empty(&mut self, name: Name) {
        let select = Name::of("select");
        if name.is("input") && self.in_scope(select) {
            self.close(select);
        } else if name.is("hr") && self.in_scope(select) {
            self.imply_ends(&IMPLIED_END, None);
        }
        if name.is_in(&IN_TEXT) {
            self.open_formatting();
        }
    }

    fn start_formatting_element(&mut self, name: Name) {
        if name.is("a")
            && let Some((_, id)) = self.formatting_named(name)
        {
            self.end_formatting(name);
            self.forget_formatting(id);
            self.remove(id);
        }
        self.open_formatting();
        if name.is("nobr") && self.in_scope(name) {
            self.end_formatting(name);
            self.open_formatting();
        }
        self.start_formatting(name);
    }

    fn start_other(&mut self, name: Name) {
        let (select, option) = (Name::of("select"), Name::of("option"));
        match name {
            name if name.is("form") => return self.start_form(name),
            name if name.is("button") && self.in_scope(name) => self.close(name),
            name if name.is("select") && self.in_scope(name) => return self.close(name),
            name if name.is("option") || name.is("optgroup") => {
                if self.in_scope(select) {
                    let except = name.is("option").then(|| Name::of("optgroup"));
                    self.imply_ends(&IMPLIED_END, except);
                } else if self.current_is(option) {
                    self.open.pop();
                }
            }
            name if name.is_in(&RUBY_PARTS) => {
                if self.in_scope(Name::of("ruby")) {
                    let in_container = name.is("rp") || name.is("rt");
                    self.imply_ends(&IMPLIED_END, in_container.then(|| Name::of("rtc")));
                }
                self.push_html(name);
                return;
            }
            _ => {}
        }
        self.open_formatting();
        self.push_html(name);
    }

    fn start_form(&mut self, name: Name) {
        let in_template = self.has_html(Name::of("template"));
        if self.form.is_none() || in_template {
            self.close_p_in_button_scope();
            let id = self.push_html(name);
            if !in_template {
                self.form = Some(id);
            }
        }
    }

    /// Takes an end tag of HTML.
    pub(super) fn end_html(&mut self, name: Name) {
        let mode = self.mode();
        if name.is("template") {
            self.end_template(name);
        } else if name.is_in(&TABLE_PARTS) || name.is("table") {
            self.end_table_part(name, mode);
        } else if mode == Mode::ColumnGroup && self.current_is(Name::of("colgroup")) {
            self.open.pop();
            self.end_html(name);
        } else {
            self.end_in_body(name);
        }
    }

    fn end_template(&mut self, name: Name) {
        if self.has_html(name) {
            self.imply_ends(&THOROUGHLY_IMPLIED_END, None);
            self.close(name);
            self.clear_to_mark();
        }
    }

    fn end_table_part(&mut self, name: Name, mode: Mode) {
        let is_open = self.named_in_table_scope(name);
        match mode {
            Mode::Body => self.close_any_other(name),
            Mode::Template => {}
            Mode::Cell if name.is_in(&CELLS) => {
                if is_open {
                    self.close(name);
                    self.clear_to_mark();
                }
            }
            Mode::Cell => {
                if is_open && !name.is("caption") && !name.is("colgroup") && !name.is("col") {
                    self.end_cell();
                    self.end_html(name);
                }
            }
            Mode::Caption => {
                if (name.is("caption") || name.is("table"))
                    && self.end_caption()
                    && name.is("table")
                {
                    self.end_html(name);
                }
            }
            Mode::ColumnGroup => {
                if !name.is("col") && self.current_is(Name::of("colgroup")) {
                    self.open.pop();
                    if !name.is("colgroup") {
                        self.end_html(name);
                    }
                }
            }
            Mode::Row => self.end_in_row(name, is_open),
            Mode::TableBody if name.is_in(&TABLE_BODIES) => {
                if is_open {
                    self.close_one_of(&TABLE_BODIES);
                }
            }
            Mode::TableBody | Mode::Table => {
                if name.is("table") && is_open {
                    self.close(name);
                }
            }
        }
    }

    fn end_in_row(&mut self, name: Name, is_open: bool) {
        let ends_row = name.is("tr") || name.is("table") || name.is_in(&TABLE_BODIES);
        if ends_row && is_open && self.named_in_table_scope(Name::of("tr")) {
            self.close_one_of(&ROW);
            if !name.is("tr") {
                self.end_html(name);
            }
        }
    }

    fn end_in_body(&mut self, name: Name) {
        match name {
            name if name.is("body") || name.is("html") => {}
            name if name.is("br") => self.open_formatting(),
            name if name.is("p") => self.close_p_in_button_scope(),
            name if name.is("form") => self.end_form(name),
            name if name.is("li") => {
                if self.has_in_scope(|element| element.is_html(name), &["ol", "ul"]) {
                    self.close(name);
                }
            }
            name if name.is("dd") || name.is("dt") => {
                if self.in_scope(name) {
                    self.close(name);
                }
            }
            name if name.is_in(&HEADINGS) => {
                if self.has_in_scope(|element| element.is_one_of(&HEADINGS), &[]) {
                    self.close_one_of(&HEADINGS);
                }
            }
            name if name.is_in(&BLOCKS) || name.is_in(&OBJECTS) => {
                if self.in_scope(name) {
                    self.close(name);
                    if name.is_in(&OBJECTS) {
                        self.clear_to_mark();
                    }
                }
            }
            name if name.is_in(&FORMATTING) => self.end_formatting(name),
            _ => self.close_any_other(name),
        }
    }

    fn end_form(&mut self, name: Name) {
        if self.has_html(Name::of("template")) {
            if self.in_scope(name) {
                self.close(name);
            }
        } else if let Some(id) = self.form.take()
            && self.id_in_scope(id)
        {
            self.imply_ends(&IMPLIED_END, None);
            self.remove(id);
        }
    }
}
