//! Steps of statements that take several: changes at many shards at once, within a compound statement.

use futures_util::future::join_all;

use super::Executor;
use super::compound::Compound;
use super::write::{STATEMENT_SAVEPOINT, change, outcome_of};
use crate::backend::pool::Needs;
use crate::engine::WriteOutcome;
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::session::Session;
use crate::session::diagnostics::Diagnostics;

impl Executor {
    /// Before the first step. [`Executor::end_compound`] is behind the last one.
    pub(super) async fn begin_steps(&self, session: &mut Session) -> Result<Compound> {
        if let Some(pin) = session.transaction.pin_next.take() {
            return Err(Error::unsupported(format!(
                "a statement that leaves a {pin} behind, over several shards"
            )));
        }
        self.begin_compound(session).await
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

    /// A step of one statement at one target, which can be taken back by itself: [`Executor::take_back_step`].
    pub(super) async fn step_with_savepoint(
        &self,
        session: &mut Session,
        needs: &Needs,
        target: &Target,
        text: &[u8],
    ) -> Result<WriteOutcome> {
        let changed = self.change_at(session, needs, target, text, true).await?;
        Ok(noted(changed, &mut session.diagnostics))
    }

    /// Takes back what a target has done since its last step with a savepoint.
    pub(super) async fn take_back_step(&self, session: &mut Session, target: &Target) -> Result<()> {
        self.take_back_to(session, STATEMENT_SAVEPOINT, |shard| shard.target == *target).await;
        session.transaction.check()
    }
}

fn noted(changed: super::write::Changed, diagnostics: &mut Diagnostics) -> WriteOutcome {
    let (summary, warnings) = changed;
    warnings.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
    outcome_of(&summary)
}
