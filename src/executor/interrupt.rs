//! Giving a running statement up: it was killed, or its client has left.
//!
//! Inside of a transaction `KILL QUERY` is passed on to the servers, so that the statement ends by their error and the
//! transaction stays. A commit is never given up: see [`crate::server::ClientEntry::shield`].

use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;

use futures_util::future::{Either, join, join_all, select};
use tokio::time::timeout;

use super::Executor;
use super::job::Job;
use crate::backend::Killer;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::KILL_TIMEOUT;
use crate::server::Interrupt;

impl Executor {
    /// Runs the statement until it ends or nobody wants it any more. What it left half done at a server is killed
    /// there when its connection is let go.
    pub(super) async fn dispatch_unless_interrupted(&self, job: &mut Job<'_>) -> Result<()> {
        let watch = job.client.interrupt_watch();
        let session = &*job.session;
        // Its transaction would be lost with a connection that is given up in the middle of a reply.
        let transaction = &session.transaction;
        let is_kept =
            transaction.is_active() || !transaction.shards.is_empty() || !session.settings.autocommit;
        let kept = is_kept.then(|| session.returns.clone());
        if let Some(returns) = &kept {
            returns.forget_used();
        }
        let interrupt = {
            let mut statement = pin!(self.dispatch(job));
            let interrupted = pin!(watch.interrupted());
            let interrupt = match select(statement.as_mut(), interrupted).await {
                Either::Left((outcome, _)) => return outcome,
                Either::Right((interrupt, _)) => interrupt,
            };
            if watch.entry().shield().load(Ordering::Relaxed) {
                return statement.await;
            }
            if let (Interrupt::KillQuery, Some(returns)) = (interrupt, kept) {
                watch.entry().accept_kill_query();
                if let Some(outcome) = Box::pin(kill_at_servers(returns.used(), statement)).await {
                    return outcome;
                }
            }
            interrupt
        };
        let error = match interrupt {
            Interrupt::KillQuery => {
                Error::new(ErrorKind::QueryInterrupted, "Query execution was interrupted")
            }
            Interrupt::HungUp | Interrupt::KillConnection => {
                Error::new(ErrorKind::QueryInterrupted, "Connection was killed")
            }
        };
        self.recover(job.session).await;
        Err(error)
    }
}

/// Has the servers end what they do for the statement; `None` if it does not end by that.
async fn kill_at_servers(
    used: Vec<Killer>,
    statement: Pin<&mut impl Future<Output = Result<()>>>,
) -> Option<Result<()>> {
    let kill = join_all(used.iter().map(Killer::kill_query));
    timeout(KILL_TIMEOUT, join(statement, kill)).await.ok().map(|(outcome, _)| outcome)
}
