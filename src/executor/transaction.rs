//! BEGIN, COMMIT, ROLLBACK and savepoints as statements; how shards are committed is in [`super::commit`].
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/commit.html>

use futures_util::future::join_all;

use super::Executor;
use super::exchange::{savepoint_statement, settle};
use super::job::Job;
use super::outcome::collect_warnings;
use crate::error::{
    ERRNO_DEADLOCK, ERRNO_LOCK_WAIT_TIMEOUT, ERRNOS_BRANCH_ROLLED_BACK, Error, ErrorKind, Result,
};
use crate::gateway::Target;
use crate::session::Session;
use crate::session::beside::AtEntries;
use crate::session::transaction::{Characteristics, Completion, ShardSession};
use crate::sql::StatementKind;
use crate::sql::statement::{End, parse_end, parse_savepoint_name, parse_start};
use crate::wire::{Command, OkPacket};

impl Executor {
    /// Runs a statement of transaction control.
    pub(super) async fn transaction_control(&self, job: &mut Job<'_>) -> Result<()> {
        let options = job.session.settings.lex_options();
        match job.lexed.kind {
            StatementKind::Begin | StatementKind::StartTransaction => return self.start(job).await,
            StatementKind::Commit => {
                let end = parse_end(job.text, &options)?;
                let before = job.session.transaction.characteristics.chained();
                self.commit(job.session).await?;
                complete(job.session, end, before);
                job.send_warnings();
                return Ok(());
            }
            StatementKind::Rollback => {
                let end = parse_end(job.text, &options)?;
                let before = job.session.transaction.characteristics.chained();
                self.rollback(job.session).await;
                complete(job.session, end, before);
            }
            StatementKind::Savepoint => {
                let name = parse_savepoint_name(job.text, &options)?;
                self.set_savepoint(job.session, name).await?;
            }
            StatementKind::RollbackTo => {
                let name = parse_savepoint_name(job.text, &options)?;
                self.back_to_savepoint(job.session, &name, "ROLLBACK TO SAVEPOINT").await?;
            }
            StatementKind::ReleaseSavepoint => {
                let name = parse_savepoint_name(job.text, &options)?;
                self.back_to_savepoint(job.session, &name, "RELEASE SAVEPOINT").await?;
            }
            other => return Err(Error::bug(format!("{other:?} is no transaction control"))),
        }
        job.send_ok();
        Ok(())
    }

    /// `BEGIN` and `START TRANSACTION`. Whatever was open has been committed; locks of tables end with it.
    async fn start(&self, job: &mut Job<'_>) -> Result<()> {
        self.unlock_tables(job.session).await?;
        let start = parse_start(job.text, &job.session.settings.lex_options())?;
        // What SET TRANSACTION said is for this one.
        let asked = job.session.transaction.characteristics.clone();
        let default = job.session.settings.read_only.then_some(true);
        job.session.transaction.characteristics = Characteristics {
            isolation: asked.isolation,
            read_only: start.read_only.or(asked.read_only).or(default),
            consistent_snapshot: start.consistent_snapshot,
        };
        job.session.transaction.open();
        if start.consistent_snapshot
            && let Err(error) = self.begin_everywhere(job).await
        {
            self.rollback(job.session).await;
            return Err(error);
        }
        job.send_warnings();
        Ok(())
    }

    /// Takes the snapshot now, on every shard of the session's keyspace, and not when a statement comes there first.
    async fn begin_everywhere(&self, job: &mut Job<'_>) -> Result<()> {
        let snapshot = job.snapshot.clone();
        let Some(keyspace) = job.session.keyspace().and_then(|name| snapshot.topology.keyspace(name)) else {
            return Ok(());
        };
        let targets: Vec<Target> = match super::place::explicit(job.session, &snapshot)? {
            Some(target) => vec![target],
            None => {
                let shards = keyspace.shards().iter();
                shards
                    .map(|shard| super::place::target(job.session, keyspace, shard.name().clone()))
                    .collect()
            }
        };
        let needs = job.needs();
        for target in &targets {
            self.lease(job.session, target, &needs).await?;
        }
        let begun = job.session.transaction.shards.iter_mut().map(begin);
        let warned = join_all(begun).await.into_iter().collect::<Result<Vec<bool>>>()?;
        // All say the same: the client hears it once.
        if let Some(index) = warned.iter().position(|has_warnings| *has_warnings) {
            let connection = &mut job.session.transaction.shards[index].connection;
            collect_warnings(connection, &mut job.session.diagnostics).await;
        }
        Ok(())
    }

    async fn set_savepoint(&self, session: &mut Session, name: String) -> Result<()> {
        let transaction = &mut session.transaction;
        if !transaction.is_active() && session.settings.autocommit {
            return Ok(());
        }
        // With `autocommit = 0` it waits for the first statement on a table, which opens the transaction.
        transaction.check()?;
        self.on_all_shards(session, &savepoint_statement("SAVEPOINT", &name)).await?;
        let savepoints = &mut session.transaction.savepoints;
        savepoints.retain(|known| !known.eq_ignore_ascii_case(&name));
        savepoints.push(name);
        Ok(())
    }

    /// `ROLLBACK TO` keeps the savepoint itself, `RELEASE` does not; both forget the later ones.
    async fn back_to_savepoint(&self, session: &mut Session, name: &str, verb: &str) -> Result<()> {
        session.transaction.check()?;
        let known = session.transaction.savepoints.iter().position(|known| known.eq_ignore_ascii_case(name));
        let missing = || Error::new(ErrorKind::UnknownSavepoint, format!("SAVEPOINT {name} does not exist"));
        let index = known.ok_or_else(missing)?;
        self.on_all_shards(session, &savepoint_statement(verb, name)).await?;
        let keep = if verb.starts_with("RELEASE") { index } else { index + 1 };
        session.transaction.savepoints.truncate(keep);
        Ok(())
    }

    /// Runs a statement without rows on every shard of the transaction.
    pub(super) async fn on_all_shards(&self, session: &mut Session, statement: &str) -> Result<()> {
        let Session { transaction, beside, .. } = &mut *session;
        let entries = beside.iter_mut().flat_map(|beside| beside.transaction.shards.iter_mut());
        let participants = transaction.shards.iter_mut().chain(entries).filter(|shard| shard.in_transaction);
        let outcome = join_all(participants.map(|shard| run(shard, statement))).await.into_iter().collect();
        self.drop_lost_shards(session);
        if let Some(needs) = session.beside.as_ref().map(|beside| beside.needs) {
            self.drop_lost_shards(AtEntries::enter(session, needs).session());
        }
        outcome
    }

    /// After a server's error: where the server has rolled the whole transaction back, the other shards follow.
    pub(super) async fn follow_rollback(&self, session: &mut Session, error: &Error) {
        if error.kind().is_some() || !session.transaction.is_active() {
            return;
        }
        let is_rolled_back = match error.errno() {
            ERRNO_DEADLOCK => true,
            ERRNO_LOCK_WAIT_TIMEOUT => rolls_back_on_timeout(session).await,
            errno => ERRNOS_BRANCH_ROLLED_BACK.contains(&errno),
        };
        if is_rolled_back {
            self.rollback(session).await;
        }
    }
}

/// A lock wait that takes too long costs the statement only, unless the server is told otherwise.
async fn rolls_back_on_timeout(session: &mut Session) -> bool {
    let Some(shard) = session.transaction.shards.iter_mut().find(|shard| shard.in_transaction) else {
        return false;
    };
    let connection = &mut shard.connection;
    if connection.owed_count() > 0 || connection.is_broken() {
        return false;
    }
    let answer = connection.query_all("SELECT @@innodb_rollback_on_timeout AS v").await;
    // Not knowing, the safe side is that of a server that has rolled back.
    answer.map_or(true, |answer| answer.value(0, "v") == Some(b"1"))
}

/// Sends what is queued for a shard that joins; true if the server had something to say about it.
async fn begin(shard: &mut ShardSession) -> Result<bool> {
    let connection = &mut shard.connection;
    let owed = connection.owed_count();
    connection.flush().await?;
    let mut has_warnings = false;
    for _ in 0..owed {
        has_warnings |= connection.receive_ok().await?.warnings > 0;
    }
    Ok(has_warnings)
}

/// One statement without rows at one shard; whatever is still queued goes first.
pub(super) async fn run(shard: &mut ShardSession, statement: &str) -> Result<()> {
    settle(&mut shard.connection).await?;
    shard.connection.queue(&Command::Query(statement.as_bytes()));
    shard.connection.flush().await?;
    shard.connection.receive_ok().await.map(drop)
}

/// What follows a COMMIT or ROLLBACK.
fn complete(session: &mut Session, end: End, before: Characteristics) {
    let by_default = session.settings.completion;
    if end.chain.unwrap_or(by_default == Completion::Chain) {
        session.transaction.characteristics = before;
        session.transaction.open();
    }
    session.is_closing = end.release.unwrap_or(by_default == Completion::Release);
}

impl Job<'_> {
    /// Replies with OK, and with the number of warnings that the session has.
    fn send_warnings(&mut self) {
        self.session.row_count = 0;
        let warnings = u16::try_from(self.session.diagnostics.warning_count()).unwrap_or(u16::MAX);
        self.send_ok_with(OkPacket { warnings, ..OkPacket::default() });
    }
}
