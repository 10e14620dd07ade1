//! The limits of what is held. A peer decides how much it sends; these decide how much of it is
//! kept.

/// Bytes of one server-sent event held at most, unless the caller says otherwise: 8 MiB.
pub const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of a buffered body (a JSON body, or debris before the first event) taken at most by
/// default: 8 MiB.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of a page looked at by default: 4 MiB.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Chat widgets of one page: 1,024. In memory one is many times its tag.
#[cfg(feature = "sites")]
pub(crate) const MAX_WIDGETS: usize = 1024;

/// Bytes kept by default of an answer that is encoded, where the wire tells at its end what it told
/// before: 8 MiB.
pub const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Open containers of one JSON text: 200 pass, the next one is an error.
pub const MAX_JSON_DEPTH: usize = 200;

/// Bytes kept of the body of a reply with an error status (400 and above): 64 KiB.
pub(crate) const ERROR_BODY_BYTES: usize = 64 * 1024;

/// Bytes kept of an error text that comes word by word: 64 KiB.
pub(crate) const ERROR_WORDS_BYTES: usize = 64 * 1024;

/// Bytes of an error's `raw`: 64 KiB.
pub(crate) const RAW_BYTES: usize = 64 * 1024;

/// Characters of an error's message: 300.
pub(crate) const MESSAGE_CHARS: usize = 300;

/// Bytes kept, for an error, of what is no part of an answer: of what comes before it the first
/// 4 KiB, of what comes among its events the last.
pub(crate) const RAW_KEPT_BYTES: usize = 4 * 1024;

/// Bytes of a buffer that is kept for the next event instead of being given back: 4 KiB.
pub(crate) const KEPT_BYTES: usize = 4 * 1024;

/// Which limit was passed; named as the option that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The known-field lines of one server-sent event.
    Event,
    /// A JSON body, or what came before the first event.
    Body,
    /// A page.
    Page,
    /// What an encoder keeps of the answer that it writes.
    Kept,
    /// What is collected of a reply besides its text.
    Collected,
}

impl Limit {
    /// The name of the option that sets this limit, e.g. `max_event_bytes`.
    pub fn option(self) -> &'static str {
        match self {
            Self::Event => "max_event_bytes",
            Self::Body | Self::Collected => "max_body_bytes",
            Self::Page => "max_page_bytes",
            Self::Kept => "max_kept_bytes",
        }
    }

    /// The thing that is too large, for a sentence.
    fn subject(self) -> &'static str {
        match self {
            Self::Event => "an event of the reply",
            Self::Body => "the body of the reply",
            Self::Page => "the page",
            Self::Kept => "what is kept of the answer",
            Self::Collected => "what the reply holds besides text",
        }
    }
}

/// A peer sent more than a limit allows. The object that says so stays failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LimitExceeded {
    /// The limit that was passed.
    pub limit: Limit,
    /// The limit's size in bytes.
    pub bytes: usize,
}

impl std::fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} is larger than {} ({} bytes)",
            self.limit.subject(),
            self.limit.option(),
            self.bytes
        )
    }
}

impl std::error::Error for LimitExceeded {}
