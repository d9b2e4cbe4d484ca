//! Sequences: numbers for AUTO_INCREMENT columns that are unique over all shards.
//!
//! Vitess's sequence tables: one row `(id 0, next_id, cache)`. The router takes blocks of `cache` numbers in a
//! transaction of its own and hands them out from memory; several routers take different blocks. Numbers of a block
//! are lost when the router stops. See facts on `select next n values` in Vitess's `vttablet`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Executor;
use super::exchange::settle;
use crate::backend::pool::{Needs, PooledConnection};
use crate::backend::{Flavor, SessionSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::sql::ident::quoted;
use crate::topology::{Destination, KeyspaceName, Snapshot};

/// The blocks that this router holds.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    blocks: Mutex<HashMap<SequenceName, SharedBlock>>,
}

/// Keyspace and table.
type SequenceName = (KeyspaceName, Box<str>);

/// A block that is refilled by one statement at a time.
type SharedBlock = Arc<tokio::sync::Mutex<Block>>;

/// Numbers from `next` up to, not including, `end` may be handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Block {
    next: u64,
    end: u64,
}

impl Block {
    /// The first of `count` numbers in a row, if the block has them.
    fn take(&mut self, count: u64) -> Option<u64> {
        let end = self.next.checked_add(count).filter(|end| *end <= self.end)?;
        Some(std::mem::replace(&mut self.next, end))
    }

    /// Adds the numbers from `next_id` on that were reserved in the table. When they follow what is left, none is
    /// lost; otherwise another router was there in between.
    fn refill(&mut self, next_id: u64, end: u64) {
        if self.end != next_id || self.next >= self.end {
            self.next = next_id;
        }
        self.end = end;
    }
}

impl Executor {
    /// The first of `count` numbers in a row of a sequence.
    pub(super) async fn next_values(
        &self,
        snapshot: &Snapshot,
        keyspace: &KeyspaceName,
        table: &str,
        count: u64,
    ) -> Result<u64> {
        let block = {
            let mut blocks = self.sequences.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            blocks.entry((keyspace.clone(), table.into())).or_default().clone()
        };
        let mut block = block.lock().await;
        if let Some(first) = block.take(count) {
            return Ok(first);
        }
        let mut connection = self.sequence_connection(snapshot, keyspace).await?;
        // Whatever the session before it had set: READ ONLY, limits of rows.
        if connection.sync_settings(SessionSettings::empty()) {
            settle(&mut connection).await?;
        }
        connection.execute("START TRANSACTION READ WRITE").await?;
        // After an error the connection is dropped in mid-transaction, and reset before its next use.
        let (next_id, end) = reserve(&mut connection, table, count).await?;
        connection.execute("COMMIT").await?;
        block.refill(next_id, end);
        block.take(count).ok_or_else(|| Error::bug("a fresh block of a sequence is too small"))
    }

    async fn sequence_connection(
        &self,
        snapshot: &Snapshot,
        keyspace: &KeyspaceName,
    ) -> Result<PooledConnection> {
        let unknown = || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{keyspace}'"));
        let found = snapshot.topology.keyspace(keyspace).ok_or_else(unknown)?;
        let shards = found.resolve(&Destination::AnyShard)?;
        let shard = shards.first().ok_or_else(|| Error::bug("AnyShard gave no shard"))?;
        let target = Target::primary(keyspace.clone(), shard.name().clone());
        let flavor = Flavor { deprecate_eof: true, found_rows: false };
        self.gateway().acquire(&target, &Needs { flavor, settings: 0 }).await
    }
}

/// Moves the table's `next_id` on by as many caches as `count` needs; whether numbers left over can be used too is
/// known only afterwards. Returns the numbers that were reserved: the first, and the one behind the last.
async fn reserve(connection: &mut PooledConnection, table: &str, count: u64) -> Result<(u64, u64)> {
    let name = quoted(table);
    let row =
        connection.query_all(&format!("SELECT next_id, cache FROM {name} WHERE id = 0 FOR UPDATE")).await?;
    let number = |column: &str| -> Result<u64> {
        let text = row.value(0, column).and_then(|value| std::str::from_utf8(value).ok());
        text.and_then(|text| text.parse().ok()).filter(|number| *number > 0).ok_or_else(|| {
            Error::new(
                ErrorKind::Other,
                format!("sequence table {name} has no row (id 0) with a {column} greater than 0"),
            )
        })
    };
    let (next_id, cache) = (number("next_id")?, number("cache")?);
    let blocks = count.div_ceil(cache).max(1);
    let overflow = || Error::new(ErrorKind::Other, format!("sequence {name} has come to its end"));
    let end = cache.checked_mul(blocks).and_then(|size| next_id.checked_add(size)).ok_or_else(overflow)?;
    connection.execute(&format!("UPDATE {name} SET next_id = {end} WHERE id = 0")).await?;
    Ok((next_id, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_numbers_in_a_row() {
        let mut block = Block::default();
        assert_eq!(block.take(1), None);
        block.refill(10, 13);
        assert_eq!(
            (block.take(2), block.take(2), block.take(1), block.take(1)),
            (Some(10), None, Some(12), None)
        );
    }

    #[test]
    fn numbers_left_over_are_kept_only_if_the_next_block_follows() {
        let mut block = Block { next: 9, end: 10 };
        block.refill(10, 20);
        assert_eq!(block.take(3), Some(9));
        let mut block = Block { next: 9, end: 10 };
        block.refill(30, 40);
        assert_eq!(block.take(3), Some(30));
    }

    #[test]
    fn numbers_do_not_overflow() {
        let mut block = Block { next: u64::MAX - 1, end: u64::MAX };
        assert_eq!(block.take(5), None);
    }
}
