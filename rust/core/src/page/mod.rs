//! Bytes of an HTML page in, chat widgets and their tokens out.
//!
//! A page's bytes become tags and raw text (`tokenizer`, `fast_tag`, `attributes`), tags become
//! widgets (`widget`), and tokens outside of them serve when no widget is complete (`loose_tokens`,
//! `script`); `roots` are where the page's WordPress may lie. Chunk boundaries never change the page. Only real markup counts: not comments, raw
//! text, RCDATA, `<noscript>` or the inside of a `<template>`. A tag or a script that the page's
//! end cuts is none. Pages are UTF-8, or another encoding that keeps ASCII as it is.

pub mod attributes;
pub mod challenge;
mod fast_tag;
mod loose_tokens;
mod names;
mod roots;
mod script;
pub mod tokenizer;
mod tree;
mod widget;

use std::fmt;
use std::ops::ControlFlow;

use crate::limits::{Limit, LimitExceeded, MAX_PAGE_BYTES, MAX_WIDGETS};

use attributes::Tag;
use challenge::Signs;
use loose_tokens::LooseTokens;
use roots::Roots;
use script::{names_a_key, script_of_url};
use tokenizer::{Sink, Templates, Tokenizer};
pub use widget::{ChatWidget, PageTokens, Placement, WidgetKind};
use widget::{Element, RawTokens};

/// The options of a scan: what to look for, and when to stop. A later version may have more of
/// them: end a literal with `..ScanOptions::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// The bot to look for; `None`, the default, takes the first one that is complete.
    pub bot_id: Option<String>,
    /// The kind of bot to look for; `None`, the default, takes one of any.
    pub kind: Option<WidgetKind>,
    /// Whether to read to the page's end and find all widgets.
    pub everything: bool,
    /// Whether to wait on 1.x for the endpoint too, which stands in a script well after the widget.
    pub endpoint: bool,
    /// Bytes of the page looked at, at most: 4 MiB unless given.
    pub max_page_bytes: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            bot_id: None,
            kind: None,
            everything: false,
            endpoint: false,
            max_page_bytes: MAX_PAGE_BYTES,
        }
    }
}

/// Why a page gives no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageProblem {
    /// There is no nonce.
    MissingNonce,
    /// There is a nonce and no post id.
    MissingPostId,
    /// There is neither a nonce nor a post id.
    MissingBoth,
    /// The nonce is not 1 to 256 visible ASCII characters.
    InvalidNonce,
    /// The post id is not digits.
    InvalidPostId,
    /// The page is a challenge, meant for a browser.
    Challenge,
    /// The page goes on after the limit, and there were no tokens before it.
    Limit(LimitExceeded),
    /// The page shows more than 1,024 widgets, and the one that was looked for is none of these.
    TooManyWidgets,
}

impl PageProblem {
    /// The problem's name, such as `missing_nonce`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingNonce => "missing_nonce",
            Self::MissingPostId => "missing_post_id",
            Self::MissingBoth => "missing_both",
            Self::InvalidNonce => "invalid_nonce",
            Self::InvalidPostId => "invalid_post_id",
            Self::Challenge => "challenge",
            Self::Limit(_) => "limit",
            Self::TooManyWidgets => "too_many_widgets",
        }
    }
}

impl fmt::Display for PageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingNonce => "the page holds no chat nonce",
            Self::MissingPostId => "the page holds a chat nonce but no post id",
            Self::MissingBoth => "the page holds neither a chat nonce nor a post id",
            Self::InvalidNonce => "the page's chat nonce is not 1 to 256 visible ASCII characters",
            Self::InvalidPostId => "the page's post id is not a number",
            Self::Challenge => "the page is a challenge meant for a browser",
            Self::Limit(limit) => return limit.fmt(f),
            Self::TooManyWidgets => {
                return write!(f, "the page shows more than {MAX_WIDGETS} chat widgets");
            }
        })
    }
}

impl std::error::Error for PageProblem {}

/// No widget of the page is the wanted one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoSuchWidget {
    /// The wanted bot id.
    pub bot_id: Option<String>,
    /// The wanted name.
    pub name: Option<String>,
    /// The wanted kind.
    pub kind: Option<WidgetKind>,
    /// The widgets that are there, each as a phrase such as `aipkit bot 5 "Helper"`.
    pub present: Vec<String>,
}

impl fmt::Display for NoSuchWidget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the page holds no chat widget")?;
        if let Some(kind) = &self.kind {
            write!(f, " of the kind {kind}")?;
        }
        if let Some(bot_id) = &self.bot_id {
            write!(f, " of bot {bot_id}")?;
        }
        if let Some(name) = &self.name {
            write!(f, " named {name:?}")?;
        }
        if self.present.is_empty() {
            return f.write_str(", nor any other");
        }
        write!(f, "; it holds {}", self.present.join(", "))
    }
}

impl std::error::Error for NoSuchWidget {}

/// What a page says beside its widgets and tokens. A later version may have more of it: end a
/// literal with `..PageFacts::default()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// As [`Page::challenge`].
    pub challenge: bool,
    /// As [`Page::title`].
    pub title: Option<String>,
    /// As [`Page::ajax_url`].
    pub ajax_url: Option<String>,
    /// As [`Page::roots`].
    pub roots: Vec<String>,
}

/// A page's chats: its widgets, and the tokens that a message must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    widgets: Vec<ChatWidget>,
    tokens: Result<PageTokens, PageProblem>,
    facts: PageFacts,
}

impl Page {
    /// A page that says this.
    pub fn new(
        widgets: Vec<ChatWidget>,
        tokens: Result<PageTokens, PageProblem>,
        facts: PageFacts,
    ) -> Self {
        Self { widgets, tokens, facts }
    }

    /// The widgets, complete or not, in the page's order, as far as the page was read.
    pub fn widgets(&self) -> &[ChatWidget] {
        &self.widgets
    }

    /// The tokens of the first complete widget (of the wanted bot), else those that stand outside
    /// of widgets.
    ///
    /// When a bot or a kind is wanted and the page has widgets, only that bot's own tokens count:
    /// another bot's are never given for it.
    ///
    /// # Errors
    /// When the page gives no tokens: why.
    pub fn tokens(&self) -> Result<&PageTokens, PageProblem> {
        self.tokens.as_ref().map_err(|problem| *problem)
    }

    /// Whether the page is a known challenge: it has a sign of one, no widget, and no tokens
    /// outside of widgets.
    pub fn challenge(&self) -> bool {
        self.facts.challenge
    }

    /// The page's title, for messages.
    pub fn title(&self) -> Option<&str> {
        self.facts.title.as_deref()
    }

    /// The endpoint that `wpaicgParams` names, if the page was read that far.
    pub fn ajax_url(&self) -> Option<&str> {
        self.facts.ajax_url.as_deref()
    }

    /// Addresses of folders, with their last `/`, where the page's WordPress may lie, the likeliest
    /// first: by the URLs of WordPress's own scripts, of its plugins and themes, and of its REST
    /// API, as far as the page was read. They can be relative, and can be of other hosts.
    pub fn roots(&self) -> &[String] {
        &self.facts.roots
    }

    /// The first widget of this bot, of this name and of this kind, whichever are given; a complete
    /// one before one that is not.
    ///
    /// # Errors
    /// When there is none: an error that names the widgets that are there.
    pub fn widget(
        &self,
        bot_id: Option<&str>,
        name: Option<&str>,
        kind: Option<WidgetKind>,
    ) -> Result<&ChatWidget, NoSuchWidget> {
        let matching = || {
            self.widgets.iter().filter(|widget| {
                bot_id.is_none_or(|bot_id| widget.is_known_by(bot_id))
                    && kind.is_none_or(|kind| widget.kind == kind)
                    && name.is_none_or(|name| widget.name.as_deref() == Some(name))
            })
        };
        matching().find(|widget| widget.is_complete()).or_else(|| matching().next()).ok_or_else(
            || NoSuchWidget {
                bot_id: bot_id.map(str::to_owned),
                name: name.map(str::to_owned),
                kind,
                present: self.widgets.iter().map(describe).collect(),
            },
        )
    }
}

fn describe(widget: &ChatWidget) -> String {
    let kind = widget.kind.as_str();
    let id = widget.any_id();
    let bot = if id.is_empty() { "bot without id" } else { &format!("bot {id}") };
    match &widget.name {
        Some(name) => format!("{kind} {bot} {name:?}"),
        None => format!("{kind} {bot}"),
    }
}

/// Reads all of a page that lies in memory: `everything`, and the default limit.
///
/// ```
/// let page = tailrace_core::scan_page(b"<title>Notes</title><p>No chat here.");
/// assert_eq!(page.title(), Some("Notes"));
/// assert_eq!(page.tokens().unwrap_err().as_str(), "missing_both");
/// ```
#[must_use]
pub fn scan_page(html: &[u8]) -> Page {
    let mut scanner = PageScanner::new(ScanOptions { everything: true, ..ScanOptions::default() });
    scanner.feed(html);
    scanner.close()
}

/// Chunks of a page in, a [`Page`] out; says when to stop reading. The `Debug` form shows nothing
/// of the page.
///
/// ```
/// use tailrace_core::PageScanner;
///
/// let mut scanner = PageScanner::default();
/// let reads = [
///     "<p>Ask us!<div class=\"wpaicg-chat-short",
///     "code\" data-nonce=c0ffee data-post-id=7>",
///     "<p>never read",
/// ];
/// let read = reads.iter().take_while(|read| !scanner.feed(read.as_bytes())).count();
/// assert_eq!(read, 1); // the second one told it to stop
///
/// let page = scanner.close();
/// let tokens = page.tokens()?;
/// assert_eq!((tokens.nonce.as_str(), tokens.post_id.as_str()), ("c0ffee", "7"));
/// # Ok::<(), tailrace_core::PageProblem>(())
/// ```
pub struct PageScanner {
    tokenizer: Tokenizer,
    reading: Reading,
    /// Bytes that may still be looked at.
    room: usize,
    end: Option<Stop>,
}

/// Why reading stopped before the page's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Found,
    Limit,
}

impl fmt::Debug for PageScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageScanner")
            .field("room", &self.room)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Default for PageScanner {
    /// A scanner that stops at the first complete widget.
    fn default() -> Self {
        Self::new(ScanOptions::default())
    }
}

impl PageScanner {
    /// A scanner at the beginning of a page.
    pub fn new(options: ScanOptions) -> Self {
        let room = options.max_page_bytes;
        Self { tokenizer: Tokenizer::new(), reading: Reading::new(options), room, end: None }
    }

    /// Takes the next bytes. Returns whether to stop reading: the wanted widgets are there, or a
    /// limit was passed.
    ///
    /// Nothing behind that point is looked at, neither in this read nor in later ones.
    pub fn feed(&mut self, data: &[u8]) -> bool {
        if self.end.is_some() {
            return true;
        }
        let (within, beyond) = data.split_at(data.len().min(self.room));
        self.room -= within.len();
        if self.tokenizer.feed(within, &mut self.reading).is_break() {
            self.end = Some(Stop::Found);
        } else if !beyond.is_empty() {
            self.end = Some(Stop::Limit);
        }
        self.end.is_some()
    }

    /// The page as far as it was read.
    #[must_use]
    pub fn close(self) -> Page {
        let over_limit = self.end == Some(Stop::Limit);
        self.reading.into_page(over_limit)
    }
}

/// The finds so far; the tokenizer's sink.
struct Reading {
    options: ScanOptions,
    widgets: Vec<ChatWidget>,
    /// Why the first widget of the wanted bot gives no tokens.
    problem: Option<PageProblem>,
    /// Whether there is one widget more than may be kept.
    too_many: bool,
    /// The index of the widget whose tokens are the page's.
    chosen: Option<usize>,
    loose: LooseTokens,
    signs: Signs,
    templates: Templates,
    ajax_url: Option<String>,
    roots: Roots,
    /// The text of the script that is open.
    script: Option<Vec<u8>>,
}

impl Reading {
    fn new(options: ScanOptions) -> Self {
        Self {
            options,
            widgets: Vec::new(),
            problem: None,
            too_many: false,
            chosen: None,
            loose: LooseTokens::default(),
            signs: Signs::default(),
            templates: Templates::default(),
            ajax_url: None,
            roots: Roots::default(),
            script: None,
        }
    }

    fn element(&mut self, tag: &Tag<'_>) {
        let element = Element::new(tag);
        if let Some((widget, tokens)) = element.widget() {
            if widget.kind != WidgetKind::AiEngine {
                self.loose.element(&tokens);
            }
            self.widget(widget, &tokens);
        } else if self.speaks_for(element.bot_id().as_deref()) {
            self.loose.element(&element.tokens());
        }
    }

    /// Whether an element of this bot, or of none, can speak for the wanted bot.
    fn speaks_for(&self, bot_id: Option<&str>) -> bool {
        match (&self.options.bot_id, bot_id) {
            (Some(wanted), Some(bot_id)) => wanted == bot_id,
            _ => true,
        }
    }

    fn widget(&mut self, widget: ChatWidget, tokens: &RawTokens) {
        self.too_many = self.widgets.len() == MAX_WIDGETS;
        if self.too_many {
            return;
        }
        let ScanOptions { bot_id, kind, .. } = &self.options;
        let is_wanted = bot_id.as_ref().is_none_or(|bot_id| widget.is_known_by(bot_id))
            && kind.is_none_or(|kind| kind == widget.kind);
        if is_wanted {
            if self.chosen.is_none() && widget.is_complete() {
                self.chosen = Some(self.widgets.len());
            }
            if widget.kind != WidgetKind::AiEngine {
                self.problem = self.problem.or_else(|| problem_of(tokens));
            }
        }
        self.widgets.push(widget);
    }

    fn inline_script(&mut self, script: &[u8]) -> ControlFlow<()> {
        if self.widgets.is_empty() {
            self.signs.script(script);
        }
        if names_a_key(script) {
            let endpoint = self.loose.script(&String::from_utf8_lossy(script));
            self.ajax_url = self.ajax_url.take().or(endpoint);
        }
        self.flow()
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.too_many {
            return ControlFlow::Break(());
        }
        let Some(widget) = self.chosen.and_then(|index| self.widgets.get(index)) else {
            return ControlFlow::Continue(());
        };
        let has_endpoint = widget.ajax_url.is_some()
            || widget.kind == WidgetKind::AiEngine
            || self.ajax_url.is_some();
        if self.options.everything || (self.options.endpoint && !has_endpoint) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(())
    }

    fn into_page(mut self, over_limit: bool) -> Page {
        if self.options.endpoint {
            for widget in
                self.widgets.iter_mut().filter(|widget| widget.kind == WidgetKind::AiPower)
            {
                widget.ajax_url.clone_from(&self.ajax_url);
            }
        }
        let loose = self.loose.tokens();
        let challenge = self.widgets.is_empty() && loose.is_err() && self.signs.challenge();
        let tokens = self.tokens(loose, challenge, over_limit);
        let facts = PageFacts {
            challenge,
            title: self.signs.title(),
            ajax_url: self.ajax_url,
            roots: self.roots.into_list(),
        };
        Page::new(self.widgets, tokens, facts)
    }

    fn tokens(
        &self,
        loose: Result<PageTokens, PageProblem>,
        challenge: bool,
        over_limit: bool,
    ) -> Result<PageTokens, PageProblem> {
        if let Some(tokens) =
            self.chosen.and_then(|index| self.widgets.get(index)).and_then(ChatWidget::tokens)
        {
            return Ok(tokens);
        }
        let is_wanted = self.options.bot_id.is_some() || self.options.kind.is_some();
        let found = if is_wanted && !self.widgets.is_empty() {
            Err(self.problem.unwrap_or(PageProblem::MissingBoth))
        } else {
            loose
        };
        found.map_err(|problem| {
            if over_limit {
                let bytes = self.options.max_page_bytes;
                PageProblem::Limit(LimitExceeded { limit: Limit::Page, bytes })
            } else if self.too_many {
                PageProblem::TooManyWidgets
            } else if challenge {
                PageProblem::Challenge
            } else {
                problem
            }
        })
    }
}

/// Why these tokens of one element are none.
fn problem_of(tokens: &RawTokens) -> Option<PageProblem> {
    let mut own = LooseTokens::default();
    own.element(tokens);
    own.tokens().err()
}

impl Sink for Reading {
    const ONLY_MATTERING: bool = true;

    fn start_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        if !self.templates.start_tag(tag) {
            return ControlFlow::Continue(());
        }
        self.signs.start_tag(tag);
        if tag.is("script") {
            self.script = Some(Vec::new());
            self.roots.tag(tag);
            if let Some(script) = script_of_url(tag) {
                self.inline_script(&script)?;
            }
        } else if tag.is("link") {
            self.roots.tag(tag);
        }
        self.loose.input(tag);
        if !tag.is_plain() {
            self.loose.json_attributes(tag);
            self.element(tag);
        }
        self.flow()
    }

    fn end_tag(&mut self, tag: &Tag<'_>) -> ControlFlow<()> {
        self.templates.end_tag(tag);
        self.signs.end_tag(tag);
        match self.script.take() {
            Some(script) => self.inline_script(&script),
            None => ControlFlow::Continue(()),
        }
    }

    fn text(&mut self, piece: &[u8]) {
        self.signs.text(piece);
        if let Some(script) = &mut self.script {
            script.extend_from_slice(piece);
        }
    }
}
