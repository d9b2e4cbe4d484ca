//! Changes at several shards at once: all of them or none, as far as shards can promise it.
//!
//! Outside of a transaction the statement gets one of its own. Inside of one, a savepoint on every shard takes back
//! what the statement did where it succeeded, if it fails anywhere.

use futures_util::future::join_all;

use super::Executor;
use super::job::Job;
use super::outcome::collect_warnings;
use super::transaction::run;
use crate::backend::pool::PooledConnection;
use crate::error::{Error, Origin, Result};
use crate::gateway::Target;
use crate::session::diagnostics::Diagnostics;
use crate::wire::{Command, OkPacket, ReplySummary};

/// Savepoint around a statement; no client can have one of this name in use for long.
const STATEMENT_SAVEPOINT: &str = "_shardgate_statement";

/// What a statement did at all its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) affected_rows: u64,
    pub(super) last_insert_id: u64,
    pub(super) warnings: u16,
    /// Rows matched, records and the like, as the servers' OK packets tell.
    pub(super) info: Option<Info>,
}

impl Executor {
    /// Sends each target its text, and makes one outcome of theirs.
    pub(super) async fn change_shards(
        &self,
        job: &mut Job<'_>,
        texts: &[(Target, Vec<u8>)],
    ) -> Result<Changes> {
        let is_own_transaction = !job.session.transaction.is_active();
        job.session.transaction.open();
        let outcome = self.change_in_transaction(job, texts, is_own_transaction).await;
        match outcome {
            Ok(changes) if is_own_transaction => self.commit(job.session).await.map(|()| changes),
            Ok(changes) => Ok(changes),
            Err(error) => {
                if is_own_transaction {
                    self.rollback(job.session).await;
                }
                Err(error)
            }
        }
    }

    /// One statement without rows at one target, in the session's transaction if there is one.
    pub(super) async fn change_one(
        &self,
        job: &mut Job<'_>,
        target: &Target,
        text: &[u8],
    ) -> Result<Changes> {
        let needs = job.needs();
        let mut lease = self.lease(job.session, target, &needs).await?;
        let connection = lease.connection(&mut job.session.transaction);
        let outcome = change(connection, text, false).await;
        if connection.is_broken() || connection.owed_count() > 0 {
            let error = outcome.as_ref().err().cloned().unwrap_or_else(|| Error::bug("a broken connection"));
            self.gateway().report_failure(target);
            job.session.transaction.lose(target, error);
        }
        let (summary, warnings) = outcome?;
        job.session.diagnostics = warnings;
        let mut changes = Changes::default();
        changes.add(&summary);
        Ok(changes)
    }

    /// A statement that ends transactions by itself, such as DDL: each target for itself. What failed where is told.
    pub(super) async fn change_without_transaction(
        &self,
        job: &mut Job<'_>,
        texts: &[(Target, Vec<u8>)],
    ) -> Result<Changes> {
        let needs = job.needs();
        let settings = job.session.settings.backend();
        let outcomes = join_all(texts.iter().map(|(target, text)| async {
            let mut connection = self.gateway().acquire(target, &needs).await?;
            connection.sync_settings(settings);
            change(&mut connection, text, false).await
        }))
        .await;
        let mut changes = Changes::default();
        let mut diagnostics = Diagnostics::default();
        let mut failures = Vec::new();
        for ((target, _), outcome) in texts.iter().zip(outcomes) {
            match outcome {
                Ok((summary, warnings)) => {
                    changes.add(&summary);
                    warnings.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
                }
                Err(error) => failures.push((target, error)),
            }
        }
        job.session.diagnostics = diagnostics;
        let Some((_, first)) = failures.first() else { return Ok(changes) };
        if failures.len() == texts.len() {
            // The same everywhere, as one server would have said it.
            return Err(first.clone());
        }
        let failed: Vec<String> = failures.iter().map(|(target, _)| target.to_string()).collect();
        let text = String::from_utf8_lossy(first.message()).into_owned();
        let text =
            format!("{text} (failed on {} of {} shards: {})", failed.len(), texts.len(), failed.join(", "));
        Err(Error::from_backend(first.errno(), first.sqlstate(), text.as_bytes()))
    }

    async fn change_in_transaction(
        &self,
        job: &mut Job<'_>,
        texts: &[(Target, Vec<u8>)],
        is_own_transaction: bool,
    ) -> Result<Changes> {
        let needs = job.needs();
        for (target, _) in texts {
            self.lease(job.session, target, &needs).await?;
        }
        let shards = job.session.transaction.shards.iter_mut();
        let parts = shards.filter_map(|shard| {
            let (_, text) = texts.iter().find(|(target, _)| *target == shard.target)?;
            shard.has_written = true;
            Some(change(&mut shard.connection, text, !is_own_transaction))
        });
        let outcomes = join_all(parts).await;
        let mut changes = Changes::default();
        let mut diagnostics = Diagnostics::default();
        let mut failure: Option<Error> = None;
        for outcome in outcomes {
            match outcome {
                Ok((summary, warnings)) => {
                    changes.add(&summary);
                    warnings.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if let Some(error) = failure {
            self.take_back(job, texts, is_own_transaction, &error).await;
            return Err(error);
        }
        job.session.diagnostics = diagnostics;
        Ok(changes)
    }

    /// After a failure inside a transaction: nothing of the statement may stay behind.
    async fn take_back(&self, job: &mut Job<'_>, texts: &[(Target, Vec<u8>)], is_own: bool, cause: &Error) {
        let transaction = &mut job.session.transaction;
        let lost: Vec<Target> = transaction
            .shards
            .iter()
            .filter(|shard| shard.connection.is_broken() || shard.connection.owed_count() > 0)
            .map(|shard| shard.target.clone())
            .collect();
        for target in &lost {
            self.gateway().report_failure(target);
            transaction.lose(target, cause.clone());
        }
        let is_server_error = cause.origin() == Origin::Backend && cause.kind().is_none();
        let is_rolled_back = is_server_error && cause.errno() == crate::error::ERRNO_DEADLOCK;
        if is_own || !lost.is_empty() || is_rolled_back {
            return;
        }
        let statement = format!("ROLLBACK TO SAVEPOINT {STATEMENT_SAVEPOINT}");
        let shards = transaction.shards.iter_mut();
        let participants = shards.filter(|shard| texts.iter().any(|(target, _)| *target == shard.target));
        let outcomes = join_all(participants.map(|shard| async {
            let outcome = run(shard, &statement).await;
            (shard.target.clone(), outcome)
        }))
        .await;
        for (target, outcome) in outcomes {
            if let Err(error) = outcome {
                job.session.transaction.lose(&target, error);
            }
        }
    }

    /// Replies with what the statement did everywhere.
    pub(super) fn send_changes(&self, job: &mut Job<'_>, changes: &Changes) {
        let info = changes.info.as_ref().map(Info::to_string).unwrap_or_default();
        job.session.row_count = i64::try_from(changes.affected_rows).unwrap_or(i64::MAX);
        if changes.last_insert_id != 0 {
            job.session.last_insert_id = changes.last_insert_id;
        }
        job.send_ok_with(OkPacket {
            affected_rows: changes.affected_rows,
            last_insert_id: changes.last_insert_id,
            warnings: changes.warnings,
            info: info.as_bytes(),
            ..OkPacket::default()
        });
    }
}

/// The statement at one shard, behind whatever is queued there.
async fn change(
    connection: &mut PooledConnection,
    text: &[u8],
    with_savepoint: bool,
) -> Result<(ReplySummary, Diagnostics)> {
    if with_savepoint {
        connection.queue(&Command::Query(format!("SAVEPOINT {STATEMENT_SAVEPOINT}").as_bytes()));
    }
    connection.queue(&Command::Query(text));
    let preludes = connection.owed_count() - 1;
    connection.flush().await?;
    let mut refused = None;
    for _ in 0..preludes {
        refused = refused.or(connection.receive_ok().await.err());
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

impl Changes {
    fn add(&mut self, summary: &ReplySummary) {
        self.affected_rows = self.affected_rows.saturating_add(summary.affected_rows);
        self.warnings = self.warnings.saturating_add(summary.warnings);
        if self.last_insert_id == 0 {
            self.last_insert_id = summary.last_insert_id;
        }
        if let Some(info) = Info::parse(&summary.info) {
            self.info = Some(match self.info.take() {
                Some(sum) => sum.plus(&info),
                None => info,
            });
        }
    }
}

impl Changes {
    /// The changes of one of `count` shards that all did the same.
    pub(super) fn of_one(mut self, count: usize) -> Self {
        let count = u64::try_from(count).unwrap_or(1).max(1);
        self.affected_rows /= count;
        self.warnings /= u16::try_from(count).unwrap_or(u16::MAX);
        if let Some(info) = &mut self.info {
            info.parts.iter_mut().for_each(|(_, number)| *number /= count);
        }
        self
    }
}

/// The text of an OK packet, such as `Rows matched: 3  Changed: 2  Warnings: 0`: words and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Info {
    parts: Vec<(String, u64)>,
}

impl Info {
    /// `None` for texts of another form.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
        let parts = text.split("  ").map(|part| {
            let (word, number) = part.split_once(": ")?;
            Some((word.to_owned(), number.trim().parse().ok()?))
        });
        Some(Self { parts: parts.collect::<Option<_>>()? })
    }

    /// The text of a multi-row INSERT.
    pub(super) fn records(records: u64, duplicates: u64, warnings: u64) -> Self {
        let part = |word: &str, number| (word.to_owned(), number);
        Self {
            parts: vec![part("Records", records), part("Duplicates", duplicates), part("Warnings", warnings)],
        }
    }

    /// The number of a word.
    pub(super) fn number(&self, word: &str) -> Option<u64> {
        self.parts.iter().find(|(known, _)| known == word).map(|(_, number)| *number)
    }

    fn plus(mut self, other: &Self) -> Self {
        for (word, number) in &mut self.parts {
            *number = number.saturating_add(other.number(word).unwrap_or_default());
        }
        self
    }
}

impl std::fmt::Display for Info {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (word, number)) in self.parts.iter().enumerate() {
            write!(f, "{}{word}: {number}", if index == 0 { "" } else { "  " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infos_are_added_up() {
        let info = |text: &str| Info::parse(text.as_bytes());
        let one = info("Rows matched: 3  Changed: 2  Warnings: 0").unwrap();
        let two = info("Rows matched: 1  Changed: 1  Warnings: 4").unwrap();
        assert_eq!(one.plus(&two).to_string(), "Rows matched: 4  Changed: 3  Warnings: 4");
        assert_eq!((info(""), info("something else")), (None, None));
        assert_eq!(Info::records(3, 0, 0).to_string(), "Records: 3  Duplicates: 0  Warnings: 0");
    }
}
