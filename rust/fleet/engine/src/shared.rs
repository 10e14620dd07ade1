//! What the streams of one thread share: settings, connections, outbox.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::clock::Clock;
use crate::coalescing::Coalescing;
use crate::connecting::Connector;
use crate::outbox::{Outbox, Waiting};
use crate::sending::Sending;
use crate::settings::{MAX_FIELDS, MAX_HEAD_BYTES, Settings};

/// How long a connection that nobody uses is kept.
const KEPT: Duration = Duration::from_secs(15);

/// What the streams of one thread share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) outbox: Outbox,
    pub(crate) coalescing: Arc<Coalescing>,
    pub(crate) client: Client<Connector, Sending>,
}

impl Shared {
    pub(crate) fn new(
        settings: Arc<Settings>,
        connector: Connector,
        waiting: Arc<Waiting>,
    ) -> Self {
        let (clock, stamps) = (connector.clock, connector.stamps);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_FIELDS)
            .http1_title_case_headers(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .build(connector);
        let coalescing = Arc::new(Coalescing::new(settings.coalesce(stamps), clock));
        Self { settings, clock, waiting, outbox: Outbox::default(), coalescing, client }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
