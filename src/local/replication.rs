//! Replication between the servers of one shard: GTID positions, so that a replica may follow any server.

use super::client::SqlClient;
use super::datadir::Credentials;
use super::engine::Engine;
use super::{Error, Result};

/// Wait for a replica to reach its primary's position when a cluster starts.
const CATCH_UP_SECONDS: u32 = 60;

/// Points a replica at its primary on this machine and starts it. It may have been a primary itself until now: on
/// MariaDB its own writes are then not yet part of the position that it replicates from.
pub(super) fn follow(
    engine: Engine,
    replica: &SqlClient,
    port: u16,
    credentials: &Credentials,
) -> Result<()> {
    let (user, password) = (Credentials::REPL_USER, &credentials.repl_password);
    let sql = match engine {
        Engine::MariaDb => format!(
            "STOP SLAVE; SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_current_pos; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = '{user}', \
             MASTER_PASSWORD = '{password}', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE;"
        ),
        // The primary hands out its RSA key, with which the password is sent where there is no TLS.
        Engine::MySql => format!(
            "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
             SOURCE_USER = '{user}', SOURCE_PASSWORD = '{password}', SOURCE_CONNECT_RETRY = 1, \
             SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA;"
        ),
    };
    replica.run(None, &sql).map(drop)
}

/// Starts a replica again where it was.
pub(super) fn resume(engine: Engine, replica: &SqlClient) -> Result<()> {
    let sql = match engine {
        Engine::MariaDb => "START SLAVE",
        Engine::MySql => "START REPLICA",
    };
    replica.run(None, sql).map(drop)
}

/// Ends the connections of a server's replicas, before it is stopped. MySQL 9.7 takes nine seconds to stop while
/// it has one; MariaDB needs no help.
pub(super) fn release_replicas(engine: Engine, server: &SqlClient) -> Result<()> {
    if engine == Engine::MariaDb {
        return Ok(());
    }
    let dumps = "SELECT CONCAT('KILL ', id, ';') FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'";
    let kills = server.run(None, dumps)?;
    if kills.is_empty() { Ok(()) } else { server.run(None, &kills).map(drop) }
}

/// Waits until `replica` has everything that `primary` has now.
pub(super) fn catch_up(engine: Engine, name: &str, primary: &SqlClient, replica: &SqlClient) -> Result<()> {
    let position = match engine {
        Engine::MariaDb => primary.run(None, "SELECT @@GLOBAL.gtid_binlog_pos")?,
        Engine::MySql => primary.run(None, "SELECT @@GLOBAL.gtid_executed")?,
    };
    // MySQL breaks long sets into lines.
    let position: String = position.split_whitespace().collect();
    if position.is_empty() {
        return Ok(());
    }
    let wait = match engine {
        Engine::MariaDb => format!("SELECT MASTER_GTID_WAIT('{position}', {CATCH_UP_SECONDS})"),
        Engine::MySql => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {CATCH_UP_SECONDS})"),
    };
    if replica.run(None, &wait)?.trim() == "0" {
        return Ok(());
    }
    let status = match engine {
        Engine::MariaDb => "SHOW SLAVE STATUS\\G",
        Engine::MySql => "SHOW REPLICA STATUS\\G",
    };
    Err(Error::Server {
        name: name.to_owned(),
        reason: format!("does not replicate: {position} did not arrive within {CATCH_UP_SECONDS} s"),
        log: replica.run(None, status)?,
    })
}
