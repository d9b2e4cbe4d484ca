//! A session's connections while a statement at several shards borrows them.
//!
//! The engine owns each shard's stream and may drop it at any point; a connection that belongs to the session's
//! transaction must find its way back from there.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::transaction::ShardSession;
use crate::backend::pool::PooledConnection;
use crate::backend::{BackendConnection, Killer, RowStream};
use crate::error::Error;

/// What has come back and was not taken over by the session yet; and which connections a statement has.
#[derive(Clone, Debug, Default)]
pub struct Returns(Arc<Mutex<Returned>>, Arc<Used>);

/// What the running statement has used so far, and whether it is to use no more.
#[derive(Debug, Default)]
struct Used {
    killers: Mutex<Vec<Killer>>,
    is_given_up: AtomicBool,
}

/// Connections that have come back.
#[derive(Debug, Default)]
pub struct Returned {
    /// At the end of their replies, or in a state that only the connection itself knows.
    pub shards: Vec<ShardSession>,
    /// In the middle of a result.
    pub streams: Vec<RowStream<ShardLease>>,
}

/// What the running statement of a transaction uses, so that it can be killed without losing the transaction.
impl Returns {
    /// Another place to come back to, for connections of the same statements.
    pub fn of_same_statement(&self) -> Self {
        Self(Arc::default(), Arc::clone(&self.1))
    }

    /// A statement begins.
    pub fn forget_used(&self) {
        self.1.is_given_up.store(false, Ordering::Relaxed);
        self.killers().clear();
    }

    /// The statement uses this connection of the session.
    pub fn note_used(&self, connection: &BackendConnection) {
        self.killers().push(connection.killer());
    }

    /// The statement is to end: gives every connection that it uses. A server forgets a KILL between two statements, so
    /// the next step of a statement of several has to ask [`Self::is_given_up`].
    pub fn give_up(&self) -> Vec<Killer> {
        self.1.is_given_up.store(true, Ordering::Relaxed);
        self.killers().clone()
    }

    /// Whether no further step may begin.
    pub fn is_given_up(&self) -> bool {
        self.1.is_given_up.load(Ordering::Relaxed)
    }

    fn killers(&self) -> MutexGuard<'_, Vec<Killer>> {
        self.1.killers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Returns {
    /// Everything that has come back so far.
    pub fn take(&self) -> Returned {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a result that nobody reads on. Only a session's own connection is worth keeping: one from a pool is
    /// killed and closed by it.
    pub fn give_back(&self, stream: RowStream<ShardLease>) {
        if !stream.is_ended() && stream.lease().is_held() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).streams.push(stream);
        }
    }
}

/// Errors of shards that a statement goes on without (`SCATTER_ERRORS_AS_WARNINGS`).
#[derive(Clone, Debug, Default)]
pub struct Tolerated(Arc<Mutex<Failures>>);

#[derive(Debug, Default)]
struct Failures {
    shard_count: usize,
    errors: Vec<Error>,
}

impl Tolerated {
    /// So many shards are asked.
    pub fn begin(&self, shard_count: usize) {
        *self.failures() = Failures { shard_count, errors: Vec::new() };
    }

    /// Notes one.
    pub fn push(&self, error: Error) {
        self.failures().errors.push(error);
    }

    /// Would a shard be left if one more failed?
    pub fn is_another_left(&self) -> bool {
        let failures = self.failures();
        failures.errors.len() + 1 < failures.shard_count
    }

    /// All so far.
    pub fn take(&self) -> Vec<Error> {
        std::mem::take(&mut self.failures().errors)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for one shard's part of a statement.
#[derive(Debug)]
pub struct ShardLease {
    /// Empty only while being dropped or taken apart.
    place: Option<LeasedFrom>,
    returns: Returns,
}

#[derive(Debug)]
enum LeasedFrom {
    Pool(PooledConnection),
    Session(Box<ShardSession>),
}

impl ShardLease {
    /// A pool's connection, for this statement only.
    pub fn transient(connection: PooledConnection, returns: Returns) -> Self {
        Self { place: Some(LeasedFrom::Pool(connection)), returns }
    }

    /// The session's own; it comes back through `returns` when the lease is dropped.
    pub fn held(shard: ShardSession, returns: Returns) -> Self {
        Self { place: Some(LeasedFrom::Session(Box::new(shard))), returns }
    }

    /// Does it belong to the session?
    pub fn is_held(&self) -> bool {
        matches!(self.place, Some(LeasedFrom::Session(_)))
    }
}

const PRESENT: &str = "a lease is taken apart only when it is dropped";

impl Deref for ShardLease {
    type Target = BackendConnection;

    fn deref(&self) -> &BackendConnection {
        match self.place.as_ref().expect(PRESENT) {
            LeasedFrom::Pool(connection) => connection,
            LeasedFrom::Session(shard) => &shard.connection,
        }
    }
}

impl DerefMut for ShardLease {
    fn deref_mut(&mut self) -> &mut BackendConnection {
        match self.place.as_mut().expect(PRESENT) {
            LeasedFrom::Pool(connection) => connection,
            LeasedFrom::Session(shard) => &mut shard.connection,
        }
    }
}

impl Drop for ShardLease {
    fn drop(&mut self) {
        if let Some(LeasedFrom::Session(shard)) = self.place.take() {
            self.returns.0.lock().unwrap_or_else(PoisonError::into_inner).shards.push(*shard);
        }
    }
}
