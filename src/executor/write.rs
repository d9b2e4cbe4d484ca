//! Changes at several shards at once: all of them or none, as far as shards can promise it.
//!
//! Outside of a transaction the statement gets one of its own. Inside of one, a savepoint on every shard takes back
//! what the statement did where it succeeded, if it fails anywhere.

use futures_util::future::join_all;

use super::Executor;
use super::exchange::Lease;
use super::job::Job;
use super::outcome::collect_warnings;
use super::transaction::run;
use super::two_phase::check_write;
use crate::backend::pool::{Needs, PooledConnection};
use crate::engine::WriteOutcome;
use crate::error::{ERRNO_DEADLOCK, Error, Result};
use crate::gateway::Target;
use crate::session::Session;
use crate::session::diagnostics::Diagnostics;
use crate::session::transaction::ShardSession;
use crate::wire::{Command, OkPacket, ReplySummary};

/// Savepoint around a statement; no client can have one of this name in use for long.
pub(super) const STATEMENT_SAVEPOINT: &str = "_shardgate_statement";

/// What one shard did, and its warnings.
pub(super) type Changed = (ReplySummary, Diagnostics);

impl Executor {
    /// Sends each target its text; the outcomes come in the order of the texts. `is_transactional`: all or none;
    /// otherwise (DDL and the like) each target is for itself.
    pub(super) async fn change(
        &self,
        session: &mut Session,
        needs: &Needs,
        texts: &[(Target, Vec<u8>)],
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
            return Ok(vec![self.change_one(session, needs, target, text).await?]);
        }
        let commits_each = session.is_directed(|directives| directives.multi_shard_autocommit);
        if !is_transactional || commits_each && !session.transaction.is_active() {
            return self.change_each(session, needs, texts).await;
        }
        check_write(session, &targets)?;
        let is_own_transaction = !session.transaction.is_active();
        session.transaction.open();
        let outcome = self.change_all(session, needs, texts, is_own_transaction).await;
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
    ) -> Result<WriteOutcome> {
        let (summary, warnings) = self.change_at(session, needs, target, text, false).await?;
        session.diagnostics = warnings;
        Ok(outcome_of(&summary))
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
        let settings = session.statement_settings();
        let changed = join_all(texts.iter().map(|(target, text)| async {
            let mut connection = self.gateway().acquire(target, needs).await?;
            connection.sync_settings(settings);
            change(&mut connection, text, false).await
        }))
        .await;
        let failures: Vec<(&Target, &Error)> = texts
            .iter()
            .zip(&changed)
            .filter_map(|((target, _), outcome)| Some((target, outcome.as_ref().err()?)))
            .collect();
        let Some((_, first)) = failures.first() else {
            // All do the same, so all say the same: the client hears it once.
            let mut changed = changed.into_iter().flatten();
            let mut outcomes = collect(session, changed.by_ref().take(1));
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
        let failure = changed.iter().find_map(|(_, outcome)| outcome.as_ref().err()).cloned();
        let Some(error) = failure else {
            return Ok(collect(session, changed.into_iter().filter_map(|(_, outcome)| outcome.ok())));
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

/// The outcomes, with the shards' warnings in the session.
fn collect(session: &mut Session, changed: impl Iterator<Item = Changed>) -> Vec<WriteOutcome> {
    let mut diagnostics = Diagnostics::default();
    let outcomes = changed
        .map(|(summary, warnings)| {
            warnings.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
            outcome_of(&summary)
        })
        .collect();
    session.diagnostics = diagnostics;
    outcomes
}

pub(super) fn outcome_of(summary: &ReplySummary) -> WriteOutcome {
    WriteOutcome {
        affected_rows: summary.affected_rows,
        last_insert_id: summary.last_insert_id,
        warnings: summary.warnings.into(),
        info: summary.info.to_vec(),
    }
}
