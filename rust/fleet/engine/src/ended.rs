//! What became of a stream.

use std::sync::Arc;

use http::{HeaderMap, Uri};
use tailrace_core::{Collected, End, Ids, ReplyError, Usage};

use crate::fault::Fault;
use crate::request::Head;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// No reply that could be read came.
    Unopened,
    /// It was cancelled.
    Cancelled,
    /// As its decoder says; of a reply that is not decoded `Done` or `Truncated`.
    Read(End),
}

/// The record of a stream that has ended. Times are nanoseconds of the monotonic clock.
#[derive(Debug)]
pub struct Ended {
    /// The caller's number of the request.
    pub tag: i64,
    /// What was asked, as it was given.
    pub url: Uri,
    /// What the request had in common with others.
    pub(crate) head: Arc<Head>,
    /// How it ended.
    pub ending: Ending,
    /// The decoder's error.
    pub error: Option<ReplyError>,
    /// What went wrong outside of the reply's own words.
    pub fault: Option<Fault>,
    /// The reply's status, if its head came.
    pub status: Option<u16>,
    /// The reply's headers.
    pub headers: HeaderMap,
    /// The reply's token counts.
    pub usage: Option<Usage>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// The ids that the reply gave of itself.
    pub ids: Ids,
    /// When the request was begun: its name, or its connection, was looked for.
    pub sent: Option<i64>,
    /// When the head was in.
    pub first_byte: Option<i64>,
    /// When the first text was read.
    pub first_text: Option<i64>,
    /// When the last bytes were read.
    pub last: Option<i64>,
    /// When the end was known.
    pub ended: i64,
    /// Bytes of the body, without its coding.
    pub bytes: u64,
    /// Deltas of all kinds.
    pub deltas: u64,
    /// Events seen.
    pub events: u64,
    /// Events that were none of the dialect.
    pub bad_events: u64,
    /// What no delta is made of, and how much of it.
    pub passed_over: Vec<(&'static str, u64)>,
    /// The text, where it is kept.
    pub text: Option<String>,
    /// All that is no text, where it is kept.
    pub collected: Option<Collected>,
    /// The body, where it is kept.
    pub body: Option<Vec<u8>>,
}

impl Ended {
    /// The request's headers, of which an error may hold nothing that is secret.
    pub fn sent_headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The record of a stream of which nothing is known yet.
    pub(crate) fn new(tag: i64, head: Arc<Head>) -> Self {
        Self {
            tag,
            url: head.uri.clone(),
            head,
            ending: Ending::Unopened,
            error: None,
            fault: None,
            status: None,
            headers: HeaderMap::new(),
            usage: None,
            finish_reason: None,
            ids: Ids::default(),
            sent: None,
            first_byte: None,
            first_text: None,
            last: None,
            ended: 0,
            bytes: 0,
            deltas: 0,
            events: 0,
            bad_events: 0,
            passed_over: Vec::new(),
            text: None,
            collected: None,
            body: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_header_that_was_sent_is_shown() {
        let head = Head::new("http://h/", [("x-api-key", "secret")]).unwrap();
        let ended = Ended::new(1, Arc::new(head));
        assert_eq!(ended.sent_headers()["x-api-key"], "secret");
        assert!(!format!("{ended:?}").contains("secret"));
    }
}
