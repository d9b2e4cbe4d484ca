//! Giving a running statement up: it was killed, it takes too long, or its client has left.
//!
//! Where a transaction or a write could be lost `KILL QUERY` is passed on to the servers, so that the statement ends by their error and the
//! transaction stays. A commit is never given up: see [`crate::server::ClientEntry::shield`].

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::{Instant, sleep, timeout};

use super::Executor;
use super::job::Job;
use crate::backend::Killer;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::KILL_TIMEOUT;
use crate::server::Interrupt;
use crate::session::Session;
use crate::sql::StatementKind;

impl Executor {
    /// Runs the statement until it ends or nobody wants it any more. What it left half done at a server is killed
    /// there when its connection is let go.
    pub(super) async fn dispatch_unless_interrupted(&self, job: &mut Job<'_>) -> Result<()> {
        let mut watch = job.client.interrupt_watch();
        let session = &*job.session;
        // Its transaction would be lost with a connection that is given up in the middle of a reply.
        let transaction = &session.transaction;
        let was_active = transaction.is_active();
        let is_kept = was_active || !transaction.shards.is_empty() || !session.settings.autocommit;
        let limit = self.time_limit(job);
        // What became of a write must not be left open either.
        let is_watched = is_kept || limit.is_some() || !job.lexed.is_read_only_query();
        let kept = is_watched.then(|| session.returns.clone());
        if let Some(returns) = &kept {
            returns.forget_used();
        }
        job.session.is_watched = is_watched;
        let mut has_used = false;
        let (reason, outcome) = {
            let mut statement = pin!(self.dispatch(job));
            let mut too_late = limit.map(|(limit, reason)| (Box::pin(sleep(limit)), reason));
            let ended = poll_fn(|cx| {
                if let Poll::Ready(outcome) = statement.as_mut().poll(cx) {
                    return Poll::Ready(Ok(outcome));
                }
                if let Poll::Ready(interrupt) = watch.poll_interrupted(cx) {
                    return Poll::Ready(Err(Reason::Interrupt(interrupt)));
                }
                match &mut too_late {
                    Some((too_late, reason)) => too_late.as_mut().poll(cx).map(|()| Err(*reason)),
                    None => Poll::Pending,
                }
            });
            let reason = match ended.await {
                Ok(outcome) => return outcome,
                Err(reason) => reason,
            };
            if watch.entry().shield().load(Ordering::Relaxed) {
                return statement.await;
            }
            let is_of_client = matches!(
                reason,
                Reason::Interrupt(Interrupt::KillConnection) | Reason::Interrupt(Interrupt::HungUp)
            );
            let mut outcome = None;
            if let (false, Some(returns)) = (is_of_client, kept) {
                watch.entry().accept_kill_query();
                if !matches!(reason, Reason::Interrupt(_)) {
                    // The server's own word for it may pass by undecoded.
                    watch.entry().set_timed_out(self.in_words_of(reason, interrupted()));
                }
                let used = returns.give_up();
                has_used = !used.is_empty();
                outcome = Box::pin(kill_at_servers(used, statement, watch.entry().shield())).await;
            }
            (reason, outcome)
        };
        if let Some(outcome) = outcome {
            // A statement that was as quick as the end of its transaction: that comes next.
            let Err(error) = outcome else { return Ok(()) };
            if matches!(reason, Reason::TransactionTimedOut) {
                return Err(Box::pin(self.end_transaction_in_statement(job.session)).await);
            }
            return Err(self.in_words_of(reason, error));
        }
        job.client.end_capture().await;
        let is_write =
            matches!(job.lexed.kind, StatementKind::Load | StatementKind::Call | StatementKind::Execute)
                || job.lexed.kind.is_dml();
        let dropped = Dropped { was_active, has_changed: is_write && has_used };
        Box::pin(self.take_back_dropped(job.session, dropped)).await;
        if matches!(reason, Reason::TransactionTimedOut) {
            return Err(Box::pin(self.end_transaction_in_statement(job.session)).await);
        }
        Err(self.in_words_of(reason, interrupted()))
    }

    /// After a statement that was dropped in the middle: no COMMIT may keep half of what it did.
    async fn take_back_dropped(&self, session: &mut Session, dropped: Dropped) {
        self.recover(session).await;
        if !session.transaction.is_active() {
            if session.beside.is_some() {
                self.rollback(session).await;
            }
            return;
        }
        if !dropped.was_active && (session.settings.autocommit || dropped.has_changed) {
            // The statement had begun one of its own.
            self.rollback(session).await;
            return;
        }
        if session.transaction.check().is_err() || self.take_back_compound(session).await {
            return;
        }
        if dropped.has_changed {
            self.rollback(session).await;
            session.transaction.break_off(interrupted());
        }
    }

    /// How long the statement may take, and what ends then.
    fn time_limit(&self, job: &Job<'_>) -> Option<(Duration, Reason)> {
        let of_statement = self.statement_limit(job).map(|limit| (limit, Reason::TimedOut));
        let kind = job.lexed.kind;
        if matches!(kind, StatementKind::Commit | StatementKind::Rollback) {
            return of_statement;
        }
        let Some(deadline) = self.transaction_deadline(job.session) else { return of_statement };
        let rest = deadline.saturating_duration_since(Instant::now());
        of_statement.filter(|(limit, _)| *limit <= rest).or(Some((rest, Reason::TransactionTimedOut)))
    }

    /// How long the statement itself may take: its directive, the session and the configuration are asked in this order.
    fn statement_limit(&self, job: &Job<'_>) -> Option<Duration> {
        let kind = job.lexed.kind;
        if !(kind.is_query() || kind.is_dml() || kind == StatementKind::Execute) {
            return None;
        }
        let directive = job.session.directives.as_ref().and_then(|directives| directives.query_timeout_ms);
        let chosen = directive.or(job.session.settings.query_timeout_ms);
        let limit = chosen.map_or(self.options().query_timeout, Duration::from_millis);
        (limit > Duration::ZERO).then_some(limit)
    }

    /// The error of a statement that was given up, as the server that clients take us for says it.
    fn in_words_of(&self, reason: Reason, error: Error) -> Error {
        if error.errno() != ErrorKind::QueryInterrupted.errno() {
            return error;
        }
        match reason {
            Reason::Interrupt(Interrupt::KillQuery) => error,
            Reason::Interrupt(Interrupt::HungUp | Interrupt::Idle | Interrupt::KillConnection) => {
                Error::new(ErrorKind::QueryInterrupted, "Connection was killed")
            }
            Reason::TimedOut if self.options().version.contains("MariaDB") => Error::new(
                ErrorKind::StatementTimeout,
                "Query execution was interrupted (max_statement_time exceeded)",
            ),
            Reason::TransactionTimedOut => Error::new(
                ErrorKind::TransactionBroken,
                "transaction error, issue ROLLBACK and retry the transaction: it has taken too long",
            ),
            Reason::TimedOut => Error::new(
                ErrorKind::QueryTimeout,
                "Query execution was interrupted, maximum statement execution time exceeded",
            ),
        }
    }
}

/// Why a statement is given up.
#[derive(Clone, Copy, Debug)]
enum Reason {
    Interrupt(Interrupt),
    TimedOut,
    /// With its transaction.
    TransactionTimedOut,
}

/// A statement that did not end by being killed.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    /// Its transaction was open before.
    was_active: bool,
    /// It may have changed something at a server.
    has_changed: bool,
}

pub(super) fn interrupted() -> Error {
    Error::new(ErrorKind::QueryInterrupted, "Query execution was interrupted")
}

/// Has the servers end what they do for the statement; `None` if it does not end by that. One that is at a commit
/// meanwhile (`shield`) is waited for.
async fn kill_at_servers(
    used: Vec<Killer>,
    mut statement: Pin<&mut impl Future<Output = Result<()>>>,
    shield: &AtomicBool,
) -> Option<Result<()>> {
    let mut outcome = None;
    let kill = join_all(used.iter().map(Killer::kill_query));
    let both = async {
        // Both to their ends: a KILL that comes late would meet the next statement.
        join(async { outcome = Some(statement.as_mut().await) }, kill).await
    };
    let _ = timeout(KILL_TIMEOUT, both).await;
    while outcome.is_none() && shield.load(Ordering::Relaxed) {
        outcome = timeout(KILL_TIMEOUT, statement.as_mut()).await.ok();
    }
    outcome
}
