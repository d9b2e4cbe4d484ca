//! Ending a transaction on all its shards: mode MULTI of Vitess, shard by shard. Mode TWOPC is in [`super::two_phase`].
//!
//! A transaction of one shard is exactly that server's own. With several, the first commit decides whether the others
//! are tried; when one of those fails, the client is told which shards have committed, which have not, and of which
//! nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::Executor;
use super::exchange::settle;
use super::transaction::run;
use super::two_phase::check_write;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::session::beside::Beside;
use crate::session::transaction::ShardSession;
use crate::twopc::{Counters, FaultPoint};
use crate::wire::Command;

impl Executor {
    /// Commits the open transaction, if there is one.
    pub(super) async fn commit(&self, session: &mut Session) -> Result<()> {
        if let Err(error) = session.transaction.check() {
            self.rollback(session).await;
            return Err(error);
        }
        // Neither KILL nor a client that leaves may cut this off between two shards.
        let _shielded = Shielded::new(&session.shield);
        let mut beside = session.beside.take();
        let outcome = self.commit_shards(session, beside.as_deref_mut()).await;
        session.returns.forget_used();
        session.transaction.shards.retain(|shard| !shard.connection.is_broken());
        session.transaction.finish();
        if let Some(beside) = beside {
            self.end_beside(session, *beside, outcome.is_ok()).await;
        }
        outcome
    }

    /// `beside` has entries of consistent lookups: they are committed before the rows that need them.
    async fn commit_shards(&self, session: &mut Session, beside: Option<&mut Beside>) -> Result<()> {
        let shards = session.transaction.shards.iter();
        let written = shards.filter(|shard| shard.in_transaction && shard.has_written).count();
        if written > 1
            && let Some(dtid) = session.transaction.dtid.clone()
        {
            if let Some(beside) = beside {
                self.commit_entries_first(session, beside).await?;
            }
            return Box::pin(self.commit_in_two_phases(session, &dtid)).await;
        }
        if written > 1
            && let Err(error) = check_write(session, &[])
        {
            // The statements that were refused are not all that can change a shard.
            self.rollback(session).await;
            return Err(error);
        }
        match beside {
            Some(beside) => Box::pin(self.commit_with_entries(session, beside)).await,
            None => self.commit_rows(session, written).await,
        }
    }

    /// Mode MULTI, with so many shards that were changed.
    pub(super) async fn commit_rows(&self, session: &mut Session, written: usize) -> Result<()> {
        let coordinator = session.transaction.coordinator.clone();
        let participants = session.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        let mut participants: Vec<&mut ShardSession> = participants.collect();
        // Changes first: nothing is lost with a shard that was only read.
        participants.sort_by_key(|shard| (!shard.has_written, Some(&shard.target) != coordinator.as_ref()));
        let Some((first, rest)) = participants.split_first_mut() else { return Ok(()) };
        let outcome = commit_one(first).await;
        if outcome.is_err() {
            // Nothing is committed, or nobody knows: the rest is rolled back, as on one server.
            join_all(rest.iter_mut().map(|shard| roll_back(shard))).await;
            return outcome;
        }
        if written > 1 {
            self.faults().pass(FaultPoint::BetweenCommits).await;
        }
        let outcomes = join_all(rest.iter_mut().map(|shard| commit_one(shard))).await;
        let rest = rest.iter().zip(outcomes).filter(|(shard, _)| shard.has_written);
        let rest: Vec<(&ShardSession, Result<()>)> =
            rest.map(|(shard, outcome)| (&**shard, outcome)).collect();
        let outcome = non_atomic(first, &rest);
        self.count_commit(&outcome, written);
        outcome
    }

    /// Counts a commit in mode MULTI that has committed at least one of so many shards.
    pub(super) fn count_commit(&self, outcome: &Result<()>, written: usize) {
        let counters = self.resolver().counters();
        match outcome {
            Ok(()) if written > 1 => Counters::add(&counters.committed),
            Ok(()) => {}
            Err(_) => Counters::add(&counters.partial),
        }
    }

    /// Rolls everything back. A connection on which that fails is closed, which has the same effect.
    pub(super) async fn rollback(&self, session: &mut Session) {
        let mut beside = session.beside.take();
        let entries = beside.iter_mut().flat_map(|beside| beside.transaction.shards.iter_mut());
        let participants = session.transaction.shards.iter_mut().chain(entries);
        join_all(participants.filter(|shard| shard.in_transaction).map(roll_back)).await;
        session.returns.forget_used();
        session.transaction.shards.retain(|shard| !shard.connection.is_broken());
        session.transaction.finish();
    }
}

/// Raises the shield until the commit ends, however that happens. One commit may run another.
struct Shielded {
    shield: Arc<AtomicBool>,
    before: bool,
}

impl Shielded {
    fn new(shield: &Arc<AtomicBool>) -> Self {
        Self { shield: Arc::clone(shield), before: shield.swap(true, Ordering::Relaxed) }
    }
}

impl Drop for Shielded {
    fn drop(&mut self) {
        self.shield.store(self.before, Ordering::Relaxed);
    }
}

/// Commits one shard's part, in one exchange.
pub(super) async fn commit_one(shard: &mut ShardSession) -> Result<()> {
    let Some(xid) = shard.branch.clone() else { return run(shard, "COMMIT").await };
    settle(&mut shard.connection).await?;
    let connection = &mut shard.connection;
    connection.queue(&Command::Query(format!("XA END {xid}").as_bytes()));
    connection.queue(&Command::Query(format!("XA COMMIT {xid} ONE PHASE").as_bytes()));
    connection.flush().await?;
    let ended = connection.receive_ok().await;
    let committed = connection.receive_ok().await;
    ended.and(committed).map(drop)
}

/// Rolls one shard's part back, in one exchange; closes the connection if that fails.
pub(super) async fn roll_back(shard: &mut ShardSession) {
    let outcome = match shard.branch.clone() {
        None => run(shard, "ROLLBACK").await,
        Some(xid) => {
            let connection = &mut shard.connection;
            connection.queue(&Command::Query(format!("XA END {xid}").as_bytes()));
            connection.queue(&Command::Query(format!("XA ROLLBACK {xid}").as_bytes()));
            discard_all(shard).await
        }
    };
    if outcome.is_err() {
        shard.connection.condemn();
    }
}

/// Receives every reply that is owed; only the last one counts: a branch that the server has rolled back already may
/// not be ended, but it can be forgotten.
pub(super) async fn discard_all(shard: &mut ShardSession) -> Result<()> {
    let connection = &mut shard.connection;
    connection.flush().await?;
    let mut outcome = Ok(());
    while connection.owed_count() > 0 {
        outcome = connection.receive_ok().await.map(drop);
        if connection.is_broken() {
            break;
        }
    }
    outcome
}

/// What to tell the client when shards after the first have committed or not.
pub(super) fn non_atomic(first: &ShardSession, rest: &[(&ShardSession, Result<()>)]) -> Result<()> {
    let Some(cause) = rest.iter().find_map(|(_, outcome)| outcome.as_ref().err()) else { return Ok(()) };
    let is = |outcome: &Result<()>| match outcome {
        Ok(()) => Part::Committed,
        // The server's own refusal: it has rolled back.
        Err(error) if error.kind().is_none() => Part::NotCommitted,
        Err(_) => Part::Unknown,
    };
    let names = |part: Part| {
        let rest = rest.iter().filter(|(_, outcome)| is(outcome) == part);
        let rest = rest.map(|(shard, _)| shard.target.to_string());
        let first = (part == Part::Committed).then(|| first.target.to_string());
        first.into_iter().chain(rest).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("multi-shard commit failed after committing to {}", names(Part::Committed));
    for (part, words) in [(Part::NotCommitted, "not committed"), (Part::Unknown, "unknown whether committed")]
    {
        let names = names(part);
        if !names.is_empty() {
            text.push_str(&format!("; {words}: {names}"));
        }
    }
    Err(Error::new(ErrorKind::NonAtomicCommit, format!("{text}; cause: {cause}")))
}

/// What became of one shard's part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Committed,
    NotCommitted,
    Unknown,
}
