//! Interrupting what a connection does, from outside.
//!
//! MySQL's protocol has no out-of-band signal: a second connection says `KILL`. Thread ids are not reused
//! while a server runs, but start anew when it restarts: so nobody should be killed by a connection that has
//! been closed already.

use std::sync::Arc;

use tokio::time::timeout;

use super::connection::BackendConnection;
use super::options::{ConnectOptions, Flavor};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// Knows whom to kill, and where. Independent of the connection, so it can be used while that waits.
#[derive(Clone, Debug)]
pub struct Killer {
    options: Arc<ConnectOptions>,
    thread_id: u32,
}

impl Killer {
    pub(super) fn new(options: Arc<ConnectOptions>, thread_id: u32) -> Self {
        Self { options, thread_id }
    }

    /// Ends the statement that runs, if any. The connection stays, and its reply is error 1317.
    pub async fn kill_query(&self) -> Result<()> {
        self.run("KILL QUERY").await
    }

    /// Ends the connection together with whatever it does.
    pub async fn kill_connection(&self) -> Result<()> {
        self.run("KILL").await
    }

    async fn run(&self, verb: &str) -> Result<()> {
        // No database: it may be what the server has trouble with.
        let options = Arc::new(ConnectOptions { database: None, ..ConnectOptions::clone(&self.options) });
        let sql = format!("{verb} {}", self.thread_id);
        let killing = async {
            let mut connection = BackendConnection::connect(&options, Flavor::default()).await?;
            let outcome = connection.execute(&sql).await.map(drop);
            Box::new(connection).close();
            outcome
        };
        match timeout(limits::KILL_TIMEOUT, killing).await {
            Ok(Err(error)) if error.errno() == NO_SUCH_THREAD => Ok(()),
            Ok(outcome) => outcome,
            Err(_) => {
                let text = format!("{sql} at {} took too long", self.options.label);
                Err(Error::new(ErrorKind::Other, text))
            }
        }
    }
}

/// The statement or connection has ended by itself.
const NO_SUCH_THREAD: u16 = 1094;
