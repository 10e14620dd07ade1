//! One thread of a fleet: its runtime, its connections, its outbox.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::Clock;
use crate::connecting::Connector;
use crate::fleet::Job;
use crate::outbox::{Outbox, Waiting};
use crate::request::Request;
use crate::sending::Sending;
use crate::settings::Settings;
use crate::stream;

/// Bytes of a reply's head at most, and of one read.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Fields of a reply's head at most.
const MAX_FIELDS: usize = 256;

/// How long a connection that nobody uses is kept.
const KEPT: Duration = Duration::from_secs(15);

/// What a thread is told.
pub(crate) enum Command {
    Begin(Vec<(Arc<Job>, Request)>),
    Close,
}

/// What the streams of one thread share.
pub(crate) struct Worker {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) outbox: Outbox,
    pub(crate) client: Client<Connector, Sending>,
}

impl Worker {
    pub(crate) fn new(settings: Arc<Settings>, clock: Clock, waiting: Arc<Waiting>) -> Self {
        let connector = Connector::new(&settings, clock);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_FIELDS)
            .http1_title_case_headers(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .build(connector);
        Self { settings, clock, waiting, outbox: Outbox::default(), client }
    }

    /// Runs streams until it is told to close, or nobody can tell it anything any more. Those that
    /// run then are dropped, and so are their connections.
    pub(crate) fn run(self: Arc<Self>, runtime: Runtime, commands: UnboundedReceiver<Command>) {
        runtime.block_on(self.take_commands(commands));
        // A name that is still being looked up is not waited for.
        runtime.shutdown_background();
    }

    async fn take_commands(self: Arc<Self>, mut commands: UnboundedReceiver<Command>) {
        while let Some(Command::Begin(requests)) = commands.recv().await {
            for (job, request) in requests {
                tokio::spawn(stream::run(Arc::clone(&self), job, request));
            }
        }
    }
}
