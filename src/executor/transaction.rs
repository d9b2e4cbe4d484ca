//! BEGIN, COMMIT, ROLLBACK and savepoints, over as many shards as the transaction has touched.
//!
//! Mode MULTI of Vitess: shards commit one by one; when a later one fails the client is told which did and which did
//! not. A transaction of one shard is exactly that server's own.

use futures_util::future::join_all;

use super::Executor;
use super::exchange::{savepoint_statement, settle};
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::session::transaction::{Characteristics, ShardSession};
use crate::sql::StatementKind;
use crate::sql::statement::{parse_savepoint_name, parse_start};
use crate::wire::Command;

impl Executor {
    /// Runs a statement of transaction control.
    pub(super) async fn transaction_control(&self, job: &mut Job<'_>) -> Result<()> {
        let options = job.session.settings.lex_options();
        match job.lexed.kind {
            StatementKind::Begin | StatementKind::StartTransaction => {
                let start = parse_start(job.text, &options)?;
                // What SET TRANSACTION said is for this one, unless another transaction is still open.
                let asked = match job.session.transaction.is_active() {
                    true => Characteristics::default(),
                    false => job.session.transaction.characteristics.clone(),
                };
                self.commit(job.session).await?;
                let default = job.session.settings.read_only.then_some(true);
                job.session.transaction.characteristics = Characteristics {
                    isolation: asked.isolation,
                    read_only: start.read_only.or(asked.read_only).or(default),
                    consistent_snapshot: start.consistent_snapshot,
                };
                job.session.transaction.open();
            }
            StatementKind::Commit => {
                let chain = Completion::parse(job.text)?;
                let before = job.session.transaction.characteristics.clone();
                self.commit(job.session).await?;
                chain.apply(job.session, before);
            }
            StatementKind::Rollback => {
                let chain = Completion::parse(job.text)?;
                let before = job.session.transaction.characteristics.clone();
                self.rollback(job.session).await;
                chain.apply(job.session, before);
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

    /// Commits the open transaction, if there is one.
    pub(super) async fn commit(&self, session: &mut Session) -> Result<()> {
        if let Err(error) = session.transaction.check() {
            self.rollback(session).await;
            return Err(error);
        }
        let mut participants: Vec<&mut ShardSession> =
            session.transaction.shards.iter_mut().filter(|shard| shard.in_transaction).collect();
        let mut outcome = Ok(());
        if let Some((first, rest)) = participants.split_first_mut() {
            outcome = run(first, "COMMIT").await;
            if outcome.is_err() {
                // Nothing is committed: the rest is rolled back, as on one server.
                join_all(rest.iter_mut().map(|shard| run(shard, "ROLLBACK"))).await;
            } else if !rest.is_empty() {
                let outcomes = join_all(rest.iter_mut().map(|shard| run(shard, "COMMIT"))).await;
                outcome = non_atomic(first, rest, &outcomes);
            }
        }
        session.transaction.finish();
        outcome
    }

    /// Rolls everything back. A connection on which that fails is closed, which has the same effect.
    pub(super) async fn rollback(&self, session: &mut Session) {
        let participants = session.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        join_all(participants.map(|shard| async {
            if run(shard, "ROLLBACK").await.is_err() {
                shard.connection.condemn();
            }
        }))
        .await;
        session.transaction.shards.retain(|shard| !shard.connection.is_broken());
        session.transaction.finish();
    }

    async fn set_savepoint(&self, session: &mut Session, name: String) -> Result<()> {
        let transaction = &mut session.transaction;
        if !transaction.is_active() && session.settings.autocommit {
            return Ok(());
        }
        transaction.open();
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
        let participants = session.transaction.shards.iter_mut().filter(|shard| shard.in_transaction);
        join_all(participants.map(|shard| run(shard, statement))).await.into_iter().collect()
    }
}

/// One statement without rows at one shard; whatever is still queued goes first.
pub(super) async fn run(shard: &mut ShardSession, statement: &str) -> Result<()> {
    settle(&mut shard.connection).await?;
    shard.connection.queue(&Command::Query(statement.as_bytes()));
    shard.connection.flush().await?;
    shard.connection.receive_ok().await.map(drop)
}

/// What to tell the client when shards after the first have committed or not.
fn non_atomic(first: &ShardSession, rest: &[&mut ShardSession], outcomes: &[Result<()>]) -> Result<()> {
    let Some(cause) = outcomes.iter().find_map(|outcome| outcome.as_ref().err()) else { return Ok(()) };
    let names = |committed: bool| {
        let rest = rest.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok() == committed);
        let rest = rest.map(|(shard, _)| shard.target.to_string());
        let first = committed.then(|| first.target.to_string());
        first.into_iter().chain(rest).collect::<Vec<_>>().join(", ")
    };
    Err(Error::new(
        ErrorKind::NonAtomicCommit,
        format!(
            "multi-shard commit failed after committing to {}; not committed: {}; cause: {cause}",
            names(true),
            names(false)
        ),
    ))
}

/// `AND CHAIN`: the next transaction begins at once, with the same characteristics.
struct Completion {
    chain: bool,
}

impl Completion {
    fn parse(text: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(text).to_ascii_lowercase();
        let words: Vec<&str> =
            text.split(|c: char| c.is_whitespace() || c == ';').filter(|w| !w.is_empty()).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| *word != "work").collect();
        match words.get(1..).unwrap_or_default() {
            ["and", "chain"] | ["and", "chain", "no", "release"] => Ok(Self { chain: true }),
            ["release"] | ["and", "no", "chain", "release"] => {
                Err(Error::unsupported("COMMIT or ROLLBACK with RELEASE"))
            }
            // Anything else behind the word is a comment, or a mistake that no harm can come of.
            _ => Ok(Self { chain: false }),
        }
    }

    fn apply(self, session: &mut Session, before: Characteristics) {
        if self.chain {
            session.transaction.characteristics = before;
            session.transaction.open();
        }
    }
}
