//! The log of decisions: one table in a database of its own on every primary.
//!
//! A row `COMMIT` is written by the coordinator's own transaction, so that it exists exactly if that has committed. A
//! row `ROLLBACK` is a fence: it takes the place of a decision that was never made, and a late COMMIT runs into it.

use crate::backend::SessionSettings;
use crate::backend::pool::{Needs, PooledConnection};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::{Gateway, Target};

use super::name::hex;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Commit,
    Rollback,
}

impl Decision {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) dtid: String,
    pub(super) decision: Decision,
    /// Places of the branches.
    pub(super) participants: Vec<String>,
    /// UTC, by the server's clock.
    pub(super) created_at: String,
    pub(super) age_seconds: u64,
}

/// Makes the log where it is missing. Operators may do it beforehand: `docs/transactions.md`.
const CREATE: [&str; 2] = [
    "CREATE DATABASE IF NOT EXISTS _shardgate",
    "CREATE TABLE IF NOT EXISTS _shardgate.twopc (dtid VARBINARY(64) NOT NULL PRIMARY KEY, \
     decision VARCHAR(8) CHARACTER SET ascii NOT NULL, participants BLOB NOT NULL, \
     created_at DATETIME(6) NOT NULL) ENGINE=InnoDB",
];

/// Between the places of a record; no name of a keyspace or shard has one.
const SEPARATOR: char = '\n';

/// How long a fence stays at least: longer than any connection that could still run into it may idle.
const FENCE_SECONDS_MIN: u32 = 86_400;

/// The statement that writes a decision.
pub fn record_statement(dtid: &str, decision: Decision, participants: &[String]) -> String {
    let participants = hex(&participants.join(&SEPARATOR.to_string()));
    let (dtid, decision) = (hex(dtid), decision.as_str());
    format!(
        "INSERT INTO _shardgate.twopc (dtid, decision, participants, created_at) \
         VALUES ({dtid}, '{decision}', {participants}, UTC_TIMESTAMP(6))"
    )
}

/// Makes the log on a shard's primary, unless it is there.
///
/// # Errors
/// The server cannot be reached or refuses.
pub async fn create_log(gateway: &Gateway, target: &Target) -> Result<()> {
    let mut connection = connect(gateway, target).await?;
    for statement in CREATE {
        connection.execute(statement).await?;
    }
    Ok(())
}

/// A connection without settings of any session.
pub(super) async fn connect(gateway: &Gateway, target: &Target) -> Result<PooledConnection> {
    let mut connection = gateway.acquire(target, &Needs::default()).await?;
    if connection.sync_settings(SessionSettings::empty()) {
        connection.flush().await?;
        connection.receive_ok().await?;
    }
    Ok(connection)
}

/// The records of a server, decisions to commit first. What is beyond the limit is found when there are fewer.
pub(super) async fn records(connection: &mut PooledConnection) -> Result<Vec<Record>> {
    const QUERY: &str = "SELECT dtid, decision, participants, created_at, \
        GREATEST(TIMESTAMPDIFF(SECOND, created_at, UTC_TIMESTAMP(6)), 0) FROM _shardgate.twopc \
        ORDER BY decision, created_at LIMIT 1000";
    select(connection, QUERY).await
}

/// The record of one transaction, if there is one.
pub(super) async fn record(connection: &mut PooledConnection, dtid: &str) -> Result<Option<Record>> {
    Ok(select(connection, &record_query(dtid)).await?.pop())
}

/// The query for the record of one transaction.
pub fn record_query(dtid: &str) -> String {
    let dtid = hex(dtid);
    format!("SELECT dtid, decision, participants, created_at, 0 FROM _shardgate.twopc WHERE dtid = {dtid}")
}

async fn select(connection: &mut PooledConnection, query: &str) -> Result<Vec<Record>> {
    let result = match connection.query_all(query).await {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        result => result?,
    };
    result.rows.iter().map(|row| parse(row)).collect()
}

/// Removes records.
pub(super) async fn forget(connection: &mut PooledConnection, dtids: &[String]) -> Result<()> {
    let list: Vec<String> = dtids.iter().map(|dtid| hex(dtid)).collect();
    let statement = format!("DELETE FROM _shardgate.twopc WHERE dtid IN ({})", list.join(", "));
    connection.execute(&statement).await.map(drop)
}

/// Removes a fence when nothing can run into it any more: every connection that was open when it was set, and that has
/// said nothing since, has been closed by the server.
pub(super) async fn forget_old_fence(connection: &mut PooledConnection, dtid: &str) -> Result<()> {
    let statement = format!(
        "DELETE FROM _shardgate.twopc WHERE dtid = {} AND decision = 'ROLLBACK' AND created_at < \
         UTC_TIMESTAMP(6) - INTERVAL GREATEST({FENCE_SECONDS_MIN}, @@global.wait_timeout + 3600) SECOND",
        hex(dtid)
    );
    connection.execute(&statement).await.map(drop)
}

/// The database or table is not there: nothing was ever decided there.
pub(super) fn is_missing(error: &Error) -> bool {
    let missing = [ErrorKind::UnknownDatabase.errno(), ErrorKind::UnknownTable.errno()];
    error.kind().is_none() && missing.contains(&error.errno())
}

fn parse(row: &[Option<Vec<u8>>]) -> Result<Record> {
    let text = |index: usize| {
        let cell = row.get(index).and_then(Option::as_deref).unwrap_or_default();
        String::from_utf8_lossy(cell).into_owned()
    };
    let decision = match text(1).as_str() {
        "COMMIT" => Decision::Commit,
        "ROLLBACK" => Decision::Rollback,
        other => return Err(Error::new(ErrorKind::Other, format!("unknown decision {other:?} in the log"))),
    };
    let participants = text(2).split(SEPARATOR).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(Record {
        dtid: text(0),
        decision,
        participants,
        created_at: text(3),
        age_seconds: text(4).parse().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_are_written() {
        let places = ["a:-80".to_owned(), "a:80-".to_owned()];
        let statement = record_statement("a:-80:01", Decision::Commit, &places);
        assert!(
            statement.contains("(X'613a2d38303a3031', 'COMMIT', X'613a2d38300a613a38302d', "),
            "{statement}"
        );
        let cell = |text: &str| Some(text.as_bytes().to_vec());
        let row = [cell("d"), cell("ROLLBACK"), cell("a:-80\na:80-"), cell("2020-01-01 00:00:00"), cell("7")];
        let record = parse(&row).unwrap();
        assert_eq!((record.decision, record.participants.as_slice()), (Decision::Rollback, &places[..]));
        assert_eq!(record.age_seconds, 7);
        assert!(parse(&[cell("d"), cell("MAYBE")]).is_err());
    }
}
