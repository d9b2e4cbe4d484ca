//! Rows that were read, as parts of statements: their shards, and conditions that find them again.

use super::routing::comparable;
use crate::error::{Error, Result};
use crate::topology::{Keyspace, KeyspaceId};
use crate::value::Value;
use crate::vschema::vindex::{Mapping, VindexDefinition};

/// The index of the shard that these values of a vindex's columns belong to; `None` if they have no place.
pub fn shard_of(vindex: &VindexDefinition, values: &[Value], keyspace: &Keyspace) -> Result<Option<usize>> {
    let mut known = Vec::with_capacity(values.len());
    for value in values {
        // A vindex that sends everything to one place takes NULL too.
        let value = if vindex.vindex_type() == "null" {
            Some(value.clone())
        } else {
            comparable(vindex, value.clone())?
        };
        let Some(value) = value else { return Ok(None) };
        known.push(value);
    }
    let refs: Vec<_> = known.iter().map(Value::as_ref).collect();
    match vindex.map(&refs)? {
        Mapping::KeyspaceId(id) => Ok(shard_index(&id, keyspace)),
        Mapping::AllShards | Mapping::KeyRange(_) | Mapping::None => Ok(None),
    }
}

/// The index of a keyspace id's shard.
pub fn shard_index(id: &KeyspaceId, keyspace: &Keyspace) -> Option<usize> {
    let shard = keyspace.shard_for(id)?;
    keyspace.shards().iter().position(|known| std::ptr::eq(known, shard))
}

/// Appends the condition that finds the rows with these values of `columns`, which are SQL names. Every row has as many
/// values as there are columns. `nullsafe`: NULL equals NULL.
pub fn write_condition(
    columns: &[String],
    rows: &[&[Value]],
    nullsafe: bool,
    no_backslash_escapes: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    if rows.iter().any(|row| row.len() != columns.len()) || columns.is_empty() {
        return Err(Error::bug("a key with another number of values than of columns"));
    }
    if let ([column], false) = (columns, nullsafe) {
        out.extend_from_slice(column.as_bytes());
        out.extend_from_slice(b" in (");
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            row[0].as_ref().render_literal(out, no_backslash_escapes);
        }
        out.push(b')');
        return Ok(());
    }
    // Not as `(a, b) in (…)`, for which MariaDB reads whole tables.
    for (index, row) in rows.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b" or (" } else { b"(" });
        for (position, (column, value)) in columns.iter().zip(*row).enumerate() {
            if position > 0 {
                out.extend_from_slice(b" and ");
            }
            out.extend_from_slice(column.as_bytes());
            out.extend_from_slice(if nullsafe { b" <=> " } else { b" = " });
            value.as_ref().render_literal(out, no_backslash_escapes);
        }
        out.push(b')');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_column_are_a_list_and_others_alternatives() {
        let check = |columns: &[&str], rows: &[&[Value]], nullsafe, expected: &str| {
            let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
            let mut out = Vec::new();
            write_condition(&columns, rows, nullsafe, false, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let one = || Value::Int(1);
        let two = || Value::Int(2);
        check(&["a"], &[&[one()], &[two()]], false, "a in (1, 2)");
        check(
            &["a", "b"],
            &[&[one(), two()], &[two(), two()]],
            false,
            "(a = 1 and b = 2) or (a = 2 and b = 2)",
        );
        check(&["a"], &[&[Value::Null]], true, "(a <=> NULL)");
        let mut out = Vec::new();
        assert!(write_condition(&["a".to_owned()], &[&[one(), two()]], false, false, &mut out).is_err());
    }
}
