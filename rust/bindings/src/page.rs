//! Chunks of an HTML page in, bots and tokens out.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use tailrace_core::{
    Limit, LimitExceeded, MAX_PAGE_BYTES, PageFacts, PageProblem, Placement, ScanOptions,
    WidgetKind,
};

use crate::input::{Whole, bytes_of, limit, one_of, optional_text, text_of};
use crate::raise::{in_use, invalid, no_tokens, widget_not_found};
use crate::record::record;

/// One chat bot on a page.
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
#[derive(Clone)]
pub struct ChatWidget {
    /// The plugin that shows the bot, and its line: `ai-power`, `aipkit`, `ai-engine`.
    kind: &'static str,
    /// Whether the bot is part of the page or floats over it: `inline` or `popup`.
    placement: &'static str,
    /// The bot's nonce; empty where the tag has none that is valid. Not shown in the repr.
    nonce: String,
    /// The page's post id, digits; empty where the tag has none that is valid.
    post_id: String,
    /// The bot's id; `0` is the site's default bot.
    bot_id: String,
    /// The bot's name, where the page shows one.
    name: Option<String>,
    /// The page's URL as the bot reports it.
    url: Option<String>,
    /// The URL that messages are posted to, where the page says so before the scan stopped.
    ajax_url: Option<String>,
    /// Whether the bot streams; `None` where the page does not say.
    streams: Option<bool>,
    /// Whether an `OpenAI` assistant answers.
    assistant: bool,
    /// How many earlier turns the bot's own page sends.
    memory_limit: Option<u64>,
    /// The id of the settings that the page gives the bot, of AI Engine; may be empty.
    custom_id: Option<String>,
    /// The URL that paths of the REST API are added to, of AI Engine.
    rest_url: Option<String>,
    /// The visitor's session, of AI Engine. Not shown in the repr.
    session_id: Option<String>,
    /// What the chat says before anybody asks, of AI Engine.
    start_sentence: Option<String>,
    /// How many characters a message has at most, of AI Engine.
    max_length: Option<u64>,
    /// What the bot does, of AI Engine: `chat`, `images`, and others.
    mode: Option<String>,
}

const KINDS: &[WidgetKind] = WidgetKind::ALL;
const PLACEMENTS: [Placement; 2] = [Placement::Inline, Placement::Popup];

impl From<&tailrace_core::ChatWidget> for ChatWidget {
    fn from(widget: &tailrace_core::ChatWidget) -> Self {
        Self {
            kind: widget.kind.as_str(),
            placement: widget.placement.as_str(),
            nonce: widget.nonce.clone(),
            post_id: widget.post_id.clone(),
            bot_id: widget.bot_id.clone(),
            name: widget.name.clone(),
            url: widget.url.clone(),
            ajax_url: widget.ajax_url.clone(),
            streams: widget.streams,
            assistant: widget.assistant,
            memory_limit: widget.memory_limit,
            custom_id: widget.custom_id.clone(),
            rest_url: widget.rest_url.clone(),
            session_id: widget.session_id.clone(),
            start_sentence: widget.start_sentence.clone(),
            max_length: widget.max_length,
            mode: widget.mode.clone(),
        }
    }
}

impl ChatWidget {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let all = (
            self.kind,
            self.placement,
            &self.nonce,
            &self.post_id,
            &self.bot_id,
            &self.name,
            &self.url,
            &self.ajax_url,
            self.streams,
            self.assistant,
            self.memory_limit,
        )
            .into_pyobject(py)?;
        let of_ai_engine = (
            &self.custom_id,
            &self.rest_url,
            &self.session_id,
            &self.start_sentence,
            self.max_length,
            &self.mode,
        )
            .into_pyobject(py)?;
        all.as_sequence().concat(of_ai_engine.as_sequence())?.to_tuple()
    }

    fn to_core(&self) -> tailrace_core::ChatWidget {
        let kind = KINDS.iter().copied().find(|kind| kind.as_str() == self.kind);
        let placement = PLACEMENTS.into_iter().find(|place| place.as_str() == self.placement);
        let mut widget = tailrace_core::ChatWidget::new(
            kind.unwrap_or(WidgetKind::AiPower),
            placement.unwrap_or(Placement::Inline),
        );
        widget.nonce.clone_from(&self.nonce);
        widget.post_id.clone_from(&self.post_id);
        widget.bot_id.clone_from(&self.bot_id);
        widget.name.clone_from(&self.name);
        widget.url.clone_from(&self.url);
        widget.ajax_url.clone_from(&self.ajax_url);
        widget.streams = self.streams;
        widget.assistant = self.assistant;
        widget.memory_limit = self.memory_limit;
        widget.custom_id.clone_from(&self.custom_id);
        widget.rest_url.clone_from(&self.rest_url);
        widget.session_id.clone_from(&self.session_id);
        widget.start_sentence.clone_from(&self.start_sentence);
        widget.max_length = self.max_length;
        widget.mode.clone_from(&self.mode);
        widget
    }
}

record! {
impl ChatWidget {
    const FIELDS = [
        "kind", "placement", "nonce", "post_id", "bot_id", "name", "url", "ajax_url", "streams",
        "assistant", "memory_limit", "custom_id", "rest_url", "session_id", "start_sentence",
        "max_length", "mode",
    ];

    /// Make the record of a bot, as a page would show it.
    #[new]
    #[pyo3(signature = (
        kind, placement, nonce = None, post_id = None, bot_id = None, name = None, url = None,
        ajax_url = None, streams = None, assistant = false, memory_limit = None, custom_id = None,
        rest_url = None, session_id = None, start_sentence = None, max_length = None, mode = None,
    ))]
    #[pyo3(text_signature = "(kind, placement, nonce='', post_id='', bot_id='', name=None, \
                             url=None, ajax_url=None, streams=None, assistant=False, \
                             memory_limit=None, custom_id=None, rest_url=None, session_id=None, \
                             start_sentence=None, max_length=None, mode=None)")]
    #[allow(clippy::too_many_arguments)] // each is a field
    fn new(
        py: Python<'_>,
        kind: &Bound<'_, PyString>,
        placement: &Bound<'_, PyString>,
        nonce: Option<&Bound<'_, PyString>>,
        post_id: Option<&Bound<'_, PyString>>,
        bot_id: Option<&Bound<'_, PyString>>,
        name: Option<&Bound<'_, PyString>>,
        url: Option<&Bound<'_, PyString>>,
        ajax_url: Option<&Bound<'_, PyString>>,
        streams: Option<bool>,
        assistant: bool,
        memory_limit: Option<Whole>,
        custom_id: Option<&Bound<'_, PyString>>,
        rest_url: Option<&Bound<'_, PyString>>,
        session_id: Option<&Bound<'_, PyString>>,
        start_sentence: Option<&Bound<'_, PyString>>,
        max_length: Option<Whole>,
        mode: Option<&Bound<'_, PyString>>,
    ) -> PyResult<Self> {
        let max_length =
            max_length.map(|length| length.within(py, "max_length", "a number of characters", |_| true));
        let memory_limit = memory_limit
            .map(|limit| limit.within(py, "memory_limit", "a number of turns", |_| true));
        Ok(Self {
            kind: one_of(py, "kind", kind, KINDS, WidgetKind::as_str)?.as_str(),
            placement: one_of(py, "placement", placement, &PLACEMENTS, Placement::as_str)?.as_str(),
            nonce: optional_text(nonce)?.unwrap_or_default(),
            post_id: optional_text(post_id)?.unwrap_or_default(),
            bot_id: optional_text(bot_id)?.unwrap_or_default(),
            name: optional_text(name)?,
            url: optional_text(url)?,
            ajax_url: optional_text(ajax_url)?,
            streams,
            assistant,
            memory_limit: memory_limit.transpose()?,
            custom_id: optional_text(custom_id)?,
            rest_url: optional_text(rest_url)?,
            session_id: optional_text(session_id)?,
            start_sentence: optional_text(start_sentence)?,
            max_length: max_length.transpose()?,
            mode: optional_text(mode)?,
        })
    }

    fn __repr__(&self) -> String {
        let Self { kind, placement, post_id, bot_id, .. } = self;
        format!(
            "ChatWidget(kind='{kind}', placement='{placement}', post_id={post_id:?}, bot_id={bot_id:?})"
        )
    }
}
}

/// The tokens that a message must carry. The repr does not show the nonce.
#[pyclass(frozen, weakref, get_all, module = "tailrace")]
pub struct PageTokens {
    /// The nonce: 1 to 256 visible ASCII characters.
    nonce: String,
    /// The post id: digits.
    post_id: String,
}

impl From<&tailrace_core::PageTokens> for PageTokens {
    fn from(tokens: &tailrace_core::PageTokens) -> Self {
        Self { nonce: tokens.nonce.clone(), post_id: tokens.post_id.clone() }
    }
}

impl PageTokens {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (&self.nonce, &self.post_id).into_pyobject(py)
    }
}

record! {
impl PageTokens {
    const FIELDS = ["nonce", "post_id"];

    /// Make the record of a page's tokens.
    #[new]
    fn new(nonce: &Bound<'_, PyString>, post_id: &Bound<'_, PyString>) -> PyResult<Self> {
        Ok(Self { nonce: text_of(nonce)?.into_owned(), post_id: text_of(post_id)?.into_owned() })
    }

    fn __repr__(&self) -> String {
        format!("PageTokens(post_id={:?})", self.post_id)
    }
}
}

/// The chat bots that a page shows, and the tokens that a message must carry.
#[pyclass(frozen, weakref, module = "tailrace")]
pub struct Page(tailrace_core::Page);

impl Page {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let tokens = self.0.tokens().ok().map(PageTokens::from);
        (
            self.widgets(),
            tokens,
            self.problem(),
            self.0.challenge(),
            self.0.title(),
            self.0.ajax_url(),
            self.0.roots(),
            self.max_page_bytes(),
        )
            .into_pyobject(py)
    }
}

const PROBLEMS: [PageProblem; 8] = [
    PageProblem::MissingNonce,
    PageProblem::MissingPostId,
    PageProblem::MissingBoth,
    PageProblem::InvalidNonce,
    PageProblem::InvalidPostId,
    PageProblem::Challenge,
    PageProblem::Limit(LimitExceeded { limit: Limit::Page, bytes: MAX_PAGE_BYTES }),
    PageProblem::TooManyWidgets,
];

/// The problem of that name: the limit's with its bytes, `missing_both` where none is named.
fn problem_named(
    py: Python<'_>,
    name: Option<&Bound<'_, PyString>>,
    max_page_bytes: Option<Whole>,
) -> PyResult<PageProblem> {
    let named = name.map(|name| one_of(py, "problem", name, &PROBLEMS, PageProblem::as_str));
    match (named.transpose()?.unwrap_or(PageProblem::MissingBoth), max_page_bytes) {
        (PageProblem::Limit(exceeded), Some(bytes)) => {
            let bytes = limit(py, "max_page_bytes", bytes)?;
            Ok(PageProblem::Limit(LimitExceeded { bytes, ..exceeded }))
        }
        (problem, _) => Ok(problem),
    }
}

record! {
impl Page {
    const FIELDS = [
        "widgets", "tokens", "problem", "challenge", "title", "ajax_url", "roots",
        "max_page_bytes",
    ];

    /// Make the record of a page, as a scan would.
    ///
    /// `tokens` and `problem` exclude each other; with neither the problem is `missing_both`.
    #[new]
    #[pyo3(signature = (
        widgets = Vec::new(), tokens = None, problem = None, challenge = false, title = None,
        ajax_url = None, roots = Vec::new(), max_page_bytes = None,
    ))]
    #[pyo3(text_signature = "(widgets=[], tokens=None, problem=None, challenge=False, title=None, \
                             ajax_url=None, roots=[], max_page_bytes=None)")]
    #[allow(clippy::too_many_arguments)] // each is a field
    fn new(
        py: Python<'_>,
        widgets: Vec<PyRef<'_, ChatWidget>>,
        tokens: Option<PyRef<'_, PageTokens>>,
        problem: Option<&Bound<'_, PyString>>,
        challenge: bool,
        title: Option<&Bound<'_, PyString>>,
        ajax_url: Option<&Bound<'_, PyString>>,
        roots: Vec<Bound<'_, PyString>>,
        max_page_bytes: Option<Whole>,
    ) -> PyResult<Self> {
        let tokens = match (tokens, problem) {
            (Some(_), Some(_)) => return Err(invalid(py, "tokens and problem exclude each other")),
            (Some(tokens), None) => {
                Ok(tailrace_core::PageTokens::new(tokens.nonce.clone(), tokens.post_id.clone()))
            }
            (None, problem) => Err(problem_named(py, problem, max_page_bytes)?),
        };
        let roots = roots.into_iter().map(|root| Ok(text_of(&root)?.into_owned()));
        let facts = PageFacts {
            challenge,
            title: optional_text(title)?,
            ajax_url: optional_text(ajax_url)?,
            roots: roots.collect::<PyResult<_>>()?,
        };
        let widgets = widgets.into_iter().map(|widget| widget.to_core()).collect();
        Ok(Self(tailrace_core::Page::new(widgets, tokens, facts)))
    }

    /// The bots up to where the scan stopped; never raises.
    #[getter]
    fn widgets(&self) -> Vec<ChatWidget> {
        self.0.widgets().iter().map(ChatWidget::from).collect()
    }

    /// The tokens of the most trusted source.
    ///
    /// Raises `TokenNotFoundError`, `ChallengeError` or `LimitExceeded`.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> PyResult<PageTokens> {
        self.0.tokens().map(PageTokens::from).map_err(|problem| no_tokens(py, problem))
    }

    /// Why there are no tokens, in a word; `None` where there are some.
    #[getter]
    fn problem(&self) -> Option<&'static str> {
        self.0.tokens().err().map(PageProblem::as_str)
    }

    /// Whether the page is a challenge, meant for a browser, that shows no bot.
    #[getter]
    fn challenge(&self) -> bool {
        self.0.challenge()
    }

    /// The page's title; `None` where it has none.
    #[getter]
    fn title(&self) -> Option<&str> {
        self.0.title()
    }

    /// The URL that messages are posted to, where a script of the page says so.
    ///
    /// `None` where none did before the scan stopped; a bot's own `ajax_url` goes before it.
    #[getter]
    fn ajax_url(&self) -> Option<&str> {
        self.0.ajax_url()
    }

    /// Where the page's WordPress may lie: URLs of folders, with their last slash.
    ///
    /// The likeliest comes first: they follow from the URLs of WordPress's own scripts, of its
    /// plugins and themes, and of its REST API. They may be relative, or of other hosts.
    #[getter]
    fn roots(&self) -> Vec<String> {
        self.0.roots().to_vec()
    }

    /// The limit that the page is larger than, in bytes; `None` for any other `problem`.
    #[getter]
    fn max_page_bytes(&self) -> Option<usize> {
        match self.0.tokens() {
            Err(PageProblem::Limit(exceeded)) => Some(exceeded.bytes),
            _ => None,
        }
    }

    /// Return the bot of that id, name or kind, or the first one.
    ///
    /// Raises `WidgetNotFoundError`, which names the bots that are there.
    #[pyo3(signature = (bot_id = None, name = None, kind = None))]
    fn widget(
        &self,
        py: Python<'_>,
        bot_id: Option<&Bound<'_, PyString>>,
        name: Option<&Bound<'_, PyString>>,
        kind: Option<&Bound<'_, PyString>>,
    ) -> PyResult<ChatWidget> {
        let (bot_id, name) = (optional_text(bot_id)?, optional_text(name)?);
        let kind = kind.map(|kind| one_of(py, "kind", kind, KINDS, WidgetKind::as_str));
        let found = self.0.widget(bot_id.as_deref(), name.as_deref(), kind.transpose()?);
        found.map(ChatWidget::from).map_err(|missing| widget_not_found(py, &missing.to_string()))
    }

    fn __repr__(&self) -> String {
        format!("<Page with {} chat widgets>", self.0.widgets().len())
    }
}
}

/// Chunks of an HTML page in, bots and tokens out; says when to stop reading.
///
/// Chunk boundaries never change the result.
#[pyclass(module = "tailrace")]
pub struct PageScanner {
    state: State,
}

enum State {
    Reading(Box<tailrace_core::PageScanner>),
    Closed(Py<Page>),
}

#[pymethods]
impl PageScanner {
    /// Make a scanner for one page.
    ///
    /// `bot_id`, `kind`: stop at that bot, at one of that kind; `everything`: stop at the end only;
    /// `endpoint`: wait for the endpoint, too.
    #[new]
    #[pyo3(signature = (
        *, bot_id = None, kind = None, everything = false, endpoint = false,
        max_page_bytes = Whole::from(4_194_304),
    ))]
    #[pyo3(text_signature = "(*, bot_id=None, kind=None, everything=False, endpoint=False, \
                             max_page_bytes=4194304)")]
    fn new(
        py: Python<'_>,
        bot_id: Option<&Bound<'_, PyString>>,
        kind: Option<&Bound<'_, PyString>>,
        everything: bool,
        endpoint: bool,
        max_page_bytes: Whole,
    ) -> PyResult<Self> {
        let options = ScanOptions {
            bot_id: optional_text(bot_id)?,
            kind: kind
                .map(|kind| one_of(py, "kind", kind, KINDS, WidgetKind::as_str))
                .transpose()?,
            everything,
            endpoint,
            max_page_bytes: limit(py, "max_page_bytes", max_page_bytes)?,
        };
        Ok(Self { state: State::Reading(Box::new(tailrace_core::PageScanner::new(options))) })
    }

    /// Take the next bytes and return whether to stop reading.
    ///
    /// `True` when the page has given what was wanted, or a limit was passed.
    fn feed(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        let mut scanner = slf.try_borrow_mut().map_err(|_| in_use(slf.py(), "PageScanner"))?;
        let bytes = bytes_of(data)?;
        match &mut scanner.state {
            State::Reading(reading) => Ok(reading.feed(&bytes)),
            State::Closed(_) => Ok(true),
        }
    }

    /// End the page, as far as it was read, and return what it shows.
    fn close(slf: &Bound<'_, Self>) -> PyResult<Py<Page>> {
        let py = slf.py();
        let mut scanner = slf.try_borrow_mut().map_err(|_| in_use(py, "PageScanner"))?;
        if let State::Reading(reading) = &mut scanner.state {
            // The core's scanner ends by giving itself away; an empty one stands in until the page
            // is there.
            let reading = std::mem::replace(
                &mut **reading,
                tailrace_core::PageScanner::new(ScanOptions::default()),
            );
            scanner.state = State::Closed(Py::new(py, Page(reading.close()))?);
        }
        match &scanner.state {
            State::Closed(page) => Ok(page.clone_ref(py)),
            State::Reading(_) => Err(in_use(py, "PageScanner")),
        }
    }
}

/// Scan a whole page for every bot on it, and for its tokens.
#[pyfunction]
pub fn scan_page(html: &Bound<'_, PyAny>) -> PyResult<Page> {
    Ok(Page(tailrace_core::scan_page(&bytes_of(html)?)))
}
