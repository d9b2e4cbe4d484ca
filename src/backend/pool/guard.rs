//! The guard through which a pooled connection is used, and the one way back into its pool.
//!
//! What happens when it is dropped depends on the state that the connection is in:
//!
//! ```text
//!   all replies received, no session state left   -> back to the pool
//!   all replies received, transaction or dirty    -> COM_RESET_CONNECTION in the background, then back
//!   replies outstanding (given up, cancelled)     -> KILL through a second connection, then closed
//!   broken, or cut by the health poller           -> closed
//! ```

use std::ops::{Deref, DerefMut};

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::stats::CloseReason;
use super::tablet_pool::Permit;
use crate::backend::connection::{BackendConnection, Fate};
use crate::limits;

/// A connection in use. Dropping it gives it back, or closes it if it is in no state to be reused.
#[derive(Debug)]
pub struct PooledConnection {
    /// Empty only while being dropped.
    connection: Option<Box<BackendConnection>>,
    permit: Option<Permit>,
}

impl PooledConnection {
    pub(super) fn new(connection: Box<BackendConnection>, permit: Permit) -> Self {
        Self { connection: Some(connection), permit: Some(permit) }
    }
}

const PRESENT: &str = "the connection leaves its guard only when that is dropped";

impl Deref for PooledConnection {
    type Target = BackendConnection;

    fn deref(&self) -> &BackendConnection {
        self.connection.as_ref().expect(PRESENT)
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut BackendConnection {
        self.connection.as_mut().expect(PRESENT)
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let (Some(connection), Some(permit)) = (self.connection.take(), self.permit.take()) else { return };
        match connection.fate() {
            Fate::Reuse => permit.0.put_back(connection),
            Fate::Close => permit.0.discard(connection, CloseReason::Broken),
            Fate::Reset => in_background(connection, permit, CloseReason::ResetFailed),
            Fate::Kill => in_background(connection, permit, CloseReason::Killed),
        }
    }
}

/// Resets or kills in a task of its own, which holds the permit: so the limit also bounds this work.
fn in_background(connection: Box<BackendConnection>, permit: Permit, reason: CloseReason) {
    match Handle::try_current() {
        Ok(runtime) if reason == CloseReason::Killed => drop(runtime.spawn(kill(connection, permit))),
        Ok(runtime) => drop(runtime.spawn(reset(connection, permit))),
        // The process is ending.
        Err(_) => permit.0.discard(connection, reason),
    }
}

async fn reset(mut connection: Box<BackendConnection>, permit: Permit) {
    permit.0.counters.resets.add(1);
    match timeout(limits::BACKEND_CONNECT_TIMEOUT, connection.reset()).await {
        Ok(Ok(())) if connection.fate() == Fate::Reuse => permit.0.put_back(connection),
        _ => permit.0.discard(connection, CloseReason::ResetFailed),
    }
}

async fn kill(mut connection: Box<BackendConnection>, permit: Permit) {
    // Were the server gone, another session of the restarted one could have this thread id by now.
    if connection.is_open() {
        // Best effort: closing the socket is all that is left otherwise.
        let _ = connection.killer().kill_connection().await;
    }
    permit.0.discard(connection, CloseReason::Killed);
}
