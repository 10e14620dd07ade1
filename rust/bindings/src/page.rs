//! Chunks of an HTML page in, bots and tokens out.

use pyo3::prelude::*;
use pyo3::types::PyString;
use tailrace_core::ScanOptions;

use crate::input::{Whole, bytes_of, limit, optional_text};
use crate::raise::{in_use, no_tokens, widget_not_found};

/// One chat bot on a page.
#[pyclass(frozen, eq, hash, get_all, module = "tailrace")]
#[derive(PartialEq, Eq, Hash)]
pub struct ChatWidget {
    /// The line of the plugin that shows the bot: `ai-power` or `aipkit`.
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
}

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
        }
    }
}

#[pymethods]
impl ChatWidget {
    fn __repr__(&self) -> String {
        let Self { kind, placement, post_id, bot_id, .. } = self;
        format!(
            "ChatWidget(kind='{kind}', placement='{placement}', post_id={post_id:?}, bot_id={bot_id:?})"
        )
    }
}

/// The tokens that a message must carry. The repr does not show the nonce.
#[pyclass(frozen, eq, hash, get_all, module = "tailrace")]
#[derive(PartialEq, Eq, Hash)]
pub struct PageTokens {
    /// The nonce: 1 to 256 visible ASCII characters.
    nonce: String,
    /// The post id: digits.
    post_id: String,
}

#[pymethods]
impl PageTokens {
    fn __repr__(&self) -> String {
        format!("PageTokens(post_id={:?})", self.post_id)
    }
}

/// The chat bots that a page shows, and the tokens that a message must carry.
#[pyclass(frozen, module = "tailrace")]
pub struct Page(tailrace_core::Page);

#[pymethods]
impl Page {
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
        match self.0.tokens() {
            Ok(tokens) => {
                Ok(PageTokens { nonce: tokens.nonce.clone(), post_id: tokens.post_id.clone() })
            }
            Err(problem) => Err(no_tokens(py, problem)),
        }
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

    /// Return the bot of that id or name, or the first one.
    ///
    /// Raises `WidgetNotFoundError`, which names the bots that are there.
    #[pyo3(signature = (bot_id = None, name = None))]
    fn widget(
        &self,
        py: Python<'_>,
        bot_id: Option<&Bound<'_, PyString>>,
        name: Option<&Bound<'_, PyString>>,
    ) -> PyResult<ChatWidget> {
        let (bot_id, name) = (optional_text(bot_id)?, optional_text(name)?);
        let found = self.0.widget(bot_id.as_deref(), name.as_deref());
        found.map(ChatWidget::from).map_err(|missing| widget_not_found(py, &missing.to_string()))
    }

    fn __repr__(&self) -> String {
        format!("<Page with {} chat widgets>", self.0.widgets().len())
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
    /// `bot_id`: stop at that bot; `everything`: stop at the end only; `endpoint`: wait for the
    /// endpoint, too.
    #[new]
    #[pyo3(signature = (
        *, bot_id = None, everything = false, endpoint = false,
        max_page_bytes = Whole::from(4_194_304),
    ))]
    #[pyo3(
        text_signature = "(*, bot_id=None, everything=False, endpoint=False, max_page_bytes=4194304)"
    )]
    fn new(
        py: Python<'_>,
        bot_id: Option<&Bound<'_, PyString>>,
        everything: bool,
        endpoint: bool,
        max_page_bytes: Whole,
    ) -> PyResult<Self> {
        let options = ScanOptions {
            bot_id: optional_text(bot_id)?,
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
