//! SELECT DISTINCT: shards remove their own repetitions, the router those between shards.
//!
//! Nothing is left to do when equal rows are always on one shard, because the select list contains a table's
//! sharding key.

use crate::error::{Error, Result};
use crate::plan::operator::Horizon;

pub(crate) fn apply(horizon: &mut Horizon<'_>) -> Result<()> {
    if !horizon.shape.is_distinct {
        return Ok(());
    }
    let is_pushed =
        horizon.block.rows_are_distinct && (!horizon.shape.is_aggregated || horizon.block.groups_stay);
    if is_pushed {
        return Ok(());
    }
    let mut keys = Vec::new();
    for index in 0..horizon.items.len() {
        let item = horizon.items[index].clone();
        let (Some(expr), Some(column)) = (item.expr, horizon.visible(index)) else {
            return Err(Error::unsupported("DISTINCT over * of unknown columns over several shards"));
        };
        keys.push(horizon.sort_key(expr, &item.range, column)?);
    }
    horizon.distinct = Some(keys);
    Ok(())
}
