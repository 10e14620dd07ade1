//! One request: checked, and ready to be sent.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tailrace_core::Dialect;

/// A request to be posted.
#[derive(Clone)]
pub struct Request {
    /// The caller's number for it.
    pub tag: i64,
    /// When it is due, in nanoseconds of the monotonic clock; `None` for at once.
    pub at: Option<i64>,
    pub(crate) head: Arc<Head>,
    pub(crate) body: Bytes,
}

/// What many requests have in common: where they are sent, with which headers, and the dialect of
/// what comes back. It is checked once.
#[derive(Clone)]
pub struct Head {
    /// The replies' dialect; `None` for the one that each tells.
    pub dialect: Option<Dialect>,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// A part of a request that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRequest {
    /// The URL.
    Url,
    /// A header's name or value.
    Header,
}

impl Head {
    /// The head of requests to `url` with these headers, whose replies are OpenAI's.
    ///
    /// # Errors
    /// For a URL without scheme or host, for a header that HTTP does not allow, and for tens of
    /// thousands of them.
    pub fn new<'h>(
        url: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Self, BadRequest> {
        let uri: Uri = url.parse().map_err(|_| BadRequest::Url)?;
        if uri.host().is_none_or(str::is_empty) || uri.scheme().is_none() {
            return Err(BadRequest::Url);
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = name.parse::<HeaderName>().map_err(|_| BadRequest::Header)?;
            let value =
                HeaderValue::from_bytes(value.as_bytes()).map_err(|_| BadRequest::Header)?;
            map.try_insert(name, value).map_err(|_| BadRequest::Header)?;
        }
        Ok(Self { dialect: Some(Dialect::OpenAi), uri, headers: map })
    }
}

impl Request {
    /// A request with this head and this body.
    pub fn new(head: Arc<Head>, body: Bytes) -> Self {
        Self { tag: 0, at: None, head, body }
    }

    /// Whether its reply may tell, with each event, how many tokens the answer has so far: where
    /// the request asks for that, and by the one dialect that does so by itself.
    pub(crate) fn wants_tokens(&self) -> bool {
        const ASKED: [&[u8]; 2] = [b"continuous_usage_stats", b"return_token_ids"];
        self.head.dialect == Some(Dialect::Gemini)
            || ASKED.iter().any(|words| memchr::memmem::find(&self.body, words).is_some())
    }
}

/// Headers hold secrets, and so may URLs.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// Headers and bodies hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("tag", &self.tag).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(dialect: Dialect, body: &'static [u8]) -> Request {
        let head = Head { dialect: Some(dialect), ..Head::new("http://h/", []).unwrap() };
        Request::new(Arc::new(head), Bytes::from_static(body))
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let refused = |url| Head::new(url, []).unwrap_err();
        assert_eq!(refused("/chat"), BadRequest::Url);
        assert_eq!(refused("http://a b/"), BadRequest::Url);
        let header = Head::new("http://h/", [("a b", "c")]);
        assert_eq!(header.unwrap_err(), BadRequest::Header);
        let names: Vec<String> = (0..40_000).map(|number| format!("x-{number}")).collect();
        let many = Head::new("http://h/", names.iter().map(|n| (&**n, "")));
        assert_eq!(many.unwrap_err(), BadRequest::Header);
    }

    #[test]
    fn tokens_are_looked_for_where_they_are_asked_for() {
        let wants = |body| request(Dialect::OpenAi, body).wants_tokens();
        assert!(!wants(b"{}"));
        assert!(wants(br#"{"stream_options":{"continuous_usage_stats":true}}"#));
        assert!(wants(br#"{"return_token_ids":true}"#));
        assert!(request(Dialect::Gemini, b"{}").wants_tokens());
    }

    #[test]
    fn no_secret_is_shown() {
        let head = Head::new("http://h/secret", [("a", "secret")]).unwrap();
        assert!(!format!("{head:?}").contains("secret"));
        let request = Request::new(Arc::new(head), Bytes::from("secret"));
        assert!(!format!("{request:?}").contains("secret"));
    }
}
