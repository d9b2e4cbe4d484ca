//! The places of an INSERT's rows, and their rows in lookup tables.

use super::{Cell, InsertBatch, Place, Row, UnknownValue, vindexes};
use crate::engine::lookup::LookupEntry;
use crate::engine::routing::comparable;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{InsertLookup, InsertVindex};
use crate::topology::KeyspaceId;
use crate::value::Value;
use crate::vschema::vindex::Mapping;

impl InsertBatch<'_> {
    /// The values whose places the table of the primary vindex has to tell, by row; empty if a function tells them.
    pub fn values_to_place(&self) -> Result<Vec<Value>> {
        let is_table = self.plan.vindexes.first().is_some_and(|vindex| vindex.vindex.0.is_lookup());
        if !is_table {
            return Ok(Vec::new());
        }
        let first = |row: &Row| match row.cells.first().and_then(|cells| cells.first()) {
            Some(cell) => value_of(cell, row.number),
            None => Ok(Value::Null),
        };
        self.rows.iter().map(first).collect()
    }

    /// Finds out where rows go. `told`: what the primary vindex's table said for [`Self::values_to_place`].
    ///
    /// # Errors
    /// A row that has no place, or several.
    pub fn place(&mut self, told: &[Option<KeyspaceId>]) -> Result<()> {
        for index in 0..self.rows.len() {
            let place = self.place_of(index, told.get(index).and_then(Option::as_ref))?;
            self.rows[index].place = place;
        }
        Ok(())
    }

    /// The place of a row; `None` if it is left out.
    pub fn id_of(&self, row: usize) -> Option<&KeyspaceId> {
        self.rows.get(row)?.place.as_ref()?.id.as_ref()
    }

    /// Leaves a row out.
    pub fn leave_out(&mut self, row: usize) {
        if let Some(row) = self.rows.get_mut(row) {
            row.place = None;
        }
    }

    /// The rows that a lookup's table must have, each with the number of the INSERT's row. Rows without a value to be
    /// found by have none.
    pub fn entries(&self, lookup: &InsertLookup) -> Result<Vec<(usize, LookupEntry)>> {
        let of_plan = self.plan.lookups.iter().position(|known| std::ptr::eq(known, lookup));
        let position =
            of_plan.ok_or_else(|| Error::bug("a lookup of another plan"))? + self.plan.vindexes.len();
        let mut found = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let Some(Place { id: Some(id), .. }) = &row.place else { continue };
            let values: Vec<Value> =
                row.cells[position].iter().map(|cell| value_of(cell, row.number)).collect::<Result<_>>()?;
            if values.first().is_some_and(|first| *first != Value::Null) {
                found.push((index, LookupEntry { values, id: id.clone() }));
            }
        }
        Ok(found)
    }

    /// The error for a row whose value does not belong to its place.
    pub fn misplaced(&self, lookup: &InsertLookup, row: usize) -> Error {
        misplaced(&lookup.vindex, row + 1)
    }

    /// Whether an unknown value belongs to a vindex that places rows or keeps a table.
    pub fn is_of_lookup(&self, unknown: &UnknownValue) -> bool {
        vindexes(self.plan).nth(unknown.vindex).is_some_and(|vindex| vindex.vindex.0.is_lookup())
    }

    /// The row's shard; `None` if it is to be left out.
    fn place_of(&self, index: usize, told: Option<&KeyspaceId>) -> Result<Option<Place>> {
        let (row, number) = (&self.rows[index], index + 1);
        let keyspace = self.source.keyspace;
        let shards = keyspace.shards();
        let index_of = |id: &KeyspaceId| {
            let shard = keyspace.shard_for(id)?;
            shards.iter().position(|known| std::ptr::eq(known, shard))
        };
        let nowhere = || {
            Error::new(
                ErrorKind::NoShard,
                format!("row {number} has no place in keyspace {}", keyspace.name()),
            )
        };
        if let Some(id) = &self.plan.pinned {
            let shard = index_of(id).ok_or_else(nowhere)?;
            return Ok(Some(Place { shard, id: Some(id.clone()) }));
        }
        let mut place: Option<KeyspaceId> = None;
        for (vindex, cells) in self.plan.vindexes.iter().zip(&row.cells) {
            let id = if vindex.vindex.0.is_lookup() {
                told.cloned()
            } else {
                keyspace_id(vindex, cells, row.number)?
            };
            let Some(id) = id else {
                if self.plan.is_ignore {
                    return Ok(None);
                }
                let columns = vindex.columns.join(", ");
                return Err(Error::new(
                    ErrorKind::NoShard,
                    format!("could not map the value of {columns} in row {number} to a keyspace id"),
                ));
            };
            match &place {
                Some(known) if *known != id => return Err(misplaced(vindex, number)),
                _ => place = Some(id),
            }
        }
        match place {
            Some(id) => {
                let shard = index_of(&id).ok_or_else(nowhere)?;
                Ok(Some(Place { shard, id: Some(id) }))
            }
            // Unsharded.
            None if shards.is_empty() => Err(nowhere()),
            None => Ok(Some(Place { shard: 0, id: None })),
        }
    }
}

fn misplaced(vindex: &InsertVindex, number: usize) -> Error {
    let columns = vindex.columns.join(", ");
    Error::new(
        ErrorKind::NoShard,
        format!("the value of {columns} in row {number} does not map to the row's keyspace id"),
    )
}

fn value_of(cell: &Cell, number: Option<u64>) -> Result<Value> {
    match (cell, number) {
        (Cell::Value(value), _) => Ok(value.clone()),
        (Cell::Generated, Some(number)) => Ok(Value::UInt(number)),
        (Cell::Generated, None) => Err(Error::bug("a generated value that was not generated")),
        (Cell::Default | Cell::Expression(_), _) => {
            Err(Error::bug("a vindex column whose value is not known"))
        }
    }
}

fn keyspace_id(vindex: &InsertVindex, cells: &[Cell], number: Option<u64>) -> Result<Option<KeyspaceId>> {
    let definition = &vindex.vindex.0;
    let mut known = Vec::with_capacity(cells.len());
    for cell in cells {
        let value = value_of(cell, number)?;
        // A vindex that sends everything to one place takes NULL too.
        let value =
            if definition.vindex_type() == "null" { Some(value) } else { comparable(definition, value)? };
        match value {
            Some(value) => known.push(value),
            None => return Ok(None),
        }
    }
    let refs: Vec<_> = known.iter().map(Value::as_ref).collect();
    match definition.map(&refs)? {
        Mapping::KeyspaceId(id) => Ok(Some(id)),
        Mapping::AllShards | Mapping::KeyRange(_) | Mapping::None => Ok(None),
    }
}
