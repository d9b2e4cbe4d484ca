//! UPDATE IGNORE of rows that move, or that lookup vindexes find: whether a unique value is free is only known when it is
//! another row's turn, and perhaps on another shard. So each row is changed by itself, and taken back if it cannot be.

use super::moves::Moved;
use super::statements::{Chosen, Statements};
use super::target::KeyedTarget;
use super::{check_count, matched_of, nothing_matched, shard_target};
use crate::backend::Engine;
use crate::engine::{LookupEntry, WriteOutcome, sum};
use crate::error::{ERRNO_DUPLICATE_ENTRY, Error, Result};
use crate::executor::Executor;
use crate::executor::inner::Inner;
use crate::executor::job::Job;
use crate::executor::lookup::OwnedLookup;
use crate::gateway::Target;
use crate::session::Session;
use crate::session::diagnostics::{Diagnostic, Level};

/// Entries that were added for a row.
type Added<'t> = Vec<(OwnedLookup<'t>, LookupEntry)>;

impl Executor {
    /// Updates the rows one after the other; those that meet a duplicate stay as they are, with a warning.
    pub(super) async fn update_each(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        statements: &Statements<'_>,
        moved: &Moved<'_>,
        rows: &[Chosen],
    ) -> Result<WriteOutcome> {
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in rows {
            outcomes.push(self.update_one(job, target, statements, moved, row).await?);
        }
        let mut outcome = sum(outcomes);
        if outcome.info.is_empty() {
            outcome.info = nothing_matched();
        }
        Ok(outcome)
    }

    async fn update_one(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        statements: &Statements<'_>,
        moved: &Moved<'_>,
        row: &Chosen,
    ) -> Result<WriteOutcome> {
        let here = row.shard()?;
        let source = shard_target(target.keyspace, here);
        let needs = job.needs();
        let text = statements.of_one_row(row)?;
        let outcome = self.step_with_savepoint(job.session, &needs, &source, &text).await?;
        check_count(matched_of(&outcome.info), 1, false)?;
        if !has_changed(&outcome.info) {
            return Ok(outcome);
        }
        let key = moved.new_key(row)?;
        let back = self.read_at(job, &source, &moved.select(std::slice::from_ref(&key))?).await?;
        check_count(back.len() as u64, 1, false)?;
        let values = back.values(0)?;
        let part = moved.part(&values)?;
        let (before, after) = (target.entries_of(&row.part)?, target.entries_of(&part)?);
        self.check_unowned_entries(job, target, &before, &after).await?;
        let mut added = Added::new();
        let mut refused = self.claim(job, target, (&before, &after), &mut added).await?;
        let there = moved.shard(&values)?;
        if refused.is_none() && there != here {
            refused = self.arrive(job, target, there, &moved.inserts(std::slice::from_ref(&values))?).await?;
        }
        if let Some(refused) = refused {
            self.take_back_step(job.session, &source).await?;
            self.forget(job, added).await?;
            // An entry of the row itself may have been turned round.
            self.claim(job, target, (&after, &before), &mut Added::new()).await?;
            // MariaDB says nothing of it.
            let has_warning = !is_mariadb(job.session, &source);
            if has_warning {
                let (code, message) = (refused.errno(), refused.message().to_vec());
                job.session.diagnostics.push(Diagnostic { level: Level::Warning, code, message });
            }
            return Ok(unchanged(&outcome, needs.flavor.found_rows, has_warning.into()));
        }
        if there != here {
            let away = vec![moved.delete(&[key])?];
            self.step(job.session, &needs, &[(source, away)]).await?;
        }
        let entries = target.owned_lookups().zip(before.into_iter().zip(&after));
        let gone = entries.filter_map(|(owned, (before, after))| {
            let entry = before.filter(|entry| Some(entry) != after.as_ref())?;
            Some((owned?, entry))
        });
        self.forget(job, gone.collect()).await?;
        Ok(outcome)
    }

    /// Adds the row's new entries to lookup tables; tells what is in the way.
    async fn claim<'t>(
        &self,
        job: &mut Job<'_>,
        target: &'t KeyedTarget<'_>,
        (before, after): (&[Option<LookupEntry>], &[Option<LookupEntry>]),
        added: &mut Added<'t>,
    ) -> Result<Option<Error>> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        for (owned, (before, after)) in target.owned_lookups().zip(before.iter().zip(after)) {
            let (Some(owned), Some(after)) = (owned, after) else { continue };
            if before.as_ref() == Some(after) {
                continue;
            }
            match inner.claim_entry(owned, after).await? {
                Ok(true) => added.push((owned, after.clone())),
                Ok(false) => {}
                Err(error) => return Ok(Some(error)),
            }
        }
        Ok(None)
    }

    /// Inserts the row at its new shard; tells what is in the way.
    async fn arrive(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        there: usize,
        inserts: &[Vec<u8>],
    ) -> Result<Option<Error>> {
        let needs = job.needs();
        let work = [(shard_target(target.keyspace, there), inserts.to_vec())];
        // What servers warn of has been said by the update.
        let diagnostics = std::mem::take(&mut job.session.diagnostics);
        let outcome = self.step(job.session, &needs, &work).await;
        job.session.diagnostics = diagnostics;
        match outcome {
            Err(error) if error.kind().is_none() && error.errno() == ERRNO_DUPLICATE_ENTRY => Ok(Some(error)),
            outcome => outcome.map(|_| None),
        }
    }

    /// Takes entries away that have no owner any more.
    async fn forget(&self, job: &mut Job<'_>, entries: Added<'_>) -> Result<()> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        for (owned, entry) in entries {
            inner.remove_entries(owned, vec![entry]).await?;
        }
        Ok(())
    }
}

/// Is the target's connection, which the transaction holds, one to MariaDB?
pub(super) fn is_mariadb(session: &Session, target: &Target) -> bool {
    let shards = &session.transaction.shards;
    let held = session.transaction.find(target).and_then(|index| shards.get(index));
    held.is_some_and(|shard| shard.connection.version().engine == Engine::MariaDb)
}

/// Does an UPDATE's info speak of changed rows?
pub(super) fn has_changed(info: &[u8]) -> bool {
    let text = String::from_utf8_lossy(info);
    let rest = text.split_once("Changed: ").map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().is_some_and(|number| number != "0")
}

/// The outcome of a row that was taken back: what was said of it, and further warnings.
pub(super) fn unchanged(outcome: &WriteOutcome, found_rows: bool, further: u32) -> WriteOutcome {
    let text = String::from_utf8_lossy(&outcome.info);
    let (head, warnings) = text.rsplit_once(' ').unwrap_or((&text, "0"));
    let warnings = warnings.parse::<u32>().unwrap_or_default() + further;
    let head = head.replace("Changed: 1", "Changed: 0");
    // With CLIENT_FOUND_ROWS a row counts when it is found.
    WriteOutcome {
        affected_rows: found_rows.into(),
        last_insert_id: 0,
        warnings: outcome.warnings + further,
        info: format!("{head} {warnings}").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_taken_back_has_a_warning_more() {
        let info = b"Rows matched: 1  Changed: 1  Warnings: 2".to_vec();
        assert!(has_changed(&info));
        let outcome = WriteOutcome { affected_rows: 1, last_insert_id: 0, warnings: 2, info };
        let unchanged = unchanged(&outcome, false, 1);
        assert_eq!(unchanged.info, b"Rows matched: 1  Changed: 0  Warnings: 3");
        assert_eq!((unchanged.affected_rows, unchanged.warnings), (0, 3));
        assert!(!has_changed(&unchanged.info));
    }
}
