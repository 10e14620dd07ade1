//! One thread of a fleet, which runs streams.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::job::Job;
use crate::request::Request;
use crate::shared::Shared;
use crate::stream;

/// What a thread is told.
pub(crate) enum Command {
    Begin(Vec<(Arc<Job>, Request)>),
    Close,
}

/// Runs streams until it is told to close, or nobody can tell it anything any more. Those that run
/// then are dropped, and so are their connections.
pub(crate) fn run(shared: Arc<Shared>, runtime: Runtime, commands: UnboundedReceiver<Command>) {
    runtime.block_on(take_commands(shared, commands));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
}

async fn take_commands(shared: Arc<Shared>, mut commands: UnboundedReceiver<Command>) {
    while let Some(Command::Begin(requests)) = commands.recv().await {
        for (job, request) in requests {
            tokio::spawn(stream::run(Arc::clone(&shared), job, request));
        }
    }
}
