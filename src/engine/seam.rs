//! The seams between the engine and the world: traits that the executor implements and tests fake.

use std::future::Future;

use crate::error::Result;
use crate::topology::{KeyspaceName, ShardName};
use crate::wire::response::ColumnDefinition;

/// A query for one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardQuery {
    /// The shard, in the keyspace of the statement.
    pub shard: ShardName,
    /// SQL text in the connection's character set.
    pub text: Vec<u8>,
    /// Which rows of the client's these are, counted from 1; empty if that has no meaning or the shard gets all of them.
    pub rows: Vec<u64>,
}

/// Sends queries to shards. Connections are taken in the order given, so that two statements cannot wait for
/// each other.
pub trait ShardExecutor: Send {
    /// A shard's rows.
    type Stream: RowStream;

    /// Sends all queries, then waits until every shard has answered with its columns. Streams come in the order
    /// of the queries. An error of one shard is the error of all; the others are cancelled.
    fn stream(
        &mut self,
        keyspace: &KeyspaceName,
        queries: Vec<ShardQuery>,
    ) -> impl Future<Output = Result<Vec<Self::Stream>>> + Send;

    /// Sends all statements and waits for their outcomes, which come in the order of the statements. `is_same`:
    /// each does the same to its own copy.
    fn write(
        &mut self,
        keyspace: &KeyspaceName,
        queries: Vec<ShardQuery>,
    ) -> impl Future<Output = Result<Vec<WriteOutcome>>> + Send;
}

/// Gives numbers of sequences.
pub trait Sequences: Send {
    /// Reserves `count` consecutive numbers; gives the first.
    fn reserve(
        &mut self,
        keyspace: &KeyspaceName,
        sequence: &str,
        count: u64,
    ) -> impl Future<Output = Result<u64>> + Send;
}

/// One shard's result set, row after row. Dropping it before its end cancels it.
pub trait RowStream: Send {
    /// The columns.
    fn columns(&self) -> &[ColumnDefinition];

    /// Moves to the next row; `false` behind the last one. Dropping the future loses nothing.
    fn advance(&mut self) -> impl Future<Output = Result<bool>> + Send;

    /// Would [`RowStream::advance`] finish without waiting?
    fn is_ready(&self) -> bool;

    /// The current row: the payload of a text-protocol row packet.
    fn row(&self) -> &[u8];

    /// Does the server compare averages with all digits that it has of them, as MySQL does, or as it shows them?
    fn compares_averages_unrounded(&self) -> bool {
        false
    }

    /// Learns what the warnings behind the last row are, while the connection still knows them.
    fn hear_warnings(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// What the server said behind the last row.
    fn end(&self) -> StreamEnd;
}

/// The end of a result set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// Number of warnings.
    pub warnings: u32,
}

/// The outcome of a statement without rows at one shard, or of all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Rows that were changed, or found with `CLIENT_FOUND_ROWS`.
    pub affected_rows: u64,
    /// The first number that was generated, 0 if none.
    pub last_insert_id: u64,
    /// Number of warnings.
    pub warnings: u32,
    /// `Rows matched: 1  Changed: 1  Warnings: 0`
    pub info: Vec<u8>,
}

/// Where a result goes. Each call may wait for a slow client, which slows the shards down.
pub trait ResultSink: Send {
    /// Once, before the rows.
    fn columns(&mut self, columns: &[ColumnDefinition]) -> impl Future<Output = Result<()>> + Send;

    /// The payload of one text-protocol row packet.
    fn row(&mut self, row: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Once, behind the last row. Not called after an error.
    fn finish(&mut self, end: StreamEnd) -> impl Future<Output = Result<()>> + Send;
}
