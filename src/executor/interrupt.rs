//! Giving a running statement up: it was killed, or its client has left.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::Executor;
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::server::Interrupt;

impl Executor {
    /// Runs the statement until it ends or nobody wants it any more. What it left half done at a server is killed
    /// there when its connection is let go.
    pub(super) async fn dispatch_unless_interrupted(&self, job: &mut Job<'_>) -> Result<()> {
        let watch = job.client.interrupt_watch();
        let interrupt = {
            let statement = pin!(self.dispatch(job));
            let interrupted = pin!(watch.interrupted());
            match select(statement, interrupted).await {
                Either::Left((outcome, _)) => return outcome,
                Either::Right((interrupt, _)) => interrupt,
            }
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
