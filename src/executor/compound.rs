//! Statements that take several: all of their changes stay, or none.
//!
//! Outside of a transaction the statement gets one of its own. Inside of one, a savepoint on every shard takes back what
//! the statement did; shards that join later set it with their BEGIN.

use super::Executor;
use crate::error::{ERRNO_DEADLOCK, Result};
use crate::session::Session;
use crate::session::beside::AtEntries;

/// The savepoint around the statement; no client can have one of this name in use for long. One statement may run
/// another: each has a number.
const COMPOUND_SAVEPOINT: &str = "_shardgate_compound";

/// A statement that has begun.
#[must_use]
pub(super) struct Compound {
    is_own_transaction: bool,
    savepoint: String,
}

impl Executor {
    /// Begins a statement that takes several.
    pub(super) async fn begin_compound(&self, session: &mut Session) -> Result<Compound> {
        session.transaction.check()?;
        let is_own_transaction = !session.transaction.is_active();
        session.transaction.open();
        let known = &session.transaction.savepoints;
        let depth = known.iter().filter(|name| name.starts_with(COMPOUND_SAVEPOINT)).count();
        let savepoint = format!("{COMPOUND_SAVEPOINT}{depth}");
        if !is_own_transaction {
            self.on_all_shards(session, &format!("SAVEPOINT {savepoint}")).await?;
            session.transaction.savepoints.push(savepoint.clone());
        }
        Ok(Compound { is_own_transaction, savepoint })
    }

    /// Keeps what the statement did, or takes it back if `outcome` is an error.
    pub(super) async fn end_compound<T>(
        &self,
        session: &mut Session,
        compound: Compound,
        outcome: Result<T>,
    ) -> Result<T> {
        self.recover(session).await;
        if compound.is_own_transaction {
            return match outcome {
                Ok(value) => self.commit(session).await.map(|()| value),
                Err(error) => {
                    self.rollback(session).await;
                    Err(error)
                }
            };
        }
        let is_rolled_back =
            |error: &crate::error::Error| error.kind().is_none() && error.errno() == ERRNO_DEADLOCK;
        if let Err(error) = &outcome
            && !is_rolled_back(error)
            && session.transaction.check().is_ok()
        {
            if let Some(needs) = session.beside.as_ref().map(|beside| beside.needs) {
                let mut entries = AtEntries::enter(session, needs);
                self.take_back_to(entries.session(), &compound.savepoint, |shard| shard.in_transaction).await;
            }
            self.take_back_to(session, &compound.savepoint, |shard| shard.in_transaction).await;
        }
        session.transaction.savepoints.retain(|name| *name != compound.savepoint);
        outcome
    }

    /// Takes a statement back that was dropped before its end; false if none has begun. The transaction may be broken then.
    pub(super) async fn take_back_compound(&self, session: &mut Session) -> bool {
        let known = &session.transaction.savepoints;
        let Some(at) = known.iter().position(|name| name.starts_with(COMPOUND_SAVEPOINT)) else {
            return false;
        };
        // The others belong to statements that this one ran.
        let savepoint = known[at].clone();
        if let Some(needs) = session.beside.as_ref().map(|beside| beside.needs) {
            let mut entries = AtEntries::enter(session, needs);
            self.take_back_to(entries.session(), &savepoint, |shard| shard.in_transaction).await;
        }
        self.take_back_to(session, &savepoint, |shard| shard.in_transaction).await;
        session.transaction.savepoints.truncate(at);
        true
    }
}
