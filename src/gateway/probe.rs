//! The questions of one health poll, and what the answers mean.
//!
//! Cheap on purpose: one `SELECT` of a variable and, for replicas, the replication status. Column names differ
//! between engines and releases; both forms are understood. MySQL manual: "SHOW REPLICA STATUS"; MariaDB
//! knowledge base: "SHOW REPLICA STATUS" (`SHOW ALL SLAVES STATUS` also has named connections).

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{BackendConnection, ControlResult, Engine, ServerVersion};
use crate::error::{Error, ErrorKind, Origin, Result};

/// What a server says about its replication. Several channels count as one: the slowest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicationStatus {
    /// `host:port` of the source.
    pub source: String,
    /// Whether events are received: connected to the source.
    pub io_running: bool,
    /// Whether events are applied.
    pub sql_running: bool,
    /// `Seconds_Behind_Source`; `None` when the server does not know.
    pub lag: Option<Duration>,
    /// The last error of either thread.
    pub last_error: String,
}

impl ReplicationStatus {
    /// Whether nothing is applied, so that data no longer changes.
    pub fn is_stopped(&self) -> bool {
        !self.sql_running
    }
}

/// The answers of one poll.
#[derive(Clone, Debug)]
pub(super) struct ProbeAnswer {
    pub(super) read_only: bool,
    /// `None` if the server does not replicate, or does not let us see it.
    pub(super) replication: Option<ReplicationStatus>,
    pub(super) version: Arc<ServerVersion>,
}

/// Asks a server how it is.
pub(super) async fn probe(connection: &mut BackendConnection, is_replica: bool) -> Result<ProbeAnswer> {
    let version = connection.version().clone();
    let result = connection.query_all("SELECT @@global.read_only").await?;
    let read_only =
        matches!(result.rows.first().and_then(|row| row.first()), Some(Some(value)) if is_on(value));
    let replication = if is_replica { replication(connection, &version).await? } else { None };
    Ok(ProbeAnswer { read_only, replication, version })
}

async fn replication(
    connection: &mut BackendConnection,
    version: &ServerVersion,
) -> Result<Option<ReplicationStatus>> {
    let sql = match version.engine {
        Engine::MariaDb => "SHOW ALL SLAVES STATUS",
        Engine::MySql if version.has_replica_words() => "SHOW REPLICA STATUS",
        Engine::MySql => "SHOW SLAVE STATUS",
    };
    match connection.query_all(sql).await {
        Ok(result) => Ok(decode_replication(&result)),
        // Without the privilege to see it the lag stays unknown, which is no reason not to serve.
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_refusal(error: &Error) -> bool {
    error.origin() == Origin::Backend && error.kind() != Some(ErrorKind::BackendProtocol)
}

fn decode_replication(result: &ControlResult) -> Option<ReplicationStatus> {
    let channels = (0..result.rows.len()).map(|row| decode_channel(result, row));
    channels.reduce(|worst, channel| ReplicationStatus {
        source: worst.source,
        io_running: worst.io_running && channel.io_running,
        sql_running: worst.sql_running && channel.sql_running,
        lag: worst.lag.zip(channel.lag).map(|(a, b)| a.max(b)),
        last_error: if worst.last_error.is_empty() { channel.last_error } else { worst.last_error },
    })
}

fn decode_channel(result: &ControlResult, row: usize) -> ReplicationStatus {
    let text = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| result.value(row, name));
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let or_empty = |names| text(names).unwrap_or_default();
    let is_running = |names| text(names).is_some_and(|value| value == "Yes");
    let errors = [["Last_SQL_Error", ""], ["Last_IO_Error", ""]].map(or_empty);
    ReplicationStatus {
        source: format!(
            "{}:{}",
            or_empty(["Source_Host", "Master_Host"]),
            or_empty(["Source_Port", "Master_Port"])
        ),
        io_running: is_running(["Replica_IO_Running", "Slave_IO_Running"]),
        sql_running: is_running(["Replica_SQL_Running", "Slave_SQL_Running"]),
        lag: text(["Seconds_Behind_Source", "Seconds_Behind_Master"])
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs),
        last_error: errors.into_iter().find(|error| !error.is_empty()).unwrap_or_default(),
    }
}

/// Values of a Boolean variable; MariaDB 12 names further levels of `read_only`.
fn is_on(value: &[u8]) -> bool {
    !matches!(value, b"0" | b"OFF" | b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(columns: &[&str], rows: &[&[Option<&str>]]) -> ControlResult {
        ControlResult {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect())
                .collect(),
        }
    }

    const MYSQL: [&str; 7] = [
        "Source_Host",
        "Source_Port",
        "Replica_IO_Running",
        "Replica_SQL_Running",
        "Last_IO_Error",
        "Last_SQL_Error",
        "Seconds_Behind_Source",
    ];
    const MARIADB: [&str; 7] = [
        "Master_Host",
        "Master_Port",
        "Slave_IO_Running",
        "Slave_SQL_Running",
        "Last_IO_Error",
        "Last_SQL_Error",
        "Seconds_Behind_Master",
    ];

    #[test]
    fn both_engines_words_are_understood() {
        for columns in [MYSQL, MARIADB] {
            let row = [Some("db1"), Some("3306"), Some("Yes"), Some("Yes"), Some(""), Some(""), Some("7")];
            let status = decode_replication(&result(&columns, &[&row])).unwrap();
            let expected = ReplicationStatus {
                source: "db1:3306".into(),
                io_running: true,
                sql_running: true,
                lag: Some(Duration::from_secs(7)),
                last_error: String::new(),
            };
            assert_eq!(status, expected);
        }
    }

    #[test]
    fn a_replica_without_its_primary_has_no_lag() {
        let row =
            [Some("db1"), Some("1"), Some("Connecting"), Some("Yes"), Some("cannot connect"), Some(""), None];
        let status = decode_replication(&result(&MARIADB, &[&row])).unwrap();
        assert_eq!((status.io_running, status.is_stopped(), status.lag), (false, false, None));
        assert_eq!(status.last_error, "cannot connect");
    }

    #[test]
    fn the_slowest_channel_counts() {
        let fast = [Some("a"), Some("1"), Some("Yes"), Some("Yes"), None, None, Some("1")];
        let slow = [Some("b"), Some("2"), Some("Yes"), Some("Yes"), None, None, Some("90")];
        let stopped = [Some("c"), Some("3"), Some("Yes"), Some("No"), None, Some("broken"), None];
        let lag = |rows: &[&[Option<&str>]]| decode_replication(&result(&MYSQL, rows)).unwrap();
        assert_eq!(lag(&[&fast, &slow]).lag, Some(Duration::from_secs(90)));
        let worst = lag(&[&slow, &stopped, &fast]);
        assert_eq!((worst.is_stopped(), worst.lag, &*worst.last_error), (true, None, "broken"));
        assert_eq!(decode_replication(&result(&MYSQL, &[])), None);
    }
}
