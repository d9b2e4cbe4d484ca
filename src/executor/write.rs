//! Changes at several shards at once: all of them or none, as far as shards can promise it.
//!
//! Outside of a transaction the statement gets one of its own. Inside of one, a savepoint on every shard takes back
//! what the statement did where it succeeded, if it fails anywhere.

use futures_util::future::join_all;

use super::Executor;
use super::exchange::Lease;
use super::job::Job;
use super::outcome::collect_warnings;
use super::row_numbers::{in_order, renumbered};
use super::transaction::run;
use super::two_phase::check_write;
use crate::backend::pool::{Needs, PooledConnection};
use crate::engine::WriteOutcome;
use crate::error::{ERRNO_DEADLOCK, Error, Result};
use crate::gateway::Target;
use crate::session::Session;
use crate::session::diagnostics::Diagnostics;
use crate::session::heard::TextWarnings;
use crate::session::transaction::{Pin, ShardSession};
use crate::wire::{Command, OkPacket, ReplySummary};

/// Savepoint around a statement; no client can have one of this name in use for long.
pub(super) const STATEMENT_SAVEPOINT: &str = "_shardgate_statement";

/// What one shard did, and its warnings.
pub(super) type Changed = (ReplySummary, Diagnostics);

impl Executor {
    /// Sends each target its text; the outcomes come in the order of the texts. `rows`: for each text which of the
    /// client's rows it has. `is_transactional`: all or none; otherwise (DDL and the like) each target is for itself.
    pub(super) async fn change_rows(
        &self,
        session: &mut Session,
        needs: &Needs,
        texts: &[(Target, Vec<u8>)],
        rows: &[Vec<u64>],
        is_transactional: bool,
    ) -> Result<Vec<WriteOutcome>> {
        if let Some(log) = &session.query_log {
            texts.iter().for_each(|(target, text)| log.push(target, text));
        }
        let targets: Vec<Target> = texts.iter().map(|(target, _)| target.clone()).collect();
        if let [(target, text)] = texts {
            if session.transaction.is_active() {
                check_write(session, &targets)?;
            }
            let rows = rows.first().map_or(&[][..], Vec::as_slice);
            return Ok(vec![self.change_one(session, needs, target, text, rows).await?]);
        }
        let commits_each = session.is_directed(|directives| directives.multi_shard_autocommit);
        if !is_transactional || commits_each && !session.transaction.is_active() {
            return self.change_each(session, needs, texts).await;
        }
        check_write(session, &targets)?;
        let is_own_transaction = !session.transaction.is_active();
        session.transaction.open();
        let outcome = self.change_all(session, needs, texts, rows, is_own_transaction).await;
        match outcome {
            Ok(outcomes) if is_own_transaction => self.commit(session).await.map(|()| outcomes),
            Err(error) if is_own_transaction => {
                self.rollback(session).await;
                Err(error)
            }
            outcome => outcome,
        }
    }

    /// At one target, in the session's transaction if there is one.
    async fn change_one(
        &self,
        session: &mut Session,
        needs: &Needs,
        target: &Target,
        text: &[u8],
        rows: &[u64],
    ) -> Result<WriteOutcome> {
        let changed = self.change_at(session, needs, target, text, false).await;
        let changed = changed.map_err(|error| of_client(error, rows))?;
        let mut outcomes = collect(session, vec![(changed, rows)]);
        outcomes.pop().ok_or_else(|| Error::bug("a change without outcome"))
    }

    /// The same, with what the server said; `with_savepoint` as [`change`] has it.
    pub(super) async fn change_at(
        &self,
        session: &mut Session,
        needs: &Needs,
        target: &Target,
        text: &[u8],
        with_savepoint: bool,
    ) -> Result<Changed> {
        let mut lease = self.lease(session, target, needs).await?;
        if let Lease::Held(index) = lease {
            session.transaction.shards[index].has_written = true;
        }
        let changed = change(lease.connection(&mut session.transaction), text, with_savepoint).await;
        drop(lease);
        self.drop_lost_shards(session);
        changed
    }

    /// Statements that end transactions by themselves: what failed where is told.
    async fn change_each(
        &self,
        session: &mut Session,
        needs: &Needs,
        texts: &[(Target, Vec<u8>)],
    ) -> Result<Vec<WriteOutcome>> {
        let changed = if session.transaction.pins().any(|(_, pin)| pin == Pin::TableLock) {
            // Other connections would wait for the session's own locks.
            let mut changed = Vec::with_capacity(texts.len());
            for (target, text) in texts {
                changed.push(self.change_at(session, needs, target, text, false).await);
            }
            changed
        } else {
            let settings = session.statement_settings();
            join_all(texts.iter().map(|(target, text)| async {
                let mut connection = self.gateway().acquire(target, needs).await?;
                connection.sync_settings(settings);
                change(&mut connection, text, false).await
            }))
            .await
        };
        let failures: Vec<(&Target, &Error)> = texts
            .iter()
            .zip(&changed)
            .filter_map(|((target, _), outcome)| Some((target, outcome.as_ref().err()?)))
            .collect();
        let Some((_, first)) = failures.first() else {
            // All do the same, so all say the same: the client hears it once.
            let mut changed = changed.into_iter().flatten();
            let first = changed.by_ref().take(1).map(|changed| (changed, &[][..])).collect();
            let mut outcomes = collect(session, first);
            outcomes.extend(changed.map(|(summary, _)| WriteOutcome { warnings: 0, ..outcome_of(&summary) }));
            return Ok(outcomes);
        };
        if failures.len() == texts.len() {
            // The same everywhere, as one server would have said it.
            return Err((*first).clone());
        }
        let failed: Vec<String> = failures.iter().map(|(target, _)| target.to_string()).collect();
        let text = String::from_utf8_lossy(first.message());
        let text =
            format!("{text} (failed on {} of {} shards: {})", failed.len(), texts.len(), failed.join(", "));
        Err(Error::from_backend(first.errno(), first.sqlstate(), text.as_bytes()))
    }

    /// Within a transaction: every shard, or none.
    async fn change_all(
        &self,
        session: &mut Session,
        needs: &Needs,
        texts: &[(Target, Vec<u8>)],
        rows: &[Vec<u64>],
        is_own_transaction: bool,
    ) -> Result<Vec<WriteOutcome>> {
        for (target, _) in texts {
            self.lease(session, target, needs).await?;
        }
        let shards = session.transaction.shards.iter_mut();
        let parts = shards.filter_map(|shard| {
            let index = texts.iter().position(|(target, _)| *target == shard.target)?;
            shard.has_written = true;
            let connection = &mut shard.connection;
            Some(async move { (index, change(connection, &texts[index].1, !is_own_transaction).await) })
        });
        let mut changed = join_all(parts).await;
        changed.sort_unstable_by_key(|(index, _)| *index);
        let rows_of = |index: usize| rows.get(index).map_or(&[][..], Vec::as_slice);
        let Some(error) = first_failure(&changed, rows_of) else {
            let changed = changed.into_iter();
            let changed = changed.filter_map(|(index, outcome)| Some((outcome.ok()?, rows_of(index))));
            return Ok(collect(session, changed.collect()));
        };
        self.drop_lost_shards(session);
        let is_rolled_back = error.kind().is_none() && error.errno() == ERRNO_DEADLOCK;
        if !is_own_transaction && !is_rolled_back && session.transaction.check().is_ok() {
            self.take_back(session, texts).await;
        }
        Err(error)
    }

    /// After a failure inside a transaction: nothing of the statement may stay behind.
    async fn take_back(&self, session: &mut Session, texts: &[(Target, Vec<u8>)]) {
        let is_concerned = |shard: &ShardSession| texts.iter().any(|(target, _)| *target == shard.target);
        self.take_back_to(session, STATEMENT_SAVEPOINT, is_concerned).await;
    }

    /// Rolls the shards that are concerned back to a savepoint of the router's; one that cannot is lost to the transaction.
    pub(super) async fn take_back_to(
        &self,
        session: &mut Session,
        name: &str,
        is_concerned: impl Fn(&ShardSession) -> bool,
    ) {
        let statement = format!("ROLLBACK TO SAVEPOINT {name}");
        let participants = session.transaction.shards.iter_mut().filter(|shard| is_concerned(shard));
        let outcomes = join_all(participants.map(|shard| async {
            let outcome = run(shard, &statement).await;
            (shard.target.clone(), outcome)
        }))
        .await;
        for (target, outcome) in outcomes {
            if let Err(error) = outcome {
                session.transaction.lose(&target, error);
            }
        }
    }

    /// Replies with what the statement did everywhere.
    pub(super) fn send_outcome(&self, job: &mut Job<'_>, outcome: &WriteOutcome) {
        job.session.row_count = i64::try_from(outcome.affected_rows).unwrap_or(i64::MAX);
        if outcome.last_insert_id != 0 {
            job.session.last_insert_id = outcome.last_insert_id;
        }
        job.send_ok_with(OkPacket {
            affected_rows: outcome.affected_rows,
            last_insert_id: outcome.last_insert_id,
            warnings: u16::try_from(outcome.warnings).unwrap_or(u16::MAX),
            info: &outcome.info,
            ..OkPacket::default()
        });
    }
}

/// The statement at one shard, behind whatever is queued there.
pub(super) async fn change(
    connection: &mut PooledConnection,
    text: &[u8],
    with_savepoint: bool,
) -> Result<Changed> {
    if with_savepoint {
        connection.queue(&Command::Query(format!("SAVEPOINT {STATEMENT_SAVEPOINT}").as_bytes()));
    }
    connection.queue(&Command::Query(text));
    let preludes = connection.owed_count() - 1;
    connection.flush().await?;
    let mut refused = None;
    for _ in 0..preludes {
        let outcome = connection.receive_ok().await;
        refused = refused.or(outcome.err());
    }
    let outcome = connection.receive_ok().await;
    if let Some(refused) = refused {
        connection.condemn();
        return Err(refused);
    }
    let summary = outcome?;
    let mut diagnostics = Diagnostics::default();
    if summary.warnings > 0 {
        collect_warnings(connection, &mut diagnostics).await;
    }
    Ok((summary, diagnostics))
}

/// The error that one server would have ended with: that of the first row, as far as errors tell theirs.
fn first_failure<'r>(
    changed: &[(usize, Result<Changed>)],
    rows_of: impl Fn(usize) -> &'r [u64],
) -> Option<Error> {
    let failures = changed.iter().filter_map(|(index, outcome)| {
        let (error, rows) = (outcome.as_ref().err()?, rows_of(*index));
        let row = renumbered(error.message(), rows).map_or(u64::MAX, |(row, _)| row);
        Some((row, of_client(error.clone(), rows)))
    });
    failures.min_by_key(|(row, _)| *row).map(|(_, error)| error)
}

/// The error with the number that the client's row has, if it tells one.
pub(super) fn of_client(error: Error, rows: &[u64]) -> Error {
    match renumbered(error.message(), rows) {
        Some((_, message)) if error.kind().is_none() => {
            Error::from_backend(error.errno(), error.sqlstate(), &message)
        }
        _ => error,
    }
}

/// The outcomes, with the shards' warnings in the session. Each outcome has the numbers of the client's rows.
fn collect(session: &mut Session, changed: Vec<(Changed, &[u64])>) -> Vec<WriteOutcome> {
    let mut text = TextWarnings::new(session.is_prepared);
    let mut outcomes = Vec::with_capacity(changed.len());
    let mut told = Vec::with_capacity(changed.len());
    for ((summary, said), rows) in changed {
        let (entries, left_out) = text.told(&said);
        let mut heard = Diagnostics::default();
        entries.for_each(|entry| heard.push(entry.clone()));
        told.push((heard, rows));
        outcomes.push(without_warnings(outcome_of(&summary), left_out));
    }
    let mut diagnostics = Diagnostics::default();
    let in_order = in_order(told.iter().map(|(heard, rows)| (heard, *rows)));
    in_order.into_iter().for_each(|entry| diagnostics.push(entry));
    session.diagnostics = diagnostics;
    outcomes
}

/// Takes warnings away that are not told.
fn without_warnings(mut outcome: WriteOutcome, left_out: u32) -> WriteOutcome {
    const LAST_OF_INFO: &str = "Warnings: ";
    if left_out > 0 {
        outcome.warnings = outcome.warnings.saturating_sub(left_out);
        let info = String::from_utf8_lossy(&outcome.info);
        if let Some(at) = info.rfind(LAST_OF_INFO) {
            let words = &info[..at + LAST_OF_INFO.len()];
            outcome.info = format!("{words}{}", outcome.warnings).into_bytes();
        }
    }
    outcome
}

pub(super) fn outcome_of(summary: &ReplySummary) -> WriteOutcome {
    WriteOutcome {
        affected_rows: summary.affected_rows,
        last_insert_id: summary.last_insert_id,
        warnings: summary.warnings.into(),
        info: summary.info.to_vec(),
    }
}
