//! Statements that take several steps at shards: together all or nothing, like any other statement.
//!
//! Outside of a transaction the steps get one of their own. Inside of one a savepoint on every shard takes back what
//! the steps before did, if one fails; shards that join during the statement set it as they begin.

use futures_util::future::join_all;

use super::Executor;
use super::exchange::savepoint_statement;
use super::transaction::run;
use super::write::{change, outcome_of};
use crate::backend::pool::Needs;
use crate::engine::WriteOutcome;
use crate::error::{ERRNO_DEADLOCK, Error, Result};
use crate::gateway::Target;
use crate::session::Session;
use crate::session::diagnostics::Diagnostics;

/// Savepoint around the steps of one statement.
const STEPS_SAVEPOINT: &str = "_shardgate_steps";

/// A statement of several steps that has begun.
pub(super) struct Steps {
    is_own_transaction: bool,
}

impl Executor {
    /// Before the first step.
    pub(super) async fn begin_steps(&self, session: &mut Session) -> Result<Steps> {
        if let Some(pin) = session.transaction.pin_next.take() {
            return Err(Error::unsupported(format!(
                "a statement that leaves a {pin} behind, over several shards"
            )));
        }
        let is_own_transaction = !session.transaction.is_active();
        session.transaction.open();
        if !is_own_transaction {
            self.on_all_shards(session, &savepoint_statement("SAVEPOINT", STEPS_SAVEPOINT)).await?;
            session.transaction.savepoints.push(STEPS_SAVEPOINT.to_owned());
        }
        Ok(Steps { is_own_transaction })
    }

    /// Behind the last step, or the one that failed.
    pub(super) async fn end_steps<T>(
        &self,
        session: &mut Session,
        steps: Steps,
        outcome: Result<T>,
    ) -> Result<T> {
        self.recover(session).await;
        match outcome {
            Ok(value) if steps.is_own_transaction => self.commit(session).await.map(|()| value),
            Err(error) if steps.is_own_transaction => {
                self.rollback(session).await;
                Err(error)
            }
            outcome => {
                session.transaction.savepoints.retain(|name| name != STEPS_SAVEPOINT);
                if let Err(error) = &outcome {
                    let is_rolled_back = error.kind().is_none() && error.errno() == ERRNO_DEADLOCK;
                    if !is_rolled_back && session.transaction.check().is_ok() {
                        self.take_steps_back(session).await;
                    }
                }
                outcome
            }
        }
    }

    async fn take_steps_back(&self, session: &mut Session) {
        let statement = savepoint_statement("ROLLBACK TO SAVEPOINT", STEPS_SAVEPOINT);
        let shards = session.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        let outcomes = join_all(shards.map(|shard| async {
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

    /// One step: each target gets its statements in order; targets work side by side. The outcomes come target by target.
    /// Warnings are added to the session's.
    pub(super) async fn step(
        &self,
        session: &mut Session,
        needs: &Needs,
        work: &[(Target, Vec<Vec<u8>>)],
    ) -> Result<Vec<Vec<WriteOutcome>>> {
        for (target, _) in work {
            self.lease(session, target, needs).await?;
        }
        let shards = session.transaction.shards.iter_mut();
        let parts = shards.filter_map(|shard| {
            let index = work.iter().position(|(target, _)| *target == shard.target)?;
            shard.has_written = true;
            let connection = &mut shard.connection;
            Some(async move {
                let mut changed = Vec::new();
                for text in &work[index].1 {
                    match change(connection, text, false).await {
                        Ok(outcome) => changed.push(outcome),
                        Err(error) => return (index, Err(error)),
                    }
                }
                (index, Ok(changed))
            })
        });
        let mut parts = join_all(parts).await;
        parts.sort_unstable_by_key(|(index, _)| *index);
        self.drop_lost_shards(session);
        let mut outcomes = Vec::new();
        let mut diagnostics = std::mem::take(&mut session.diagnostics);
        for (_, changed) in parts {
            outcomes.push(changed?.into_iter().map(|changed| noted(changed, &mut diagnostics)).collect());
        }
        session.diagnostics = diagnostics;
        Ok(outcomes)
    }
}

fn noted(changed: super::write::Changed, diagnostics: &mut Diagnostics) -> WriteOutcome {
    let (summary, warnings) = changed;
    warnings.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
    outcome_of(&summary)
}
