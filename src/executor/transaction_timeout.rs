//! Transactions that are open for too long: rolled back on all shards at once, whether their client is busy or silent.
//!
//! `transaction_timeout` is Vitess's; what its client hears afterwards is Vitess's too: every statement but ROLLBACK fails,
//! so that none of them runs outside of the transaction that it was meant for.

use std::time::Duration;

use tokio::time::Instant;

use super::Executor;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::session::Session;

impl Executor {
    /// When the open transaction has to end.
    pub(super) fn transaction_deadline(&self, session: &Session) -> Option<Instant> {
        let began = session.transaction.began()?;
        Some(began + self.longest_transaction(session)?)
    }

    /// Until when the open transaction waits for its client's next statement.
    pub(super) fn transaction_patience(&self, session: &Session) -> Option<Instant> {
        session.transaction.began()?;
        let idle = self.options().transaction_timeouts.idle;
        let idle = (idle > Duration::ZERO).then(|| clock::recent() + idle);
        idle.into_iter().chain(self.transaction_deadline(session)).min()
    }

    /// Ends a transaction that is too old, or whose client says nothing.
    pub(super) async fn end_late_transaction(&self, session: &mut Session) {
        let Some(error) = self.is_late(session) else { return };
        tracing::info!(connection = session.identity.connection_id, %error, "a transaction was rolled back");
        self.rollback(session).await;
        session.transaction.break_off(error);
    }

    /// The error of the statement in which its transaction has become too old.
    pub(super) async fn end_transaction_in_statement(&self, session: &mut Session) -> Error {
        self.end_late_transaction(session).await;
        let late = || Error::new(ErrorKind::TransactionBroken, "the transaction has taken too long");
        session.transaction.check().err().unwrap_or_else(late)
    }

    /// Why the transaction cannot go on.
    fn is_late(&self, session: &Session) -> Option<Error> {
        let age = Instant::now().saturating_duration_since(session.transaction.began()?);
        let (what, limit) = match self.longest_transaction(session) {
            Some(total) if age >= total => ("timeout", total),
            _ => ("idle timeout", self.options().transaction_timeouts.idle),
        };
        let text = format!("the transaction was rolled back after {age:.1?} (exceeded {what}: {limit:?})");
        Some(Error::new(ErrorKind::QueryInterrupted, text))
    }

    /// The shorter one of what the session and the configuration allow.
    fn longest_transaction(&self, session: &Session) -> Option<Duration> {
        let configured = self.options().transaction_timeouts.total;
        let chosen = session.settings.transaction_timeout_ms.map(Duration::from_millis);
        chosen.into_iter().chain([configured]).filter(|limit| *limit > Duration::ZERO).min()
    }
}
